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
