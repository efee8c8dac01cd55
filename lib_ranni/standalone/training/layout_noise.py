"""Noise that says where things are: what one step can read a layout from.

Regression from noise to pictures gives the mean of all pictures that fit, unless the noise decides among
them. So in training a few components of the noise are set to what they stand for in the picture beside
it; each is N(0, 1) over the pictures of a caption, as it is in the noise of a new seed. This is a coupling
of noise and data (Pooladian et al. 2023 and Tong et al. 2024 find theirs by optimal transport within a
batch) that is given by hand, since the pictures are drawn by a procedure.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from lib_ranni.evaluation.scenes import BACKGROUNDS

_NORMAL = NormalDist()
_OUTERMOST = 1e-6


class Reading(NamedTuple):
    """What noise says, all in 0..1: which background, where in its room a layout is, how much of it it fills.

    The means of the four channels say it: no network needs to know where it is on the canvas to find them.
    """

    x: float
    y: float
    size: float
    ground: float

    def background(self, forbidden: Collection[str]) -> str:
        """The background that the noise calls for, among those that are not forbidden."""
        permitted = [name for name in BACKGROUNDS if name not in forbidden]
        return permitted[min(int(self.ground * len(permitted)), len(permitted) - 1)]

    def calling_for(self, background: str, forbidden: Collection[str]) -> Reading:
        """The same noise, but calling for this background."""
        permitted = [name for name in BACKGROUNDS if name not in forbidden]
        within = self.ground * len(permitted) % 1
        return self._replace(ground=(permitted.index(background) + within) / len(permitted))


def random_reading(rng: Random) -> Reading:
    """What the noise of a new seed says."""
    return Reading(rng.random(), rng.random(), rng.random(), rng.random())


def saying(noise: Tensor, readings: list[Reading]) -> Tensor:
    """Noise (B, 4, h, w) changed so that each row says its reading and is as likely as before."""
    shares = [[min(1 - _OUTERMOST, max(_OUTERMOST, share)) for share in reading] for reading in readings]
    wanted = torch.tensor([[_NORMAL.inv_cdf(share) for share in row] for row in shares]).to(noise)
    cells = noise.shape[-2] * noise.shape[-1]
    return noise + (wanted / cells**0.5 - noise.mean((2, 3)))[:, :, None, None]


def said(noise: Tensor) -> list[Reading]:
    """What noise (B, 4, h, w) says."""
    cells = noise.shape[-2] * noise.shape[-1]
    means = (noise.mean((2, 3)) * cells**0.5).tolist()
    return [Reading(*(_NORMAL.cdf(mean) for mean in row)) for row in means]
