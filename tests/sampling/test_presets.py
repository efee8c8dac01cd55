"""Presets, grids and levels: the recipes as their authors publish them, and what holds for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.sampling import grids
from lib_ranni.sampling.loop import Step, sample
from lib_ranni.sampling.noise import PerImage, seeded
from lib_ranni.sampling.plans import make_plan, with_gamma, with_timesteps
from lib_ranni.sampling.presets import PRESETS, Preset, preset_named
from lib_ranni.sampling.rules import Euler, Renoise
from lib_ranni.sampling.schedules import CLEAN, FlowSchedule, Level, NoiseSchedule
from tests.sampling.models import SD, largest, random

GRID50 = {
    1: [999],
    2: [999, 499],
    3: [999, 679, 339],
    4: [999, 759, 499, 259],
    6: [999, 839, 679, 499, 339, 179],
    8: [999, 879, 759, 639, 499, 379, 259, 139],
}
TRAILING = {
    1: [999],
    2: [999, 499],
    4: [999, 749, 499, 249],
    8: [999, 874, 749, 624, 499, 374, 249, 124],
}
SCHEDULERS = (
    *("Automatic", "Uniform", "Karras", "Exponential", "Polyexponential", "SGM Uniform", "SGMUniform"),
    *("KL Optimal", "Align Your Steps", "Simple", "Normal", "DDIM", "Beta"),
    *("karras", "sgm_uniform", "kl_optimal", "align_your_steps", "simple", "normal", "ddim", "beta"),
)


@pytest.mark.parametrize("steps", GRID50)
def test_the_grid_of_lcm(steps: int) -> None:
    assert list(grids.lcm(steps)) == GRID50[steps]


@pytest.mark.parametrize("steps", TRAILING)
def test_trailing_steps(steps: int) -> None:
    assert list(grids.trailing(steps)) == TRAILING[steps]


def test_the_hosts_own_lcm_sampler_wastes_its_second_step() -> None:
    """linspace(999, 19, n) is no LCM schedule; ours is the one models were distilled on."""
    assert [round(t) for t in np.linspace(999, 19, 2)] == [999, 19]
    assert list(grids.lcm(2)) == [999, 499]


def test_the_other_grids() -> None:
    assert grids.leading(4) == (751, 501, 251, 1)
    assert grids.linspace(4) == (999, 749, 500, 250)
    assert grids.leading(1) == (1,)


PUBLISHED = {
    # preset: (steps, timesteps, factor of the first noise)
    "yoso1": (1, [999], 14.648814),
    "yoso2": (2, [999, 499], 14.648814),
    "sdxs": (1, [999], 14.648814),
    "lcm": (4, [999, 759, 499, 259], 14.648814),
    "hyper1": (1, [999], 14.648814),
    "hyper1u": (1, [800], 5.207937),
    "dmd2_1": (1, [399], 1.531973),
    "dmd2_4": (4, [999, 749, 499, 249], 14.648814),
    "light": (2, [999, 499], 14.614641),
    "light1": (1, [999], 14.614641),
    "turbo": (1, [999], 14.614641),
    "pcm": (4, [999, 749, 499, 249], 14.648814),
    "instaflow": (1, [1000], 1.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes(name: str) -> None:
    steps, timesteps, factor = PUBLISHED[name]
    plan = make_plan(PRESETS[name], SD, steps)
    assert list(plan.timesteps) == timesteps
    start = plan.schedule.start(torch.ones(1), plan.levels[0].sigma, plan.preset.unit)
    assert float(start) == pytest.approx(factor, abs=1e-5)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)
def test_every_preset_is_whole(preset: Preset) -> None:
    low, high, usual = preset.cfg
    assert low <= usual <= high
    assert preset.families
    assert preset.lora or preset.checkpoint or preset.id == "sa"
    assert bool(preset.timesteps) == (preset.grid == "fixed")
    plan = make_plan(preset, SD)
    assert plan.steps == preset.steps[0]
    assert preset_named(preset.label.upper()) is preset
    # The host takes a scheduler's name off the end of a sampler's and then does not know what is left.
    assert not any(preset.label.lower().endswith(" " + name.lower()) for name in SCHEDULERS)


def test_a_preset_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"'nope'.*yoso1"):
        preset_named("nope")


@given(st.sampled_from(list(PRESETS.values())), st.integers(1, 60), st.floats(0, 1))
def test_plans_fall_to_their_end(preset: Preset, steps: int, strength: float) -> None:
    plan = make_plan(preset, SD, steps, strength)
    sigmas = [level.sigma for level in plan.levels]
    assert sigmas == sorted(set(sigmas), reverse=True)
    assert sigmas[-1] <= SD.sigma(0)
    first = 1000 if plan.preset.output == "flow" else grids.first_timestep(strength)
    if not plan.preset.locked:
        assert plan.timesteps[0] <= first
        assert plan.steps == min(steps, first + 1)
    else:
        assert plan.timesteps[0] == make_plan(plan.preset, SD, steps).timesteps[0]


@given(st.integers(1, 300), st.floats(0, 1))
def test_grids_are_whole_numbers_that_fall(steps: int, strength: float) -> None:
    for grid in (grids.trailing, grids.lcm):
        timesteps = grid(steps, strength)
        assert list(timesteps) == sorted(set(timesteps), reverse=True)
        assert all(isinstance(t, int) and 0 <= t <= 999 for t in timesteps)
        # The LCM grid has a point every 20 timesteps.
        assert abs(timesteps[0] - grids.first_timestep(strength)) <= 20


@given(st.integers(1, 8), st.integers(0, 50))
def test_img2img_stays_on_the_grid_of_the_distillation(steps: int, points: int) -> None:
    """Like diffusers' it counts int(50 * strength) points, so that 0.58 starts at point 28."""
    timesteps = grids.lcm(steps, points / 50)
    if points > steps:
        assert timesteps[0] in (points * 20 - 1, points * 20 - 21)
        assert all(t % 20 == 19 for t in timesteps)


