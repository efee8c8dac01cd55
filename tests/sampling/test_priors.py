"""The latent prior: the exact formula, estimated statistics, files; and the mistakes of earlier attempts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.sampling.noise import PerImage, seeded
from lib_ranni.sampling.prior_files import load_prior, save_prior
from lib_ranni.sampling.priors import Prior, Statistics, default_prior, vp_start
from lib_ranni.sampling.schedules import FlowSchedule
from tests.sampling.models import SD, largest, random

SIGMA = SD.sigma(999)
ALPHA = float(SD.alphas[999])
SD1 = default_prior("sd1")


def test_the_published_statistics() -> None:
    assert SD1.mean.tolist() == pytest.approx([1.0583, 0.5920, 0.0219, -0.3916], abs=5e-5)
    assert SD1.std.tolist() == pytest.approx([0.7596, 0.8415, 0.6758, 0.5975], abs=5e-5)
    xl = default_prior("sdxl")
    assert xl.mean.tolist() == pytest.approx([-0.2159, 0.2457, -0.1801, 0.3276], abs=5e-5)
    assert xl.std.tolist() == pytest.approx([1.1062, 0.7688, 0.8531, 0.6812], abs=5e-5)
    with pytest.raises(InputError, match="estimate one"):
        default_prior("sd3")


def test_both_coordinates_of_the_formula_are_one() -> None:
    own, noise = random(1), random(2)
    z = vp_start(SD1, own, noise, ALPHA)
    x = SD1.mean.view(4, 1, 1) + SD1.std.view(4, 1, 1) * own + SIGMA * noise
    assert largest(z * math.sqrt(1 + SIGMA**2), x) <= 1e-5


def test_the_closed_form_has_the_mean_and_spread_of_the_two_noises() -> None:
    prior = Prior(torch.tensor([1.0, -2.0, 0.0, 3.0]), torch.full((4,), 0.8))
    two = random(3, (400, 4, 16, 16)), random(4, (400, 4, 16, 16))
    written = vp_start(prior, *two, ALPHA) * math.sqrt(1 + SIGMA**2)
    start = prior.start(two[0], SIGMA, SD)
    expected = math.sqrt(0.8**2 + SIGMA**2)
    assert expected == pytest.approx(14.6365, abs=1e-4)
    for found in (written, start):
        assert (found.std((0, 2, 3)) / expected).tolist() == pytest.approx([1.0] * 4, rel=0.01)
        assert found.mean((0, 2, 3)).tolist() == pytest.approx(prior.mean.tolist(), abs=0.2)


def test_no_mean_and_deviation_1_is_the_usual_start() -> None:
    prior = Prior(torch.zeros(4), torch.ones(4))
    assert largest(prior.start(random(1), SIGMA, SD), SD.start(random(1), SIGMA)) <= 1e-5


@pytest.mark.parametrize("unit", [True, False])
def test_weight_goes_from_no_prior_to_all_of_it(unit: bool) -> None:
    noise = random(1)
    assert torch.equal(SD1.start(noise, SIGMA, SD, unit, weight=0.0), SD.start(noise, SIGMA, unit))
    half = SD1.start(noise, SIGMA, SD, unit, weight=0.5)
    full = SD1.start(noise, SIGMA, SD, unit)
    plain = SD.start(noise, SIGMA, unit)
    assert largest((half - plain) * 2, full - plain) <= 0.01


def test_a_flow_starts_from_noise_alone() -> None:
    assert torch.equal(SD1.start(random(1), 1.0, FlowSchedule()), random(1))


def test_every_channel_has_noise_of_its_own() -> None:
    """Both earlier scripts drew one plane and repeated it over the four channels: garbage pictures."""
    noise = PerImage(seeded(range(64)))(torch.empty(64, 4, 16, 16))
    start = SD1.start(noise, SIGMA, SD)
    planes = (start - start.mean((2, 3), keepdim=True)).transpose(0, 1).flatten(1)
    assert (torch.corrcoef(planes) - torch.eye(4)).abs().max() < 0.05
    assert start.shape == (64, 4, 16, 16)


def test_the_noise_level_is_that_of_the_timestep_asked() -> None:
    """The first script drew T at random; the spread of the start tells which timestep it is for."""
    for t in (999, 499):
        sigma = SD.sigma(t)
        seen = SD.network_input(SD1.start(random(1, (64, 4, 32, 32)), sigma, SD), sigma)
        wanted = ((SD1.std**2 + sigma**2) / (1 + sigma**2)).sqrt()
        assert seen.std((0, 2, 3)).tolist() == pytest.approx(wanted.tolist(), rel=0.01)


def test_the_deviation_is_taken_around_the_mean() -> None:
    """Of the whole tensor it is 0.910 for Stable Diffusion 1: the channels' means are in it."""
    latents = SD1.mean.view(4, 1, 1) + SD1.std.view(4, 1, 1) * random(5, (512, 4, 16, 16))
    assert float(latents.std()) == pytest.approx(0.910, abs=0.01)
    seen = Statistics()
    seen.add(latents)
    prior = seen.prior()
    assert prior.std.tolist() == pytest.approx(SD1.std.tolist(), rel=0.02)
    assert float(prior.std.square().mean().sqrt()) == pytest.approx(0.724, abs=0.01)
    assert prior.mean.tolist() == pytest.approx(SD1.mean.tolist(), abs=0.01)


