"""Scenes as texts and panels ask for them: of one object on a lattice, and such as follow a panel."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations

from lib_ranni.evaluation.captions import LARGE, SMALL, place_words
from lib_ranni.evaluation.scenes import BACKGROUNDS, Scene, SceneObject, drawn_bounds
from lib_ranni.evaluation.suite import element_name
from lib_ranni.panel.types import Box, Element

MARGIN = 0.015
"""Between an object and the border of the canvas."""
LATTICE: tuple[tuple[float, int], ...] = ((0.4, 3), (0.66, 2), (0.22, 1))
"""Sizes of an object alone, and at how many places along each axis it may be."""
GAP = 0.02
"""Between the bounds of objects, which shrink until they have it."""

SIZED = re.compile(r"\b(small|large|big)\b")
_PLACES = ("corner", "at the top", "at the bottom", "on the left", "on the right", "in the center")


def named_background(text: str) -> str | None:
    """The background that a text names, if it does."""
    found = re.search(rf"\b({'|'.join(BACKGROUNDS)}) background", text)
    return found[1] if found else None


def possible_backgrounds(text: str, colors: set[str]) -> list[str]:
    """The backgrounds that objects of these colors may have under a text."""
    named = named_background(text)
    return [name for name in BACKGROUNDS if name == named or (named is None and name not in colors)]


def _places() -> tuple[tuple[float, float, float], ...]:
    found = []
    for size, count in LATTICE:
        low, high = MARGIN + size / 2, 1 - MARGIN - size / 2
        along = [low + (high - low) * n / (count - 1) for n in range(count)] if count > 1 else [0.5]
        found += [(x, y, size) for y in along for x in along]
    return tuple(sorted(found, key=lambda place: round(math.dist(place[:2], (0.5, 0.5)), 6)))


PLACES = _places()
"""(x, y, size) of an object alone, the most central ones first, and of those the usual size."""


def all_lone_scenes(shape: str, color: str) -> list[Scene]:
    """The scenes of one object at all places, on all backgrounds it may have."""
    return [
        Scene(background, (SceneObject(shape, color, *place),))
        for place in PLACES
        for background in possible_backgrounds("", {color})
    ]


def lone_scenes(shape: str, color: str, text: str) -> list[Scene]:
    """The scenes of one object of which a text is true: at the most central place, on all backgrounds."""
    items = [SceneObject(shape, color, *place) for place in PLACES]
    item = next(item for item in items if _true_of(text, item))
    return [Scene(background, (item,)) for background in possible_backgrounds(text, {color})]


def _true_of(text: str, item: SceneObject) -> bool:
    if re.search(r"\b(large|big)\b", text) and item.size < LARGE:
        return False
    if re.search(r"\bsmall\b", text) and item.size > SMALL:
        return False
    placed = any(words in text for words in _PLACES)
    return not placed or place_words(item) in text


def _fitting(name: str, box: Box) -> SceneObject:
    """The object of this name that overlaps the box best: as large and about the same center."""
    color, shape = name.split(" ")
    x0, y0, x1, y1 = drawn_bounds(SceneObject(shape, color, 0.5, 0.5, 1.0))
    width, height = box.x1 - box.x0, box.y1 - box.y0
    size = (width * height / ((x1 - x0) * (y1 - y0))) ** 0.5
    size = min(size, _room_of(box) / max(x1 - x0, y1 - y0))
    x = (box.x0 + box.x1) / 2 - ((x0 + x1) / 2 - 0.5) * size
    y = (box.y0 + box.y1) / 2 - ((y0 + y1) / 2 - 0.5) * size
    return SceneObject(shape, color, x, y, size)


def _room_of(box: Box) -> float:
    """The side of the largest square about a box's center that lies on the canvas."""
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return 2 * min(x, y, 1 - x, 1 - y)


def _shrunk(item: SceneObject, factor: float) -> SceneObject:
    x0, y0, x1, y1 = drawn_bounds(item)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    place = (x + (item.x - x) * factor, y + (item.y - y) * factor)
    return SceneObject(item.shape, item.color, *place, item.size * factor)


def _meet(first: SceneObject, second: SceneObject) -> bool:
    a, b = drawn_bounds(first), drawn_bounds(second)
    return all(a[i] < b[i + 2] + GAP and b[i] < a[i + 2] + GAP for i in (0, 1))


def panel_scene(elements: Sequence[Element], background: str) -> Scene | None:
    """The scene whose objects fit the elements' boxes; None where one is no shape or they leave no room."""
    objects = []
    for element in elements:
        name = element_name(element.description)
        if name is None or name.split(" ")[0] == background:
            return None
        objects.append(_fitting(name, element.box))
    for _ in range(12):
        pairs = combinations(range(len(objects)), 2)
        meeting = {n for i, j in pairs if _meet(objects[i], objects[j]) for n in (i, j)}
        if not meeting:
            return Scene(background, tuple(objects))
        objects = [_shrunk(item, 0.92) if i in meeting else item for i, item in enumerate(objects)]
    return None
