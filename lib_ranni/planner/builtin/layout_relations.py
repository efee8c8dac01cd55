"""Whether a relation holds between rectangles, as a viewer (or GenEval) would judge it."""

from __future__ import annotations

from lib_ranni.planner.builtin.layout_rects import Rect, common_area
from lib_ranni.planner.builtin.story import Kind

CONTACT: frozenset[Kind] = frozenset({"on", "under", "front", "inside", "hold"})
"""Relations whose two rectangles may meet."""

_TOUCH = 0.02


def beside(first: Rect, second: Rect) -> bool:
    """`first` is left of `second`: no common column, and more to the side than up or down."""
    dx, dy = second.cx - first.cx, second.cy - first.cy
    return first.x1 <= second.x0 + 1e-6 and dx > abs(dy)


def over(first: Rect, second: Rect) -> bool:
    """`first` is above `second`: no common row, and more up than to the side."""
    dx, dy = second.cx - first.cx, second.cy - first.cy
    return first.y1 <= second.y0 + 1e-6 and dy > abs(dx)


def clears(kind: Kind, first: Rect, second: Rect) -> bool:
    """Whether `first` is wholly left of (or above) `second`, be it on a slant."""
    if kind == "left":
        return first.x1 <= second.x0 + 1e-6
    return kind == "above" and first.y1 <= second.y0 + 1e-6


def meets(first: Rect, second: Rect) -> bool:
    """Whether two rectangles overlap or nearly touch."""
    return (
        first.x0 < second.x1 + _TOUCH
        and second.x0 < first.x1 + _TOUCH
        and first.y0 < second.y1 + _TOUCH
        and second.y0 < first.y1 + _TOUCH
    )


def _inside(first: Rect, second: Rect) -> bool:
    return common_area(first, second) >= 0.9 * first.width * first.height


def _next(first: Rect, second: Rect) -> bool:
    """Side by side: some row in common, no column."""
    apart = first.x1 <= second.x0 + 1e-6 or second.x1 <= first.x0 + 1e-6
    return apart and min(first.y1, second.y1) > max(first.y0, second.y0)


def _between(subject: Rect, first: Rect, second: Rect) -> bool:
    return (beside(first, subject) and beside(subject, second)) or (
        beside(second, subject) and beside(subject, first)
    )


def holds(kind: Kind, subject: Rect, target: Rect, other: Rect | None = None) -> bool:
    """Whether `subject` stands in a relation to `target` (for `between`: and to `other`)."""
    if kind == "left":
        return beside(subject, target)
    if kind == "above":
        return over(subject, target)
    if kind == "on":
        return meets(subject, target) and subject.cy < target.cy
    if kind == "under":
        return meets(subject, target) and subject.cy > target.cy
    if kind == "inside":
        return _inside(subject, target)
    if kind == "between" and other is not None:
        return _between(subject, target, other)
    if kind in CONTACT:
        return meets(subject, target)
    return _next(subject, target)
