"""Checkpoints that change on the way: the refiner, and another for the hires pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.webui_live.host import Drawn, Host, panel

pytestmark = pytest.mark.usefixtures("recorder")


@pytest.fixture
def other(host: Host) -> Iterator[str]:
    """The title of a second checkpoint of the same kind."""
    current = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    found = [model["title"] for model in host.get("/sdapi/v1/sd-models").json() if model["title"] != current]
    if not found:
        pytest.skip("the WebUI has one checkpoint only")
    yield found[0]
    host.post("/sdapi/v1/options", {"sd_checkpoints_limit": 1, "sd_model_checkpoint": current})


def _switching(kind: str, other: str) -> dict[str, Any]:
    if kind == "refiner":
        return {"refiner_checkpoint": other, "refiner_switch_at": 0.5}
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}
    return {**hires, "hr_checkpoint_name": other}


@pytest.mark.parametrize("mode", ["attention", "latent"])
@pytest.mark.parametrize("kind", ["refiner", "hires"])
def test_the_panel_follows_the_checkpoint(host: Host, other: str, kind: str, mode: str) -> None:
    def drawn(limit: int, **guidance: Any) -> Drawn:
        host.post("/sdapi/v1/options", {"sd_checkpoints_limit": limit})
        asked = {"panel": panel(negative="a square"), "guidance": {"mode": mode, **guidance}}
        return host.draw(request=asked, recorder={"latents": True}, **_switching(kind, other))

    # With room for one checkpoint the host loads the second into the first one's model.
    one, two = drawn(1), drawn(2)
    assert np.abs(one.latents - two.latents).max() <= 1e-4
    assert "Ranni problem" not in one.infotexts[0]
    half = drawn(2, end=0.5) if kind == "refiner" else drawn(2, hires={"enabled": False})
    assert np.abs(half.latents - two.latents).max() > 0.01


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_checkpoints_of_every_kind_follow_their_panels(host: Host, mode: str, sampler: str) -> None:
    """Whatever is installed: SD1, SD2, SDXL; weights that draw nothing serve as well."""
    current = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    asked = {"panel": panel(negative="a square"), "guidance": {"mode": mode, "base_ratio": 0.2}}
    fields = {"steps": 4, "height": 192, "sampler_name": sampler, "recorder": {"latents": True}}
    alone = {"batch_cond_uncond": False}
    found = {}
    try:
        for model in host.get("/sdapi/v1/sd-models").json():
            host.post("/sdapi/v1/options", {"sd_model_checkpoint": model["title"]})
            plain = host.draw(**fields).latents[0]
            for negative in ("ugly", "ugly, blurry, " * 40):
                drawn = host.draw(request=asked, batch_size=2, negative_prompt=negative, **fields)
                single = [
                    host.draw(
                        request=asked, seed=seed, negative_prompt=negative, override_settings=alone, **fields
                    )
                    for seed in (1, 2)
                ]
                expected = np.stack([one.latents[0] for one in single])
                scale = max(1.0, float(np.abs(expected).max()))
                name = model["model_name"], len(negative)
                assert "Ranni problem" not in drawn.infotexts[0], name
                found[name] = (
                    bool(np.isfinite(drawn.latents).all()),
                    bool(np.abs(drawn.latents - expected).max() <= 1e-4 * scale),
                    bool(np.abs(drawn.latents[0] - plain).max() > 1e-2 * scale),
                )
    finally:
        host.post("/sdapi/v1/options", {"sd_model_checkpoint": current})
    assert found == dict.fromkeys(found, (True, True, True))
