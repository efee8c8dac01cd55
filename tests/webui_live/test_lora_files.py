"""Converted LoRA files in the real host: a picture with one is that of the change merged beforehand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.layout import Place, Target, table
from lib_ranni.lora.reading import read_lora
from tests.webui_live.host import Host

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="LoRAs must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
_SHAPES = Path(__file__).parents[2] / "models" / "shapes"
_RAW = "ranni-live-raw"
_MADE = "ranni-live-made"

Pairs = dict[Target, tuple[Place, Tensor, Tensor]]


def _pairs() -> Pairs:
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


def _key(target: Target, place: Place) -> str:
    if target.component == "unet":
        return f"model.diffusion_model.{place.ldm}.weight"
    return f"cond_stage_model.transformer.{place.diffusers}.weight"


def _pipeline(pairs: Pairs, folder: Path, weights: dict[str, Tensor]) -> tuple[Path, dict[str, Tensor]]:
    """As a pipeline of diffusers saves it."""
    found = {}
    for target, (place, down, up) in pairs.items():
        unet = target.component == "unet"
        name = f"unet.{place.diffusers}.lora" if unet else f"text_encoder.{place.diffusers}.lora_linear_layer"
        found |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    save_file(found, folder / "pipeline.safetensors")
    changes = {_key(t, place): _product(down, up) for t, (place, down, up) in pairs.items()}
    return folder / "pipeline.safetensors", changes


def _decomposed(pairs: Pairs, folder: Path, weights: dict[str, Tensor]) -> tuple[Path, dict[str, Tensor]]:
    """PEFT's DoRA, over outputs."""
    found, changes = {}, {}
    for target, (place, down, up) in pairs.items():
        if target.component == "unet":
            weight = weights[_key(target, place)].double()
            magnitude = weight.flatten(1).norm(dim=1) * 1.1
            name = f"unet.{place.diffusers}.lora"
            found |= {
                f"{name}_A.weight": down,
                f"{name}_B.weight": up,
                f"{name}_magnitude_vector": magnitude.float(),
            }
            whole = weight + _product(down, up)
            factors = magnitude.float().double() / whole.flatten(1).norm(dim=1)
            changes[_key(target, place)] = whole * factors.reshape(-1, *(1,) * (whole.ndim - 1)) - weight
    save_file(found, folder / "dora.safetensors")
    return folder / "dora.safetensors", changes


def _product(down: Tensor, up: Tensor) -> Tensor:
    return (up.double().flatten(1) @ down.double().flatten(1)).reshape(len(up), *down.shape[1:])


@pytest.fixture(scope="module", params=[_pipeline, _decomposed])
def names(
    request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Puts the LoRA as it was and as it is converted, and a checkpoint with the change, into the WebUI."""
    weights = load_file(_SHAPES / "shapes.safetensors")
    source, changes = request.param(_pairs(), tmp_path_factory.mktemp("lora"), weights)
    models = Path(FOLDER) / "models"
    loras, checkpoints = models / "Lora", models / "Stable-diffusion"
    shutil.copy(source, loras / f"{_RAW}.safetensors")
    wish = Wish(out=loras / f"{_MADE}.safetensors", base=_SHAPES / "shapes.safetensors", replace=True)
    assert convert_file(read_lora(source), wish).verified.exact
    plain = {key: t.float() if t.is_floating_point() else t for key, t in weights.items()}
    merged = {key: (t.double() + changes[key]).float() if key in changes else t for key, t in plain.items()}
    for name, held in ((_RAW, plain), (_MADE, merged)):
        save_file(held, checkpoints / f"{name}.safetensors")
        shutil.copy(_SHAPES / "shapes.yaml", checkpoints / f"{name}.yaml")
    before = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    host.post("/sdapi/v1/refresh-loras", {})
    host.post("/sdapi/v1/refresh-checkpoints", {})
    yield
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": before})
    for path in [*loras.glob("ranni-live-*"), *checkpoints.glob("ranni-live-*")]:
        path.unlink()
    host.post("/sdapi/v1/refresh-loras", {})
    host.post("/sdapi/v1/refresh-checkpoints", {})


def _latents(host: Host, checkpoint: str, prompt: str) -> np.ndarray:
    chosen = {"sd_model_checkpoint": checkpoint}
    return host.draw(recorder={"latents": True}, override_settings=chosen, prompt=prompt).latents[0]


def test_it_acts_as_the_merged_change(host: Host, names: None) -> None:
    plain = _latents(host, _RAW, "a red circle")
    made = _latents(host, _RAW, f"a red circle <lora:{_MADE}:1>")
    merged = _latents(host, _MADE, "a red circle")
    assert np.abs(made - merged).max() < 1e-4 * max(1.0, float(np.abs(merged).max()))
    assert np.abs(made - plain).mean() > 0.01
    raw = _latents(host, _RAW, f"a red circle <lora:{_RAW}:1>")
    assert np.array_equal(raw, plain)  # as it was, the host draws without it and says nothing
