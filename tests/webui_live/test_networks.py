"""LoRAs in the real host: of the whole picture, and of one element."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.webui_live.host import LEFT, Host, panel

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="a LoRA must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
NAME = "ranni-live-test"


@pytest.fixture(scope="module")
def lora(host: Host) -> Iterator[str]:
    """A LoRA of random weights, for the cross-attention of the checkpoint that is loaded."""
    title = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    models = host.get("/sdapi/v1/sd-models").json()
    checkpoint = next(model["filename"] for model in models if model["title"] == title)
    random = torch.Generator().manual_seed(0)
    tensors = {}
    with safe_open(checkpoint, "pt") as file:
        for key in file.keys():  # noqa: SIM118 - this is no dict
            if not key.startswith("model.diffusion_model.") or "attn2.to_" not in key or "bias" in key:
                continue
            rows, columns = file.get_slice(key).get_shape()
            name = key.removeprefix("model.diffusion_model.").removesuffix(".weight").replace(".", "_")
            tensors[f"lora_unet_{name}.lora_down.weight"] = torch.randn(2, columns, generator=random) * 0.1
            tensors[f"lora_unet_{name}.lora_up.weight"] = torch.randn(rows, 2, generator=random) * 0.1
    path = Path(FOLDER) / "models" / "Lora" / f"{NAME}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path)
    host.post("/sdapi/v1/refresh-loras", {})
    yield NAME
    path.unlink()
    host.post("/sdapi/v1/refresh-loras", {})


def _latents(host: Host, request: Any, **fields: Any) -> np.ndarray:
    return host.draw(request=request, recorder={"latents": True}, **{"steps": 1, **fields}).latents[0]


def _asked(mode: str, left: str = "a red circle", **fields: Any) -> dict[str, Any]:
    return {"panel": panel(left, **fields), "guidance": {"mode": mode, "base_ratio": 0.2}}


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M"])
@pytest.mark.parametrize("spelling", ["tag", "field"])
def test_in_latent_mode_it_acts_in_its_element_only(
    host: Host, lora: str, spelling: str, sampler: str
) -> None:
    usual = _latents(host, _asked("latent"), sampler_name=sampler)
    if spelling == "tag":
        asked = _asked("latent", f"a red circle <lora:{lora}:1>")
    else:
        asked = _asked("latent", lora=[{"name": lora, "weight": 1.0}])
    changed = np.abs(_latents(host, asked, sampler_name=sampler) - usual).max(0)
    rows, columns = np.nonzero(changed > 1e-5)
    assert len(rows) > 10
    side = changed.shape[0]
    assert rows.min() >= np.floor(LEFT["y0"] * side)
    assert rows.max() < np.ceil(LEFT["y1"] * side)
    assert columns.min() >= np.floor(LEFT["x0"] * side)
    assert columns.max() < np.ceil(LEFT["x1"] * side)


def test_in_attention_mode_it_acts_on_its_elements_text(host: Host, lora: str) -> None:
    """The other texts are told apart by who hears them: outside of the box only layers below spread it."""
    usual = _latents(host, _asked("attention"))
    tagged = _latents(host, _asked("attention", f"a red circle <lora:{lora}:1>"))
    changed = np.abs(tagged - usual).max(0)
    side = changed.shape[0]
    x0, y0, x1, y1 = (round(LEFT[name] * side) for name in ("x0", "y0", "x1", "y1"))
    inside = changed[y0:y1, x0:x1].mean()
    assert inside > 0.01
    assert inside > 3 * changed[:, side // 2 :].mean()
    everywhere = _latents(host, _asked("attention"), prompt=f"plain background <lora:{lora}:1>")
    assert not np.array_equal(everywhere, tagged)


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_the_prompts_own_acts_everywhere(host: Host, lora: str, mode: str) -> None:
    usual = _latents(host, _asked(mode))
    changed = np.abs(_latents(host, _asked(mode), prompt=f"plain background <lora:{lora}:1>") - usual).max(0)
    assert (changed > 1e-5).mean() > 0.95


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_it_is_gone_afterwards(host: Host, lora: str, mode: str) -> None:
    before = _latents(host, None, steps=4)
    _latents(host, _asked(mode, f"a red circle <lora:{lora}:1>"), steps=4)
    assert np.array_equal(before, _latents(host, None, steps=4))
    with_prompts = {"prompt": f"plain background <lora:{lora}:0.5>"}
    global_only = _latents(host, _asked(mode), steps=4, **with_prompts)
    both = _latents(host, _asked(mode, f"a red circle <lora:{lora}:1>"), steps=4, **with_prompts)
    assert not np.array_equal(global_only, both)
    assert np.array_equal(global_only, _latents(host, _asked(mode), steps=4, **with_prompts))


def test_one_that_is_not_there_costs_nothing(host: Host, lora: str) -> None:
    usual = _latents(host, _asked("latent"))
    absent = _latents(host, _asked("latent", "a red circle <lora:there-is-none:1>"))
    assert np.abs(usual - absent).max() < 1e-5
