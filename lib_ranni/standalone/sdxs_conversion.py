"""SDXS' diffusers folder for hosts: one `.safetensors` file, and the `.yaml` that names its networks.

Its UNet has no middle block and one residual block a level, and its autoencoder is a tiny one (TAESD's
architecture); no stock class builds either. Every tensor of the folder must have its place, and every place
its tensor, of the shape that the configurations ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ranni.errors import InputError, ModelError
from lib_ranni.lora.base_weights import OPEN_CLIP as OPEN_CLIP_NAMES
from lib_ranni.lora.layout import Place, text_places, unet_places
from lib_ranni.standalone.checkpoint import quiet
from lib_ranni.standalone.conversion import (
    OPEN_CLIP,
    TEXT,
    UNET,
    VAE,
    Converted,
    autoencoder_config,
    config_beside,
    latent_diffusion,
    write_checkpoint,
    write_config,
)
from lib_ranni.standalone.sdxs_configs import Schedule, Text, UNet, read_config
from lib_ranni.standalone.training.export import vae_name

Tensors = Mapping[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

_WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")
_CLASSES = "lib_ranni.webui.sdxs"
_NO_BIAS = ("to_q", "to_k", "to_v")
_ATTENTION = ("attn_1.q.", "attn_1.k.", "attn_1.v.", "attn_1.proj_out.")


def convert_sdxs(folder: Path, target: Path, *, vae: str = "vae", replace: bool = False) -> Converted:
    """Write `target` (.safetensors) and the configuration beside it from a folder as diffusers saves it.

    `vae` names the folder of the autoencoder to take along, `vae_large` for the large one. Raises
    `ModelError` for a folder that is no SDXS model, `InputError` for a target that cannot be written.
    """
    config = config_beside(target, replace=replace)
    if not (folder / "model_index.json").is_file():
        raise InputError(
            f"{folder} is no diffusers folder: it has no model_index.json; give SDXS' own folder"
        )
    unet = read_config(folder / "unet", UNet)
    text = read_config(folder / "text_encoder", Text)
    schedule = read_config(folder / "scheduler", Schedule, "scheduler_config.json")
    if text.hidden_size != unet.cross_attention_dim:
        raise ModelError(
            f"{folder}: the text encoder is {text.hidden_size} wide, the UNet reads "
            f"{unet.cross_attention_dim}; they are of two models"
        )
    tensors = _unet_tensors(folder / "unet", unet)
    tensors |= _text_tensors(folder / "text_encoder", text)
    picture, decoder, scale = _autoencoder(folder / vae)
    tensors |= picture
    described = latent_diffusion(
        parameterization="v" if schedule.prediction_type == "v_prediction" else "eps",
        linear_start=schedule.beta_start,
        linear_end=schedule.beta_end,
        scale_factor=scale,
        unet_config={"target": f"{_CLASSES}.CompactUNet", "params": unet.params()},
        first_stage_config=decoder,
        cond_stage_config=OPEN_CLIP if text.is_open_clip else _clip(),
    )
    write_checkpoint(tensors, target)
    write_config(described, config)
    return Converted(target, config, len(tensors), sum(tensor.numel() for tensor in tensors.values()), 0)


def _clip() -> dict[str, Any]:
    return {"target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder"}


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a part of a folder. Raises `ModelError` for what is no whole safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = sorted(folder.glob("*.safetensors"))
    file = next((path for path in found if path.name in _WEIGHTS), found[0] if len(found) == 1 else None)
    if file is None:
        pickles = any(folder.glob("*.bin"))
        what = "has pickles only, which can run code" if pickles else "has no single .safetensors file"
        raise ModelError(f"{folder} {what}; download it with its .safetensors files")
    try:
        return load_file(str(file))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is not a whole .safetensors file ({error}); download it again") from error


def _require(folder: Path, got: Tensors, wanted: Shapes) -> None:
    """Raise `ModelError` unless the tensors are just those that are wanted, in their shapes."""
    for what, names in (("lacks", wanted.keys() - got.keys()), ("has unknown", got.keys() - wanted.keys())):
        if names:
            shown = ", ".join(sorted(names)[:3])
            raise ModelError(
                f"{folder} {what} {shown} ({len(names)} tensors); it is damaged, or no part of SDXS"
            )
    for name, shape in wanted.items():
        if (found := tuple(got[name].shape)) != shape:
            raise ModelError(f"{folder}: {name} is {found}, its config.json says {shape}; download it again")


def _shapes(places: Mapping[str, Place]) -> Shapes:
    """Weights and biases of all modules; queries, keys and values of a UNet have no bias."""
    found: Shapes = {}
    for name, place in places.items():
        found[f"{name}.weight"] = place.shape
        if not name.endswith(_NO_BIAS):
            found[f"{name}.bias"] = place.shape[:1]
    return found


def _unet_tensors(folder: Path, config: UNet) -> dict[str, Tensor]:
    places = {place.diffusers: place for place in unet_places(config.plan())}
    got = _tensors(folder)
    _require(folder, got, _shapes(places))
    out = {}
    for name, tensor in got.items():
        module, _, kind = name.rpartition(".")
        out[f"{UNET}{places[module].ldm}.{kind}"] = tensor
    return out


def _text_tensors(folder: Path, config: Text) -> dict[str, Tensor]:
    got = {name: tensor for name, tensor in _tensors(folder).items() if not name.endswith("position_ids")}
    width = config.hidden_size
    wanted = _shapes({place.diffusers: place for place in text_places(width, config.num_hidden_layers)})
    wanted["text_model.embeddings.token_embedding.weight"] = (config.vocab_size, width)
    wanted["text_model.embeddings.position_embedding.weight"] = (config.max_position_embeddings, width)
    _require(folder, got, wanted)
    if config.is_open_clip:
        return {f"{TEXT}model.{name}": tensor for name, tensor in open_clip(got).items()}
    return {f"{TEXT}transformer.{name}": tensor for name, tensor in got.items()}


def open_clip(text: Tensors) -> dict[str, Tensor]:
    """A text encoder's tensors as OpenCLIP names and joins them, from transformers' names."""
    ends = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    out: dict[str, Tensor] = {}
    for name, tensor in text.items():
        if name in ends:
            out[ends[name]] = tensor
            continue
        layer, _, rest = name.removeprefix("text_model.encoder.layers.").partition(".")
        module, _, kind = rest.rpartition(".")
        block = f"transformer.resblocks.{layer}"
        if module in OPEN_CLIP_NAMES:
            out[f"{block}.{OPEN_CLIP_NAMES[module]}.{kind}"] = tensor
        elif module == "self_attn.q_proj":
            thirds = [text[name.replace("q_proj", f"{side}_proj")] for side in "qkv"]
            out[f"{block}.attn.in_proj_{kind}"] = torch.cat(thirds)
    return out


def _autoencoder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], float]:
    """An autoencoder's tensors, configuration for the host, and scale of its latents."""
    import diffusers

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name the autoencoder's, such as vae, by --vae")
    settings = read_config(folder, dict[str, Any])
    kind = settings.get("_class_name")
    if kind not in ("AutoencoderTiny", "AutoencoderKL"):
        raise ModelError(f"{folder} holds a {kind}; SDXS has an AutoencoderTiny or an AutoencoderKL")
    try:
        with quiet(), torch.device("meta"):
            model = getattr(diffusers, kind).from_config(settings)
        scale = float(model.config.scaling_factor)
    except Exception as error:  # a configuration of strangers can fail anywhere in there
        raise ModelError(f"{folder}/config.json builds no {kind} ({error}); download it again") from error
    got = _tensors(folder)
    _require(folder, got, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    if kind == "AutoencoderKL":
        return (
            ldm_autoencoder(got),
            autoencoder_config(_levels(folder, model), model.config.layers_per_block),
            scale,
        )
    _require_taesd(folder, model)
    described = {"target": f"{_CLASSES}.TinyAutoencoder", "params": {"ddconfig": {}}}
    return _renamed(got, tiny_name), described, scale


def _renamed(tensors: Tensors, rename: Callable[[str], str]) -> dict[str, Tensor]:
    return {VAE + rename(name): tensor for name, tensor in tensors.items()}


def tiny_name(name: str) -> str:
    """TAESD's own name: its decoder begins with the clamp that diffusers has outside."""
    half, _, layer, rest = name.split(".", 3)
    return f"{half}.{int(layer) + (half == 'decoder')}.{rest}"


def _require_taesd(folder: Path, model: Any) -> None:
    from diffusers import AutoencoderTiny

    with torch.device("meta"):
        usual = AutoencoderTiny()
    same = {name: tensor.shape for name, tensor in usual.state_dict().items()}
    settings = ("act_fn", "upsampling_scaling_factor")
    if same != {name: tensor.shape for name, tensor in model.state_dict().items()} or any(
        model.config[key] != usual.config[key] for key in settings
    ):
        raise ModelError(f"{folder} is not of TAESD's architecture, the only tiny one that hosts can build")


def _levels(folder: Path, model: Any) -> tuple[int, ...]:
    levels = tuple(model.config.block_out_channels)
    if len(levels) != 4 or any(level % levels[0] for level in levels):
        raise ModelError(f"{folder} has levels of {levels} channels; hosts build 4 multiples of the first")
    return levels


def ldm_autoencoder(tensors: Tensors) -> dict[str, Tensor]:
    """A KL autoencoder of four levels by the original names, from diffusers'."""
    out = _renamed(tensors, vae_name)
    # The original keeps these linear layers as 1×1 convolutions.
    wide = [name for name in out if name.endswith(".weight") and any(part in name for part in _ATTENTION)]
    return out | {name: out[name].reshape(*out[name].shape[:2], 1, 1) for name in wide}
