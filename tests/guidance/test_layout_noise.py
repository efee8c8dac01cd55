"""Noise that leans towards a panel's colors: its statistics, and where it leaves the noise alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.layout_noise import flat_drawing, known_part, leaning, windows
from lib_ranni.guidance.weights import region_coverage
from lib_ranni.panel.types import Box, Element, Mask
from tests.panel import strategies

SIGMA = 14.6
UNIT = math.hypot(1, SIGMA)
"""What a variance-preserving sampler's noise is multiplied by."""

RED, BLUE = "#ff0000", "#0000ff"


def encode(pictures: Tensor) -> Tensor:
    """An autoencoder whose latents are averages: three colors and their mean, up to 1.5 deviations."""
    small = F.avg_pool2d(pictures, 8)
    return 1.5 * torch.cat([small, small.mean(1, keepdim=True)], 1)


def thing(x0: float, y0: float, x1: float, y1: float, *colors: str, **fields: Any) -> Element:
    return Element(id="e", description="a thing", box=Box(x0, y0, x1, y1), colors=colors, **fields)


def known(*elements: Element, grid: tuple[int, int] = (16, 16)) -> Tensor:
    found = known_part(elements, encode, grid)
    assert found is not None
    return found


def noise(count: int, grid: tuple[int, int] = (16, 16), seed: int = 0) -> Tensor:
    return torch.randn(count, 4, *grid, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("scale", [1.0, math.sqrt(2)], ids=["noise alone", "unit variance"])
def test_mean_and_variance_are_as_derived(strength: float, scale: float) -> None:
    # At sigma 1 half of the variance is picture, so that an error in any term shows.
    sigma, part = 1.0, known(thing(0.1, 0.1, 0.8, 0.9, RED))
    x = scale * leaning(noise(40_000), [part], strength, (sigma, scale))
    k = strength * part
    spare = scale**2 - sigma**2
    expected = sigma**2 + (spare - k.square()).clamp(min=0)
    assert float((x.mean(0) - k).abs().max()) < 0.04
    assert float((x.var(0) / expected - 1).abs().max()) < 0.06
    within = k.square() <= spare
    second = x.square().mean(0)[within]
    torch.testing.assert_close(second, torch.full_like(second, scale**2), rtol=0.06, atol=0)
    assert bool(within.any())
    assert bool((k.abs() > 0.4).any())


def test_a_variance_preserving_sampler_gets_the_formula() -> None:
    alpha, strength = 0.0047, 2.0
    sigma, own, k = math.sqrt(1 / alpha - 1), noise(2), known(thing(0, 0, 1, 0.5, BLUE))
    z = leaning(own, [k], strength, (sigma, math.sqrt(1 / alpha)))
    rest = (1 - (strength * k).square()).clamp(min=0)
    by_definition = math.sqrt(alpha) * strength * k + (1 - alpha + alpha * rest).sqrt() * own
    torch.testing.assert_close(z, by_definition)


@given(
    st.lists(strategies.elements(), min_size=1, max_size=5),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0, 10),
)
@settings(max_examples=60, deadline=None)
def test_any_panel_on_any_grid(elements: list[Element], grid: tuple[int, int], strength: float) -> None:
    own = noise(1, grid)
    k = known_part(elements, encode, grid)
    if k is None:
        assert not any(e.colors and e.weight and not e.start for e in elements) or len(elements) > 1
        return
    assert k.shape == (4, *grid)
    made = leaning(own, [k], strength, (SIGMA, UNIT))
    assert bool(torch.isfinite(made).all())
    colored = [e for e in elements if e.colors and e.start <= 0]
    covered = sum(torch.from_numpy(region_coverage(e, grid, grid, 0.0)) for e in colored) > 0
    assert torch.equal(made[..., ~covered], own[..., ~covered])
    assert float(k.abs().max()) <= 1.5 * 1.001
    if strength == 0:
        assert torch.equal(made, own)


def test_only_low_frequencies_are_known() -> None:
    k = known(thing(0.2, 0.1, 0.8, 0.9, RED), grid=(32, 32))
    power = torch.fft.fft2(k[0]).abs().square()
    rows, columns = torch.fft.fftfreq(32).abs()[:, None], torch.fft.fftfreq(32).abs()[None]
    low = (rows <= 0.125) & (columns <= 0.125)
    assert float(power[low].sum() / power.sum()) > 0.99
    white = torch.fft.fft2(noise(1, (32, 32))[0, 0]).abs().square()
    assert float(white[low].sum() / white.sum()) < 0.15


