"""Where each region acts: maps over a grid that, with the base, sum to 1 in every cell.

For a region r let c_r(cell) be the share of the cell that the visible part of its box or mask covers,
smeared by the feather, and w_r = weight_r * c_r. With S = sum of w_r over all regions and b_r the base
ratio of r,

    W_r    = min(1, S) * (w_r / S) * (1 - b_r)
    W_base = 1 - sum of W_r

so the base has everything where no region is, `base_ratio` where regions are, and a half-covered cell
is half the base's. (RPG's complementary regional diffusion is the case of hard, disjoint boxes.)

What is visible is decided before cells and feather come in, on a grid fine enough to hold every edge
exactly. So regions that touch leave no gap between them, wherever their border falls in a cell and
however soft it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from lib_ranni.panel.types import Element, Mask

Array = npt.NDArray[np.float64]
Overlap = Literal["front", "blend"]

_TINY = 1e-6
"""Shares below this are nothing: a text that nobody would see is not worth its attention."""

_OUTSIDE = 10.0
"""Beyond the canvas, where its border goes on so that it does not soften."""


@dataclass(frozen=True)
class Mixing:
    """How regions and base share a cell.

    `base_ratio` is the base's share under regions, 0..1. `feather` is the width of a region's soft edge,
    in units of the canvas' shorter side. Where elements overlap, `front` lets the later one cover the
    earlier, `blend` lets them share by weight.
    """

    base_ratio: float = 0.2
    feather: float = 0.0
    overlap: Overlap = "front"


class _Canvas(NamedTuple):
    """Edges (n + 1,) of the fine grid, and the matrices (cells, n) that average it over the cells."""

    ys: Array
    xs: Array
    down: Array
    across: Array


class _Shape(NamedTuple):
    """What an element covers of the fine grid: 0 or 1 in the given rows and columns, 0 elsewhere."""

    rows: slice
    columns: slice
    values: Array


def cell_edges(cells: int, latent: int) -> Array:
    """Edges of a layer's cells along one axis, in 0..1, (cells + 1,).

    A UNet halves its grid with ceil; so the last cell of a level may be narrower than the others.
    """
    stride = 1
    while -(-latent // stride) > cells:
        stride *= 2
    if -(-latent // stride) != cells:
        return np.linspace(0.0, 1.0, cells + 1)
    return np.minimum(np.arange(cells + 1) * stride, latent) / latent


def weight_maps(
    elements: Sequence[Element], mixing: Mixing, grid: tuple[int, int], latent: tuple[int, int]
) -> torch.Tensor:
    """(1 + len(elements), h, w) float32: the base's map, then each element's; they sum to 1 everywhere.

    `elements` run from back to front; `grid` is (h, w) of the layer, `latent` that of the latent.
    """
    coverage = _visible_coverage(elements, mixing, grid, latent)
    strength = coverage * _per_element([e.weight for e in elements])
    total = strength.sum(0)
    share = np.divide(np.minimum(1.0, total), total, out=np.zeros_like(total), where=total > 0)
    regions = strength * share * _per_element([1 - _base_ratio(e, mixing) for e in elements])
    regions[regions < _TINY] = 0.0
    base = np.clip(1 - regions.sum(0), 0.0, 1.0)
    base[base < _TINY] = 0.0
    maps = np.concatenate([base[None], regions])
    return torch.from_numpy((maps / maps.sum(0)).astype(np.float32))


def region_coverage(
    element: Element, grid: tuple[int, int], latent: tuple[int, int], feather: float
) -> Array:
    """Share of each cell of `grid` (h, w) that an element covers, (h, w) in 0..1; its densest has 1."""
    canvas = _canvas([element], feather, grid, latent)
    shape = _shape(element, canvas)
    return shape_coverage(canvas, shape) * _boost(canvas, shape)


def shape_coverage(canvas: _Canvas, shape: _Shape) -> Array:
    """Share of each cell that a shape covers, (h, w) in 0..1."""
    down, across = canvas.down[:, shape.rows], canvas.across[:, shape.columns]
    coverage: Array = np.clip(down @ shape.values @ across.T, 0.0, 1.0)
    return coverage


def _visible_coverage(
    elements: Sequence[Element], mixing: Mixing, grid: tuple[int, int], latent: tuple[int, int]
) -> Array:
    """(len(elements), h, w): share of each cell that the visible part of each element covers."""
    canvas = _canvas(elements, mixing.feather, grid, latent)
    coverage = np.zeros((len(elements), *grid))
    shade = np.ones((len(canvas.ys) - 1, len(canvas.xs) - 1))
    for index in reversed(range(len(elements))):
        shape = _shape(elements[index], canvas)
        below = shade[shape.rows, shape.columns]
        visible = shape._replace(values=shape.values * below)
        coverage[index] = shape_coverage(canvas, visible) * _boost(canvas, shape)
        if mixing.overlap == "front":
            below *= 1 - shape.values * min(1.0, elements[index].weight)
    return coverage


def _boost(canvas: _Canvas, shape: _Shape) -> float:
    """What makes the densest cell of the whole shape 1, so that no element is too thin for a layer."""
    return float(1 / shape_coverage(canvas, shape).max())


def _canvas(
    elements: Sequence[Element], feather: float, grid: tuple[int, int], latent: tuple[int, int]
) -> _Canvas:
    rows, columns = cell_edges(grid[0], latent[0]), cell_edges(grid[1], latent[1])
    ys, xs = [rows], [columns]
    for element in elements:
        if element.mask is not None:
            ys.append(np.linspace(0.0, 1.0, element.mask.height + 1))
            xs.append(np.linspace(0.0, 1.0, element.mask.width + 1))
        else:
            ys.append(np.array(_interval(element.box.y0, element.box.y1)))
            xs.append(np.array(_interval(element.box.x0, element.box.x1)))
    fine_y, fine_x = np.unique(np.concatenate(ys)), np.unique(np.concatenate(xs))
    shorter = min(latent)
    down = _averaging(rows, fine_y, feather * shorter / latent[0])
    across = _averaging(columns, fine_x, feather * shorter / latent[1])
    return _Canvas(fine_y, fine_x, down, across)


def _interval(low: float, high: float) -> tuple[float, float]:
    """Ends of a box's side, kept apart far enough to be told from rounding."""
    if high - low >= _TINY:
        return low, high
    middle = min(max((low + high) / 2, _TINY), 1 - _TINY)
    return middle - _TINY / 2, middle + _TINY / 2


