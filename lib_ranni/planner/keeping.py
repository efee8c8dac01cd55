"""The locked elements of a panel in a plan that was made without knowing of them."""

from __future__ import annotations

from collections.abc import Callable

from lib_ranni.panel.color_words import COLORS
from lib_ranni.panel.types import MAX_ELEMENTS, Element, Panel, with_fields
from lib_ranni.planner.builtin.editing_references import head_of
from lib_ranni.planner.builtin.english_words import tokenize

_MOST_READ = 300
"""Characters of a description that are looked at for colors."""


def with_locked(before: Panel, planned: Panel) -> Panel:
    """The plan with the locked elements of `before` in it, bit for bit and in their order.

    Each takes the place of one planned element that is the same thing, if there is one: of two planned
    apples one stays beside a locked apple. It stands in front of the planned elements that are larger.
    Planned elements get other ids where theirs are taken; what is more than `MAX_ELEMENTS` is left out, the
    planned ones in front first.
    """
    locked = [element for element in before.elements if element.locked]
    if not locked:
        return planned
    rest = _others(locked, list(planned.elements))[: MAX_ELEMENTS - len(locked)]
    return with_fields(planned, elements=tuple(_placed(locked, _renamed(locked, rest))))


def _others(locked: list[Element], planned: list[Element]) -> list[Element]:
    """The planned elements without those that are locked ones; the surest matches are made first."""
    left, free = list(planned), list(locked)
    same: Callable[[Element, Element], bool]
    for same in (_same_words, _same_thing):
        for element in list(free):
            twins = [twin for twin in left if same(element, twin)]
            if twins:
                left.remove(min(twins, key=lambda twin: _distance(element, twin)))
                free.remove(element)
    return left


def _same_words(locked: Element, planned: Element) -> bool:
    return _words(locked) == _words(planned)


def _words(element: Element) -> str:
    return " ".join(element.description.casefold().split())


def _same_thing(locked: Element, planned: Element) -> bool:
    """Whether both are of one noun, and not of colors that have nothing in common."""
    head = head_of(locked.description)
    if not head or head_of(planned.description) != head:
        return False
    one, other = _colors(locked), _colors(planned)
    return not one or not other or bool(one & other)


def _colors(element: Element) -> frozenset[str]:
    """The colors that an element's words name; those it is given where they name none."""
    tokens = tokenize(element.description[:_MOST_READ])
    named = frozenset(COLORS[token.lower] for token in tokens if token.lower in COLORS)
    return named or frozenset(element.colors)


def _distance(one: Element, other: Element) -> float:
    (x, y), (u, v) = one.box.center, other.box.center
    return (x - u) ** 2 + (y - v) ** 2


def _renamed(locked: list[Element], planned: list[Element]) -> list[Element]:
    """The planned elements, with fresh ids for those whose own is a locked one's."""
    taken = {element.id for element in locked}
    used = taken | {element.id for element in planned}
    renamed, number = [], 1
    for element in planned:
        if element.id in taken:
            while f"e{number}" in used:
                number += 1
            used.add(f"e{number}")
            element = with_fields(element, id=f"e{number}")
        renamed.append(element)
    return renamed


def _placed(locked: list[Element], planned: list[Element]) -> list[Element]:
    """All from back to front: a locked one right before the planned ones that are all smaller than it."""
    placed: list[Element] = []
    start = 0
    for element in locked:
        larger = [n for n, other in enumerate(planned) if other.box.area > element.box.area]
        end = max(start, larger[-1] + 1 if larger else 0)
        placed += [*planned[start:end], element]
        start = end
    return [*placed, *planned[start:]]
