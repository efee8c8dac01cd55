"""Where each region acts: maps over a grid that, with the base, sum to 1 in every cell.

For a region r let c_r(cell) be the share of the cell that its box or mask covers, after feathering and
after what stands in front of it has covered it, and w_r = weight_r * c_r. With S = sum of w_r over all
regions and b_r the base ratio of r,

    W_r    = min(1, S) * (w_r / S) * (1 - b_r)
    W_base = 1 - sum of W_r

so the base has everything where no region is, `base_ratio` where regions are, and a half-covered cell
is half the base's. (RPG's complementary regional diffusion is the case of hard, disjoint boxes.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from msgspec import Struct

from lib_ranni.panel.types import Box, Element, Mask

Overlap = Literal["front", "blend"]


class Mixing(Struct, frozen=True):
    """How regions and base share a cell.

    `base_ratio` is the base's share under regions, 0..1. `feather` is the width of a region's soft edge,
    in units of the canvas' shorter side. Where elements overlap, `front` lets the later one cover the
    earlier, `blend` lets them share by weight.
    """

    base_ratio: float = 0.2
    feather: float = 0.0
    overlap: Overlap = "front"


def cell_edges(cells: int, latent: int) -> np.ndarray:
    """Edges of a layer's cells along one axis, in 0..1, (cells + 1,).

    A UNet halves its grid with ceil; so the last cell of a level may be narrower than the others.
    """
    stride = 1
    while -(-latent // stride) > cells:
        stride *= 2
    if -(-latent // stride) != cells:
        return np.linspace(0.0, 1.0, cells + 1)
    return np.minimum(np.arange(cells + 1) * stride, latent) / latent


def _ramp_integral(u: np.ndarray, feather: float) -> np.ndarray:
    """Integral from -inf to u of a step at 0 that is smeared over `feather`."""
    if feather <= 0:
        return np.maximum(u, 0.0)
    inside = np.clip(u + feather / 2, 0.0, feather)
    return inside**2 / (2 * feather) + np.maximum(u - feather / 2, 0.0)


def axis_coverage(low: float, high: float, edges: np.ndarray, feather: float) -> np.ndarray:
    """Share of each cell covered by [low, high] with soft ends, (cells,).

    Ends on the canvas' border stay hard. An interval thinner than a cell keeps the cell of its middle.
    """
    middle = (low + high) / 2
    low = low if low > 1e-6 else -10.0
    high = high if high < 1 - 1e-6 else 11.0
    integral = _ramp_integral(edges - low, feather) - _ramp_integral(edges - high, feather)
    coverage = np.clip(np.diff(integral) / np.diff(edges), 0.0, 1.0)
    coverage[coverage < 1e-6] = 0.0
    if coverage.max() < 0.5:
        coverage[min(len(coverage) - 1, int(np.searchsorted(edges, middle, side="right")) - 1)] = 1.0
    return coverage


def box_coverage(box: Box, rows: np.ndarray, columns: np.ndarray, feather: tuple[float, float]) -> np.ndarray:
    """Share of each cell covered by a box; `rows`, `columns` are cell edges, `feather` is (x, y)."""
    across = axis_coverage(box.x0, box.x1, columns, feather[0])
    down = axis_coverage(box.y0, box.y1, rows, feather[1])
    return np.outer(down, across)


def _resampling(edges: np.ndarray, pixels: int, feather: float) -> np.ndarray:
    """(cells, pixels): row k averages a line of pixels over cell k, smeared over `feather`."""
    cells = len(edges) - 1
    matrix = np.empty((cells, pixels))
    borders = np.linspace(0.0, 1.0, pixels + 1)
    for p in range(pixels):
        low = borders[p] if p else -10.0
        high = borders[p + 1] if p + 1 < pixels else 11.0
        integral = _ramp_integral(edges - low, feather) - _ramp_integral(edges - high, feather)
        matrix[:, p] = np.diff(integral) / np.diff(edges)
    return matrix


def mask_coverage(
    mask: Mask, rows: np.ndarray, columns: np.ndarray, feather: tuple[float, float]
) -> np.ndarray:
    """Share of each cell covered by a mask; a mask thinner than every cell keeps its densest one."""
    values = np.repeat(np.arange(len(mask.runs)) % 2, mask.runs).reshape(mask.height, mask.width)
    down = _resampling(rows, mask.height, feather[1])
    across = _resampling(columns, mask.width, feather[0])
    coverage = np.clip(down @ values @ across.T, 0.0, 1.0)
    coverage[coverage < 1e-6] = 0.0
    if coverage.max() < 0.5:
        coverage[np.unravel_index(coverage.argmax(), coverage.shape)] = 1.0
    return coverage


def region_coverage(
    element: Element, grid: tuple[int, int], latent: tuple[int, int], feather: float
) -> np.ndarray:
    """Share of each cell of `grid` (h, w) that an element covers, (h, w) in 0..1."""
    rows, columns = cell_edges(grid[0], latent[0]), cell_edges(grid[1], latent[1])
    shorter = min(latent)
    soft = (feather * shorter / latent[1], feather * shorter / latent[0])
    if element.mask is not None:
        return mask_coverage(element.mask, rows, columns, soft)
    return box_coverage(element.box, rows, columns, soft)


def weight_maps(
    elements: Sequence[Element], mixing: Mixing, grid: tuple[int, int], latent: tuple[int, int]
) -> torch.Tensor:
    """(1 + len(elements), h, w) float32: the base's map, then each element's; they sum to 1 everywhere.

    `elements` run from back to front; `grid` is (h, w) of the layer, `latent` that of the latent.
    """
    h, w = grid
    coverage = np.zeros((len(elements), h, w))
    shade = np.ones((h, w))
    for index in reversed(range(len(elements))):
        own = region_coverage(elements[index], grid, latent, mixing.feather)
        coverage[index] = own * shade
        if mixing.overlap == "front":
            shade = shade * (1 - own * min(1.0, elements[index].weight))
    strength = coverage * np.array([e.weight for e in elements]).reshape(-1, 1, 1)
    total = strength.sum(0)
    share = np.divide(np.minimum(1.0, total), total, out=np.zeros_like(total), where=total > 0)
    keep = np.array([1 - _base_ratio(e, mixing) for e in elements]).reshape(-1, 1, 1)
    regions = strength * share * keep
    regions[regions < 1e-6] = 0.0
    base = np.clip(1 - regions.sum(0), 0.0, 1.0)
    base[base < 1e-6] = 0.0
    maps = np.concatenate([base[None], regions])
    return torch.from_numpy((maps / maps.sum(0)).astype(np.float32))


def _base_ratio(element: Element, mixing: Mixing) -> float:
    ratio = mixing.base_ratio if element.base_ratio is None else element.base_ratio
    return min(1.0, max(0.0, ratio if math.isfinite(ratio) else 0.0))
