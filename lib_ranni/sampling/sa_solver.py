"""SA-Solver: stochastic Adams steps for many-step sampling (Xue et al. 2023).

With lambda = -ln sigma, h = lambda' - lambda and a = 1 + tau^2, from level s to s':

    x' = (s' / s) e^(-tau^2 h) x + sum over j of b_j D_j + s' sqrt(1 - e^(-2 tau^2 h)) xi

where the weights b integrate the polynomial through the last K predictions. The predictor's nodes end at
the present level; the corrector repeats the last step under the same noise once the new level's prediction
is known. tau = 0 gives the ODE, and K = 1 then Euler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.noise import Noise
from lib_ranni.sampling.schedules import Level

MAX_ORDER = 4


class SaSolver(Struct, frozen=True):
    """Orders 1..4 of predictor and corrector (0: no corrector), and how stochastic which timesteps are.

    `quick` weighs two nodes as diffusers does, equal to the exact weights up to the third order of h.
    """

    predictor: int = 2
    corrector: int = 2
    tau: float = 1.0
    tau_from: float = 200.0
    tau_to: float = 800.0
    quick: bool = True

    def __post_init__(self) -> None:
        if not (1 <= self.predictor <= MAX_ORDER and 0 <= self.corrector <= MAX_ORDER):
            raise InputError(f"SA-Solver's predictor has order 1..{MAX_ORDER}, its corrector 0..{MAX_ORDER}")
        if not 0.0 <= self.tau <= 10.0:
            raise InputError(f"SA-Solver's tau is in 0..10, this is {self.tau:g}")

    def tau_at(self, at: Level) -> float:
        """How stochastic a step from this level is."""
        return self.tau if self.tau_from <= at.t <= self.tau_to else 0.0


class SaState(Struct, frozen=True):
    """What a step needs of those before it: levels and predictions, the last x, its noise and its tau."""

    levels: tuple[Level, ...] = ()
    pictures: tuple[Tensor, ...] = ()
    x: Tensor | None = None
    noise: Tensor | None = None


def sa_step(
    solver: SaSolver, x0: Tensor, x: Tensor, at: Level, to: Level, left: int, noise: Noise, state: SaState
) -> tuple[Tensor, SaState]:
    """x at level `to` and the state for the step after. `left` counts the steps to do, this one included."""
    levels, pictures = (*state.levels, at), (*state.pictures, x0.float())
    if solver.corrector and state.x is not None and state.noise is not None:
        order = min(solver.corrector, len(levels), left + 2)
        before = state.levels[-1]
        tau = solver.tau_at(before)
        b = weights(levels[-order:], before, at, tau, quick="corrector" if solver.quick else None)
        x = _advance(state.x, before, at, tau, b, pictures[-order:], state.noise)
    x, drawn = x.float(), noise(x)
    order, tau = min(solver.predictor, len(levels), left), solver.tau_at(at)
    b = weights(levels[-order:], at, to, tau, quick="predictor" if solver.quick else None)
    after = _advance(x, at, to, tau, b, pictures[-order:], drawn)
    kept = max(solver.predictor, solver.corrector - 1, 1)
    return after, SaState(levels[-kept:], pictures[-kept:], x, drawn)


def weights(
    nodes: Sequence[Level], at: Level, to: Level, tau: float, quick: str | None = None
) -> list[float]:
    """The weights b of predictions at these levels for a step `at` -> `to`; they sum to 1 - e^(-a h).

    The moments of the step, E_p = integral over -h..0 of a e^(a u) u^p du with u = lambda - lambda', are
    solved for exactly in float64; `quick` ("predictor" or "corrector") takes order 2 to leading terms.
    """
    if to.sigma == 0:
        # The last step has no length: all weight is on the newest prediction.
        return [0.0] * (len(nodes) - 1) + [1.0]
    a, h = 1 + tau * tau, math.log(at.sigma / to.sigma)
    whole = -math.expm1(-a * h)
    if quick is not None and len(nodes) == 2:
        part = 0.5 * a * h
        if quick == "predictor":
            older = part * h / math.log(nodes[1].sigma / nodes[0].sigma)
            return [older, whole - older]
        return [whole - part, part]
    # In units of h: the system stays well conditioned however short the step is.
    moments, power = [whole], 1.0
    for p in range(1, len(nodes)):
        power = -power
        moments.append(-power * math.exp(-a * h) - p / (a * h) * moments[-1])
    places = [-math.log(node.sigma / to.sigma) / h for node in nodes]
    system = torch.tensor([[u**p for u in places] for p in range(len(nodes))], dtype=torch.float64)
    solved: list[float] = torch.linalg.solve(system, torch.tensor(moments, dtype=torch.float64)).tolist()
    return solved


def _advance(
    x: Tensor, at: Level, to: Level, tau: float, b: Sequence[float], pictures: Sequence[Tensor], xi: Tensor
) -> Tensor:
    mix = torch.stack([weight * picture for weight, picture in zip(b, pictures, strict=True)]).sum(0)
    if to.sigma == 0:
        return mix
    h = math.log(at.sigma / to.sigma)
    fresh = to.sigma * math.sqrt(-math.expm1(-2 * tau * tau * h))
    kept = x * (to.sigma / at.sigma * math.exp(-tau * tau * h)) + mix
    return kept if fresh == 0 else kept + xi * fresh
