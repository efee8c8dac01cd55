"""What the built-in planner understood of a prompt: things, how they stand to each other, and the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["left", "above", "on", "under", "next", "between", "front", "inside", "hold"]
"""`left`, `above`, `on`, `under`, `front`, `inside`: the subject is that of (or in) the object;
`hold`: the subject is held by the object."""

LINKS: dict[str, tuple[Kind, bool]] = {
    "left": ("left", False),
    "right": ("left", True),
    "above": ("above", False),
    "below": ("above", True),
    "on": ("on", False),
    "under": ("under", False),
    "next": ("next", False),
    "front": ("front", False),
    "behind": ("front", True),
    "inside": ("inside", False),
    "hold": ("hold", True),
}
"""What a word says of a subject and an object -> the link it makes, and whether they change places in it."""

MAX_COUNT = 24
"""More of one thing than this becomes a single element that is described as many."""


@dataclass(frozen=True)
class Spot:
    """An absolute place: 0 left/top, 0.5 middle, 1 right/bottom; None where the prompt does not say."""

    x: float | None = None
    y: float | None = None
    behind: bool = False


@dataclass
class Thing:
    """Something to draw, `count` times. `text` describes one of it, without article and number."""

    text: str
    head: str
    count: int = 1
    colors: tuple[str, ...] = ()
    size: float = 1.0
    strip: Literal["", "top", "bottom"] = ""
    spot: Spot | None = None
    negatives: list[str] = field(default_factory=list)
    many: bool = False

    def add(self, words: str) -> None:
        """Append words that belong to this thing."""
        self.text = f"{self.text} {words}".strip()


@dataclass(frozen=True)
class Link:
    """`subject` stands in relation `kind` to `target` (and, for `between`, to `other`). All are indices."""

    kind: Kind
    subject: int
    target: int
    other: int | None = None


@dataclass
class Story:
    """A read prompt. `rows` are orders along an axis, such as "from left to right: A, B and C"."""

    things: list[Thing] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    rows: list[tuple[Literal["x", "y"], tuple[int, ...]]] = field(default_factory=list)
    scene: list[str] = field(default_factory=list)
    negatives: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
