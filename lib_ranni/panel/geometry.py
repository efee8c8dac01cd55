"""Arithmetic on boxes and on the order of elements. Everything is in units of the canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from lib_ranni.errors import EditError
from lib_ranni.panel.types import Box, Panel, clamped_box, with_fields

_LEAST = 1e-6
"""Side of the smallest box that moving and resizing make; a thinner one could round to nothing."""

Edge = Literal["left", "center", "right", "top", "middle", "bottom"]


def intersect(first: Box, second: Box) -> Box | None:
    """The common part of two boxes, or None when they only touch or do not meet."""
    x0, x1 = max(first.x0, second.x0), min(first.x1, second.x1)
    y0, y1 = max(first.y0, second.y0), min(first.y1, second.y1)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def overlap(first: Box, second: Box) -> float:
    """Area of the common part, as a share of the canvas."""
    common = intersect(first, second)
    return common.area if common else 0.0


def cover(inner: Box, outer: Box) -> float:
    """Share of `inner` that lies in `outer`, 0..1."""
    # The area of a sliver can round to nothing.
    return min(1.0, overlap(inner, outer) / inner.area) if inner.area else 0.0


def iou(first: Box, second: Box) -> float:
    """Intersection over union, 0..1."""
    common = overlap(first, second)
    union = first.area + second.area - common
    return min(1.0, common / union) if union else 0.0


def bounds(boxes: Sequence[Box]) -> Box:
    """The smallest box around all of `boxes` (at least one)."""
    return Box(
        min(b.x0 for b in boxes), min(b.y0 for b in boxes), max(b.x1 for b in boxes), max(b.y1 for b in boxes)
    )


def centered(x: float, y: float, width: float, height: float) -> Box:
    """A box of this size around (x, y), pushed back onto the canvas if it would stick out."""
    if not (0 < width < math.inf and 0 < height < math.inf and math.isfinite(x) and math.isfinite(y)):
        raise EditError(
            f"there is no box of {width:g} by {height:g} at ({x:g}, {y:g}); give a positive size and a place"
        )
    width, height = min(1.0, width), min(1.0, height)
    x0 = min(max(0.0, x - width / 2), 1 - width)
    y0 = min(max(0.0, y - height / 2), 1 - height)
    box = clamped_box(x0, y0, x0 + width, y0 + height, least=_LEAST)
    if box is None:
        raise AssertionError("a rectangle that was pushed onto the canvas is not on it")
    return box


def moved(box: Box, dx: float, dy: float) -> Box:
    """The box shifted, as far as the canvas allows; its size stays."""
    x, y = box.center
    return centered(x + dx, y + dy, box.width, box.height)


def scaled(box: Box, factor_x: float, factor_y: float | None = None) -> Box:
    """The box grown or shrunk around its center and pushed back onto the canvas."""
    x, y = box.center
    return centered(x, y, box.width * factor_x, box.height * (factor_x if factor_y is None else factor_y))


def snap(box: Box, step: float) -> Box:
    """The box with its edges on multiples of `step` (0 < step <= 0.5), never thinner than one step."""
    if not 0 < step <= 0.5:
        raise EditError(f"a grid step must be above 0 and at most 0.5, not {step:g}")
    x0, y0, x1, y1 = (round(v / step) * step for v in (box.x0, box.y0, box.x1, box.y1))

    def side(low: float, high: float) -> tuple[float, float]:
        low, high = max(0.0, low), min(1.0, high)
        if high - low < step * 0.999:
            low = min(low, 1 - step)
            high = low + step
        return low, high

    (x0, x1), (y0, y1) = side(x0, x1), side(y0, y1)
    return Box(x0, y0, min(1.0, x1), min(1.0, y1))


def align(boxes: Sequence[Box], edge: Edge) -> list[Box]:
    """The boxes with one edge (or the center line) brought to that of their common bounds."""
    around = bounds(boxes)
    x, y = around.center

    def target(box: Box) -> Box:
        if edge == "left":
            return moved(box, around.x0 - box.x0, 0)
        if edge == "right":
            return moved(box, around.x1 - box.x1, 0)
        if edge == "top":
            return moved(box, 0, around.y0 - box.y0)
        if edge == "bottom":
            return moved(box, 0, around.y1 - box.y1)
        if edge == "center":
            return moved(box, x - box.center[0], 0)
        return moved(box, 0, y - box.center[1])

    return [target(box) for box in boxes]


def reorder(panel: Panel, element_id: str, place: Literal["front", "back", "forward", "backward"]) -> Panel:
    """The panel with an element's place in the back-to-front order changed."""
    ids = [element.id for element in panel.elements]
    if element_id not in ids:
        raise EditError(f"there is no element {element_id!r}; the panel has {', '.join(ids) or 'none'}")
    index = ids.index(element_id)
    last = len(ids) - 1
    to = {"front": last, "back": 0, "forward": min(last, index + 1), "backward": max(0, index - 1)}[place]
    elements = list(panel.elements)
    elements.insert(to, elements.pop(index))
    return with_fields(panel, elements=tuple(elements))


def free_box(panel: Panel, width: float = 0.3, height: float = 0.3, steps: int = 20) -> Box:
    """A box of this size where it covers least of the panel's elements, nearest to the middle."""
    best: tuple[float, float] | None = None
    found = centered(0.5, 0.5, width, height)
    for row in range(steps + 1):
        for column in range(steps + 1):
            box = centered(column / steps, row / steps, width, height)
            taken = sum(overlap(box, element.box) for element in panel.elements)
            x, y = box.center
            cost = (round(taken, 6), (x - 0.5) ** 2 + (y - 0.5) ** 2)
            if best is None or cost < best:
                best, found = cost, box
    return found
