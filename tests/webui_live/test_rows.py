"""The arrangements of a step's rows: each picture equals itself drawn alone, one row in each call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.webui_live.host import Drawn, Host, panel, pixels

pytestmark = pytest.mark.usefixtures("recorder")

LONG = ", ".join(["ugly", "blurry"] * 45)
ALONE = {"batch_cond_uncond": False}
TOLERANCE = 1e-4
"""Largest difference of two latents that are the same."""
TOLERANCES = {"UniPC": 1.5e-4}
"""Its third order enlarges what other batch sizes change in the last digit; its latents reach 5."""

# What is asked, and how many pictures of it are drawn at once.
ARRANGEMENTS: dict[str, tuple[dict[str, Any], int]] = {
    "as usual": ({}, 1),
    "batch of 2": ({}, 2),
    "batch of 4": ({}, 4),
    "one call a row": ({"override_settings": ALONE}, 2),
    "unequal lengths": ({"negative_prompt": LONG}, 1),
    "unequal lengths, batch of 2": ({"negative_prompt": LONG}, 2),
    "padded": ({"negative_prompt": LONG, "override_settings": {"pad_cond_uncond": True}}, 2),
    "padded as of old": ({"negative_prompt": LONG, "override_settings": {"pad_cond_uncond_v0": True}}, 2),
    "no negatives early": ({"override_settings": {"skip_early_cond": 0.5}}, 2),
    "no negatives at low noise": ({"s_min_uncond": 4.0}, 2),
    "no negatives at low noise, all steps": (
        {"s_min_uncond": 4.0, "override_settings": {"s_min_uncond_all": True}},
        2,
    ),
    "AND": ({"prompt": "plain background AND a gray background :0.5"}, 2),
    "two batches": ({"n_iter": 2}, 2),
}


def drawn(host: Host, request: Any, **fields: Any) -> Drawn:
    asked = {"steps": 3, "width": 128, "height": 192, **fields}
    return host.draw(request=request, recorder={"latents": True}, **asked)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).max())


@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M SDE", "DDIM", "UniPC"])
@pytest.mark.parametrize("mode", ["attention", "latent"])
@pytest.mark.parametrize("arranged", ARRANGEMENTS)
def test_a_picture_is_the_same_however_its_rows_are_arranged(
    host: Host, arranged: str, mode: str, sampler: str
) -> None:
    asked = {"panel": panel(negative="a square"), "guidance": {"mode": mode, "base_ratio": 0.2}}
    check_arrangement(host, arranged, asked, sampler)


def check_arrangement(host: Host, arranged: str, asked: Any, sampler: str) -> None:
    fields, batch = ARRANGEMENTS[arranged]
    together = drawn(host, asked, sampler_name=sampler, batch_size=batch, **fields)
    alone = {**fields, "n_iter": 1, "override_settings": {**fields.get("override_settings", {}), **ALONE}}
    for image, latent in enumerate(together.latents):
        expected = drawn(host, asked, sampler_name=sampler, seed=1 + image, **alone).latents[0]
        assert difference(latent, expected) <= TOLERANCES.get(sampler, TOLERANCE)
    plain = drawn(host, None, sampler_name=sampler, **alone)
    assert difference(pixels(together.pictures[0]), plain.pixels) > 20


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_without_a_base_a_region_takes_its_row(host: Host, mode: str) -> None:
    whole = panel()
    whole["elements"][0]["box"] = {"x0": 0.0, "y0": 0.0, "x1": 0.5, "y1": 1.0}
    whole["elements"][1]["box"] = {"x0": 0.5, "y0": 0.0, "x1": 1.0, "y1": 1.0}
    asked = {"panel": whole, "guidance": {"mode": mode, "base_ratio": 0}}
    together = drawn(host, asked, batch_size=2)
    for image, latent in enumerate(together.latents):
        expected = drawn(host, asked, seed=1 + image, override_settings=ALONE).latents[0]
        assert difference(latent, expected) <= TOLERANCE
    other_base = drawn(host, asked, prompt="a green star")
    assert difference(other_base.latents[0], together.latents[0]) <= TOLERANCE
