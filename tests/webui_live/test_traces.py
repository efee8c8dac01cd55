"""What a guided picture leaves in the host: nothing, however it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.webui_live.host import Host, panel

pytestmark = pytest.mark.usefixtures("recorder")

HIRES = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.7}


# In latent mode every second call is one of ours, in which a fault costs the guidance only.
_ENDS = {
    "interrupted": {"interrupt_at": 5},
    "model fails": {"fail_at": 5},
    "attention fails": {"fail_in_attention": 4},
}


def _latent(host: Host, **fields: Any) -> np.ndarray:
    return host.draw(recorder={"latents": True}, **fields).latents


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "DDIM", "UniPC", "DPM++ SDE"])
@pytest.mark.parametrize("mode", ["attention", "latent"])
@pytest.mark.parametrize("end", ["normal", "hires", "interrupted", "model fails", "attention fails"])
def test_nothing_of_the_host_stays_changed(host: Host, end: str, mode: str, sampler: str) -> None:
    asked = {"panel": panel(negative="a square"), "guidance": {"mode": mode}}
    fields = {"sampler_name": sampler, **(HIRES if end == "hires" else {})}
    before = _latent(host, **fields)
    host.post("/ranni-recorder/remember", None)
    recorder = _ENDS.get(end)
    answer = host.generation(request=asked, recorder=recorder, **fields)
    assert answer.status_code == (500 if end == "model fails" else 200)
    assert host.get("/ranni-recorder/changes").json() == []
    assert np.array_equal(_latent(host, **fields), before)


def test_what_fails_in_guidance_costs_the_guidance_only(host: Host) -> None:
    asked = {"panel": panel()}
    drawn = host.draw(request=asked, recorder={"latents": True, "fail_in_attention": 4})
    whole = host.draw(request=asked, recorder={"latents": True})
    plain = host.draw(recorder={"latents": True})
    assert np.isfinite(drawn.latents).all()
    assert not np.array_equal(drawn.latents, whole.latents)
    assert not np.array_equal(drawn.latents, plain.latents)
    assert "Ranni problem: the recorder was asked to fail here" in drawn.infotexts[0]
    assert "Ranni problem" not in whole.infotexts[0]


@pytest.mark.parametrize(
    "idle", [{"panel": {"elements": []}}, {"panel": panel(), "enabled": False}, {}, None]
)
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M SDE", "DDIM"])
def test_idle_it_leaves_the_bits_as_they_are(host: Host, sampler: str, idle: Any) -> None:
    fields = {"sampler_name": sampler, "batch_size": 2, **HIRES}
    drawn = host.draw(request=idle, recorder={"latents": True}, **fields)
    assert np.array_equal(drawn.latents, _latent(host, **fields))
    assert drawn.request is None
