"""The panel as data: what is in the picture, where, and with which attributes.

All types are frozen; an edit makes a new panel. A value that breaks an invariant cannot be built:
the constructor raises `ValueError`. Untrusted JSON goes through `lib_ranni.panel.reading` instead.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

PANEL_VERSION: Literal[1] = 1
"""Version of the JSON layout that this library writes."""

MAX_ELEMENTS = 1000
MAX_TEXT = 10_000
MAX_SEED = 2**32 - 1
MAX_COLORS = 5

Unit = Annotated[float, Meta(ge=0.0, le=1.0)]
Weight = Annotated[float, Meta(ge=0.0, le=10.0)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
HexColor = Annotated[str, Meta(pattern="^#[0-9a-f]{6}$")]
Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]

_HEX = re.compile(r"#[0-9a-f]{6}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _within(value: float, low: float, high: float) -> bool:
    return math.isfinite(value) and low <= value <= high


class Box(Struct, frozen=True):
    """An axis-aligned rectangle in units of the canvas: x to the right, y down, 0..1, x0 < x1, y0 < y1."""

    x0: Unit
    y0: Unit
    x1: Unit
    y1: Unit

    def __post_init__(self) -> None:
        _require(
            0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1,
            f"a box needs 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, not "
            f"({self.x0}, {self.y0}, {self.x1}, {self.y1})",
        )

    @property
    def width(self) -> float:
        """Extent along x, in 0..1 of the canvas width."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Extent along y, in 0..1 of the canvas height."""
        return self.y1 - self.y0

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def area(self) -> float:
        """Share of the canvas, 0..1."""
        return self.width * self.height


FULL_CANVAS = Box(0.0, 0.0, 1.0, 1.0)


class Mask(Struct, frozen=True):
    """A black-and-white picture of the canvas, as run lengths in reading order.

    `runs` alternates off, on, off, ... and sums to `width * height`; the first run may be 0.
    """

    width: Annotated[int, Meta(ge=1, le=4096)]
    height: Annotated[int, Meta(ge=1, le=4096)]
    runs: tuple[Annotated[int, Meta(ge=0)], ...]

    def __post_init__(self) -> None:
        _require(1 <= self.width <= 4096 and 1 <= self.height <= 4096, "a mask side must be 1..4096")
        _require(all(run >= 0 for run in self.runs), "a mask's runs must not be negative")
        total = self.width * self.height
        _require(sum(self.runs) == total, f"a mask's runs must sum to width * height = {total}")
        _require(any(self.runs[1::2]), "a mask must cover something")


class Keypoint(Struct, frozen=True):
    """A named point of an element, such as `left_eye`, in units of the canvas."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    x: Unit
    y: Unit

    def __post_init__(self) -> None:
        _require(0 < len(self.name) <= 64, "a keypoint needs a name of 1..64 characters")
        _require(_within(self.x, 0, 1) and _within(self.y, 0, 1), "a keypoint lies in 0..1")


class Lora(Struct, frozen=True):
    """A LoRA that acts only inside the element, by file name without suffix."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    weight: Annotated[float, Meta(ge=-10.0, le=10.0)] = 1.0

    def __post_init__(self) -> None:
        _require(0 < len(self.name) <= 256, "a LoRA needs a name of 1..256 characters")
        _require(_within(self.weight, -10, 10), "a LoRA's weight must be in -10..10")


