"""Layout noise and the attention bias in the engine and on the command line, on the shipped checkpoint."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.panel.types import Panel, with_fields
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.metadata import infotext, read_png
from lib_ranni.standalone.requests import checked, from_json, to_json
from lib_ranni.standalone.schedulers import SAMPLERS, make_scheduler, start_of
from lib_ranni.standalone.weightless import leaning_start
from tests.standalone.drawing import LEFT, RIGHT, Recorder, element, request, two
from tests.standalone.running import FAST, PROMPT, Run

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
WORDS = "a red circle and a blue square"


def colored() -> Panel:
    left = element(1, "a red circle", LEFT, colors=("#ff0000",))
    return Panel(base="plain background", elements=(left, element(2, "a blue square", RIGHT)))


@pytest.mark.parametrize("mode", ["plain", "attention", "latent"])
def test_layout_noise_of_0_is_off_bit_for_bit(recorder: Recorder, mode: str) -> None:
    off = recorder.latents_of(request(colored(), mode=mode))
    assert torch.equal(recorder.latents_of(request(colored(), mode=mode, layout_noise=0.0)), off)
    assert not torch.allclose(
        recorder.latents_of(request(colored(), mode=mode, layout_noise=2.0)), off, atol=1e-2
    )


@pytest.mark.parametrize("mode", ["plain", "attention"])
def test_an_attention_bias_of_0_is_off_bit_for_bit(recorder: Recorder, mode: str) -> None:
    asked: dict[str, Any] = {"mode": mode, "base_ratio": 0.5, "prompt": WORDS}
    off = recorder.latents_of(request(two(), **asked))
    assert torch.equal(recorder.latents_of(request(two(), **asked, attention_bias=0.0)), off)
    assert not torch.allclose(
        recorder.latents_of(request(two(), **asked, attention_bias=0.5)), off, atol=1e-2
    )


@pytest.mark.parametrize("mode", ["plain", "attention"])
def test_a_batch_is_its_pictures_one_by_one(recorder: Recorder, mode: str) -> None:
    blue = element(1, "a green star", RIGHT, colors=("#0000ff", "#00ff00"))
    other = Panel(base="plain background", elements=(blue,))
    acting: dict[str, Any] = {"mode": mode, "layout_noise": 3.0, "attention_bias": 0.5, "base_ratio": 0.5}
    both = recorder.latents_of(request(colored(), other, seeds=(3, 4), **acting))
    for n, panel in enumerate((colored(), other)):
        alone = recorder.latents_of(request(panel, seeds=(3 + n,), batch=1, **acting))
        torch.testing.assert_close(both[n], alone[0], atol=1e-4, rtol=1e-4)


def started(checkpoint: Checkpoint, made: Any, noise: Tensor) -> Tensor:
    lean, said = leaning_start(checkpoint, made, noise, (14.6, 14.6))
    assert said == ()
    return lean


def test_noise_outside_the_boxes_is_what_it_was(checkpoint: Checkpoint) -> None:
    noise = torch.randn(1, 4, 9, 13, generator=torch.Generator().manual_seed(1))
    made = request(colored(), width=104, height=72, layout_noise=1.0)
    lean = started(checkpoint, made, noise)
    assert torch.equal(lean[..., 7:], noise[..., 7:])
    # With noise alone in the start, what is added is what the autoencoder makes of red, over sigma.
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 72, 104)
    vae = checkpoint.vae
    latent = vae.encode(red.to(next(vae.parameters()))).latent_dist.mean[0] * vae.config.scaling_factor
    added = 14.6 * (lean - noise)[0, :, 4, 3]
    assert float(torch.cosine_similarity(added, latent[:, 4, 6], dim=0)) > 0.9
    torch.testing.assert_close(
        started(checkpoint, made, 2 * noise) - 2 * noise, lean - noise, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("colors", [("#000000",), ("#ffffff",) * 5, ("#ff0000", "#00ffff"), ("#7f7f7f",)])
def test_any_colors_are_drawn(recorder: Recorder, colors: tuple[str, ...]) -> None:
    thin = with_fields(colored().elements[0], colors=colors)
    latents = recorder.latents_of(request(Panel(elements=(thin,)), layout_noise=10.0, steps=1))
    assert bool(torch.isfinite(latents).all())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_samplers_start_is_what_it_multiplies_noise_with(sampler: str) -> None:
    scheduler = make_scheduler(sampler, SD)
    scheduler.set_timesteps(10)
    sigma, scale = start_of(scheduler)
    alpha = float(scheduler.alphas_cumprod[int(scheduler.timesteps[0])])
    assert sigma == pytest.approx(math.sqrt(1 / alpha - 1), rel=0.05)
    latents = torch.ones(1) * float(scheduler.init_noise_sigma)
    shown = float(scheduler.scale_model_input(latents, scheduler.timesteps[0])[0])
    # What the network sees of the noise is c n / sqrt(1 + sigma^2) in any sampler's units.
    assert shown == pytest.approx(scale / math.hypot(1, sigma), rel=1e-3)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp-2m-karras", "lcm"])
def test_every_kind_of_sampler_starts_from_it(recorder: Recorder, sampler: str) -> None:
    own: dict[str, Any] = {"sampler": sampler, "mode": "attention"}
    plain = recorder.latents_of(request(colored(), **own))
    assert not torch.allclose(
        recorder.latents_of(request(colored(), **own, layout_noise=3.0)), plain, atol=1e-2
    )


def test_a_preset_starts_from_it(recorder: Recorder) -> None:
    own: dict[str, Any] = {"preset": "lcm", "steps": 2, "cfg": 1.0}
    plain = recorder.latents_of(request(colored(), **own))
    assert not torch.allclose(
        recorder.latents_of(request(colored(), **own, layout_noise=3.0)), plain, atol=1e-2
    )


def test_what_has_no_effect_is_told(recorder: Recorder, checkpoint: Checkpoint) -> None:
    def warned(own: Recorder, *panels: Panel, **fields: Any) -> str:
        return " ".join(own.generate(request(*panels, steps=1, **fields)).warnings)

    assert "has colors" in warned(recorder, two(), layout_noise=1.0)
    later = with_fields(colored(), elements=(with_fields(colored().elements[0], start=0.5),))
    assert "has colors" in warned(recorder, later, layout_noise=1.0)
    assert warned(recorder, colored(), layout_noise=1.0) == ""
    assert "modes plain and attention" in warned(recorder, two(), mode="latent", attention_bias=1.0)
    zero = dataclasses.replace(checkpoint, scheduler={**checkpoint.scheduler, "rescale_betas_zero_snr": True})
    assert "pure noise" in warned(Recorder(zero), colored(), layout_noise=1.0)


def test_a_bias_puts_things_into_their_boxes(recorder: Recorder) -> None:
    """The plain prompt draws them anywhere; bound, the left half is red and the right half blue."""
    box_left, box_right = (
        with_fields(LEFT, x0=0.05, x1=0.45, y0=0.3, y1=0.7),
        with_fields(RIGHT, x0=0.55, x1=0.95, y0=0.3, y1=0.7),
    )
    panel = Panel(
        elements=(element(1, "a red circle", box_left), element(2, "a blue square", box_right)),
        base="plain background",
    )
    asked: dict[str, Any] = {"mode": "plain", "prompt": f"{WORDS} on a plain white background"}
    asked |= {"width": 128, "height": 128, "steps": 10, "cfg": 4.0, "batch": 4}
    shares = []
    for strength in (0.0, 0.5):
        images = recorder.generate(request(panel, **asked, attention_bias=strength)).images
        shares.append(sum(_apart(image) for image in images))
    assert shares[1] >= 3
    assert shares[1] > shares[0]


def _apart(image: Any) -> bool:
    pixels = np.asarray(image).astype(int)
    red, blue = (np.abs(pixels - np.array(rgb)).sum(-1) < 200 for rgb in ((215, 35, 40), (45, 80, 210)))
    return bool(red[48:80, 16:48].mean() > 0.4 and blue[48:80, 80:112].mean() > 0.4)


def test_requests_carry_both(recorder: Recorder) -> None:
    made = request(layout_noise=1.5, attention_bias=0.25)
    assert from_json(to_json(made)) == made
    assert "Ranni layout noise: 1.5, Ranni attention bias: 0.25" in infotext(made)
    assert "layout noise" not in infotext(request())
    for wrong in ({"layout_noise": 10.1}, {"attention_bias": 1.1}, {"layout_noise": -1.0}):
        with pytest.raises(InputError):
            checked(request(**wrong))


def test_the_command_line_has_both(run: Run, tmp_path: Path) -> None:
    words = ("generate", PROMPT, *FAST, "--seed", 5, "--mode", "plain")
    answer = run(*words, "--layout-noise", 2, "--attention-bias", 0.5, "--json").json
    drawn = read_png(Path(answer["images"][0]))
    assert (drawn.layout_noise, drawn.attention_bias) == (2.0, 0.5)
    again = run("generate", "--from", answer["images"][0], "--attention-bias", 0, "--json").json
    assert (read_png(Path(again["images"][0])).layout_noise) == 2.0
    assert "is not in 0..10" in run(*words, "--layout-noise", 11).complaint
    assert "is not in 0..1" in run(*words, "--attention-bias", 2).complaint
