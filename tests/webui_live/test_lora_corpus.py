"""Files of every layout, converted, in the real host: all modules act, as if they were merged beforehand."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.reading import read_lora
from tests.lora.corpus import SAMPLES, Maker
from tests.webui_live.host import Host
from tests.webui_live.narrow_models import NarrowModel

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="LoRAs must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
_START = "ranni-corpus"


def _write(host: Host, model: NarrowModel, name: str, weights: dict[str, Any]) -> str:
    save_file(weights, model.folder / f"{name}.safetensors")
    (model.folder / f"{name}.yaml").write_text(json.dumps(model.config()))
    host.post("/sdapi/v1/refresh-checkpoints", {})
    return name


@pytest.fixture(params=["sd1", "sd2", "sdxl"])
def model(request: pytest.FixtureRequest, host: Host) -> Iterator[NarrowModel]:
    """A family's checkpoint in the WebUI, which is loaded."""
    folder = Path(FOLDER) / "models" / "Stable-diffusion"
    before = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    made = NarrowModel(request.param, folder, f"{_START}-{request.param}")
    made.write_tokenizer()
    _write(host, made, made.name, made.weights)
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": made.name})
    yield made
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": before})
    for path in [*folder.glob(f"{_START}*"), *(folder.parent / "Lora").glob(f"{_START}*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    host.post("/sdapi/v1/refresh-checkpoints", {})
    host.post("/sdapi/v1/refresh-loras", {})


def _pixels(host: Host, checkpoint: str, prompt: str = "") -> np.ndarray:
    fields: dict[str, Any] = {"steps": 2, "width": 64, "height": 64, "recorder": {"pixels": True}}
    chosen = {"sd_model_checkpoint": checkpoint}
    drawn = host.draw(prompt=f"a red circle {prompt}", override_settings=chosen, **fields)
    assert "LoRA problem" not in drawn.infotexts[0]
    return drawn.exact_pixels


def test_every_layout_acts_as_its_merged_change(host: Host, model: NarrowModel, tmp_path: Path) -> None:
    loras = Path(FOLDER) / "models" / "Lora"
    samples, matched, drawn = {}, {}, {}
    for make in (make for family, make in SAMPLES if family == model.family):
        folder = tmp_path / make.__name__
        folder.mkdir()
        maker = Maker(folder, model.family)
        maker.shapes = model.shapes()
        name = f"{_START}-{model.family}-{make.__name__}"
        sample = make(maker)
        lora = read_lora(sample.path, **sample.given)
        assert convert_file(lora, Wish(out=loras / f"{name}.safetensors")).verified.exact
        samples[name] = sample
    host.post("/sdapi/v1/refresh-loras", {})
    for name, sample in samples.items():
        checked = host.post("/ranni/v1/loras/check", {"name": name}).json()
        matched[name] = (checked["matched"], checked["report"]["modules"]) == (len(sample.truth),) * 2
        drawn[name] = _pixels(host, model.name, f"<lora:{name}:1>")
    assert matched == dict.fromkeys(samples, True)
    plain, largest, least = _pixels(host, model.name), {}, {}
    for name, sample in samples.items():
        merged = _pixels(host, _write(host, model, f"{name}-merged", model.merged(sample.truth)))
        largest[name] = float(np.abs(merged - drawn[name]).max())
        least[name] = float(np.abs(merged - plain).max())
        (model.folder / f"{name}-merged.safetensors").unlink()
    assert {name: value for name, value in largest.items() if value > 1e-4} == {}
    assert {name: value for name, value in least.items() if value < 1e-3} == {}
