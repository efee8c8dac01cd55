"""From what a network answers to the picture it means, x0, so that every rule serves every kind of network.

With x = x0 + sigma n and z = x / sqrt(1 + sigma^2):

    epsilon   x0 = x - sigma F
    v         x0 = (x / sqrt(1 + sigma^2) - sigma F) / sqrt(1 + sigma^2)
    sample    x0 = F
    flow      x0 = x + sigma F, F = x0 - n and x = (1 - sigma) x0 + sigma n
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from lib_ranni.sampling.schedules import Level

Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]

SIGMA_DATA = 0.5
TIMESTEP_SCALING = 10.0


def denoised(x: Tensor, output: Tensor, at: Level, kind: Prediction) -> Tensor:
    """x0 (B, C, h, w), float32, from the network's answer to x at a level.

    In float32 whatever the network computes in: at t = 999 an epsilon's rounding is amplified 14.6 times.
    """
    x, output, sigma = x.float(), output.float(), at.sigma
    if kind == "epsilon":
        return x - sigma * output
    if kind == "v_prediction":
        signal = 1 / math.sqrt(1 + sigma * sigma)
        return x * signal**2 - output * (sigma * signal)
    if kind == "flow":
        return x + sigma * output
    return output


def boundary(t: float) -> tuple[float, float]:
    """c_skip and c_out of a consistency model at a timestep (Luo et al. 2023, Latent Consistency Models)."""
    scaled = t * TIMESTEP_SCALING
    square = scaled * scaled + SIGMA_DATA * SIGMA_DATA
    return SIGMA_DATA * SIGMA_DATA / square, scaled / math.sqrt(square)


def consistent(x0: Tensor, x: Tensor, at: Level) -> Tensor:
    """A consistency model's answer: c_out x0 + c_skip z. At t = 0 it is z, from 19 on x0 to 1e-4."""
    skip, out = boundary(at.t)
    kept = skip / math.sqrt(1 + at.sigma * at.sigma)
    return x0.float() * out + x.float() * kept
