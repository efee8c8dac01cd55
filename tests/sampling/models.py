"""A small model to sample with, the same for our rules and for diffusers' schedulers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lib_ranni.sampling.noise import seeded
from lib_ranni.sampling.predictions import Prediction
from lib_ranni.sampling.schedules import NoiseSchedule, scaled_linear

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SHAPE = (2, 4, 8, 8)
SEEDS = (3, 4)

SD: NoiseSchedule = scaled_linear()


class Network:
    """Random convolutions that see a picture in z = sqrt(a) x0 + sqrt(1 - a) n and answer in their kind."""

    def __init__(self, kind: Prediction = "epsilon", seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._first = torch.randn(8, 4, 3, 3, generator=generator) * 0.2
        self._second = torch.randn(4, 8, 3, 3, generator=generator) * 0.2
        self._kind = kind
        self.asked: list[float] = []

    def __call__(self, z: Tensor, t: float) -> Tensor:
        self.asked.append(float(t))
        hidden = torch.nn.functional.conv2d(z.float(), self._first, padding=1) + float(t) / 1000
        x0 = torch.nn.functional.conv2d(torch.tanh(hidden), self._second, padding=1)
        a = float(SD.alphas[int(t)])
        noise = (z - math.sqrt(a) * x0) / math.sqrt(1 - a)
        if self._kind == "sample":
            return x0
        return noise if self._kind == "epsilon" else math.sqrt(a) * noise - math.sqrt(1 - a) * x0


def random(seed: int = 7, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generators() -> list[torch.Generator]:
    return seeded(SEEDS)


def largest(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())
