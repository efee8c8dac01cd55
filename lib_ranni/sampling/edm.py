"""EDM preconditioning (Karras et al. 2022), as Playground v2.5 and EDM-trained XL models need it.

    D(x, s) = c_skip x + c_out F(c_in x, c_noise)

with c_skip = d^2 / (s^2 + d^2), c_out = s d / sqrt(s^2 + d^2), c_in = 1 / sqrt(s^2 + d^2) and
c_noise = ln(s) / 4, which is what the network takes for its timestep. d is 0.5. Latents are scaled by
channel instead of by one factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lib_ranni.sampling.schedules import CLEAN, Level

DATA = 0.5
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0

LATENT_MEAN = (-1.6574, 1.886, -1.383, 2.5155)
LATENT_STD = (8.4927, 5.9022, 6.5498, 5.2299)
"""Playground v2.5's, of the XL autoencoder's raw latents; its file holds them as `edm_mean` and `edm_std`."""

MARKS = ("edm_mean", "edm_std")


class Scalings(NamedTuple):
    """The four numbers of one noise level."""

    skip: float
    out: float
    input: float
    noise: float


def scalings(sigma: float, *, v_prediction: bool = False) -> Scalings:
    """Preconditioning at a sigma above 0; v-prediction turns the sign of c_out around (CosXL)."""
    root = math.sqrt(sigma * sigma + DATA * DATA)
    out = sigma * DATA / root
    return Scalings(DATA * DATA / root**2, -out if v_prediction else out, 1 / root, 0.25 * math.log(sigma))


def denoised(x: Tensor, output: Tensor, sigma: float, *, v_prediction: bool = False) -> Tensor:
    """x0 from the network's answer to c_in x, float32."""
    numbers = scalings(sigma, v_prediction=v_prediction)
    return x.float() * numbers.skip + output.float() * numbers.out


def karras_levels(steps: int, low: float = SIGMA_MIN, high: float = SIGMA_MAX) -> tuple[Level, ...]:
    """`steps` levels of Karras' schedule and the clean end; t is c_noise."""
    first, last = high ** (1 / RHO), low ** (1 / RHO)
    shares = [n / (steps - 1) for n in range(steps)] if steps > 1 else [0.0]
    sigmas = [(first + share * (last - first)) ** RHO for share in shares]
    return (*(Level(0.25 * math.log(sigma), sigma) for sigma in sigmas), CLEAN)


def start(noise: Tensor, sigma: float = SIGMA_MAX) -> Tensor:
    """Where text-to-image starts: noise of standard deviation sqrt(sigma^2 + 1), as the pipeline has it."""
    return noise * math.sqrt(sigma * sigma + 1)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device).view(-1, 1, 1)


def to_model(
    latents: Tensor, mean: Sequence[float] = LATENT_MEAN, std: Sequence[float] = LATENT_STD
) -> Tensor:
    """The autoencoder's raw latents (B, 4, h, w) as the denoiser knows them: (latents - mean) d / std."""
    return (latents.float() - _column(mean, latents)) * DATA / _column(std, latents)


def from_model(
    latents: Tensor, mean: Sequence[float] = LATENT_MEAN, std: Sequence[float] = LATENT_STD
) -> Tensor:
    """The inverse of `to_model`, for the decoder."""
    return latents.float() * _column(std, latents) / DATA + _column(mean, latents)


def is_edm(names: Iterable[str]) -> bool:
    """Whether the tensor names of a checkpoint are an EDM model's."""
    return set(MARKS) <= set(names)