def test_one_picture_is_no_prior() -> None:
    """Both scripts took the mean of a batch of one: that picture again, not a prior."""
    seen = Statistics()
    with pytest.raises(InputError, match="at least 2"):
        seen.prior()
    seen.add(random(1, (1, 4, 8, 8)))
    with pytest.raises(InputError, match="draw them again"):
        seen.prior()
    seen.add(random(2, (1, 4, 8, 8)))
    assert seen.prior().count == 2


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.booleans())
def test_statistics_do_not_depend_on_the_batches(sizes: list[int], spatial: bool) -> None:
    latents = random(9, (sum(sizes), 4, 6, 6)) * 3 + 100
    parts, grid = torch.split(latents, sizes), (6, 6) if spatial else None
    whole, bit_by_bit = Statistics(grid), Statistics(grid)
    whole.add(latents)
    for part in parts:
        bit_by_bit.add(part)
    first, second = whole.prior(), bit_by_bit.prior()
    dims = (0,) if spatial else (0, 2, 3)
    assert largest(first.mean, latents.mean(dims)) <= 1e-4
    assert largest(first.std, latents.std(dims, correction=0)) <= 1e-4
    assert largest(first.mean, second.mean) <= 1e-5
    assert largest(first.std, second.std) <= 1e-5


def test_a_spatial_prior_is_resized() -> None:
    seen = Statistics((4, 4))
    left = torch.zeros(8, 4, 8, 8)
    left[..., :4] = 10.0
    seen.add(left + random(1, (8, 4, 8, 8)) * 0.01)
    prior = seen.prior()
    assert prior.mean.shape == (4, 4, 4)
    start = prior.start(torch.zeros(1, 4, 16, 24), 1.0, SD)
    assert start.shape == (1, 4, 16, 24)
    assert float(start[..., :6].mean()) > 9.5
    assert float(start[..., -6:].mean()) < 0.5


def test_statistics_refuse_what_they_cannot_count() -> None:
    seen = Statistics()
    for bad in (torch.zeros(4, 8, 8), torch.full((1, 4, 2, 2), float("nan"))):
        with pytest.raises(InputError, match="finite latents"):
            seen.add(bad)
    seen.add(torch.zeros(1, 4, 2, 2))
    with pytest.raises(InputError, match="channels"):
        seen.add(torch.zeros(1, 16, 2, 2))


@pytest.mark.parametrize("shape", [(4,), (4, 3, 3)])
def test_a_file_tells_where_it_comes_from(tmp_path: Path, shape: tuple[int, ...]) -> None:
    prior = Prior(random(1, shape), random(2, shape).abs(), 300, "finished pictures of shapes")
    path = tmp_path / "deep" / "shapes.safetensors"
    short = save_prior(prior, path, vae="abc")
    assert len(short) == 10
    assert path.stat().st_size < 2000
    loaded, about = load_prior(path)
    assert torch.equal(loaded.mean, prior.mean)
    assert torch.equal(loaded.std, prior.std)
    assert (loaded.count, loaded.source, loaded.name) == (300, prior.source, "shapes")
    assert (about.vae, about.count) == ("abc", 300)
    assert list(path.parent.iterdir()) == [path]


def test_files_of_others(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "own.safetensors"
    save_file({"mean": torch.ones(4), "std": torch.tensor(0.5)}, str(path))
    loaded, about = load_prior(path)
    assert loaded.std.tolist() == [0.5] * 4
    assert about.source == ""
    save_file({"mean": torch.ones(4)}, str(path))
    with pytest.raises(InputError, match="no mean and std"):
        load_prior(path)
    save_file({"mean": torch.ones(4), "std": torch.full((4,), -1.0)}, str(path))
    with pytest.raises(InputError, match="at least 0"):
        load_prior(path)
    path.write_bytes(b"\x80\x02 a pickle")
    with pytest.raises(InputError, match="safetensors"):
        load_prior(path)
    with pytest.raises(InputError, match="there is no latent prior"):
        load_prior(tmp_path / "nowhere.safetensors")
