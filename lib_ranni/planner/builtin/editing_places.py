"""Where on the canvas the words for a place are: shifts, absolute places, places beside other elements."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from lib_ranni.errors import EditError
from lib_ranni.panel.geometry import bounds, centered
from lib_ranni.panel.types import Box
from lib_ranni.planner.builtin.layout_rects import Rect, common_area
from lib_ranni.planner.builtin.story import Spot

MARGIN = 0.02
"""Space to the canvas' edge and to neighbors, in 0..1 of the canvas."""

_STEPS = 12
_LEAST = 0.02
_SIDES = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1), "under": (0, 1)}
_CONTACT = 0.15
"""Share of its height that something on top of another reaches into it."""

Size = tuple[float, float]


class Range(Struct, frozen=True):
    """Where a box's center may be, in 0..1, and where it is best."""

    x: tuple[float, float]
    y: tuple[float, float]
    best: tuple[float, float]


def _axis(place: float | None, size: float, best: float) -> tuple[float, float, float]:
    """(lowest, highest, best) center along an axis for a place of 0, 0.5, 1 or anywhere."""
    low, high = size / 2, 1 - size / 2
    if place is None:
        return low, high, min(high, max(low, best))
    if place == 0.5:
        return 0.5, 0.5, 0.5
    reach = min(0.15, (high - low) / 2)
    margin = min(MARGIN, reach)
    if place < 0.5:
        return low, low + reach, low + margin
    return high - reach, high, high - margin


def spot_range(spot: Spot, size: Size, best: tuple[float, float] = (0.5, 0.5)) -> Range:
    """The part of the canvas that an absolute place means for a box of this size."""
    x0, x1, x = _axis(spot.x, size[0], best[0])
    y0, y1, y = _axis(spot.y, size[1], best[1])
    return Range((x0, x1), (y0, y1), (x, y))


def _outward(sign: int, size: float, low: float, high: float) -> tuple[float, float, float] | None:
    """(lowest, highest, best) center on one side of what reaches from low to high; None if it is no room."""
    middle = (low + high) / 2
    if sign < 0:
        best = min(low - size / 2 - MARGIN, 1 - size / 2)
        best = max(best, size / 2)
        return (size / 2, best, best) if best < middle - _LEAST / 2 else None
    best = max(high + size / 2 + MARGIN, size / 2)
    best = min(best, 1 - size / 2)
    return (best, 1 - size / 2, best) if best > middle + _LEAST / 2 else None


def _beside(relation: str, size: Size, target: Box) -> Range | None:
    """The range on a side of a target; None where the canvas ends too soon."""
    dx, dy = _SIDES[relation]
    x, y = target.center
    if dx:
        along = _outward(dx, size[0], target.x0, target.x1)
        reach, low, high = target.height / 2, size[1] / 2, 1 - size[1] / 2
    else:
        along = _outward(dy, size[1], target.y0, target.y1)
        reach, low, high = target.width / 2, size[0] / 2, 1 - size[0] / 2
    if along is None:
        return None
    across = y if dx else x
    best = min(high, max(low, across))
    span = (min(best, max(low, across - reach)), max(best, min(high, across + reach)))
    if dx:
        return Range(along[:2], span, (along[2], best))
    return Range(span, along[:2], (best, along[2]))


def _close(place: Range | None) -> Range | None:
    """The part of a range that is near its best point."""
    if place is None:
        return None
    (x, y), reach = place.best, 2 * MARGIN
    return Range(
        (max(place.x[0], x - reach), min(place.x[1], x + reach)),
        (max(place.y[0], y - reach), min(place.y[1], y + reach)),
        place.best,
    )


def _over(size: Size, target: Box, y: float) -> Range:
    """The range across a target's width at one height."""
    y = min(1 - size[1] / 2, max(size[1] / 2, y))
    low, high = size[0] / 2, 1 - size[0] / 2
    x0, x1 = (min(high, max(low, side)) for side in (target.x0, target.x1))
    return Range((x0, x1), (y, y), (min(high, max(low, target.center[0])), y))


