"""Converted LoRA files in the real host: a picture with one is that of the change merged beforehand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.reading import read_lora
from tests.webui_live.host import Host
from tests.webui_live.shapes_loras import SHAPES, decomposed, pipeline, random_pairs

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="LoRAs must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
_RAW = "ranni-live-raw"
_MADE = "ranni-live-made"


@pytest.fixture(scope="module", params=[pipeline, decomposed])
def names(
    request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Puts the LoRA as it was and as it is converted, and a checkpoint with the change, into the WebUI."""
    weights = load_file(SHAPES / "shapes.safetensors")
    source, changes = request.param(random_pairs(), tmp_path_factory.mktemp("lora"), weights)
    models = Path(FOLDER) / "models"
    loras, checkpoints = models / "Lora", models / "Stable-diffusion"
    shutil.copy(source, loras / f"{_RAW}.safetensors")
    wish = Wish(out=loras / f"{_MADE}.safetensors", base=SHAPES / "shapes.safetensors", replace=True)
    assert convert_file(read_lora(source), wish).verified.exact
    plain = {key: t.float() if t.is_floating_point() else t for key, t in weights.items()}
    merged = {key: (t.double() + changes[key]).float() if key in changes else t for key, t in plain.items()}
    for name, held in ((_RAW, plain), (_MADE, merged)):
        save_file(held, checkpoints / f"{name}.safetensors")
        shutil.copy(SHAPES / "shapes.yaml", checkpoints / f"{name}.yaml")
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
