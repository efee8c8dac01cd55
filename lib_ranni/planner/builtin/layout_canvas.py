"""Clusters onto the canvas: zones for corners and sides, shelves in reading order, and the scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lib_ranni.planner.builtin.layout_rects import Rect, around
from lib_ranni.planner.builtin.layout_sizes import GAP

MARGIN = 0.03
_MORE_SHELVES = 1.25
"""A further shelf must let everything grow at least by this factor."""


@dataclass
class Cluster:
    """Nodes with fixed places towards each other, and where the prompt wants them: 0, 0.5, 1 or None."""

    rects: dict[int, Rect]
    x: float | None = None
    y: float | None = None

    @property
    def bounds(self) -> Rect:
        """The rectangle around all of it."""
        return around(self.rects.values())


@dataclass
class Shelf:
    """Clusters in a row."""

    clusters: list[Cluster]

    @property
    def width(self) -> float:
        """Extent along x, with gaps."""
        return sum(c.bounds.width + GAP for c in self.clusters) - GAP

    @property
    def height(self) -> float:
        """Extent along y."""
        return max(c.bounds.height for c in self.clusters)


@dataclass
class Zone:
    """A part of the canvas and the clusters for it; `pull` is 0 at the start, 0.5 centered, 1 at the end."""

    area: Rect
    pull: tuple[float, float]
    shelves: list[Shelf]

    @property
    def size(self) -> tuple[float, float]:
        """Natural size of its content."""
        height = sum(s.height + GAP for s in self.shelves) - GAP
        return max(s.width for s in self.shelves), height

    @property
    def scale(self) -> float:
        """The factor at which its content fills it."""
        width, height = self.size
        return min(self.area.width / width, self.area.height / height)

    def place(self, scale: float) -> dict[int, Rect]:
        """Its content on the canvas."""
        height = self.size[1] * scale
        y = self.area.y0 + (self.area.height - height) * self.pull[1]
        found: dict[int, Rect] = {}
        for shelf in self.shelves:
            x = self.area.x0 + (self.area.width - shelf.width * scale) * self.pull[0]
            for cluster in shelf.clusters:
                bounds = cluster.bounds
                drop = (shelf.height - bounds.height) * 0.5 * scale
                dx, dy = x - bounds.x0 * scale, y + drop - bounds.y0 * scale
                found |= {n: r.scaled(scale).moved(dx, dy) for n, r in cluster.rects.items()}
                x += (bounds.width + GAP) * scale
            y += (shelf.height + GAP) * scale
        return found


def fill(clusters: list[Cluster], canvas: Rect, low: bool) -> list[Zone]:
    """Share the canvas out. `low`: what has no place of its own stands at the bottom."""
    margin = MARGIN * min(canvas.width, canvas.height)
    inner = Rect(canvas.x0 + margin, canvas.y0 + margin, canvas.x1 - margin, canvas.y1 - margin)
    columns = _bands([c.x for c in clusters], inner.x0, inner.x1)
    rows = _bands([c.y for c in clusters], inner.y0, inner.y1)
    zones = []
    for row, (y0, y1) in rows.items():
        for column, (x0, x1) in columns.items():
            members = [c for c in clusters if _band(c.x) == column and _band(c.y) == row]
            if not members:
                continue
            corner = column != 1 and row != 1
            pull_x = column / 2 if corner else 0.5
            pull_y = row / 2 if row != 1 else (0.85 if low else 0.5)
            area = Rect(x0, y0, x1, y1)
            zones.append(Zone(area, (pull_x, pull_y), _shelves(members, area.width, area.height)))
    return zones


def _band(place: float | None) -> int:
    return 1 if place is None else round(place * 2)


def _bands(places: list[float | None], start: float, end: float) -> dict[int, tuple[float, float]]:
    """The parts of an axis for what is at its start, in the middle (or anywhere) and at its end."""
    used = {_band(place) for place in places}
    length, gap = end - start, (end - start) * 0.02
    if used == {1}:
        return {1: (start, end)}
    half, third = length / 2, length / 3
    if {0, 1, 2} <= used or (1 in used and 0.5 in places):
        return {n: (start + n * third + gap / 2, start + (n + 1) * third - gap / 2) for n in range(3)}
    near, far = (start, start + half - gap / 2), (end - half + gap / 2, end)
    if 1 not in used:
        return {0: near, 2: far}
    return {0: near, 1: far} if 0 in used else {1: near, 2: far}


def _shelves(clusters: list[Cluster], width: float, height: float) -> list[Shelf]:
    """As many shelves as let the content be large, but no more than that is worth."""
    best, best_scale = [Shelf(clusters)], 0.0
    for count in range(1, min(len(clusters), 3 * math.isqrt(len(clusters)) + 1) + 1):
        length = -(-len(clusters) // count)
        shelves = [Shelf(clusters[n : n + length]) for n in range(0, len(clusters), length)]
        scale = Zone(Rect(0.0, 0.0, width, height), (0.5, 0.5), shelves).scale
        if scale > best_scale * (_MORE_SHELVES if best_scale else 0.0):
            best, best_scale = shelves, scale
    return best