def ranges(relation: str, size: Size, targets: Sequence[Box], now: tuple[float, float] | None) -> list[Range]:
    """Where a box of this size stands so; several to choose from, or none if the canvas has no room.

    `now` is where the box is, which decides between two sides.
    """
    target = bounds(targets)
    x, y = target.center
    if relation in _SIDES:
        found = [_beside(relation, size, target)]
    elif relation == "on":
        on = _over(size, target, target.y0 - size[1] * (0.5 - _CONTACT))
        found = [on if on.best[1] < y else None]
    elif relation == "between":
        found = [_between(size, targets)]
    elif relation in {"front", "behind"}:
        edge = target.y1 - size[1] / 3 if relation == "front" else target.y0 + size[1] / 3
        found = [_over(size, target, edge)]
    elif relation == "inside":
        dx, dy = (max(0.0, (a - b) / 2) for a, b in ((target.width, size[0]), (target.height, size[1])))
        found = [Range((x - dx, x + dx), (y - dy, y + dy), (x, y))]
    else:
        sides = ("left", "right") if now is not None and now[0] < x else ("right", "left")
        found = [_close(_beside(side, size, target)) for side in (*sides, "above", "below")]
    return [place for place in found if place is not None]


def _between(size: Size, targets: Sequence[Box]) -> Range:
    first, last = targets[0], targets[-1]
    (x, y), (u, v) = first.center, last.center
    middle = ((x + u) / 2, (y + v) / 2)
    # The middle of the gap, where there is one, touches neither.
    if first.x1 < last.x0 or last.x1 < first.x0:
        middle = ((min(first.x1, last.x1) + max(first.x0, last.x0)) / 2, middle[1])
    if first.y1 < last.y0 or last.y1 < first.y0:
        middle = (middle[0], (min(first.y1, last.y1) + max(first.y0, last.y0)) / 2)
    x = min(1 - size[0] / 2, max(size[0] / 2, middle[0]))
    y = min(1 - size[1] / 2, max(size[1] / 2, middle[1]))
    reach_x, reach_y = (abs(u - first.center[0]) / 4, abs(v - first.center[1]) / 4)
    if abs(u - first.center[0]) > abs(v - first.center[1]):
        return Range((x, x), (max(size[1] / 2, y - reach_x), min(1 - size[1] / 2, y + reach_x)), (x, y))
    return Range((max(size[0] / 2, x - reach_y), min(1 - size[0] / 2, x + reach_y)), (y, y), (x, y))


def freest(places: Sequence[Range], size: Size, taken: Sequence[Box]) -> Box:
    """The box in these ranges that covers least of `taken`; of equals, the nearest to a range's best."""
    best: tuple[float, int, float] | None = None
    found: Box | None = None
    rects = [Rect(b.x0, b.y0, b.x1, b.y1) for b in taken]
    for order, place in enumerate(places):
        for x, y in _points(place):
            box = centered(x, y, *size)
            rect = Rect(box.x0, box.y0, box.x1, box.y1)
            covered = round(sum(common_area(rect, other) for other in rects), 3)
            cost = (covered, order, (x - place.best[0]) ** 2 + (y - place.best[1]) ** 2)
            if best is None or cost < best:
                best, found = cost, box
        if best is not None and best[0] == 0:
            break
    if found is None:
        raise EditError("there is no room on the canvas for this; make something smaller first")
    return found


def _points(place: Range) -> list[tuple[float, float]]:
    """The best point, then a grid over the range."""

    def spread(low: float, high: float) -> list[float]:
        if high - low < 1e-9:
            return [low]
        return [low + (high - low) * n / _STEPS for n in range(_STEPS + 1)]

    xs, ys = sorted({*spread(*place.x), place.best[0]}), sorted({*spread(*place.y), place.best[1]})
    return [place.best, *((x, y) for x in xs for y in ys)]
