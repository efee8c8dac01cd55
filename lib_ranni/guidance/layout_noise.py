"""Panel control without weights: initial noise that leans towards the colors of the panel's boxes.

A sampler that starts at a noise level sigma expects x = x0 + sigma n. Text-to-image starts from noise alone.
But at the first timestep of Stable Diffusion a = 1 / (1 + sigma^2) = 0.5 % of the variance is picture, and
in low frequencies, where noise averages out, that is enough to say what is where. A panel with colors knows
that part. Draw its boxes flat in their colors, let z_e be the mean latent inside box e by the checkpoint's
own autoencoder, and w_e a window: 1 in the middle of the visible box, falling to 0 at its edge. Then

    k = strength * sum over e of w_e z_e

is the known part of x0: low frequencies only, nothing outside the boxes. A host multiplies its noise by a
scale c to get x. With c = sigma there is no picture in x at all; with c = sqrt(1 + sigma^2) noise stands
in for it too, for latents have a variance of 1. What is known comes out of that variance, v0 = c^2 - sigma^2:

    x = k + sqrt(sigma^2 + v) n,    v = max(0, v0 - k^2)        E x^2 = c^2 where k^2 <= v0

or, in the units of a variance-preserving sampler, z = x / sqrt(1 + sigma^2),

    z = sqrt(a) k + sqrt(1 - a + a v) n.

Where k = 0 this is x = c n: outside the boxes the noise is what it was, bit for bit. No random numbers are
drawn, so seeds and batches mean what they meant. Where a = 0, a schedule that ends in pure noise, nothing of
a picture may be in the start, and there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.panel_canvas import element_mask, palette
from lib_ranni.guidance.texts import Grid
from lib_ranni.guidance.weights import region_coverage
from lib_ranni.panel.types import Element

MOST_STRENGTH = 10.0

_CELL_PX = 8
_LONGEST = 64
"""Cells along the longer side of what is drawn and encoded: low frequencies need no more."""

_TAPER = 0.5
"""Width of a window's slope, half of it inside the box, in units of the box' shorter side."""

_FAINT = 1e-3
"""The deviation of the picture in a start, 0.068 for Stable Diffusion, below which it is pure noise."""

Encode = Callable[[Tensor], Tensor]
"""Pictures (1, 3, H, W) in -1..1 to latents (1, C, H / 8, W / 8) as the denoiser knows them (scaled)."""


def flat_drawing(elements: Sequence[Element], size: Grid) -> Tensor:
    """(3, H, W) in -1..1: the elements' shapes in the mean of their colors, back to front, on middle gray."""
    drawing = torch.zeros(3, *size)
    for element in elements:
        colors = palette(element)
        if colors is not None:
            drawing[:, element_mask(element, size) > 0] = colors.mean(0)[:, None]
    return drawing


def windows(elements: Sequence[Element], grid: Grid) -> Tensor:
    """(elements, h, w) in 0..1: where each element's color is known.

    That is inside the visible part of an element with colors, falling to 0 at its edge but not at the
    canvas', and of an element of weight below 1 only so much. What is in front hides what is behind.
    """
    found = torch.zeros(len(elements), *grid)
    for n, element in enumerate(elements):
        inside = torch.from_numpy(region_coverage(element, grid, grid, 0.0)).float()
        found[:n] *= 1 - inside * min(1.0, element.weight)
        if element.colors:
            box = element.box
            side = min(box.width * grid[1], box.height * grid[0]) / min(grid)
            soft = torch.from_numpy(region_coverage(element, grid, grid, _TAPER * side)).float()
            found[n] = (2 * soft - 1).clamp(min=0) * (inside > 0) * min(1.0, element.weight)
    return found


def known_part(elements: Sequence[Element], encode: Encode, grid: Grid) -> Tensor | None:
    """k at strength 1 for a latent of `grid` (h, w): (C, h, w) float32 on the CPU; None if nothing is known.

    `elements` run from back to front; those that do not act from the first step on are left out.
    """
    elements = [element for element in elements if element.start <= 0 and element.weight > 0]
    shares = windows(elements, grid)
    if not bool(shares.any()):
        return None
    shrink = max(1.0, max(grid) / _LONGEST)
    small: Grid = (max(1, round(grid[0] / shrink)), max(1, round(grid[1] / shrink)))
    drawing = flat_drawing(elements, (small[0] * _CELL_PX, small[1] * _CELL_PX))
    latent = encode(drawing[None])[0].float().cpu()
    if list(latent.shape[-2:]) != list(small) or not bool(torch.isfinite(latent).all()):
        raise GuidanceError(
            "the autoencoder gives no latents of 8 by 8 pixels for a flat drawing; switch layout noise off, "
            "or run the autoencoder in full precision"
        )
    weights = windows(elements, small)
    mass = weights.sum((1, 2)).clamp(min=1e-6)[:, None]
    means = torch.einsum("ehw,chw->ec", weights, latent) / mass
    return torch.einsum("ehw,ec->chw", shares, means)


def leaning(
    noise: Tensor, known: Sequence[Tensor | None], strength: float, start: tuple[float, float]
) -> Tensor:
    """What to use instead of N(0, 1) noise (pictures, C, h, w), so that c times it is x at the known parts.

    `known` holds one k at strength 1 for all pictures or one for each; `start` is (sigma, c). Raises
    `GuidanceError` where nothing is known at all, and for a start that is pure noise.
    """
    sigma, scale = start
    if scale <= 0 or 1 / scale < _FAINT:
        raise GuidanceError(
            "this schedule ends in pure noise (zero terminal SNR), which has no room for it; set it to 0"
        )
    if all(part is None for part in known):
        raise GuidanceError(
            "no element that is there from the first step on has colors; give it some, or set it to 0"
        )
    parts = [known[n % len(known)] for n in range(len(noise))]
    made = [
        own if part is None else _leaning(own, strength * part.to(noise.device), sigma, scale)
        for own, part in zip(noise, parts, strict=True)
    ]
    return torch.stack(made)


def _leaning(noise: Tensor, known: Tensor, sigma: float, scale: float) -> Tensor:
    spare = max(0.0, scale * scale - sigma * sigma)
    rest = (spare - known.square()).clamp(min=0)
    made = (known + (sigma * sigma + rest).sqrt() * noise.float()) / scale
    return torch.where(known == 0, noise, made.to(noise.dtype))
