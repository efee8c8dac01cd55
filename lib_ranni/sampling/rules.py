"""Update rules of few-step sampling, each a formula on the predicted picture D = x0.

    Euler      x' = D + s' (x - D) / s                               Lightning, Turbo, DDIM, rectified flows
    Ancestral  x' = D + d (x - D) / s + u xi,  d^2 + u^2 = s'^2      Euler a, DDIM with eta
    Renoise    x' = D + s' xi                                        LCM, YOSO, DMD2, consistency models
    Tcd        x' = D + d (x - D) / s + sqrt(s'^2 - d^2) xi          d = sigma(floor((1 - gamma) t'))

s and s' are sigma here and at the next level, xi is fresh noise. At the clean end, s' = 0, all of them
give D. They write into nothing they are given.
"""

from __future__ import annotations

import math
from typing import Protocol

from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.noise import Noise
from lib_ranni.sampling.schedules import Level, Schedule


class Rule(Protocol):
    """One step of a way, from x (B, C, h, w) and the picture predicted there to x at the next level."""

    def step(self, x0: Tensor, x: Tensor, at: Level, to: Level, noise: Noise) -> Tensor:
        """x at level `to`; noise is drawn only where the rule needs some."""
        ...


class Euler(Struct, frozen=True):
    """Straight on along the line from x to the predicted picture: deterministic."""

    def step(self, x0: Tensor, x: Tensor, at: Level, to: Level, noise: Noise) -> Tensor:
        """x' = x0 + s' (x - x0) / s."""
        return along(x0, x, at.sigma, to.sigma)


class Ancestral(Struct, frozen=True):
    """Less far along the line, the rest in fresh noise; eta 0 is `Euler`, 1 is Euler a."""

    eta: float = 1.0

    def step(self, x0: Tensor, x: Tensor, at: Level, to: Level, noise: Noise) -> Tensor:
        """x' = x0 + d (x - x0) / s + u xi with u = eta s' sqrt(1 - s'^2 / s^2), at most s'."""
        fresh = min(to.sigma, self.eta * to.sigma * math.sqrt(max(0.0, 1 - (to.sigma / at.sigma) ** 2)))
        return _split(x0, x, at, to, math.sqrt(to.sigma**2 - fresh**2), noise)


class Renoise(Struct, frozen=True):
    """The predicted picture under fresh noise: nothing of x is kept."""

    def step(self, x0: Tensor, x: Tensor, at: Level, to: Level, noise: Noise) -> Tensor:
        """x' = x0 + s' xi."""
        return _split(x0, x, at, to, 0.0, noise)


class Tcd(Struct, frozen=True):
    """Trajectory consistency (Zheng et al. 2024): to a level below the next one, and back up by fresh noise.

    `gamma` 0 is `Euler`, 1 nearly `Renoise`; more of it suits more steps.
    """

    schedule: Schedule
    gamma: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma <= 1.0:
            raise InputError(f"TCD's gamma is in 0..1, this is {self.gamma:g}")

    def step(self, x0: Tensor, x: Tensor, at: Level, to: Level, noise: Noise) -> Tensor:
        """x' = x0 + d (x - x0) / s + sqrt(s'^2 - d^2) xi, d = sigma(floor((1 - gamma) t'))."""
        below = math.floor(round((1 - self.gamma) * to.t, 6))
        reached = min(self.schedule.sigma(below), to.sigma)
        return _split(x0, x, at, to, reached, noise)


def along(x0: Tensor, x: Tensor, sigma: float, reached: float) -> Tensor:
    """The point of noise level `reached` on the line from x at `sigma` to x0."""
    if reached == 0:
        return x0.float()
    return x0.float() + (x.float() - x0.float()) * (reached / sigma)


def _split(x0: Tensor, x: Tensor, at: Level, to: Level, reached: float, noise: Noise) -> Tensor:
    """Along the line to `reached`, then up by fresh noise, which is drawn only if some is missing."""
    missing = math.sqrt(max(0.0, to.sigma**2 - reached**2))
    down = along(x0, x, at.sigma, reached)
    return down if missing == 0 else down + noise(down) * missing