def test_a_window_is_whole_in_the_middle_and_at_the_border_of_the_canvas() -> None:
    share = windows([thing(0.0, 0.25, 0.75, 0.75, RED)], (16, 16))[0]
    assert float(share[8, 5]) == 1.0
    assert float(share[8, 0]) == 1.0
    assert 0 < float(share[4, 5]) < 0.5
    assert float(share[3].max()) == float(share[:, 12].max()) == 0.0


def test_what_is_in_front_hides_what_is_behind() -> None:
    behind, front = thing(0, 0, 1, 1, RED), thing(0.5, 0, 1, 1)
    assert not bool(known(behind, front)[..., 8:].any())
    assert bool((known(behind, front)[0, :, :8] > 0).all())
    blue = known(behind, thing(0.5, 0, 1, 1, BLUE))
    assert float(blue[2, 8, 12]) == pytest.approx(1.5, abs=1e-3)
    assert float(blue[0, 8, 3]) == pytest.approx(1.5, abs=1e-3)
    half = known(behind, thing(0.5, 0, 1, 1, weight=0.5))
    assert float(half[0, 8, 12] / half[0, 8, 3]) == pytest.approx(0.5, abs=1e-3)


def test_several_colors_are_their_mean_and_a_mask_has_its_shape() -> None:
    drawn = flat_drawing([thing(0, 0, 1, 1, "#ffffff", "#000000", "#ff0000")], (8, 16))
    torch.testing.assert_close(drawn[:, 4, 4], torch.tensor([1 / 3, -1 / 3, -1 / 3]))
    mask = Mask(2, 1, (0, 1, 1))
    masked = known(thing(0, 0, 1, 1, RED, mask=mask))
    assert bool(masked[0, :, 0].all())
    assert not bool(masked[..., 8:].any())


def test_who_comes_later_is_not_known_at_the_start() -> None:
    assert known_part([thing(0, 0, 1, 1, RED, start=0.1)], encode, (16, 16)) is None
    assert known_part([thing(0, 0, 1, 1, RED, weight=0.0)], encode, (16, 16)) is None
    assert known_part([thing(0, 0, 1, 1)], encode, (16, 16)) is None
    assert known_part([], encode, (16, 16)) is None


def test_a_batch_is_its_pictures_one_by_one() -> None:
    parts = [known(thing(0, 0, 0.5, 1, RED)), None, known(thing(0.5, 0, 1, 1, BLUE))]
    own = noise(3)
    together = leaning(own, parts, 1.0, (SIGMA, SIGMA))
    for n in (0, 2):
        assert torch.equal(together[n], leaning(own[n : n + 1], [parts[n]], 1.0, (SIGMA, SIGMA))[0])
    assert torch.equal(together[1], own[1])


def test_a_large_picture_is_encoded_small() -> None:
    sizes = []

    def watched(pictures: Tensor) -> Tensor:
        sizes.append(tuple(pictures.shape))
        return encode(pictures)

    k = known_part([thing(0.1, 0.1, 0.9, 0.9, RED)], watched, (256, 127))
    assert k is not None
    assert k.shape == (4, 256, 127)
    assert sizes == [(1, 3, 512, 256)]
    assert float(k[0, 128, 64]) == pytest.approx(1.5, abs=0.01)


def test_a_start_of_pure_noise_is_refused() -> None:
    k = known(thing(0, 0, 1, 1, RED))
    for start in ((math.inf, math.inf), (4096.0, 4096.0), (0.0, 0.0)):
        with pytest.raises(GuidanceError, match="pure noise"):
            leaning(noise(1), [k], 1.0, start)
    with pytest.raises(GuidanceError, match="has colors"):
        leaning(noise(2), [None, None], 1.0, (SIGMA, SIGMA))


@pytest.mark.parametrize("latent", [torch.full((1, 4, 16, 16), math.nan), torch.zeros(1, 4, 4, 4)])
def test_an_autoencoder_that_fails_is_named(latent: Tensor) -> None:
    with pytest.raises(GuidanceError, match="autoencoder"):
        known_part([thing(0, 0, 1, 1, RED)], lambda _: latent, (16, 16))
