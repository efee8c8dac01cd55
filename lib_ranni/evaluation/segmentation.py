"""From a picture to the plain-colored pieces that stand out from its background.

Distances are Euclidean in Oklab (Ottosson 2020) times 100: about 10 between white and beige, 100 between
black and white. A picture of shapes has few true colors and many mixed ones, at edges; so colors are read
from flat pixels only, and each piece's outline is where the mix of background and fill is half and half.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lib_ranni.evaluation.components import Labels, Mask, grow, label_regions
from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS

Floats = npt.NDArray[np.float64]

DIFFERENT = 3.0
"""A pixel further than this from the background may belong to a piece."""

DISTINCT = 5.0
"""A piece's fill is at least this far from the background. White on beige is the faintest true pair, > 6."""

FLAT = 4.0
"""A pixel is flat when no neighbor is further away than this."""

SAME_FILL = 7.0
"""Two touching patches closer than this are one fill with a drift, even if their nearest names differ."""

SPECK = 0.0025
"""Pieces smaller than this share of the canvas are dropped. The smallest true object, a star, has 0.0095."""

_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _linear_light() -> Floats:
    levels = np.arange(256) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


_LINEAR = _linear_light()


def oklab(rgb: npt.ArrayLike) -> Floats:
    """sRGB levels 0..255, (..., 3), as 100 × Oklab, (..., 3)."""
    levels = np.clip(np.rint(np.asarray(rgb, np.float64)), 0, 255).astype(np.uint8)
    return np.asarray(np.cbrt(_LINEAR[levels] @ _LMS.T) @ _OKLAB.T * 100)


# No object is gray or beige in our scenes, but a wrong picture's may be: it must not pass for white or pink.
_NAMES = (*COLORS, *(name for name in BACKGROUNDS if name not in COLORS))
_FILLS = oklab([(COLORS | BACKGROUNDS)[name] for name in _NAMES])


def _nearest_names(lab: Floats) -> Labels:
    """(..., 3) colors as 1 + their index among the names."""
    distance = np.linalg.norm(lab[..., None, :] - _FILLS, axis=-1)
    return np.asarray(distance.argmin(axis=-1) + 1, np.int64)


def color_name(rgb: npt.ArrayLike) -> tuple[str, float]:
    """The nearest name of a fill or background, and how sure: 0 halfway to another name, 1 at the spot."""
    distance = np.linalg.norm(_FILLS - oklab(rgb), axis=-1)
    first, second = np.argsort(distance)[:2]
    sure = 1 - 2 * distance[first] / (distance[first] + distance[second])
    return _NAMES[int(first)], float(sure)


class Piece(Struct, frozen=True):
    """One plain-colored piece: `rgb` levels 0..255 and `alpha`, (H, W) in 0..1, its share in each pixel."""

    rgb: tuple[float, float, float]
    alpha: Floats


