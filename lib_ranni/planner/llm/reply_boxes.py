"""Four numbers of a model's reply as a place on the canvas, however it wrote them.

A model is asked for two corners in thousandths. What else it may have meant, fractions, pixels or a corner
and a size, is decided over all boxes of its reply.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lib_ranni.panel.formats.boxes import KEYS, Order, Quad, sides_of
from lib_ranni.panel.formats.conversion import corners, is_number

_KEYS = (*KEYS, "box_2d", "bbox2d", "bounds", "position", "place", "coords", "region", "area", "xyxy")
_CORNER_NAMES = (("top_left", "bottom_right"), ("topLeft", "bottomRight"), ("min", "max"), ("start", "end"))
_NUMBER = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})(%?)")
_CANVASES = (1024, 1152, 1216, 1280, 1344, 1536, 1920, 2048, 4096, 8192)
_THOUSAND = 1000.0
_NEAR_THOUSAND = 1100.0


class Written(Struct, frozen=True):
    """A box as it was written: `order` is None where the numbers have no names.

    `relative` says that the numbers are fractions whatever the others are, as percentages are.
    """

    numbers: Quad
    order: Order | None = None
    relative: bool = False


class Scale(Struct, frozen=True):
    """How the boxes of a reply are read: the canvas they are on, the order of their numbers, and why."""

    width: float = _THOUSAND
    height: float = _THOUSAND
    order: Order = "corners"
    note: str = ""


def box_in(item: dict[str, Any]) -> Written | None:
    """The box of an object, under one of many names or with its numbers as members."""
    for key in _KEYS:
        written = box_of(item.get(key))
        if written is not None:
            if key == "box_2d":
                # Gemini's and Gemma's own form begins with y.
                y0, x0, y1, x1 = written.numbers
                return Written((x0, y0, x1, y1), "corners", written.relative)
            return written
    return _by_name(item)


def box_of(value: Any) -> Written | None:
    """Four numbers: in a list, as two points, in a text or by name."""
    if isinstance(value, dict):
        for first, last in _CORNER_NAMES:
            if first in value and last in value:
                return box_of([value[first], value[last]])
        return _by_name(value)
    if isinstance(value, str):
        if len(value) > 200:
            return None
        parts: Any = [match[0] for match in _NUMBER.finditer(unicodedata.normalize("NFKC", value))]
    elif isinstance(value, list):
        parts = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        if 2 <= len(parts) <= 100 and isinstance(parts[0], (list, dict)):
            parts = _around([_point(point) for point in parts])
    else:
        return None
    return _four(parts)


def _point(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return [value.get("x"), value.get("y")]
    return value if isinstance(value, list) else ()


def _around(points: Sequence[Sequence[Any]]) -> list[Any]:
    """Two points as they are; of more, the corners of the box around them."""
    if len(points) == 2:
        return [side for point in points for side in point]
    if not all(len(point) == 2 and all(map(is_number, point)) for point in points):
        return []
    xs, ys = zip(*points, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def _by_name(item: dict[str, Any]) -> Written | None:
    scalars = {key: value for key, value in item.items() if isinstance(value, (int, float, str))}
    numbers: dict[str, float] = {}
    relative = False
    for key, value in scalars.items():
        number, percent = _number(value)
        if number is not None:
            numbers[key] = number
            relative = relative or percent
    if "x2" in numbers and "x1" not in numbers:
        numbers |= {new: numbers[old] for old, new in (("x", "x1"), ("y", "y1")) if old in numbers}
    found = sides_of(numbers)
    return None if found is None else Written(*found, relative)


def _four(parts: Any) -> Written | None:
    if not isinstance(parts, list) or len(parts) != 4:
        return None
    read = [_number(part) for part in parts]
    a, b, c, d = (number for number, _ in read)
    if a is None or b is None or c is None or d is None:
        return None
    return Written((a, b, c, d), relative=any(percent for _, percent in read))


def _number(value: Any) -> tuple[float | None, bool]:
    """The number, and whether it is a percentage."""
    if isinstance(value, str) and len(value) <= 40:
        match = _NUMBER.fullmatch(unicodedata.normalize("NFKC", value).strip().removesuffix("px"))
        if match is None:
            return None, False
        number = float(match[0].rstrip("%"))
        return (number / 100, True) if match[1] else (number, False)
    return (float(value), False) if is_number(value) else (None, False)


def scale_of(
    boxes: Sequence[Written], aspect: float, size: tuple[float, float] | None = None, whole: bool = True
) -> Scale:
    """How to read these boxes. `size` is that of the canvas if it is told; a reply not `whole` has others."""
    absolute = [box for box in boxes if not box.relative]
    width, height, note = _unit(absolute, aspect, size, whole)
    scale = Scale(width, height, note=note)
    unnamed = [box for box in absolute if box.order is None]
    turned = [box for box in unnamed if _extent(box, scale) < 0]
    as_sizes = Scale(width, height, "size")
    fits = all(max(rectangle(box, as_sizes)[2:]) <= 1.01 for box in unnamed)
    if len(turned) >= 2 and len(turned) * 2 > len(unnamed) and fits:
        notes = (note, "the boxes were read as a corner and a size")
        return Scale(width, height, "size", "; ".join(filter(None, notes)))
    return scale


def _extent(box: Written, scale: Scale) -> float:
    x0, y0, x1, y1 = rectangle(box, scale)
    return min(x1 - x0, y1 - y0)


def _unit(
    boxes: Sequence[Written], aspect: float, size: tuple[float, float] | None, whole: bool
) -> tuple[float, float, str]:
    numbers = [number for box in boxes for number in box.numbers]
    most = max(numbers, default=_THOUSAND)
    if most <= 1 or (most <= 2 and not all(number.is_integer() for number in numbers)):
        return 1.0, 1.0, "the boxes were read as fractions of the canvas"
    beyond = [number for number in numbers if number > _THOUSAND]
    if size is not None and beyond:
        return *size, f"the boxes were read as pixels of {size[0]:g} by {size[1]:g}"
    if whole and len(boxes) > 1 and most <= 100 and _spans(boxes, 60):
        return 100.0, 100.0, "the boxes were read as percentages"
    if not beyond or (len(beyond) == 1 and (len(boxes) > 1 or most <= _NEAR_THOUSAND)):
        return _THOUSAND, _THOUSAND, ""
    across = max(max(box.numbers[0], box.numbers[2]) for box in boxes)
    down = max(max(box.numbers[1], box.numbers[3]) for box in boxes)
    least = max(across, down * aspect)
    width = next((float(canvas) for canvas in _CANVASES if least <= canvas * 1.01), least)
    height = width / aspect
    return width, height, f"the boxes were read as pixels of {width:g} by {height:.0f}"


def _spans(boxes: Sequence[Written], extent: float) -> bool:
    """Whether the boxes together are wider and higher than this."""
    xs = [number for box in boxes for number in box.numbers[::2]]
    ys = [number for box in boxes for number in box.numbers[1::2]]
    return max(xs) - min(xs) > extent and max(ys) - min(ys) > extent


def rectangle(box: Written, scale: Scale) -> Quad:
    """The two corners in 0..1 of the canvas as they were written, be they off it or swapped."""
    width, height = (1.0, 1.0) if box.relative else (scale.width, scale.height)
    a, b, c, d = box.numbers
    a, b, c, d = a / width, b / height, c / width, d / height
    order = box.order or scale.order
    if order == "size":
        return a, b, a + c, b + d
    if order == "center":
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return a, b, c, d


def document_box(box: Written, scale: Scale) -> dict[str, float] | None:
    """The box as a panel document writes it; None if it is a single point."""
    x0, y0, x1, y1 = rectangle(box, scale)
    if x0 == x1 and y0 == y1:
        return None
    return corners(x0, y0, x1, y1)
