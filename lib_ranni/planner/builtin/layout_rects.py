"""Rectangles while a picture is being laid out: any unit, any place, until they are put on the canvas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle; x to the right, y down."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Extent along x."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Extent along y."""
        return self.y1 - self.y0

    @property
    def cx(self) -> float:
        """Middle along x."""
        return (self.x0 + self.x1) / 2

    @property
    def cy(self) -> float:
        """Middle along y."""
        return (self.y0 + self.y1) / 2

    def moved(self, dx: float, dy: float) -> Rect:
        """The same size elsewhere."""
        return Rect(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def scaled(self, factor: float) -> Rect:
        """Size and place times a factor."""
        return Rect(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)


def around(rects: Iterable[Rect]) -> Rect:
    """The smallest rectangle around all (at least one)."""
    x0, y0, x1, y1 = zip(*rects, strict=True)
    return Rect(min(x0), min(y0), max(x1), max(y1))


def common_area(first: Rect, second: Rect) -> float:
    """Area that two rectangles share."""
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return width * height if width > 1e-9 and height > 1e-9 else 0.0
