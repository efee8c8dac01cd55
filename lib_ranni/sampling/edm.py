"""EDM preconditioning (Karras et al. 2022), as Playground v2.5, CosXL and EDM-trained XL models need it.

    D(x, s) = c_skip x + c_out F(c_in x, c_noise)

with c_skip = d^2 / (s^2 + d^2), c_out = s d / sqrt(s^2 + d^2), c_in = 1 / sqrt(s^2 + d^2) and
c_noise = ln(s) / 4, which is what the network takes for its timestep. d is 0.5 for Playground v2.5, whose
latents are scaled by channel instead of by one factor. CosXL predicts v, which turns the sign of c_out, with
a d of 1 and the ordinary latents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.sampling.schedules import CLEAN, Level

DATA = 0.5
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0

LATENT_MEAN = (-1.6574, 1.886, -1.383, 2.5155)
LATENT_STD = (8.4927, 5.9022, 6.5498, 5.2299)
"""Playground v2.5's, of the XL autoencoder's raw latents; its file holds them as `edm_mean` and `edm_std`."""

MARKS = ("edm_mean", "edm_std")
V_MARK = "edm_vpred.sigma_max"
V_LOW = "edm_vpred.sigma_min"


class Scalings(NamedTuple):
    """The four numbers of one noise level."""

    skip: float
    out: float
    input: float
    noise: float


def scalings(sigma: float, *, v_prediction: bool = False, data: float = DATA) -> Scalings:
    """Preconditioning at a sigma above 0; v-prediction turns the sign of c_out around (CosXL)."""
    root = math.sqrt(sigma * sigma + data * data)
    out = sigma * data / root
    return Scalings(data * data / root**2, -out if v_prediction else out, 1 / root, 0.25 * math.log(sigma))


def denoised(
    x: Tensor, output: Tensor, sigma: float, *, v_prediction: bool = False, data: float = DATA
) -> Tensor:
    """x0 from the network's answer to c_in x, float32."""
    numbers = scalings(sigma, v_prediction=v_prediction, data=data)
    return x.float() * numbers.skip + output.float() * numbers.out


def _shares(steps: int) -> list[float]:
    return [n / (steps - 1) for n in range(steps)] if steps > 1 else [0.0]


def _levels(sigmas: Iterable[float]) -> tuple[Level, ...]:
    return (*(Level(0.25 * math.log(sigma), sigma) for sigma in sigmas), CLEAN)


def karras_levels(steps: int, low: float = SIGMA_MIN, high: float = SIGMA_MAX) -> tuple[Level, ...]:
    """`steps` levels of Karras' schedule and the clean end; t is c_noise."""
    first, last = high ** (1 / RHO), low ** (1 / RHO)
    return _levels((first + share * (last - first)) ** RHO for share in _shares(steps))


def exponential_levels(steps: int, low: float, high: float) -> tuple[Level, ...]:
    """`steps` levels evenly apart in their logarithm and the clean end; t is c_noise."""
    return _levels(high * (low / high) ** share for share in _shares(steps))


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


class Edm(Struct, frozen=True):
    """How one EDM model was trained: d, the range of sigma, what it predicts, and its latents' statistics.

    Without `mean` and `std` its latents are the family's ordinary ones.
    """

    data: float = DATA
    low: float = SIGMA_MIN
    high: float = SIGMA_MAX
    v_prediction: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def scalings(self, sigma: float) -> Scalings:
        """Preconditioning at a sigma above 0."""
        return scalings(sigma, v_prediction=self.v_prediction, data=self.data)

    def levels(self, steps: int) -> tuple[Level, ...]:
        """The schedule it is sampled with: Karras', or CosXL's exponential one."""
        make = exponential_levels if self.v_prediction else karras_levels
        return make(steps, self.low, self.high)

    def to_model(self, latents: Tensor, scale: float) -> Tensor:
        """Raw latents of the autoencoder as the denoiser knows them; `scale` is the ordinary factor."""
        return to_model(latents, self.mean, self.std) if self.mean else latents * scale

    def from_model(self, latents: Tensor, scale: float) -> Tensor:
        """The inverse of `to_model`."""
        return from_model(latents, self.mean, self.std) if self.mean else latents / scale


def is_edm(names: Iterable[str]) -> bool:
    """Whether the tensor names of a checkpoint are an EDM model's."""
    found = set(names)
    return set(MARKS) <= found or V_MARK in found


def read_edm(path: Path) -> Edm | None:
    """What a `.safetensors` checkpoint says of its EDM training; None for every other file.

    Only the header and some numbers are read. Raises `ModelError` for a damaged file, and for numbers that
    cannot be a model's.
    """
    if path.suffix != ".safetensors":
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            names = set(file.keys())
            wanted = names & {*MARKS, V_MARK, V_LOW} if is_edm(names) else set()
            if any(math.prod(file.get_slice(name).get_shape()) > 16 for name in wanted):
                raise ModelError(f"{path}: its EDM numbers are not one for each channel; download it again")
            told = {name: file.get_tensor(name).double().reshape(-1).tolist() for name in wanted}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole .safetensors file ({error}); download it again") from error
    if not told:
        return None
    return _checked(path, _edm(told))


def _edm(told: dict[str, list[float]]) -> Edm:
    if set(MARKS) <= told.keys():
        mean, std = (tuple(told[name]) for name in MARKS)
        return Edm(mean=mean, std=std)
    high, low = told[V_MARK], told.get(V_LOW, [SIGMA_MIN])
    return Edm(1.0, low[0] if len(low) == 1 else 0.0, high[0] if len(high) == 1 else 0.0, v_prediction=True)


def _checked(path: Path, edm: Edm) -> Edm:
    """The same, if a model can have been trained like that. Raises `ModelError`."""
    numbers = (edm.low, edm.high, *edm.mean, *edm.std)
    in_range = all(math.isfinite(number) for number in numbers) and 0 < edm.low < edm.high <= 1e4
    channels = {len(edm.mean), len(edm.std)}
    wanted = 0 if edm.v_prediction else 4
    if in_range and channels == {wanted} and min(edm.std, default=1.0) > 0:
        return edm
    marks = V_MARK if edm.v_prediction else " and ".join(MARKS)
    raise ModelError(
        f"{path}: {marks} cannot be an EDM model's: it needs 4 finite means, 4 deviations above 0, "
        "and sigmas above 0; download it again"
    )