def _averaging(edges: Array, fine: Array, feather: float) -> Array:
    """(cells, n): row k averages n fine segments over cell k, after smearing them over `feather`.

    The outermost segments go on beyond the canvas: what touches its border stays hard there.
    """
    low, high = fine[:-1].copy(), fine[1:].copy()
    low[0], high[-1] = -_OUTSIDE, 1 + _OUTSIDE
    at = edges[:, None]
    integral = _ramp_integral(at - low, feather) - _ramp_integral(at - high, feather)
    average: Array = np.diff(integral, axis=0) / np.diff(edges)[:, None]
    return average


def _ramp_integral(u: Array, feather: float) -> Array:
    """Integral from -inf to u of a step at 0 that is smeared over `feather`."""
    if feather < _TINY:
        return np.maximum(u, 0.0)
    inside = np.clip(u + feather / 2, 0.0, feather)
    integral: Array = inside**2 / (2 * feather) + np.maximum(u - feather / 2, 0.0)
    return integral


def _shape(element: Element, canvas: _Canvas) -> _Shape:
    if element.mask is not None:
        return _mask_shape(element.mask, canvas)
    rows = slice(*np.searchsorted(canvas.ys, _interval(element.box.y0, element.box.y1)))
    columns = slice(*np.searchsorted(canvas.xs, _interval(element.box.x0, element.box.x1)))
    return _Shape(rows, columns, np.ones((rows.stop - rows.start, columns.stop - columns.start)))


def _mask_shape(mask: Mask, canvas: _Canvas) -> _Shape:
    pixels = np.repeat(np.arange(len(mask.runs)) % 2, mask.runs).reshape(mask.height, mask.width)
    ys, xs = (canvas.ys[1:] + canvas.ys[:-1]) / 2, (canvas.xs[1:] + canvas.xs[:-1]) / 2
    rows = np.minimum((ys * mask.height).astype(int), mask.height - 1)
    columns = np.minimum((xs * mask.width).astype(int), mask.width - 1)
    return _Shape(slice(0, len(ys)), slice(0, len(xs)), pixels[np.ix_(rows, columns)].astype(np.float64))


def _per_element(values: list[float]) -> Array:
    return np.array(values, dtype=np.float64).reshape(-1, 1, 1)


def _base_ratio(element: Element, mixing: Mixing) -> float:
    ratio = mixing.base_ratio if element.base_ratio is None else element.base_ratio
    return min(1.0, max(0.0, ratio if math.isfinite(ratio) else 0.0))
