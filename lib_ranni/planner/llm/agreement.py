"""What a plan gets wrong about its prompt, as the built-in planner reads both.

It speaks only when it is sure: where another word for a thing, several things in one element, or an element
that was not understood could explain the difference, it says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from lib_ranni.panel.types import MAX_TEXT, Element, Panel
from lib_ranni.planner.builtin.english_words import is_plural, number_of, singular
from lib_ranni.planner.builtin.planner import read_prompt
from lib_ranni.planner.builtin.story import MAX_COUNT, Link, Story, Thing

_MOST_ELEMENTS = 100
_MOST_WORDS = 300
"""Longer plans and more of a description are not looked at."""

_ASIDE = 0.02
"""How far a center may be on the wrong side before a relation counts as violated."""

_SHADES = {
    "grey": "gray",
    "charcoal": "gray",
    "golden": "gold",
    "blonde": "blond",
    "crimson": "red",
    "scarlet": "red",
    "burgundy": "red",
    "maroon": "red",
    "violet": "purple",
    "lavender": "purple",
    "lilac": "purple",
    "indigo": "purple",
    "navy": "blue",
    "azure": "blue",
    "olive": "green",
    "lime": "green",
    "ivory": "white",
    "cream": "white",
}
_PLAIN = frozenset(
    ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
)
"""Colors that no other of them is a shade of."""

_SEVERAL = frozenset(
    (
        *(
            "many",
            "several",
            "some",
            "few",
            "group",
            "row",
            "pair",
            "pile",
            "stack",
            "bunch",
            "herd",
            "flock",
        ),
        *("couple", "set", "cluster", "crowd", "line", "trio", "both", "dozen", "multiple", "various"),
    )
)


class _Seen(Struct, frozen=True):
    """An element as it was understood: the thing it is, or things, and whether it may be several of it."""

    element: Element
    heads: frozenset[str]
    first: str
    count: int
    several: bool
    colors: frozenset[str]


def disagreements(prompt: str, panel: Panel) -> tuple[str, ...]:
    """What the panel gets wrong about the prompt, each as a sentence; nothing where that is not certain."""
    if len(panel.elements) > _MOST_ELEMENTS:
        return ()
    prompt = prompt[:MAX_TEXT]
    story = read_prompt(prompt)
    if not story.things or len({_name(thing) for thing in story.things}) < len(story.things):
        return ()
    own = {" ".join(thing.text.split()): thing for thing in story.things}
    seen = [_seen(element, own.get(element.description)) for element in panel.elements]
    placed = [_of(thing, story, seen) for thing in story.things]
    if missed := _nothing_of_it(story, panel):
        return missed
    found = [*_counts(prompt, story, placed, seen, panel), *_colors(story, placed)]
    found += _relations(story, placed)
    return tuple(dict.fromkeys(found))


def _nothing_of_it(story: Story, panel: Panel) -> tuple[str, ...]:
    """What a plan of something else lacks: other words may stand for one thing, hardly for all of several."""
    heads = list(dict.fromkeys(_name(thing)[0] for thing in story.things))
    everywhere = " ".join((panel.base, *(element.description for element in panel.elements))).lower()
    if len(heads) < 2 or any(head in everywhere for head in heads):
        return ()
    return tuple(f"the prompt asks for {' '.join(head.split())!r}, the plan has none" for head in heads)


def _seen(element: Element, thing: Thing | None) -> _Seen:
    """The element as it reads, or as the prompt's own thing whose words it has."""
    if thing is not None:
        head, colors = _name(thing)
        return _Seen(element, frozenset((head,)), head, 1, False, colors)
    words = element.description[:_MOST_WORDS]
    things = read_prompt(words).things
    plain = words.lower().split()
    counted = any(number_of(word.strip(",.")) not in (None, 1) for word in plain)
    several = counted or bool(_SEVERAL & set(plain))
    first = things[0] if things else None
    heads = frozenset(singular(thing.head.lower()) for thing in things)
    return _Seen(
        element,
        heads,
        singular(first.head.lower()) if first else "",
        first.count if first else 1,
        several or any(map(is_plural, plain[:6])) or any(thing.many or thing.count > 1 for thing in things),
        frozenset(_shade(color) for color in first.colors) if first else frozenset(),
    )


def _name(thing: Thing) -> tuple[str, frozenset[str]]:
    return singular(thing.head.lower()), frozenset(map(_shade, thing.colors))


def _shade(color: str) -> str:
    return _SHADES.get(color, color)


def _of(thing: Thing, story: Story, seen: Sequence[_Seen]) -> list[_Seen]:
    """The elements that are this thing; where several things have its name, those of its color too."""
    head, colors = _name(thing)
    alike = [item for item in seen if item.first == head]
    if sum(_name(other)[0] == head for other in story.things) == 1:
        return alike
    return [item for item in alike if item.colors == colors]


