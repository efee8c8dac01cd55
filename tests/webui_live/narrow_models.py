"""Checkpoints with all modules of SD 1, SD 2 and SDXL, a tenth as wide, with weights at random."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_ranni.lora.layout import Plan, text_places, unet_places
from tests.lora.corpus import Module, modules
from tests.webui_live.shapes_loras import SHAPES

_CLIP, _OPEN = (64, 12), (256, 10)
"""Width and layers: of the shapes checkpoint's CLIP with more layers, and of open_clip's ViT-S-32-alt."""

PLANS: Mapping[str, Plan] = {
    "sd1": Plan("sd1", (32, 64, 128, 128), (1, 1, 1, 0), _CLIP[0], False, (_CLIP,)),
    "sd2": Plan("sd2", (32, 64, 128, 128), (1, 1, 1, 0), _OPEN[0], True, (_OPEN,)),
    "sdxl": Plan("sdxl", (32, 64, 128), (0, 2, 10), _CLIP[0] + _OPEN[0], True, (_CLIP, _OPEN), 1792),
}
_LAST_OPEN = 8
"""The last of its layers that the host uses: it leaves out one at the end."""


class NarrowModel:
    """One family's checkpoint: its files, its weights, and where a LoRA's modules are in it."""

    def __init__(self, family: str, folder: Path, name: str) -> None:
        self.family, self.folder, self.name = family, folder, name
        self._plan = PLANS[family]
        self._random = torch.Generator().manual_seed(len(family))
        self._unet = {place.diffusers: place for place in unet_places(self._plan)}
        self.weights = {key: tensor.float() for key, tensor in self._made()}

    def shapes(self) -> dict[Module, tuple[int, ...]]:
        """The modules of the corpus in this model; of OpenCLIP's attention all four or none act."""
        found: dict[Module, tuple[int, ...]] = {}
        for component, name in modules(self.family):
            if component == "unet":
                found[component, name] = self._unet[name].shape
        for number, encoder in enumerate(self._plan.text_encoders, 1):
            layer = _LAST_OPEN if encoder == _OPEN else encoder[1] - 1
            for place in text_places(*encoder):
                within = place.diffusers.startswith(f"text_model.encoder.layers.{layer}.")
                if within and len(place.shape) > 1:
                    found[f"te{number}", place.diffusers] = place.shape
        return found

    def merged(self, changes: Mapping[Module, Tensor]) -> dict[str, Tensor]:
        """The weights with changes, (out, rest) each, added in float64."""
        found = dict(self.weights)
        for module, change in changes.items():
            key, rows = self._key(*module)
            weight = found[key].double()
            weight[rows] += change.reshape(weight[rows].shape)
            found[key] = weight.float()
        return found

    def config(self) -> dict[str, Any]:
        """What the host builds the model by."""
        return _config(self.family, self._plan, f"models/Stable-diffusion/{self.name}-clip")

    def write_tokenizer(self) -> None:
        """A folder with the shapes checkpoint's tokenizer, for a text encoder of more layers."""
        folder = self.folder / f"{self.name}-clip"
        shutil.copytree(SHAPES / "tokenizer", folder, dirs_exist_ok=True)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": _CLIP[1]}))

    def _key(self, component: str, name: str) -> tuple[str, slice]:
        """A module's weight in the checkpoint, and which rows of it."""
        if component == "unet":
            return f"model.diffusion_model.{self._unet[name].ldm}.weight", slice(None)
        number = int(component[2:])
        start = self._encoder(number)
        encoder = self._plan.text_encoders[number - 1]
        if encoder == _CLIP:
            return f"{start}transformer.{name}.weight", slice(None)
        _, _, rest = name.partition("layers.")
        layer, _, part = rest.partition(".")
        block, width = f"{start}model.transformer.resblocks.{layer}.", encoder[0]
        if part[10:] in ("q_proj", "k_proj", "v_proj"):
            first = "qkv".index(part[10]) * width
            return f"{block}attn.in_proj_weight", slice(first, first + width)
        other = {"self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
        return f"{block}{other[part]}.weight", slice(None)

    def _encoder(self, number: int) -> str:
        return f"conditioner.embedders.{number - 1}." if self.family == "sdxl" else "cond_stage_model."

    def _normal(self, *shape: int) -> Tensor:
        fan = max(1, torch.Size(shape[1:]).numel())
        return torch.randn(shape, generator=self._random) * fan**-0.5

    def _layer(self, name: str, *shape: int) -> Iterator[tuple[str, Tensor]]:
        # Not 1 and 0: the host divides by the mean of a text, which would be none after a plain norm.
        noise = 0.1 * torch.randn(shape[0], generator=self._random)
        yield f"{name}.weight", 1 + noise if len(shape) == 1 else self._normal(*shape)
        yield f"{name}.bias", 0.1 * torch.randn(shape[0], generator=self._random)

    def _made(self) -> Iterator[tuple[str, Tensor]]:
        shapes = load_file(SHAPES / "shapes.safetensors")
        yield from ((key, tensor) for key, tensor in shapes.items() if key.startswith("first_stage_model."))
        for place in self._unet.values():
            yield from self._layer(f"model.diffusion_model.{place.ldm}", *place.shape)
        yield from self._layer("model.diffusion_model.out.0", self._plan.channels[0])
        for number, encoder in enumerate(self._plan.text_encoders, 1):
            if encoder == _CLIP:
                yield from self._clip(f"{self._encoder(number)}transformer.text_model.", shapes)
            else:
                yield from self._open_clip(f"{self._encoder(number)}model.")

    def _clip(self, start: str, shapes: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        kept = "cond_stage_model.transformer.text_model."
        for key, tensor in shapes.items():
            if key.startswith(f"{kept}embeddings."):
                yield start + key.removeprefix(kept), tensor
        for place in text_places(*_CLIP):
            yield from self._layer(start + place.diffusers.removeprefix("text_model."), *place.shape)

    def _open_clip(self, start: str) -> Iterator[tuple[str, Tensor]]:
        width, layers = _OPEN
        yield f"{start}positional_embedding", self._normal(77, width)
        yield f"{start}token_embedding.weight", self._normal(49408, width)
        yield f"{start}text_projection", self._normal(width, width)
        yield f"{start}logit_scale", torch.tensor(1.0)
        yield from self._layer(f"{start}ln_final", width)
        for layer in range(layers):
            block = f"{start}transformer.resblocks.{layer}."
            yield f"{block}attn.in_proj_weight", self._normal(3 * width, width)
            yield f"{block}attn.in_proj_bias", torch.zeros(3 * width)
            for name, shape in (
                *(("ln_1", (width,)), ("ln_2", (width,)), ("attn.out_proj", (width, width))),
                *(("mlp.c_fc", (4 * width, width)), ("mlp.c_proj", (width, 4 * width))),
            ):
                yield from self._layer(block + name, *shape)


def _config(family: str, plan: Plan, clip: str) -> dict[str, Any]:
    depths = [depth or 1 for depth in plan.depths]
    unet: dict[str, Any] = {
        **{"in_channels": 4, "out_channels": 4, "model_channels": plan.channels[0], "num_res_blocks": 2},
        "attention_resolutions": [2**level for level, depth in enumerate(plan.depths) if depth],
        "channel_mult": [channels // plan.channels[0] for channels in plan.channels],
        "transformer_depth": depths if family == "sdxl" else 1,
        **{"use_spatial_transformer": True, "use_linear_in_transformer": plan.linear},
        **{"context_dim": plan.context, "use_checkpoint": False, "legacy": False},
        **({"num_heads": 8} if family == "sd1" else {"num_head_channels": 16}),
    }
    first_stage = {
        **{"embed_dim": 4, "monitor": "val/rec_loss", "lossconfig": {"target": "torch.nn.Identity"}},
        "ddconfig": {
            **{"double_z": True, "z_channels": 4, "resolution": 128, "in_channels": 3, "out_ch": 3, "ch": 64},
            **{"ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0},
        },
    }
    if family == "sdxl":
        return {"model": _sgm(unet, first_stage, plan, clip)}
    encoder = {"target": "FrozenCLIPEmbedder", "params": {"version": clip}}
    if family == "sd2":
        open_clip = {"arch": "ViT-S-32-alt", "version": None, "freeze": True, "layer": "penultimate"}
        encoder = {"target": "FrozenOpenCLIPEmbedder", "params": open_clip}
    encoder["target"] = f"ldm.modules.encoders.modules.{encoder['target']}"
    network = "ldm.modules.diffusionmodules.openaimodel.UNetModel"
    params = {
        **{"linear_start": 0.00085, "linear_end": 0.012, "num_timesteps_cond": 1, "timesteps": 1000},
        **{"log_every_t": 200, "first_stage_key": "jpg", "cond_stage_key": "txt", "image_size": 16},
        **{"channels": 4, "cond_stage_trainable": False, "conditioning_key": "crossattn"},
        **{"scale_factor": 0.27, "use_ema": False},
        "unet_config": {"target": network, "params": {"image_size": 16, **unet}},
        "first_stage_config": {"target": "ldm.models.autoencoder.AutoencoderKL", "params": first_stage},
        "cond_stage_config": encoder,
    }
    return {"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}


def _sgm(unet: dict[str, Any], first_stage: dict[str, Any], plan: Plan, clip: str) -> dict[str, Any]:
    """SDXL is another program's model."""
    parts, text = "sgm.modules.diffusionmodules", {"is_trainable": False, "input_key": "txt"}
    encoders = "sgm.modules.encoders.modules"
    second = {
        **{"arch": "ViT-S-32-alt", "version": None, "freeze": True, "layer": "penultimate"},
        **{"always_return_pooled": True, "legacy": False},
    }
    sizes = ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple")
    embedders: list[dict[str, Any]] = [
        {**text, "target": f"{encoders}.FrozenCLIPEmbedder", "params": {"layer": "last", "version": clip}},
        {**text, "target": f"{encoders}.FrozenOpenCLIPEmbedder2", "params": second},
    ]
    for name in sizes:
        embedder = {"target": f"{encoders}.ConcatTimestepEmbedderND", "params": {"outdim": 256}}
        embedders.append({"is_trainable": False, "input_key": name, **embedder})
    denoiser = {
        "num_idx": 1000,
        "weighting_config": {"target": f"{parts}.denoiser_weighting.EpsWeighting"},
        "scaling_config": {"target": f"{parts}.denoiser_scaling.EpsScaling"},
        "discretization_config": {"target": f"{parts}.discretizer.LegacyDDPMDiscretization"},
    }
    network = {
        **unet,
        **{"adm_in_channels": plan.embedded, "num_classes": "sequential"},
        "spatial_transformer_attn_type": "softmax",
    }
    first_stage["ddconfig"]["attn_type"] = "vanilla"
    params = {
        **{"scale_factor": 0.13025, "disable_first_stage_autocast": True},
        "denoiser_config": {"target": f"{parts}.denoiser.DiscreteDenoiser", "params": denoiser},
        "network_config": {"target": f"{parts}.openaimodel.UNetModel", "params": network},
        "conditioner_config": {
            "target": "sgm.modules.GeneralConditioner",
            "params": {"emb_models": embedders},
        },
        "first_stage_config": {
            "target": "sgm.models.autoencoder.AutoencoderKLInferenceWrapper",
            "params": first_stage,
        },
    }
    return {"target": "sgm.models.diffusion.DiffusionEngine", "params": params}
