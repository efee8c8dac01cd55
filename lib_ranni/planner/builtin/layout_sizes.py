"""How large things are by nature, and how several of one thing are arranged."""

from __future__ import annotations

from functools import lru_cache

from lib_ranni.planner.builtin.layout_rects import Rect
from lib_ranni.planner.builtin.lexicon import load
from lib_ranni.planner.builtin.story import Thing

GAP = 0.25
"""Space between neighbors, in units of a medium-sized thing."""

LARGE, SMALL = 1.2, 0.8
MANY = 1.3


@lru_cache(maxsize=4096)
def listed(section: str, head: str) -> bool:
    """Whether a noun is in a section of its language's word list; a Chinese noun by its last characters."""
    if head.isascii():
        return load("en").has(section, head)
    words = load("zh").sets[section]
    return any(head[start:] in words for start in range(len(head)))


def is_plain_shape(thing: Thing) -> bool:
    """A circle, square, star, ...: its box is square in pixels."""
    return listed("plain_shapes", thing.head)


def natural_size(thing: Thing) -> tuple[float, float]:
    """(width, height) of one of it; 1 is a medium-sized thing."""
    scale, width, height = thing.size, 1.0, 1.0
    if thing.many and thing.count == 1:
        scale *= MANY
    if not is_plain_shape(thing):
        if listed("large_things", thing.head):
            scale *= LARGE
        elif listed("small_things", thing.head):
            scale *= SMALL
        if listed("tall_things", thing.head):
            width, height = 0.65, 1.15
        elif listed("wide_things", thing.head):
            width, height = 1.25, 0.8
    if thing.count > 1:
        scale *= 0.8 if thing.count <= 4 else 0.65 if thing.count <= 9 else 0.55
    return width * scale, height * scale


def best_columns(count: int, cell: tuple[float, float], aspect: float) -> int:
    """How many columns let `count` cells be largest on an area of this aspect."""
    width, height = cell[0] + GAP, cell[1] + GAP

    def extent(columns: int) -> tuple[float, int]:
        rows = -(-count // columns)
        return max(columns * width / aspect, rows * height), columns * rows - count

    return min(range(1, count + 1), key=extent)


def group_size(count: int, cell: tuple[float, float], columns: int) -> tuple[float, float]:
    """Size of the whole arrangement."""
    rows = -(-count // columns)
    return columns * (cell[0] + GAP) - GAP, rows * (cell[1] + GAP) - GAP


def instances(count: int, cell: tuple[float, float], columns: int, area: Rect) -> list[Rect]:
    """The arrangement put on an area: row by row, a short last row centered."""
    whole = group_size(count, cell, columns)
    fx, fy = area.width / whole[0], area.height / whole[1]
    found = []
    for index in range(count):
        row, column = divmod(index, columns)
        filled = min(columns, count - row * columns)
        x = (column + (columns - filled) / 2) * (cell[0] + GAP)
        y = row * (cell[1] + GAP)
        left, top = area.x0 + x * fx, area.y0 + y * fy
        found.append(Rect(left, top, left + cell[0] * fx, top + cell[1] * fy))
    return found