def _counts(
    prompt: str, story: Story, placed: Sequence[list[_Seen]], seen: Sequence[_Seen], panel: Panel
) -> list[str]:
    taken = {item.element.id for items in placed for item in items}
    unknown = any(item.element.id not in taken for item in seen)
    heads = [_name(thing)[0] for thing in story.things]
    everywhere = " ".join((panel.base, *(item.element.description for item in seen))).lower()
    found = []
    for thing, items, head in zip(story.things, placed, heads, strict=True):
        if thing.many or thing.count > MAX_COUNT or heads.count(head) > 1 or _is_plural(thing):
            continue
        have = sum(item.count for item in items)
        if any(item.several and item.count == 1 for item in items) or have == thing.count:
            continue
        named = any(head in item.heads for item in seen if item not in items) or head in everywhere
        if have > thing.count == 1 and not _is_single(prompt, thing):
            continue
        if have < thing.count and (unknown or (not have and named)):
            continue
        found.append(f"the prompt asks for {_amount(thing, thing.count)}, the plan has {have or 'none'}")
    return found


def _is_plural(thing: Thing) -> bool:
    """Whether one "thing" of the story may stand for several: "red apples", "fruit"."""
    words = thing.text.lower().split()
    return any(is_plural(word) for word in words) or bool(_SEVERAL & set(words))


def _is_single(prompt: str, thing: Thing) -> bool:
    """Whether the prompt says that there is one: "water" may well be in two places."""
    text = re.escape(thing.text.lower())
    single = re.search(rf"\b(?:an?|one|single)\s+{text}|一\w{text}", prompt.lower())
    return single is not None and not thing.strip


def _amount(thing: Thing, count: int) -> str:
    text = " ".join(thing.text.split())
    return f"{count} x {text!r}"


def _colors(story: Story, placed: Sequence[list[_Seen]]) -> list[str]:
    found = []
    for index, (thing, items) in enumerate(zip(story.things, placed, strict=True)):
        wanted = {_shade(color) for color in thing.colors}
        if not wanted or not wanted <= _PLAIN:
            continue
        for item in items:
            others = item.colors & _PLAIN
            if others and not others & wanted:
                found.append(
                    f"the prompt makes the {thing.head} {_listed(wanted)}, the plan makes {item.element.id} "
                    f"{_listed(others)}"
                )
        if items and not any(item.colors for item in items):
            found += _strayed(thing, wanted, story, placed, index)
    return found


def _strayed(
    thing: Thing, wanted: set[str], story: Story, placed: Sequence[list[_Seen]], index: int
) -> list[str]:
    """The color of a thing that another has in its place."""
    return [
        f"the prompt makes the {thing.head} {_listed(wanted)}, the plan makes the {other.head} so instead"
        for number, (other, items) in enumerate(zip(story.things, placed, strict=True))
        if number != index and not other.colors and any(wanted <= item.colors for item in items)
    ]


def _listed(colors: set[str] | frozenset[str]) -> str:
    return " and ".join(sorted(colors))


def _relations(story: Story, placed: Sequence[list[_Seen]]) -> list[str]:
    found = [words for link in story.links if (words := _violated(story, link, placed))]
    for axis, row in story.rows:
        side = "left of" if axis == "x" else "above"
        for first, second in pairwise(row):
            a, b = (_span(story, placed, number, axis) for number in (first, second))
            if a is not None and b is not None and a.middle > b.middle + _ASIDE:
                found.append(_sentence(story, first, side, second))
    return found


class _Span(Struct, frozen=True):
    """From where to where things reach along an axis, and the mean of their centers."""

    low: float
    middle: float
    high: float


_CHECKS: dict[str, tuple[str, str, Callable[[_Span, _Span], bool]]] = {
    "left": ("x", "left of", lambda a, b: a.middle > b.middle + _ASIDE),
    "above": ("y", "above", lambda a, b: a.middle > b.middle + _ASIDE),
    # What stands on a floor may be anywhere on it, but not beyond it.
    "on": ("y", "on", lambda a, b: a.middle > b.high + _ASIDE),
    "under": ("y", "under", lambda a, b: a.middle < b.low - _ASIDE),
}


def _violated(story: Story, link: Link, placed: Sequence[list[_Seen]]) -> str:
    if link.kind not in _CHECKS or link.subject == link.target:
        return ""
    axis, words, wrong = _CHECKS[link.kind]
    a, b = (_span(story, placed, number, axis) for number in (link.subject, link.target))
    if a is None or b is None or not wrong(a, b):
        return ""
    return _sentence(story, link.subject, words, link.target)


def _span(story: Story, placed: Sequence[list[_Seen]], number: int, axis: str) -> _Span | None:
    """Where all that is this thing lies; None unless all of it, or one element for it, is known."""
    items = placed[number]
    if len(items) not in (1, story.things[number].count):
        return None
    boxes = [item.element.box for item in items]
    sides = [(box.x0, box.x1) if axis == "x" else (box.y0, box.y1) for box in boxes]
    lows, highs = zip(*sides, strict=True)
    return _Span(min(lows), sum(map(sum, sides)) / 2 / len(sides), max(highs))


def _sentence(story: Story, subject: int, words: str, target: int) -> str:
    first, second = (" ".join(story.things[number].text.split()) for number in (subject, target))
    return f"the prompt puts the {first} {words} the {second}, the plan does not"
