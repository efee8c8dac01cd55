"""Which shape a piece has: its mask against the drawn outlines, as they look sharp and softened."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from PIL import Image, ImageDraw, ImageFilter

from lib_ranni.evaluation.scenes import OUTLINES, SHAPES, Outline

Coverage = npt.NDArray[np.float64]

TEMPLATE_PX = 128
SIDE = 40
"""Shapes are compared on a square of this many pixels."""

MARGIN = 0.12
"""How much of the square, on each side, lies around the shape's half-way outline: room for soft edges."""

SOFTENINGS = (0.0, 0.02, 0.04, 0.06, 0.085, 0.11)
"""Blur radii, as shares of the shape's longer side, at which each outline is a template."""

FAINT, FULL = 0.12, 0.92
"""Coverage below the first counts as none, above the second as whole: noise is not part of the shape."""

FREE_STRETCH = 0.08
STRETCH_COST = 0.5
"""A shape may be wider or narrower by this much (natural log) at no cost; beyond it, the cost per unit."""

UNKNOWN = "blob"
LEAST_MATCH = 0.70
"""Below this match a piece has no shape of ours and is called a blob."""


class ShapeMatch(Struct, frozen=True):
    """The best shape, its match 0..1 (IoU less the cost of stretching), and its lead over the runner-up."""

    shape: str
    match: float
    lead: float


def _normalized(alpha: Coverage) -> tuple[Coverage, float] | None:
    """The coverage on a SIDE × SIDE square, its half-way outline MARGIN from the edges; width / height."""
    rows, columns = np.nonzero(alpha >= 0.5)
    if not len(rows):
        return None
    pad = 2 + math.ceil(0.3 * max(np.ptp(rows), np.ptp(columns)))
    patch = np.pad(alpha, pad)[
        rows.min() : rows.max() + 2 * pad + 1, columns.min() : columns.max() + 2 * pad + 1
    ]
    x0, x1 = _extent(patch.max(axis=0))
    y0, y1 = _extent(patch.max(axis=1))
    width, height = x1 - x0, y1 - y0
    grow = MARGIN / (1 - 2 * MARGIN)
    window = (x0 - grow * width, y0 - grow * height, x1 + grow * width, y1 + grow * height)
    image = Image.fromarray(patch.astype(np.float32), mode="F")
    square = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=window), np.float64)
    return np.clip((square - FAINT) / (FULL - FAINT), 0, 1), width / height


def _extent(profile: Coverage) -> tuple[float, float]:
    """Where a profile, 0 at both ends, first and last crosses a half, in pixels from the left edge."""
    inside = np.nonzero(profile >= 0.5)[0]
    first, last = int(inside[0]), int(inside[-1])
    rise = (0.5 - profile[first - 1]) / (profile[first] - profile[first - 1])
    fall = (profile[last] - 0.5) / (profile[last] - profile[last + 1])
    return float(first - 0.5 + rise), float(last + 0.5 + fall)


def _moved(outline: Outline, factors: tuple[float, ...]) -> Outline:
    """The outline with its corners' distances from the center scaled, cycling through `factors`."""
    moved = []
    for k, (x, y) in enumerate(outline):
        factor = factors[k % len(factors)]
        moved.append((0.5 + (x - 0.5) * factor, 0.5 + (y - 0.5) * factor))
    return moved


def _variants(shape: str) -> list[list[Outline]]:
    """The outlines of a shape, as drawn and as a coarse latent grid deforms it where it is small.

    A small star comes out with filled notches, almost a pentagon; a small ring with a narrow hole.
    """
    outlines = OUTLINES[shape]
    if shape == "star":
        return [outlines, *([_moved(outlines[0], (1.0, notch))] for notch in (1.3, 1.55, 1.8))]
    if shape == "ring":
        return [outlines, *([outlines[0], _moved(outlines[1], (hole,))] for hole in (0.75, 0.5, 1.25))]
    return [outlines]


def _drawn(outlines: list[Outline]) -> Image.Image:
    margin = TEMPLATE_PX // 2
    picture = Image.new("L", (2 * TEMPLATE_PX, 2 * TEMPLATE_PX))
    draw = ImageDraw.Draw(picture)
    for index, outline in enumerate(outlines):
        points = [(margin + x * TEMPLATE_PX, margin + y * TEMPLATE_PX) for x, y in outline]
        draw.polygon(points, fill=255 if index == 0 else 0)
    return picture


@lru_cache(maxsize=1)
def _templates() -> tuple[tuple[str, ...], Coverage, Coverage]:
    """Shapes, aspects (T,) and coverages (T, SIDE, SIDE) of all templates."""
    shapes, aspects, coverages = [], [], []
    for shape in SHAPES:
        for outlines, share in product(_variants(shape), SOFTENINGS):
            picture = _drawn(outlines).filter(ImageFilter.GaussianBlur(share * TEMPLATE_PX))
            found = _normalized(np.asarray(picture, np.float64) / 255)
            if found is not None:
                shapes.append(shape)
                coverages.append(found[0])
                aspects.append(found[1])
    return tuple(shapes), np.array(aspects), np.array(coverages)


def classify(alpha: Coverage) -> ShapeMatch:
    """The shape of a coverage map (H, W) in 0..1. Tolerates blur and about 10 % of deformation."""
    found = _normalized(alpha)
    if found is None:
        return ShapeMatch(UNKNOWN, 0.0, 0.0)
    coverage, aspect = found
    shapes, aspects, stack = _templates()
    ious = np.minimum(stack, coverage).sum(axis=(1, 2)) / np.maximum(stack, coverage).sum(axis=(1, 2))
    stretch = np.abs(np.log(aspect / aspects))
    matches = ious - STRETCH_COST * np.maximum(0.0, stretch - FREE_STRETCH)
    best: dict[str, float] = {}
    for shape, match in zip(shapes, matches.tolist(), strict=True):
        best[shape] = max(best.get(shape, 0.0), match)
    first, second = sorted(best, key=lambda name: best[name], reverse=True)[:2]
    lead = best[first] - best[second]
    return ShapeMatch(first if best[first] >= LEAST_MATCH else UNKNOWN, best[first], lead)