def test_one_step_hears_the_strength_of_img2img() -> None:
    """The host starts a single step at full noise whatever the strength, and drops steps of several."""
    for name in ("lcm", "tcd", "turbo", "yoso1"):
        for strength, first in ((0.5, 499), (0.3, 299), (1.0, 999)):
            assert make_plan(PRESETS[name], SD, 1, strength).timesteps == (first,)
            assert make_plan(PRESETS[name], SD, 4, strength).steps == 4
    assert make_plan(PRESETS["dmd2_1"], SD, 1, 0.3).timesteps == (399,)


@given(st.floats(0, 999))
def test_sigma_and_timestep_are_inverse(t: float) -> None:
    assert SD.t(SD.sigma(t)) == pytest.approx(t, abs=1e-6)


@given(st.floats(0, 999), st.floats(0, 999))
def test_sigma_rises_with_the_timestep(first: float, second: float) -> None:
    if first < second:
        assert SD.sigma(first) <= SD.sigma(second)


def test_places_outside_the_schedule_are_clamped() -> None:
    assert SD.at(0.0) == CLEAN
    assert SD.t(1e6) == 999
    assert SD.t(1e-6) == 0
    assert SD.sigma(-5) == SD.sigma(0)
    assert SD.sigma(5000) == SD.sigma(999)
    flow = FlowSchedule()
    assert flow.at(0.25) == Level(250.0, 0.25)


@pytest.mark.parametrize(
    "alphas", [[0.5], [0.5, 0.9], [1.2, 0.5], [0.5, 0.0], [[0.9, 0.5]], [0.9, float("nan")]]
)
def test_tables_that_are_no_schedule(alphas: list[float]) -> None:
    with pytest.raises(InputError):
        NoiseSchedule(torch.tensor(alphas))


