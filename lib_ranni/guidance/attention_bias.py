"""Words of the base prompt, heard more inside the box of what they name and less outside it.

eDiff-I's "paint with words" (Balaji et al. 2022, section 4.3) adds to the scores of a cross-attention

    softmax(S + w log(1 + sigma) max(S) A) V,    S = scale * Q K^T,

where A is 1 for a word's column in the cells that were painted with it. Here the cells are those of an
element's box, and A = 2 c - 1 for a cell that the box covers to the share c: 1 inside, -1 outside, 0 for
columns that name nothing. It wanes as sigma does, by itself. The maximum is taken over each row and head, so
that a picture is the same in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lib_ranni.guidance.attention import Keys
from lib_ranni.guidance.texts import Grid, PanelTexts, Text
from lib_ranni.guidance.weights import region_coverage

Named = tuple[frozenset[int], ...]
"""For each element of a picture the columns of the base's text that name it."""


@dataclass(frozen=True, eq=False)
class AttentionBias:
    """How strongly words are bound, the paper's w, 0..1; `sigma` gives the noise level of a timestep."""

    strength: float
    sigma: Callable[[float], float]

    def push(self, timestep: float) -> float:
        """What the highest score is multiplied by: w log(1 + sigma)."""
        return self.strength * math.log1p(self.sigma(timestep))


class Leaning(NamedTuple):
    """The base's text under the bias: its share (N, 1) of each cell, and A (N, L) over its columns."""

    text: Text
    share: Tensor
    columns: Tensor


def leaning_columns(
    panel: PanelTexts, active: Sequence[int], named: Named, grid: Grid, latent: Grid
) -> Tensor:
    """A: (cells, L) float32 in -1..1. A column that names several elements is inside where any of them is."""
    covered: dict[int, Tensor] = {}
    for index in active:
        if not named[index]:
            continue
        own = torch.from_numpy(region_coverage(panel.elements[index], grid, latent, 0.0)).float().flatten()
        for column in named[index]:
            covered[column] = torch.maximum(covered[column], own) if column in covered else own
    length = len(panel.base.context)
    out = torch.zeros(grid[0] * grid[1], length)
    for column, cells in covered.items():
        if column < length:
            out[:, column] = 2 * cells - 1
    return out


def biased_attention(
    query: Tensor, keys: Keys, heads: int, columns: Tensor, push: float, scale: float | None = None
) -> Tensor:
    """(B, N, C) queries against keys (1 or B, L, C) under A (N, L), to (B, N, C)."""
    batch, count, channels = query.shape

    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).expand(batch, -1, -1, -1).transpose(1, 2)

    width = channels // heads
    # Scores of Stable Diffusion 2 leave the range of half precision.
    with torch.autocast(query.device.type, enabled=False):
        own = split(query).float() * (width**-0.5 if scale is None else scale)
        scores = own @ split(keys.key).float().transpose(2, 3)
        most = scores.amax((2, 3), keepdim=True).clamp(min=0)
        mixed = (scores + push * most * columns.float()).softmax(-1) @ split(keys.value).float()
    return mixed.transpose(1, 2).reshape(batch, count, channels).to(query.dtype)
