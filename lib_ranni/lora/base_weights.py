"""The weights of a checkpoint, for changes that depend on them: DoRA, IA3, GLoRA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.layout import PLANS, Family, Target, table

OPEN_CLIP = {
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
}
"""A layer's modules: transformers -> OpenCLIP, which has query, key and value in one."""


class BaseWeights:
    """Weights of a single-file checkpoint of Stable Diffusion, read one by one."""

    def __init__(self, path: Path, opened: Any, family: Family) -> None:
        self._path = path
        self._opened = opened
        self._keys = set(opened.keys())
        self._family = family

    def of(self, target: Target) -> Tensor:
        """The weight of a module. Raises `LoraError` where the checkpoint has none."""
        place = table(self._family).get(target)
        for key, rows in self._places(target) if place else ():
            if key in self._keys:
                weight: Tensor = self._opened.get_tensor(key)
                return weight if rows is None else weight.chunk(3)[rows]
        raise LoraError(f"{self._path} has no weight for {target.name}; give the {self._family} checkpoint")

    def _places(self, target: Target) -> Iterator[tuple[str, int | None]]:
        """Where a weight may be: (key, which third of it), None for all of it."""
        place, kin = table(self._family)[target], PLANS[self._family].kin
        if target.component == "unet":
            yield f"model.diffusion_model.{place.ldm}.weight", None
            yield f"unet.{place.diffusers}.weight", None
            return
        if target.component == "te1" and kin != "sd2":
            inner = "conditioner.embedders.0" if kin == "sdxl" else "cond_stage_model"
            yield f"{inner}.transformer.{place.diffusers}.weight", None
            yield f"{inner}.transformer.{place.diffusers.removeprefix('text_model.')}.weight", None
            return
        inner = "conditioner.embedders.1.model" if kin == "sdxl" else "cond_stage_model.model"
        start = "text_model.encoder.layers."
        if not place.diffusers.startswith(start):
            yield f"{inner}.ln_final.weight", None
            return
        layer, _, name = place.diffusers.removeprefix(start).partition(".")
        block = f"{inner}.transformer.resblocks.{layer}"
        if name in OPEN_CLIP:
            yield f"{block}.{OPEN_CLIP[name]}.weight", None
        else:
            yield f"{block}.attn.in_proj_weight", "qkv".index(name.removeprefix("self_attn.")[0])


@contextmanager
def base_weights(path: Path, family: Family) -> Iterator[BaseWeights]:
    """Open a `.safetensors` checkpoint of this family. Raises `LoraError` for what is none."""
    try:
        with safe_open(path, framework="pt") as opened:
            yield BaseWeights(path, opened, family)
    except (SafetensorError, OSError) as error:
        raise LoraError(f"{path} cannot be read as a checkpoint in safetensors ({error})") from error


def stand_in(target: Target, shape: tuple[int, ...]) -> Tensor:
    """A weight of this shape that is the same each time: what depends on a base can be compared on it."""
    seed = sum(ord(char) * (place + 1) for place, char in enumerate(target.name)) % (1 << 31)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
