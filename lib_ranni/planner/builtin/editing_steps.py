"""What an instruction comes down to in any language: which elements are meant, and what happens to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lib_ranni.errors import EditError
from lib_ranni.panel.types import Element, Panel
from lib_ranni.planner.builtin.story import Spot

Extreme = Literal["left", "right", "top", "bottom", "middle", "large", "small"]

_MOST_NAMED = 8


@dataclass(frozen=True)
class Reference:
    """Words that mean elements. `said` quotes them; an empty `head` fits everything.

    `ordinal` counts from 1 in reading order, or from the `counted_from` side; -1 is the last. `relation` and
    `targets` say where it stands, `but` what is left out. `many` is true for plurals and "all".
    """

    said: str
    head: str = ""
    attributes: tuple[str, ...] = ()
    id: str = ""
    pronoun: bool = False
    many: bool = False
    count: int | None = None
    ordinal: int | None = None
    counted_from: Literal["", "left", "right", "top", "bottom"] = ""
    extremes: tuple[Extreme, ...] = ()
    relation: str = ""
    targets: tuple[Reference, ...] = ()
    but: tuple[Reference, ...] = ()


References = tuple[Reference, ...]


@dataclass(frozen=True)
class Shift:
    """A way to go: dx and dy are -1, 0 or 1; `amount` is in 0..1 of the canvas."""

    dx: int
    dy: int
    amount: float


@dataclass(frozen=True)
class Beside:
    """A place relative to other elements; `relation` is one of `story.LINKS`, or `between`."""

    relation: str
    targets: References


Place = Shift | Spot | Beside


@dataclass(frozen=True)
class Remove:
    """Take elements out, or with `keep` all others."""

    who: References
    keep: bool = False


@dataclass(frozen=True)
class Add:
    """New elements, described in the user's words. `more`: of a kind that is there already."""

    text: str
    place: Spot | Beside | None = None
    more: bool = False


@dataclass(frozen=True)
class Replace:
    """Another thing instead."""

    who: References
    text: str


@dataclass(frozen=True)
class Describe:
    """New attributes, of the element or of the `part` of it that its description names."""

    who: References
    words: str
    part: str = ""


@dataclass(frozen=True)
class Equip:
    """Something that the element wears or has from now on."""

    who: References
    text: str


@dataclass(frozen=True)
class Scale:
    """Grow or shrink around the center, by factors of width and height."""

    who: References
    width: float = 1.0
    height: float = 1.0


@dataclass(frozen=True)
class Match:
    """The size of another element, or without one of the whole picture. `sides` names what is matched."""

    who: References
    like: References = ()
    sides: Literal["both", "width", "height"] = "both"


@dataclass(frozen=True)
class Move:
    """Another place."""

    who: References
    place: Place


@dataclass(frozen=True)
class Swap:
    """Two elements change places; both may be meant by the first words."""

    who: References
    other: References = ()


@dataclass(frozen=True)
class Approach:
    """Nearer to the target or away from it; without a target, to and from each other."""

    who: References
    target: References = ()
    away: bool = False


@dataclass(frozen=True)
class Rebase:
    """Another background or, with `style`, another style of the whole picture."""

    text: str
    style: bool = False


Step = Remove | Add | Replace | Describe | Equip | Scale | Match | Move | Swap | Approach | Rebase


def named(elements: tuple[Element, ...] | list[Element]) -> str:
    """Elements as a message names them."""
    shown = ", ".join(f"“{e.description[:60]}” ({e.id[:20]})" for e in elements[:_MOST_NAMED])
    more = len(elements) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown or "no elements"


def example(panel: Panel) -> str:
    """Instructions that would work on this panel."""
    free = next((e for e in panel.elements if not e.locked), None)
    if free is None:
        return "for example “add a red ball at the top”"
    return f"for example “move {free.id[:20]} to the left” or “make {free.id[:20]} bigger”"


def not_understood(panel: Panel, words: str) -> EditError:
    """The error for words that say nothing to do."""
    return EditError(
        f"“{' '.join(words.split())[:120]}” was not understood; the panel has {named(panel.elements)}. "
        f"Say what to add, remove, replace, change, resize or move, {example(panel)}"
    )