def background_rgb(rgb: Floats) -> Floats:
    """The most common color of the border of an (H, W, 3) picture: the median of its fullest bin."""
    rows, columns = rgb.shape[:2]
    width = max(2, min(rows, columns) // 32)
    inner = np.zeros((rows, columns), bool)
    inner[width:-width, width:-width] = True
    border = rgb[~inner]
    # The background's levels may straddle a bin's edge, so the mode is taken over two shifted grids.
    best: Floats = border
    most = 0
    for shift in (0, 12):
        bins = ((border + shift) // 24).astype(np.int64) @ np.array([400, 20, 1])
        _, inverse, counts = np.unique(bins, return_inverse=True, return_counts=True)
        if counts.max() > most:
            most = int(counts.max())
            best = border[inverse.reshape(-1) == counts.argmax()]
    return np.asarray(np.median(best, axis=0))


def _roughness(lab: Floats) -> Floats:
    """(H, W): the distance from each pixel to the furthest of its four neighbors."""
    rough = np.zeros(lab.shape[:2])
    for axis in (0, 1):
        step = np.linalg.norm(np.diff(lab, axis=axis), axis=-1)
        before, after = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        before[axis], after[axis] = (1, 0), (0, 1)
        rough = np.maximum(rough, np.maximum(np.pad(step, before), np.pad(step, after)))
    return rough


def _core(patch: Mask, rough: Floats, distance: Floats) -> Mask:
    """The pixels of a patch whose color is surely the fill: flat ones, or the least like the background."""
    core: Mask = patch & (rough < FLAT) & (distance > DISTINCT)
    if core.sum() < max(6, 0.08 * patch.sum()):
        core = patch & (distance >= np.quantile(distance[patch], 0.7))
    return core


def _merge_drifts(seeds: Labels, count: int, patch: Mask, lab: Floats) -> Labels:
    """Give touching seeds whose fills differ by little the same number."""
    grown = grow(seeds, patch)
    fills = {k: np.median(lab[seeds == k], axis=0) for k in range(1, count + 1) if (seeds == k).any()}
    merged = seeds.copy()
    for first in fills:
        for second in fills:
            if first >= second or np.linalg.norm(fills[first] - fills[second]) >= SAME_FILL:
                continue
            touching = grow(np.where(grown == first, 1, 0), _near(grown == first) & (grown == second))
            if (touching[grown == second] == 1).any():
                merged[merged == merged[seeds == second][0]] = merged[seeds == first][0]
    return merged


def _near(mask: Mask) -> Mask:
    """The mask and its 8-neighbors."""
    padded = np.pad(mask, 1)
    rows, columns = mask.shape
    windows = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.asarray(np.logical_or.reduce(windows))


def _fills(patch: Mask, core: Mask, lab: Floats, least: float) -> Iterator[tuple[Mask, Mask]]:
    """Split a patch by color: for each fill, its pixels and those of them that show it purely."""
    classes = np.where(core, _nearest_names(lab), 0)
    seeds, count = label_regions(classes)
    sizes = np.bincount(seeds.ravel(), minlength=count + 1)
    sizes[0] = 0
    # A sliver of mixed color along an edge is no fill; an object's own drift or a small neighbor may be.
    keep = sizes >= max(6.0, 0.25 * least, 0.06 * sizes.max())
    seeds = np.where(keep[seeds], seeds, 0)
    if keep.sum() > 1:
        seeds = _merge_drifts(seeds, count, patch, lab)
        grown = grow(seeds, patch)
        for number in np.unique(seeds[seeds > 0]):
            yield grown == number, seeds == number
    elif keep.any():
        yield patch, seeds > 0
    else:
        yield patch, core


def _alpha(rgb: Floats, background: Floats, fill: Floats) -> Floats:
    """How much of the fill each pixel holds, 0..1, if it mixes fill and background."""
    axis = fill - background
    return np.asarray(np.clip((rgb - background) @ axis / max(float(axis @ axis), 1e-9), 0, 1))


def _solid_parts(alpha: Floats, least: float) -> Iterator[Mask]:
    """The separate parts of a piece; fragments that nearly touch a part five times as big join it."""
    labels, count = label_regions(alpha >= 0.5)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    big = [k for k in range(1, count + 1) if sizes[k] >= least]
    for number in big:
        part = labels == number
        if len(big) > 1 and any(
            sizes[k] > 5 * sizes[number] and (_near(_near(part)) & (labels == k)).any() for k in big
        ):
            continue
        close = np.unique(labels[_near(_near(part))])
        joined = [k for k in close if k not in (0, number) and 5 * sizes[k] < sizes[number]]
        yield part | np.isin(labels, joined)


def _window(patch: Mask) -> tuple[slice, slice]:
    """The rows and columns of a patch, with one more on each side where there is one."""
    rows, columns = np.nonzero(patch)
    return (
        slice(max(0, int(rows.min()) - 1), int(rows.max()) + 2),
        slice(max(0, int(columns.min()) - 1), int(columns.max()) + 2),
    )


def pieces(rgb: Floats) -> tuple[Floats, list[Piece]]:
    """The background's color and the pieces of an (H, W, 3) picture of levels 0..255."""
    lab = oklab(rgb)
    background = background_rgb(rgb)
    distance = np.linalg.norm(lab - oklab(background), axis=-1)
    rough = _roughness(lab)
    labels, count = label_regions(distance > DIFFERENT)
    least = SPECK * labels.size
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    found = []
    for number in range(1, count + 1):
        if sizes[number] < least or np.quantile(distance[labels == number], 0.9) < DISTINCT:
            continue
        window = _window(labels == number)
        patch = labels[window] == number
        local_rgb, local_lab, local_distance = rgb[window], lab[window], distance[window]
        core = _core(patch, rough[window], local_distance)
        for own, pure in _fills(patch, core, local_lab, least):
            # A small or soft piece is nowhere quite free of background; what is furthest from it is purest.
            purest = pure & (local_distance >= np.median(local_distance[pure]))
            fill = np.median(local_rgb[purest], axis=0)
            if np.linalg.norm(oklab(fill) - oklab(background)) < DISTINCT:
                continue
            share = np.where(own, _alpha(local_rgb, background, fill), 0.0)
            r, g, b = (float(v) for v in fill)
            for part in _solid_parts(share, least):
                alpha = np.zeros(labels.shape)
                alpha[window] = np.where(_near(part), share, 0.0)
                found.append(Piece((r, g, b), alpha))
    return background, found
