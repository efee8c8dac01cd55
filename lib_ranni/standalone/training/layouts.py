"""Scenes laid out as panels: what a picture of a caption shows where its panel is followed to the letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from lib_ranni.evaluation.scenes import BACKGROUNDS, Scene, SceneObject, drawn_bounds
from lib_ranni.evaluation.suite import element_name
from lib_ranni.panel.types import Box, Element, clamped_box, with_fields
from lib_ranni.standalone.training.layout_noise import Reading

MARGIN = 0.015
"""Between an object and the border of the canvas."""
SMALLEST, LARGEST = 0.26, 0.75
"""Sizes of an object alone."""
GAP = 0.02
"""Between the bounds of objects, which shrink until they have it."""

_PLACED = re.compile(r"\b(corner|at the (top|bottom)|on the (left|right)(?! of)|in the center)\b")
_SIZED = re.compile(r"\b(large|big|small)\b")


def named_background(text: str) -> str | None:
    """The background that a text names, if it does."""
    found = re.search(rf"\b({'|'.join(BACKGROUNDS)}) background", text)
    return found[1] if found else None


def moved(elements: Sequence[Element], text: str, reading: Reading) -> list[Element]:
    """An element alone, as large and where the noise says; others, or where a text says it, as they are."""
    if len(elements) != 1 or _PLACED.search(text):
        return list(elements)
    side, own = SMALLEST + (LARGEST - SMALLEST) * reading.size, elements[0].box
    if _SIZED.search(text):
        side = min(LARGEST, max(own.x1 - own.x0, own.y1 - own.y0))
    x, y = (MARGIN + share * (1 - 2 * MARGIN - side) for share in (reading.x, reading.y))
    box = clamped_box(x, y, x + side, y + side)
    return list(elements) if box is None else [with_fields(elements[0], box=box)]


def _fitting(name: str, box: Box) -> SceneObject:
    """The object of this name that overlaps the box best: as large and about the same center."""
    color, shape = name.split(" ")
    x0, y0, x1, y1 = drawn_bounds(SceneObject(shape, color, 0.5, 0.5, 1.0))
    width, height = box.x1 - box.x0, box.y1 - box.y0
    size = (width * height / ((x1 - x0) * (y1 - y0))) ** 0.5
    size = min(size, room_of(box) / max(x1 - x0, y1 - y0))
    x = (box.x0 + box.x1) / 2 - ((x0 + x1) / 2 - 0.5) * size
    y = (box.y0 + box.y1) / 2 - ((y0 + y1) / 2 - 0.5) * size
    return SceneObject(shape, color, x, y, size)


def room_of(box: Box) -> float:
    """The side of the largest square about a box's center that lies on the canvas."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return 2 * min(x, y, 1 - x, 1 - y)


def _shrunk(item: SceneObject, factor: float) -> SceneObject:
    x0, y0, x1, y1 = drawn_bounds(item)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    size = item.size * factor
    return SceneObject(item.shape, item.color, x + (item.x - x) * factor, y + (item.y - y) * factor, size)


def _meet(first: SceneObject, second: SceneObject) -> bool:
    a, b = drawn_bounds(first), drawn_bounds(second)
    return all(a[i] < b[i + 2] + GAP and b[i] < a[i + 2] + GAP for i in (0, 1))


def scene_of(elements: Sequence[Element], background: str) -> Scene | None:
    """The scene whose objects fit the elements' boxes; None where one is no shape or they leave no room."""
    objects = []
    for element in elements:
        name = element_name(element.description)
        if name is None or name.split(" ")[0] == background:
            return None
        objects.append(_fitting(name, element.box))
    for _ in range(12):
        meeting = {
            i
            for pair in combinations(range(len(objects)), 2)
            if _meet(*(objects[i] for i in pair))
            for i in pair
        }
        if not meeting:
            return Scene(background, tuple(objects))
        objects = [_shrunk(item, 0.92) if i in meeting else item for i, item in enumerate(objects)]
    return None
