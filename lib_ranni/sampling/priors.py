"""The latent prior: few-step models start from noise around the mean picture instead of around zero.

At the last timestep of Stable Diffusion 0.5 % of the signal is left. Trained there on real pictures and
started from pure noise, a one-step model gets brightness and color wrong; YOSO (Luo et al. 2024) replaces
the start

    z = sqrt(a) (mu + s e') + sqrt(1 - a) e,    e, e' ~ N(0, 1),

with mu = E[x0] and s = std(x0). In k-diffusion's coordinates that is (mu + s e') + sigma e, and since the
sum of two Gaussians is one,

    x = mu + sqrt(sigma^2 + s^2) n

for the seed's own noise n: no further random numbers, so a picture stays the same in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.schedules import Schedule

FEW = 256
"""Statistics of fewer latents than this follow single pictures."""


class Prior(Struct, frozen=True, eq=False):
    """Mean and standard deviation of finished latents, as the denoiser knows them (scaled).

    Both are (C,), or (C, h, w) where places differ; `std` is taken around `mean`. `count` latents were
    seen, 0 for published figures, and `source` says where they come from.
    """

    mean: Tensor
    std: Tensor
    count: int = 0
    source: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.mean.shape != self.std.shape or self.mean.ndim not in (1, 3):
            raise InputError("a latent prior has a mean and a deviation, both by channel or both (C, h, w)")
        if not bool(
            torch.isfinite(self.mean).all() and torch.isfinite(self.std).all() and (self.std >= 0).all()
        ):
            raise InputError(
                "a latent prior has finite means, and deviations of at least 0; estimate it again"
            )

    def start(
        self, noise: Tensor, sigma: float, schedule: Schedule, unit: bool = True, weight: float = 1.0
    ) -> Tensor:
        """Where text-to-image starts, from N(0, 1) noise (B, C, h, w), at a sigma.

        `weight` 0 is the start without a prior, of variance 1 for the network if `unit`; in between, mean
        and variance go from one to the other. Noise alone starts a flow; there the prior does nothing.
        """
        plain = schedule.start(noise, sigma, unit)
        if weight == 0 or schedule.signal(sigma) == 0:
            return plain
        size = (noise.shape[-2], noise.shape[-1])
        mean, std = (_spread(value, size).to(noise.device) for value in (self.mean, self.std))
        variance = weight * std**2 + (1 - weight) * (1.0 if unit else 0.0)
        return weight * mean + (sigma * sigma + variance).sqrt() * noise.float()

    def scaled(self, factor: float) -> Prior:
        """The prior of latents multiplied by a factor."""
        return msgspec.structs.replace(self, mean=self.mean * factor, std=self.std * abs(factor))


def _spread(value: Tensor, size: tuple[int, int]) -> Tensor:
    """(C,) as (C, 1, 1); (C, h, w) resized to another size."""
    value = value.float()
    if value.ndim == 1:
        return value[:, None, None]
    if value.shape[-2:] == size:
        return value
    return F.interpolate(value[None], size, mode="bilinear", align_corners=False)[0]


def vp_start(prior: Prior, own: Tensor, noise: Tensor, alpha: float) -> Tensor:
    """YOSO's formula as it is written, z = sqrt(a) (mu + s e') + sqrt(1 - a) e, with both e' and e."""
    size = (noise.shape[-2], noise.shape[-1])
    mean, std = _spread(prior.mean, size), _spread(prior.std, size)
    return math.sqrt(alpha) * (mean + std * own) + math.sqrt(1 - alpha) * noise


class Statistics:
    """Mean and deviation of latents that are shown one batch after another, in float64 (Welford).

    With a `grid` (h, w) places are kept apart, on latents brought to that size by averaging.
    """

    def __init__(self, grid: tuple[int, int] | None = None) -> None:
        self._grid = grid
        self._count, self._images = 0, 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    @property
    def count(self) -> int:
        """Latents seen."""
        return self._images

    def add(self, latents: Tensor) -> None:
        """Take note of scaled latents (B, C, h, w)."""
        if latents.ndim != 4 or not bool(torch.isfinite(latents).all()):
            raise InputError("statistics are taken of finite latents (B, C, h, w)")
        values = latents.detach().to("cpu", torch.float64)
        if self._grid is None:
            rows = values.transpose(0, 1).flatten(1).transpose(0, 1)
        else:
            rows = F.adaptive_avg_pool2d(values, self._grid)
        if self._mean is not None and rows.shape[1:] != self._mean.shape:
            raise InputError(
                f"latents of {len(self._mean)} and of {rows.shape[1]} channels do not go together"
            )
        self._images += len(latents)
        self._merge(len(rows), rows.mean(0), (rows - rows.mean(0)).square().sum(0))

    def _merge(self, count: int, mean: Tensor, squares: Tensor) -> None:
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total = self._count + count
        shift = mean - self._mean
        self._squares = self._squares + squares + shift.square() * (self._count * count / total)
        self._mean = self._mean + shift * (count / total)
        self._count = total

    def prior(self, source: str = "", name: str = "") -> Prior:
        """The prior of what was shown. One latent's mean is that picture itself, so two are the least."""
        if self._images < 2 or self._mean is None or self._squares is None:
            raise InputError(
                f"a latent prior of {self._images} picture(s) would draw them again; "
                f"give at least 2, better {FEW} or more"
            )
        std = (self._squares / self._count).sqrt()
        return Prior(self._mean.float(), std.float(), self._images, source, name)


def _published(mean: Sequence[float], std: Sequence[float], factor: float, name: str, source: str) -> Prior:
    return Prior(torch.tensor(mean), torch.tensor(std), 0, source, name).scaled(factor)


def default_prior(family: str) -> Prior:
    """Published statistics of a family's autoencoder. Raises `InputError` for families without."""
    if family in ("sd1", "sd2"):
        mean, std = (5.81, 3.25, 0.12, -2.15), (4.17, 4.62, 3.71, 3.28)
        return _published(mean, std, 0.18215, "Stable Diffusion 1", "Karras et al. 2024 (EDM2), ImageNet")
    if family == "sdxl":
        mean, std = (-1.6574, 1.886, -1.383, 2.5155), (8.4927, 5.9022, 6.5498, 5.2299)
        return _published(mean, std, 0.13025, "Stable Diffusion XL", "Playground v2.5's latent statistics")
    raise InputError(f"there is no default prior for {family!r}; estimate one from pictures")
