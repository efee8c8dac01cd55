"""LoRAs for the shapes checkpoint, in several layouts, with the changes that they make."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni.lora.layout import Place, Target, table

SHAPES = Path(__file__).parents[2] / "models" / "shapes"

Pairs = dict[Target, tuple[Place, Tensor, Tensor]]


def random_pairs() -> Pairs:
    random = torch.Generator().manual_seed(0)
    return {
        target: (
            place,
            torch.randn(4, *place.shape[1:], generator=random) * 0.05,
            torch.randn(place.shape[0], 4, *(1 for _ in place.shape[2:]), generator=random) * 0.08,
        )
        for target, place in table("shapes").items()
        if len(place.shape) > 1
    }


def key_of(target: Target, place: Place) -> str:
    if target.component == "unet":
        return f"model.diffusion_model.{place.ldm}.weight"
    return f"cond_stage_model.transformer.{place.diffusers}.weight"


def pipeline(pairs: Pairs, folder: Path, weights: dict[str, Tensor]) -> tuple[Path, dict[str, Tensor]]:
    """As a pipeline of diffusers saves it."""
    found = {}
    for target, (place, down, up) in pairs.items():
        unet = target.component == "unet"
        name = f"unet.{place.diffusers}.lora" if unet else f"text_encoder.{place.diffusers}.lora_linear_layer"
        found |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    save_file(found, folder / "pipeline.safetensors")
    changes = {key_of(t, place): _product(down, up) for t, (place, down, up) in pairs.items()}
    return folder / "pipeline.safetensors", changes


def decomposed(pairs: Pairs, folder: Path, weights: dict[str, Tensor]) -> tuple[Path, dict[str, Tensor]]:
    """PEFT's DoRA, over outputs."""
    found, changes = {}, {}
    for target, (place, down, up) in pairs.items():
        if target.component == "unet":
            weight = weights[key_of(target, place)].double()
            magnitude = weight.flatten(1).norm(dim=1) * 1.1
            name = f"unet.{place.diffusers}.lora"
            found |= {
                f"{name}_A.weight": down,
                f"{name}_B.weight": up,
                f"{name}_magnitude_vector": magnitude.float(),
            }
            whole = weight + _product(down, up)
            factors = magnitude.float().double() / whole.flatten(1).norm(dim=1)
            changes[key_of(target, place)] = whole * factors.reshape(-1, *(1,) * (whole.ndim - 1)) - weight
    save_file(found, folder / "dora.safetensors")
    return folder / "dora.safetensors", changes


def _product(down: Tensor, up: Tensor) -> Tensor:
    return (up.double().flatten(1) @ down.double().flatten(1)).reshape(len(up), *down.shape[1:])
