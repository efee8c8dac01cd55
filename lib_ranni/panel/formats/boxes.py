"""Four numbers for a box, whose meaning other tools leave to the reader: corners or sizes, pixels or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from lib_ranni.panel.formats.conversion import corners, is_number
from lib_ranni.panel.problems import Problems

Quad = tuple[float, float, float, float]
Order = Literal["corners", "size", "center"]

USUAL_CANVAS = 512
"""Side of the canvas that pixels are on when nothing tells: that of LLM-grounded diffusion."""

KEYS = ("box", "bbox", "bounding_box", "boundingBox", "bbox_2d", "location", "rect", "coordinates")

# The names of four numbers, and what they are.
_NAMED: tuple[tuple[tuple[str, str, str, str], Order], ...] = (
    (("x", "y", "w", "h"), "size"),
    (("x", "y", "width", "height"), "size"),
    (("left", "top", "width", "height"), "size"),
    (("x0", "y0", "x1", "y1"), "corners"),
    (("x1", "y1", "x2", "y2"), "corners"),
    (("xmin", "ymin", "xmax", "ymax"), "corners"),
    (("x_min", "y_min", "x_max", "y_max"), "corners"),
    (("left", "top", "right", "bottom"), "corners"),
    (("cx", "cy", "w", "h"), "center"),
    (("cx", "cy", "width", "height"), "center"),
)
_CANVASES = (768, 1000, 1024, 1280, 1536, 2048, 4096)


class Entry(Struct, frozen=True):
    """A thing with its box as it was written; `order` is None where the numbers have no names."""

    path: str
    fields: dict[str, Any]
    numbers: Quad
    order: Order | None


def quad(value: Any) -> Quad | None:
    """Four numbers, or None."""
    if not isinstance(value, (list, tuple)) or len(value) != 4 or not all(map(is_number, value)):
        return None
    a, b, c, d = map(float, value)
    return a, b, c, d


def sides_of(item: Mapping[str, Any]) -> tuple[Quad, Order | None] | None:
    """The box of an object: under one of `KEYS`, or its numbers by name; None if it has none."""
    for key in KEYS:
        value = item.get(key)
        if isinstance(value, dict):
            return _by_name(value)
        numbers = quad(value)
        if numbers is not None:
            return numbers, "corners" if key == "bbox_2d" else None
    return _by_name(item)


def _by_name(item: Mapping[str, Any]) -> tuple[Quad, Order | None] | None:
    for names, order in _NAMED:
        numbers = quad([item.get(name) for name in names])
        if numbers is not None:
            return numbers, order
    return None


def resolved(
    entries: Sequence[Entry], size: tuple[float, float] | None, problems: Problems
) -> list[dict[str, Any]]:
    """Elements of a panel document, their boxes in 0..1. All of them are read alike.

    `size` is that of the canvas in pixels, if it is known.
    """
    if not entries:
        return []
    unit = _unit(entries, size, problems)
    order = _order(entries, unit, problems)
    elements = []
    for entry in entries:
        x0, y0, x1, y1 = _corners(entry.numbers, entry.order or order)
        if x1 <= x0 or y1 <= y0:
            problems.add(entry.path, "has no extent", "left out")
            continue
        box = corners(x0 / unit[0], y0 / unit[1], x1 / unit[0], y1 / unit[1])
        elements.append({**entry.fields, "box": box})
    return elements


def _unit(
    entries: Sequence[Entry], size: tuple[float, float] | None, problems: Problems
) -> tuple[float, float]:
    """What the numbers are divided by: 1 for fractions, else the canvas in pixels."""
    numbers = [number for entry in entries for number in entry.numbers]
    most = max(map(abs, numbers))
    # A fraction may stick out a little; whole numbers up to 1 are fractions too.
    if most <= 1 or (most <= 2 and not all(number.is_integer() for number in numbers)):
        return 1.0, 1.0
    if size is not None:
        return size
    if most <= USUAL_CANVAS:
        return float(USUAL_CANVAS), float(USUAL_CANVAS)
    side = float(next((canvas for canvas in _CANVASES if most <= canvas), most))
    problems.add("", "does not tell the size of its canvas", f"read as {side:g} by {side:g} pixels")
    return side, side


def _order(entries: Sequence[Entry], unit: tuple[float, float], problems: Problems) -> Order:
    """What numbers without names are."""
    unnamed = [entry.numbers for entry in entries if entry.order is None]
    usual, other = _CORNERS_FIRST if unit == (1.0, 1.0) else _SIZE_FIRST

    def fits(order: Order) -> bool:
        return all(_on_canvas(_corners(numbers, order), unit) for numbers in unnamed)

    if fits(usual) or not fits(other):
        return usual
    what = {"corners": "two corners", "size": "a corner and a size", "center": "a center and a size"}[other]
    problems.add("", f"has boxes that fit the canvas only as {what}", "read so")
    return other


_CORNERS_FIRST: tuple[Order, Order] = ("corners", "size")
_SIZE_FIRST: tuple[Order, Order] = ("size", "corners")


def _on_canvas(box: Quad, unit: tuple[float, float]) -> bool:
    """Whether the box has an extent and sticks out by no more than rounding explains."""
    x0, y0, x1, y1 = box
    slack = 0.01
    wide = x0 < x1 <= unit[0] * (1 + slack) and x0 >= -slack * unit[0]
    return wide and y0 < y1 <= unit[1] * (1 + slack) and y0 >= -slack * unit[1]


def _corners(numbers: Quad, order: Order) -> Quad:
    return _READINGS[order](*numbers)


_READINGS: dict[Order, Callable[[float, float, float, float], Quad]] = {
    "corners": lambda x0, y0, x1, y1: (x0, y0, x1, y1),
    "size": lambda x, y, width, height: (x, y, x + width, y + height),
    "center": lambda x, y, width, height: (
        *(x - width / 2, y - height / 2),
        *(x + width / 2, y + height / 2),
    ),
}
