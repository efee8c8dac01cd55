"""Grids of regions: ratio strings to boxes and back.

A ratio string such as `1,2,1,1;2,4,6` splits the canvas into rows (`;`) and each row into cells (`,`).
With more than one row, the first number of each row is its height. Upright grids have columns outside
and cells stacked inside them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import MAX_ELEMENTS, Box

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_TOLERANCE = 1e-3
"""How far edges may be apart, in units of the canvas, and still be one line of a grid."""


class Band(Struct, frozen=True):
    """A row of a grid (a column, when upright): its share of the canvas and its cells' shares of it."""

    share: float
    cells: tuple[float, ...]


class Grid(Struct, frozen=True):
    """Bands from the top (from the left, when upright); all shares are relative to their sum."""

    bands: tuple[Band, ...]
    upright: bool = False

    @property
    def size(self) -> int:
        """How many cells there are."""
        return sum(len(band.cells) for band in self.bands)

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """(x0, y0, x1, y1) of every cell in reading order: band by band."""
        found = []
        for (y0, y1), band in zip(_spans([band.share for band in self.bands]), self.bands, strict=True):
            for x0, x1 in _spans(band.cells):
                found.append((y0, x0, y1, x1) if self.upright else (x0, y0, x1, y1))
        return found


class GridOfBoxes(Struct, frozen=True):
    """A grid that boxes form; `order` has, cell by cell, which box it is."""

    grid: Grid
    order: tuple[int, ...]


def _spans(shares: Sequence[float]) -> list[tuple[float, float]]:
    """Consecutive intervals that share 0..1 in these proportions."""
    total = math.fsum(shares)
    ends = [min(1.0, end / total) for end in accumulate(shares)]
    ends[-1] = 1.0
    return list(zip([0.0, *ends[:-1]], ends, strict=True))


def read_shares(text: str, outer: str, inner: str, problems: Problems | None) -> list[list[float]]:
    """The numbers between the separators.

    One that cannot be read counts as 1, noted in `problems`; without `problems` it is an error, like
    one that is not above 0 or more of them than a panel has elements.
    """
    if text.count(outer) + text.count(inner) >= 2 * MAX_ELEMENTS:
        raise InputError(f"this ratio has too many numbers; a panel has at most {MAX_ELEMENTS} regions")
    return [[_share(item, problems) for item in band.split(inner)] for band in text.split(outer)]


def _share(item: str, problems: Problems | None) -> float:
    match = _NUMBER.fullmatch(item.strip())
    if match is None:
        fault = f"{shown(item)} is not a number"
        if problems is None:
            raise InputError(f"this ratio cannot be read: {fault}; write it like 1,1;2,1,1")
        problems.add("ratios", fault, "read as 1")
        return 1.0
    number = float(match[0])
    if not 1e-6 <= number <= 1e6:
        raise InputError(f"a share of a ratio must be above 0 and at most 1000000, not {item.strip()[:20]}")
    return number


def grid_of(shares: Sequence[Sequence[float]], upright: bool = False) -> Grid:
    """The grid that a ratio string with several bands describes: each band's first number is its share."""
    return Grid(tuple(Band(band[0], tuple(band[1:]) or (1.0,)) for band in shares), upright)


def fitted(shares: Sequence[Sequence[float]], counts: Sequence[int], upright: bool = False) -> Grid:
    """A grid with `counts[i]` cells in band i, its shares taken from a ratio of perhaps another shape.

    This is how Regional Prompter spreads them: what one band has too many goes to the next, a band that
    is too short repeats its last number, and so do missing bands.
    """
    waiting = [list(band) for band in reversed(shares)]
    bands = []
    band = waiting[-1]
    for count in counts:
        again = not waiting
        if waiting:
            band = waiting.pop()
        cells = band[1 : count + 1]
        rest = band[count + 1 :]
        if rest and not again:
            waiting.append(rest)
        cells = cells or [1.0]
        bands.append(Band(band[0], (*cells, *[cells[-1]] * (count - len(cells)))))
    return Grid(tuple(bands), upright)


def find_grid(boxes: Sequence[Box]) -> GridOfBoxes | None:
    """The grid that the boxes tile the canvas in, rows outside where both are possible; None if none."""
    for upright in (False, True):
        sides = [(b.y0, b.x0, b.y1, b.x1) if upright else (b.x0, b.y0, b.x1, b.y1) for b in boxes]
        found = _rows(sides, upright)
        if found is not None:
            return found
    return None


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= _TOLERANCE


def _rows(sides: list[tuple[float, float, float, float]], upright: bool) -> GridOfBoxes | None:
    left = sorted(range(len(sides)), key=lambda index: sides[index][1])
    bands: list[Band] = []
    order: list[int] = []
    y = 0.0
    while left:
        first = sides[left[0]]
        # Sorted by their upper edges, so a row's boxes come one after the other.
        count = next((n for n, i in enumerate(left) if not _near(sides[i][1], first[1])), len(left))
        row = sorted(left[:count], key=lambda index: sides[index][0])
        left = left[count:]
        ends = [0.0, *(sides[index][2] for index in row)]
        tiled = all(
            _near(sides[i][1], y) and _near(sides[i][3], first[3]) and _near(sides[i][0], end)
            for i, end in zip(row, ends, strict=False)
        )
        if not (tiled and _near(ends[-1], 1)):
            return None
        bands.append(Band(first[3] - y, tuple(b - a for a, b in pairwise(ends))))
        order += row
        y = first[3]
    if not bands or not _near(y, 1) or not all(c > 0 for b in bands for c in (b.share, *b.cells)):
        return None
    return GridOfBoxes(Grid(tuple(bands), upright), tuple(order))


def write_ratio(grid: Grid, outer: str = ";", inner: str = ",") -> str:
    """The ratio string of a grid; `outer` separates its bands, `inner` the numbers within."""
    if len(grid.bands) == 1:
        return inner.join(_numbers(grid.bands[0].cells))
    heights = _numbers([band.share for band in grid.bands])
    return outer.join(
        inner.join([height, *(_numbers(band.cells) if len(band.cells) > 1 else [])])
        for height, band in zip(heights, grid.bands, strict=True)
    )


def _numbers(shares: Sequence[float]) -> list[str]:
    """Shares as small whole numbers where they are in such proportions, else as decimals."""
    total = math.fsum(shares)
    parts = [share / total for share in shares]
    simple = [Fraction(part).limit_denominator(64) for part in parts]
    if all(abs(part - fraction) < 1e-7 for part, fraction in zip(parts, simple, strict=True)):
        common = math.lcm(*(fraction.denominator for fraction in simple))
        if common <= 64 and all(simple):
            return [str(int(fraction * common)) for fraction in simple]
    return [f"{max(part, 1e-6):.9f}".rstrip("0") for part in parts]
