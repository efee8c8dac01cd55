"""Our rules beside diffusers' own schedulers: the same random network, noise, steps and img2img strengths."""

from __future__ import annotations

from itertools import product
from typing import Any

import diffusers
import msgspec
import pytest
from diffusers import DDIMScheduler
from torch import Tensor

from lib_ranni.sampling.loop import sample
from lib_ranni.sampling.noise import PerImage
from lib_ranni.sampling.plans import Plan, make_plan, with_gamma, with_timesteps
from lib_ranni.sampling.predictions import Prediction, consistent, denoised
from lib_ranni.sampling.presets import PRESETS
from lib_ranni.sampling.rules import Ancestral
from lib_ranni.sampling.sa_solver import SaSolver
from lib_ranni.sampling.schedules import Level, NoiseSchedule
from tests.sampling.models import BETAS, Network, generators, largest, random

THEIRS = NoiseSchedule(DDIMScheduler(**BETAS).alphas_cumprod)
"""Their table of alphas, which is made in float32; a host's own table is likewise what it samples with."""

STRENGTHS = (0.3, 0.5, 0.75, 1.0)
STEPS = range(1, 9)
KINDS: tuple[Prediction, ...] = ("epsilon", "v_prediction", "sample")
EXACT = 1e-5


def ours(plan: Plan, kind: Prediction, strength: float = 1.0) -> tuple[Tensor, list[float]]:
    """The plan's picture as diffusers has it, z = x / sqrt(1 + sigma^2), and the timesteps asked."""
    network, schedule = Network(kind), plan.schedule

    def denoise(x: Tensor, at: Level) -> Tensor:
        x0 = denoised(x, network(schedule.network_input(x, at.sigma), at.t), at, kind)
        return consistent(x0, x, at) if plan.preset.boundary else x0

    first, noise = plan.levels[0].sigma, random(1)
    if strength < 1:
        x = schedule.noised(random(2), noise, first)
    else:
        x = schedule.start(noise, first, plan.preset.unit)
    x = sample(denoise, x, plan.levels, plan.rule, PerImage(generators()))
    return schedule.network_input(x, plan.levels[-1].sigma), network.asked


def theirs(
    scheduler: Any, kind: Prediction, strength: float = 1.0, **extra: Any
) -> tuple[Tensor, list[float]]:
    """diffusers' picture over the timesteps that are set, and those timesteps."""
    network, drawn = Network(kind), generators()
    if strength < 1:
        z = scheduler.add_noise(random(2), random(1), scheduler.timesteps[:1])
    else:
        z = random(1) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(z, t), t)
        z = scheduler.step(output, t, z, generator=drawn, **extra).prev_sample
    return z, network.asked


def scheduler_of(name: str, kind: str, **settings: Any) -> Any:
    return getattr(diffusers, name)(**BETAS, prediction_type=kind, **settings)


def compare(mine: tuple[Tensor, list[float]], other: tuple[Tensor, list[float]], most: float = EXACT) -> None:
    assert mine[1] == other[1]
    assert float(other[0].std()) > 0.1
    assert largest(mine[0], other[0]) <= most


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_lcm(strength: float, kind: Prediction) -> None:
    for steps in STEPS:
        scheduler = scheduler_of("LCMScheduler", kind)
        scheduler.set_timesteps(steps, strength=strength)
        plan = make_plan(PRESETS["lcm"], THEIRS, steps, strength)
        compare(ours(plan, kind, strength), theirs(scheduler, kind, strength))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_tcd(strength: float, gamma: float, kind: Prediction) -> None:
    for steps in STEPS:
        scheduler = scheduler_of("TCDScheduler", kind)
        scheduler.set_timesteps(steps, strength=strength)
        plan = make_plan(with_gamma(PRESETS["tcd"], gamma), THEIRS, steps, strength)
        compare(ours(plan, kind, strength), theirs(scheduler, kind, strength, eta=gamma))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_euler_trailing(strength: float, kind: Prediction) -> None:
    """diffusers' pipelines drop steps in img2img; over our timesteps its scheduler draws what we draw."""
    for steps in STEPS:
        scheduler = scheduler_of("EulerDiscreteScheduler", kind, timestep_spacing="trailing")
        plan = make_plan(PRESETS["light"], THEIRS, steps, strength)
        scheduler.set_timesteps(steps)
        if strength == 1:
            assert [int(t) for t in scheduler.timesteps] == list(plan.timesteps)
        else:
            scheduler.set_timesteps(timesteps=list(plan.timesteps))
        compare(ours(plan, kind, strength), theirs(scheduler, kind, strength))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize(
    ("steps", "spaced"), [(8, "trailing"), (13, "linspace"), (20, "trailing"), (30, "linspace")]
)
def test_sa_solver(steps: int, spaced: str, strength: float, kind: Prediction) -> None:
    scheduler = scheduler_of("SASolverScheduler", kind, timestep_spacing=spaced)
    scheduler.set_timesteps(steps)
    done = round(steps * strength)
    scheduler.timesteps, scheduler.sigmas = scheduler.timesteps[-done:], scheduler.sigmas[-done - 1 :]
    plan = make_plan(with_timesteps(PRESETS["sa"], scheduler.timesteps.tolist()), THEIRS)
    compare(ours(plan, kind, strength), theirs(scheduler, kind, strength))


@pytest.mark.parametrize("spaced", ["trailing", "linspace"])
@pytest.mark.parametrize("steps", [8, 12, 20, 30])
@pytest.mark.parametrize("orders", list(product((1, 2, 3, 4), (1, 2, 3, 4))))
def test_sa_solver_of_other_orders(orders: tuple[int, int], steps: int, spaced: str) -> None:
    """diffusers solves for its weights in the precision of its sigmas: in float32 few digits of those of
    higher orders are left (beside our own, 2e-5 of order 3 and 8e-4 of order 4). In float64 they are ours.
    """
    predictor, corrector = orders
    settings = {"timestep_spacing": spaced, "predictor_order": predictor, "corrector_order": corrector}
    scheduler = scheduler_of("SASolverScheduler", "epsilon", **settings)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()
    plan = make_plan(
        with_timesteps(PRESETS["sa"], scheduler.timesteps.tolist()), THEIRS, solver=SaSolver(*orders)
    )
    mine, other = ours(plan, "epsilon"), theirs(scheduler, "epsilon")
    # Weights of order 4 are large and cancel out, and what is left of the pictures' float32 with them.
    most = EXACT if max(orders) < 4 else EXACT * float(other[0].abs().max())
    compare(mine, other, most)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_euler_and_its_eta_is_ancestral(eta: float) -> None:
    settings = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False}
    scheduler = scheduler_of("DDIMScheduler", "epsilon", **settings)
    scheduler.set_timesteps(5)
    plan = make_plan(PRESETS["hyper"], THEIRS, 5)
    plan = msgspec.structs.replace(plan, levels=(*plan.levels[:-1], THEIRS.level(0)), rule=Ancestral(eta))
    compare(ours(plan, "epsilon"), theirs(scheduler, "epsilon", eta=eta))


def test_euler_a() -> None:
    scheduler = scheduler_of("EulerAncestralDiscreteScheduler", "epsilon", timestep_spacing="trailing")
    scheduler.set_timesteps(4)
    compare(ours(make_plan(PRESETS["turbo_a"], THEIRS, 4), "epsilon"), theirs(scheduler, "epsilon"))
