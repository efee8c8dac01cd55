"""What a guided picture leaves in the host: nothing, however it ends."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from tests.webui_live.host import Host, panel, pixels

pytestmark = pytest.mark.usefixtures("recorder")

PLAIN_URL = os.environ.get("RANNI_WEBUI_PLAIN_URL", "")
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


@pytest.mark.skipif(not PLAIN_URL, reason="no WebUI without extensions: set RANNI_WEBUI_PLAIN_URL to one")
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M SDE", "DDIM", "UniPC"])
@pytest.mark.parametrize("idle", [None, {"panel": {"elements": []}}, [False, {"panel": panel()}]])
@pytest.mark.parametrize("end", ["one pass", "hires"])
def test_a_webui_without_it_draws_the_same(host: Host, end: str, idle: Any, sampler: str) -> None:
    fields = {"sampler_name": sampler, "batch_size": 2, **(HIRES if end == "hires" else {})}
    fields["prompt"] = "a (red:1.3) circle AND [a blue:a green:0.5] square"
    host.draw(request={"panel": panel()})
    drawn = host.draw(request=idle, **fields)
    other = Host(PLAIN_URL)
    without = other.draw(**fields)
    other.close()
    for ours, theirs in zip(drawn.pictures, without.pictures, strict=True):
        assert np.array_equal(pixels(ours), pixels(theirs))
    assert drawn.infotexts == without.infotexts
