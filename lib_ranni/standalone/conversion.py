"""Ranni's released checkpoint for hosts: the `.pth` as safetensors, with the `.yaml` that says what it is.

No host lists a `.pth`, and none can tell from the tensors that the model predicts v. The configuration names
the stock classes only: the conditioner's tensors ride along unread, and our own session reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import InputError, ModelError
from lib_ranni.guidance.panel_control import make_conditioner, own_tensors
from lib_ranni.guidance.panel_files import read_pickled

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."


class Converted(Struct, frozen=True):
    """What was written: `config` is None for a file of the conditioner alone."""

    checkpoint: Path
    config: Path | None
    tensors: int
    parameters: int
    conditioner: int
    """Parameters of the panel conditioner among them."""


def convert_ranni(source: Path, target: Path, *, replace: bool = False) -> Converted:
    """Write `target` (.safetensors) and, for a whole checkpoint, the configuration beside it.

    Every written tensor is read back and compared, bit for bit, before the file gets its name. Raises
    `ModelError` for a source that is no Ranni checkpoint, `InputError` for a target that cannot be written.
    """
    config = config_beside(target, replace=replace)
    tensors = _read(source)
    conditioner = make_conditioner(tensors)
    whole = _is_whole(source, tensors)
    write_checkpoint(tensors, target)
    if whole:
        write_config(ldm_config(tensors), config)
    return Converted(
        target,
        config if whole else None,
        len(tensors),
        sum(t.numel() for t in tensors.values()),
        sum(p.numel() for p in conditioner.parameters()),
    )


def config_beside(target: Path, *, replace: bool) -> Path:
    """Where a checkpoint's configuration goes. Raises `InputError` if either file may not be written."""
    if target.suffix != ".safetensors":
        raise InputError(f"{target} must end in .safetensors")
    config = target.with_suffix(".yaml")
    for path in (target, config):
        if path.exists() and not replace:
            raise InputError(f"{path} exists already; give another name, or --replace")
    return config


def _read(source: Path) -> dict[str, Tensor]:
    if not source.is_file():
        raise InputError(f"there is no file {source}; give Ranni's checkpoint, such as ranni_sdv21_v1.pth")
    if source.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(str(source))
        except SafetensorError as error:
            raise ModelError(f"{source} is not a whole .safetensors file ({error})") from error
    return read_pickled(source)


def _is_whole(source: Path, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a UNet, an autoencoder and a text encoder are there; False if only the conditioner is."""
    if len(own_tensors(tensors)) == len(tensors):
        return False
    for prefix, part in ((UNET, "UNet"), (VAE, "autoencoder"), (TEXT, "text encoder")):
        if not any(name.startswith(prefix) for name in tensors):
            raise ModelError(f"{source} has no {part} (no name begins with {prefix}); download it again")
    return True


def write_checkpoint(tensors: Mapping[str, Tensor], target: Path) -> None:
    """Write a `.safetensors` file that is compared bit for bit before it gets its name."""
    from safetensors.torch import save_file

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    # Tensors of a pickle may share memory or lie across it; the format knows neither.
    plain = {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    try:
        save_file(plain, str(partial), metadata={"format": "pt"})
        verify(tensors, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def verify(tensors: Mapping[str, Tensor], written: Path) -> None:
    """Compare a safetensors file with what it should hold, bit for bit. Raises `ModelError`."""
    from safetensors import safe_open

    with safe_open(str(written), "pt") as file:
        if different := sorted(set(file.keys()) ^ tensors.keys()):
            raise ModelError(f"{written} has other names than its source: {', '.join(different[:3])}")
        for name, wanted in tensors.items():
            got = file.get_tensor(name)
            same = got.dtype == wanted.dtype and got.shape == wanted.shape
            if not same or not torch.equal(_bits(got), _bits(wanted)):
                raise ModelError(f"{written}: {name} is not what the source has; is the disk full?")


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def write_config(config: dict[str, Any], path: Path) -> None:
    """Write the `.yaml` from which hosts build a checkpoint's networks."""
    from omegaconf import OmegaConf

    OmegaConf.save(OmegaConf.create(config), str(path))


def latent_diffusion(**changes: Any) -> dict[str, Any]:
    """A configuration of Stable Diffusion 1 or 2, with what is given instead of its own."""
    params = {
        "parameterization": "eps",
        "linear_start": 0.00085,
        "linear_end": 0.0120,
        "num_timesteps_cond": 1,
        "log_every_t": 200,
        "timesteps": 1000,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": 64,
        "channels": 4,
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "scale_factor": 0.18215,
        "use_ema": False,
        **changes,
    }
    return {"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}


OPEN_CLIP = {
    "target": "ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder",
    "params": {"freeze": True, "layer": "penultimate"},
}
"""Stable Diffusion 2's text encoder."""


def ldm_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Stable Diffusion 2's configuration for v-prediction, with the widths that the tensors have."""
    unet = {"target": "ldm.modules.diffusionmodules.openaimodel.UNetModel", "params": _unet(tensors)}
    return latent_diffusion(
        parameterization="v",
        unet_config=unet,
        first_stage_config=autoencoder_config(_vae_channels(tensors)),
        cond_stage_config=OPEN_CLIP,
    )


def _unet(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    first = tensors[UNET + "input_blocks.0.0.weight"].shape[0]
    # Every third input block begins a level after the one that halves the grid.
    levels = [tensors[f"{UNET}input_blocks.{3 * n + 1}.0.out_layers.3.weight"].shape[0] for n in range(4)]
    context = tensors[UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"].shape[1]
    return {
        "use_checkpoint": False,
        "use_fp16": True,
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": first,
        "attention_resolutions": [4, 2, 1],
        "num_res_blocks": 2,
        "channel_mult": [level // first for level in levels],
        "num_head_channels": min(64, first),
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "transformer_depth": 1,
        "context_dim": context,
        "legacy": False,
    }


def _vae_channels(tensors: Mapping[str, Tensor]) -> list[int]:
    return [tensors[f"{VAE}encoder.down.{n}.block.0.conv2.weight"].shape[0] for n in range(4)]


def autoencoder_config(channels: Sequence[int], blocks: int = 2) -> dict[str, Any]:
    """The KL autoencoder with these channels per level and residual blocks on each."""
    network = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": channels[0],
        "ch_mult": [level // channels[0] for level in channels],
        "num_res_blocks": blocks,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return {
        "target": "ldm.models.autoencoder.AutoencoderKL",
        "params": {
            "embed_dim": 4,
            "monitor": "val/rec_loss",
            "ddconfig": network,
            "lossconfig": {"target": "torch.nn.Identity"},
        },
    }