class Element(Struct, frozen=True, kw_only=True):
    """One visual thing of the picture.

    `description` is the text its region is conditioned on; `negative` what it must not be. `colors` are
    up to five `#rrggbb` values. `weight` is its share where regions overlap; `base_ratio` overrides the
    panel-wide mix with the base. It acts from `start` to `end`, as fractions of the sampling steps.
    `seed` fixes its own noise. A `locked` element is left alone by edits and planners. `extra` keeps
    fields of newer versions.
    """

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    description: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
    box: Box
    mask: Mask | None = None
    negative: Text = ""
    colors: Annotated[tuple[HexColor, ...], Meta(max_length=MAX_COLORS)] = ()
    keypoints: tuple[Keypoint, ...] = ()
    weight: Weight = 1.0
    base_ratio: Unit | None = None
    start: Unit = 0.0
    end: Unit = 1.0
    lora: tuple[Lora, ...] = ()
    seed: Seed | None = None
    locked: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(0 < len(self.id) <= 64, "an element needs an id of 1..64 characters")
        _require(bool(self.description.strip()), "an element needs a description")
        _require(len(self.description) <= MAX_TEXT, f"a description has at most {MAX_TEXT} characters")
        _require(len(self.negative) <= MAX_TEXT, f"a negative has at most {MAX_TEXT} characters")
        _require(len(self.colors) <= MAX_COLORS, f"an element has at most {MAX_COLORS} colors")
        _require(all(_HEX.fullmatch(c) for c in self.colors), "a color is written #rrggbb")
        _require(_within(self.weight, 0, 10), "a weight must be in 0..10")
        _require(self.base_ratio is None or _within(self.base_ratio, 0, 1), "base_ratio must be in 0..1")
        _require(0 <= self.start < self.end <= 1, "an element needs 0 <= start < end <= 1")
        _require(self.seed is None or 0 <= self.seed <= MAX_SEED, f"a seed must be in 0..{MAX_SEED}")


class Provenance(Struct, frozen=True):
    """Where a panel came from: the planner, its model, the user's words, and what it could not read.

    `edited` says that the panel has been changed since, so that `prompt` no longer describes it.
    """

    planner: Text = ""
    model: Text = ""
    prompt: Text = ""
    seed: Seed | None = None
    unread: tuple[Text, ...] = ()
    edited: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


class Panel(Struct, frozen=True, kw_only=True):
    """The whole semantic panel. `elements` run from back to front; `aspect` is width / height.

    `negative` is what the whole picture must not show.
    """

    base: Text = ""
    negative: Text = ""
    elements: Annotated[tuple[Element, ...], Meta(max_length=MAX_ELEMENTS)] = ()
    aspect: Annotated[float, Meta(ge=0.1, le=10.0)] = 1.0
    provenance: Provenance = Provenance()
    version: Literal[1] = PANEL_VERSION
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(_within(self.aspect, 0.1, 10), "an aspect (width / height) must be in 0.1..10")
        _require(len(self.base) <= MAX_TEXT, f"a base prompt has at most {MAX_TEXT} characters")
        _require(len(self.negative) <= MAX_TEXT, f"a negative has at most {MAX_TEXT} characters")
        _require(len(self.elements) <= MAX_ELEMENTS, f"a panel has at most {MAX_ELEMENTS} elements")
        ids = [element.id for element in self.elements]
        _require(len(set(ids)) == len(ids), "every element needs its own id")

    def find(self, element_id: str) -> Element | None:
        """The element with this id, or None."""
        return next((e for e in self.elements if e.id == element_id), None)

    def fresh_id(self) -> str:
        """The first of e1, e2, ... that no element has."""
        taken = {element.id for element in self.elements}
        number = 1
        while f"e{number}" in taken:
            number += 1
        return f"e{number}"


_Record = TypeVar("_Record", bound=Struct)


def with_fields(record: _Record, **changes: Any) -> _Record:
    """A copy with other values, checked like any new record: `msgspec.structs.replace` checks nothing."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    return type(record)(**{**values, **changes})


def clamped_box(x0: float, y0: float, x1: float, y1: float, least: float = 0.005) -> Box | None:
    """The part of a rectangle on the canvas, at least `least` wide and high; None if nothing is on it."""
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        return None
    x0, x1 = sorted((x0, x1))
    y0, y1 = sorted((y0, y1))
    if x1 < 0 or y1 < 0 or x0 > 1 or y0 > 1:
        return None

    def side(low: float, high: float) -> tuple[float, float]:
        low, high = max(0.0, low), min(1.0, high)
        if high - low < least:
            low = min(max(0.0, (low + high - least) / 2), 1 - least)
            high = low + least
        return low, high

    (x0, x1), (y0, y1) = side(x0, x1), side(y0, y1)
    return Box(x0, y0, x1, y1)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a panel document, generated from the types above."""
    schema = msgspec.json.schema(Panel)
    for definition in schema["$defs"].values():
        definition.get("properties", {}).pop("extra", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Ranni panel"
    return schema
