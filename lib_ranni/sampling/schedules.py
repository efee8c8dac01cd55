"""Noise schedules: which share of a latent is noise at a timestep, and back.

Everything here lives in k-diffusion's coordinates x = x0 + sigma n. A variance-preserving latent is
z = sqrt(a) x0 + sqrt(1 - a) n = x / sqrt(1 + sigma^2) with sigma^2 = (1 - a) / a. A rectified flow's
z = (1 - s) x0 + s n moves along straight lines as well, so that the same rules serve it with sigma = s and
a signal share of 1 - s.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lib_ranni.errors import InputError

TIMESTEPS = 1000


class Level(NamedTuple):
    """A place on the way from noise to picture: timestep (may be a fraction) and sigma there."""

    t: float
    sigma: float


CLEAN = Level(0.0, 0.0)
"""The end of the way: no noise at all."""


class NoiseSchedule:
    """A variance-preserving schedule, from its cumulated alphas (T,), falling from near 1 to near 0."""

    def __init__(self, alphas_cumprod: Tensor) -> None:
        alphas = alphas_cumprod.detach().to("cpu", torch.float64)
        if alphas.ndim != 1 or len(alphas) < 2 or not bool(((alphas > 0) & (alphas <= 1)).all()):
            raise InputError(
                "a noise schedule needs alphas above 0 and at most 1; raise a terminal 0 a little"
            )
        if not bool((alphas.diff() < 0).all()):
            raise InputError("the alphas of a noise schedule must fall from one timestep to the next")
        self.alphas = alphas
        self.sigmas = ((1 - alphas) / alphas).sqrt()
        self._logs = self.sigmas.log()

    @property
    def count(self) -> int:
        """How many timesteps there are, 1000 for Stable Diffusion."""
        return len(self.alphas)

    @property
    def ends_in_noise(self) -> bool:
        """Whether nothing of the picture is left at the last timestep (zero terminal SNR)."""
        return float(self.alphas[-1]) < 1e-6

    def sigma(self, t: float) -> float:
        """Sigma at a timestep; between two whole ones its logarithm is interpolated."""
        last = self.count - 1
        t = min(max(float(t), 0.0), float(last))
        low = min(int(t), last - 1)
        share = t - low
        if share in (0.0, 1.0):
            return float(self.sigmas[low + int(share)])
        return math.exp(float(self._logs[low]) * (1 - share) + float(self._logs[low + 1]) * share)

    def t(self, sigma: float) -> float:
        """The timestep of a sigma, the inverse of `sigma`; clamped to the schedule."""
        if sigma <= float(self.sigmas[0]):
            return 0.0
        if sigma >= float(self.sigmas[-1]):
            return float(self.count - 1)
        log = math.log(sigma)
        high = int(torch.searchsorted(self._logs, log))
        below, above = float(self._logs[high - 1]), float(self._logs[high])
        return high - 1 + (log - below) / (above - below)

    def level(self, t: float) -> Level:
        """The place of a timestep."""
        return Level(float(t), self.sigma(t))

    def at(self, sigma: float) -> Level:
        """The place of a sigma; 0 is the clean end."""
        return CLEAN if sigma == 0 else Level(self.t(sigma), float(sigma))

    def signal(self, sigma: float) -> float:
        """Share of the picture in what the network is given at a sigma: 1 / sqrt(1 + sigma^2)."""
        return 1 / math.sqrt(1 + sigma * sigma)

    def network_input(self, x: Tensor, sigma: float) -> Tensor:
        """x = x0 + sigma n as the network takes it, with a variance of 1."""
        return x * self.signal(sigma)

    def noised(self, x0: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """A picture's latent with noise, where img2img starts."""
        return x0 + sigma * noise

    def start(self, noise: Tensor, sigma: float, unit: bool = True) -> Tensor:
        """Where text-to-image starts: of variance 1 for the network if `unit`, else sigma times the noise.

        Models whose first timestep is not the last of the schedule need `unit`: at t = 399 the other
        gives the network 0.758 of the variance it was trained with.
        """
        return noise * (math.sqrt(1 + sigma * sigma) if unit else sigma)


class FlowSchedule:
    """A rectified flow: z = (1 - s) x0 + s n at t = 1000 s. Its x is z itself."""

    count = TIMESTEPS
    ends_in_noise = True

    def sigma(self, t: float) -> float:
        """The share of noise."""
        return min(max(t / TIMESTEPS, 0.0), 1.0)

    def t(self, sigma: float) -> float:
        """The inverse of `sigma`."""
        return min(max(sigma, 0.0), 1.0) * TIMESTEPS

    def level(self, t: float) -> Level:
        """The place of a timestep."""
        return Level(float(t), self.sigma(t))

    def at(self, sigma: float) -> Level:
        """The place of a share of noise."""
        return Level(self.t(sigma), float(sigma))

    def signal(self, sigma: float) -> float:
        """Share of the picture in the latent."""
        return 1 - sigma

    def network_input(self, x: Tensor, sigma: float) -> Tensor:
        """The latent as it is."""
        return x

    def noised(self, x0: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """A picture's latent with noise, where img2img starts."""
        return (1 - sigma) * x0 + sigma * noise

    def start(self, noise: Tensor, sigma: float, unit: bool = True) -> Tensor:
        """The noise itself: a flow starts where there is nothing else."""
        return noise


Schedule = NoiseSchedule | FlowSchedule


def scaled_linear(start: float = 0.00085, end: float = 0.012, steps: int = TIMESTEPS) -> NoiseSchedule:
    """The schedule of Stable Diffusion 1, 2 and XL: betas linear in their square root."""
    return from_betas(torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2)


def linear(start: float = 1e-4, end: float = 0.02, steps: int = TIMESTEPS) -> NoiseSchedule:
    """Betas linear in themselves, as PixArt's."""
    return from_betas(torch.linspace(start, end, steps, dtype=torch.float64))


def from_betas(betas: Tensor) -> NoiseSchedule:
    """The schedule of betas (T,)."""
    return NoiseSchedule(torch.cumprod(1 - betas.to(torch.float64), 0))
