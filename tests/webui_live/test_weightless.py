"""Layout noise and the attention bias in the real host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.webui_live.host import Host, encoded, panel
from tests.webui_live.test_guidance import BLUE, LEFT, RED, RIGHT, share

WORDS = "a red circle and a blue square, on a plain white background"


def drawn(
    host: Host, *, colors: bool = False, base_ratio: float = 0.0, draw: Any = (), **guidance: Any
) -> Any:
    own = {"colors": ["#d72328"]} if colors else {}
    request = {"panel": panel(**own), "guidance": {"base_ratio": base_ratio, **guidance}}
    fields = {"prompt": WORDS, "recorder": {"latents": True}, **dict(draw)}
    return host.draw(request=request, **fields)


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M SDE", "DDIM", "UniPC", "LCM"])
def test_layout_noise_acts_with_any_sampler_and_0_is_off(host: Host, sampler: str) -> None:
    plain, off, on = (
        drawn(host, colors=True, draw={"sampler_name": sampler}, **strength)
        for strength in ({}, {"layout_noise": 0.0}, {"layout_noise": 4.0})
    )
    assert np.array_equal(plain.latents, off.latents)
    assert not np.allclose(on.latents, plain.latents, atol=1e-2)
    assert np.isfinite(on.latents).all()
    assert on.request["guidance"]["layout_noise"] == 4.0
    again = host.draw(request=on.request, prompt=WORDS, sampler_name=sampler, recorder={"latents": True})
    assert np.array_equal(again.latents, on.latents)


@pytest.mark.usefixtures("recorder")
@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_what_is_drawn_comes_nearer_to_the_colors(host: Host, sampler: str) -> None:
    """One step from noise that leans to blue, without words of color: more blue than without."""
    own = {"elements": [{**panel()["elements"][0], "description": "a circle", "colors": ["#2d50d2"]}]}
    fields = {"prompt": "a circle", "sampler_name": sampler, "steps": 12, "seed": 3}
    pictures = [
        host.draw(request={"panel": own, "guidance": {"base_ratio": 0, "layout_noise": f}}, **fields).pixels
        for f in (0, 10)
    ]
    blueness = [float((p[..., 2] - p[..., 0])[44:84, 12:52].mean()) for p in pictures]
    assert blueness[1] > blueness[0]


@pytest.mark.usefixtures("recorder")
def test_passes_that_start_from_a_picture_are_left_alone(host: Host) -> None:
    first = drawn(host)
    image = {"init_images": [encoded(first.pictures[0])], "denoising_strength": 0.7}
    pictures = [
        host.draw("img2img", request={"panel": panel(colors=["#00ff00"]), "guidance": own}, **image)
        for own in ({}, {"layout_noise": 5.0})
    ]
    assert np.array_equal(pictures[0].pixels, pictures[1].pixels)


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_a_bias_puts_things_into_their_boxes(host: Host, sampler: str) -> None:
    """The whole prompt draws them anywhere."""
    fields = {"sampler_name": sampler, "steps": 12, "batch_size": 2, "recorder": None}
    fills = []
    for strength in (0.0, 0.5):
        made = drawn(host, base_ratio=1.0, attention_bias=strength, draw=fields)
        pictures = [np.asarray(p.convert("RGB")).astype(int) for p in made.pictures[-2:]]
        fills.append(np.mean([share(p, RED, LEFT) + share(p, BLUE, RIGHT) for p in pictures]))
    assert fills[1] > 1.0
    assert fills[1] > fills[0] + 0.3


@pytest.mark.usefixtures("recorder")
def test_a_bias_follows_schedules_and_parts_and_the_second_pass(host: Host) -> None:
    """The words are looked for in what the prompt says at a step, before AND."""
    named, unnamed, later, second = (
        drawn(host, base_ratio=1.0, attention_bias=strength, draw={"prompt": prompt, **more}).latents
        for prompt, strength, more in (
            ("a green star", 0.5, {}),
            ("a green star", 0.0, {}),
            ("[a green star:a red circle:0.5] AND a blue square", 0.5, {}),
            ("[a green star:a red circle:0.5] AND a blue square", 0.0, {}),
        )
    )
    assert np.array_equal(named, unnamed)
    assert not np.allclose(later, second, atol=1e-2)
    hires = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.8, "hr_upscaler": "Latent"}
    pictures = [
        drawn(host, base_ratio=1.0, attention_bias=f, draw={**hires, "recorder": None}).pixels
        for f in (0, 0.5)
    ]
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("guidance", "told"),
    [
        ({"layout_noise": 1.0}, "layout noise does not act: no element"),
        (
            {"mode": "latent", "attention_bias": 1.0},
            "the attention bias does not act: it is for",
        ),
    ],
)
def test_what_has_no_effect_is_told_and_drawn(host: Host, guidance: dict[str, Any], told: str) -> None:
    answer = host.generation(request={"panel": panel(), "guidance": guidance})
    assert answer.status_code == 200
    assert told in answer.json()["info"]