def test_own_timesteps_and_gamma() -> None:
    own = with_timesteps(PRESETS["lcm"], [899, 399])
    assert make_plan(own, SD).timesteps == (899, 399)
    assert make_plan(own, SD, strength=0.5).timesteps == (399,)
    assert make_plan(own, SD, strength=0.2).timesteps == (199,)
    for bad in ([], [399, 899], [1000], [5, -1], [7, 7]):
        with pytest.raises(InputError, match="timesteps"):
            with_timesteps(PRESETS["lcm"], bad)
    assert with_gamma(PRESETS["tcd"], 0.8).gamma == 0.8
    with pytest.raises(InputError, match="no gamma"):
        with_gamma(PRESETS["lcm"], 0.5)
    with pytest.raises(InputError, match=r"0\.\.1"):
        with_gamma(PRESETS["tcd"], 1.5)


def test_steps_and_strengths_that_mean_nothing() -> None:
    with pytest.raises(InputError, match="at least one step"):
        grids.trailing(0)
    with pytest.raises(InputError, match="strength"):
        grids.lcm(1, 1.5)


def test_a_picture_is_the_same_alone_and_in_a_batch() -> None:
    plan = make_plan(PRESETS["lcm"], SD, 4)

    def drawn(rows: list[int]) -> torch.Tensor:
        noise = torch.cat([random(10 + row, (1, 4, 8, 8)) for row in rows])
        x = plan.schedule.start(noise, plan.levels[0].sigma)
        return sample(lambda x, at: torch.tanh(x), x, plan.levels, Renoise(), PerImage(seeded(rows)))

    batch = drawn([0, 1, 2])
    for row in range(3):
        assert largest(batch[row : row + 1], drawn([row])) <= 1e-6


def test_the_loop_tells_each_step_and_keeps_what_it_told() -> None:
    plan, seen = make_plan(PRESETS["lcm"], SD, 3), list[tuple[Step, torch.Tensor]]()
    x = plan.schedule.start(random(1), plan.levels[0].sigma)
    told = lambda step: seen.append((step, step.x0.clone()))  # noqa: E731
    out = sample(lambda x, at: x * 0.1, x, plan.levels, plan.rule, PerImage(seeded([1, 2])), told)
    assert [(step.index, step.total, step.at.t) for step, _ in seen] == [
        (0, 3, 999.0),
        (1, 3, 679.0),
        (2, 3, 339.0),
    ]
    assert all(torch.equal(step.x0, before) for step, before in seen)
    assert torch.equal(out, seen[-1][0].x0)
    assert torch.equal(sample(lambda x, at: x, x, plan.levels[:1], Euler()), x)
    with pytest.raises(InputError, match="must fall"):
        sample(lambda x, at: x, x, [SD.level(499), SD.level(999)], Euler())


def test_noise_must_be_there_for_a_rule_that_draws_some() -> None:
    plan = make_plan(PRESETS["lcm"], SD, 2)
    with pytest.raises(InputError, match="source"):
        sample(lambda x, at: x, random(1), plan.levels, plan.rule)
    with pytest.raises(InputError, match="generators"):
        PerImage(seeded([1]))(random(1))


def test_the_adapter_to_a_k_diffusion_model_is_short() -> None:
    """A host's model(x, sigma) is asked at the exact sigmas of the timesteps."""
    plan, asked = make_plan(PRESETS["lcm"], SD, 4), []

    def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        asked.append(float(sigma[0]))
        return x * 0.2

    x = plan.schedule.start(random(1), plan.levels[0].sigma)
    ones = x.new_ones(len(x))
    sample(lambda x, at: model(x, at.sigma * ones), x, plan.levels, plan.rule, torch.randn_like)
    assert asked == pytest.approx([SD.sigma(t) for t in (999, 759, 499, 259)], rel=1e-6)
    assert math.isclose(asked[0], 14.614641, rel_tol=1e-6)
