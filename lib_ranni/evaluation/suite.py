"""The fixed suite of shapes prompts: what each picture must show, and whether it does.

The entries are data, `suite_shapes.json`, so that figures stay comparable; `suite_writing` wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct

from lib_ranni.evaluation.captions import plural
from lib_ranni.evaluation.scenes import COLORS, SHAPES
from lib_ranni.evaluation.scoring import Detection
from lib_ranni.panel.geometry import iou
from lib_ranni.panel.types import Box, Panel

Side = Literal["left", "right", "above", "below"]
Category = Literal["single", "binding-2", "binding-3/4", "counting", "spatial"]

CATEGORIES: tuple[Category, ...] = ("single", "binding-2", "binding-3/4", "counting", "spatial")
MULTI_OBJECT: tuple[Category, ...] = CATEGORIES[1:]

RELATION_MARGIN = 0.05
"""How far apart two centers must be along a relation's axis, as a share of the canvas."""

_FILE = Path(__file__).with_name("suite_shapes.json")


class Expected(Struct, frozen=True):
    """`count` objects of one shape and color."""

    shape: str
    color: str
    count: int = 1

    @property
    def name(self) -> str:
        """Color and shape, as a prompt says them."""
        return f"{self.color} {self.shape}"


class Entry(Struct, frozen=True, omit_defaults=True):
    """A prompt and its truth. A relation (i, side, j): `expected[i]` lies on that side of `expected[j]`.

    `background` is the one the prompt names, if any. Every mode draws from the same `seed`.
    """

    id: str
    category: Category
    prompt: str
    seed: int
    expected: tuple[Expected, ...]
    relations: tuple[tuple[int, Side, int], ...] = ()
    background: str | None = None


class Verdict(Struct, frozen=True):
    """Whether a picture or panel is all-correct and, if not, what is wrong with it."""

    correct: bool
    problems: tuple[str, ...] = ()


def load_suite(path: Path = _FILE) -> tuple[Entry, ...]:
    """The entries of a suite file, in its order. Raises `msgspec.ValidationError` naming a bad field."""
    return msgspec.json.decode(path.read_bytes(), type=tuple[Entry, ...])


class Categorized(Protocol):
    """Anything that belongs to a category."""

    @property
    def category(self) -> str:
        """The category's name."""
        ...


T = TypeVar("T", bound=Categorized)


def limited(entries: Sequence[T], limit: int | None) -> tuple[T, ...]:
    """At most `limit` entries, in order: as many of each category, evenly spread; all of them for None."""
    if limit is None or limit >= len(entries):
        return tuple(entries)
    groups: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        groups.setdefault(entry.category, []).append(index)
    shares = dict.fromkeys(groups, 0)
    for _ in range(max(0, limit)):
        open_groups = [name for name in groups if shares[name] < len(groups[name])]
        shares[min(open_groups, key=lambda name: shares[name])] += 1
    chosen = [
        members[k * len(members) // shares[name]]
        for name, members in groups.items()
        for k in range(shares[name])
    ]
    return tuple(entries[index] for index in sorted(chosen))


def on_side(first: Box, side: Side, second: Box, margin: float = RELATION_MARGIN) -> bool:
    """Whether the center of `first` lies on that side of the center of `second`, by at least `margin`."""
    dx = second.center[0] - first.center[0]
    dy = second.center[1] - first.center[1]
    return {"left": dx, "right": -dx, "above": dy, "below": -dy}[side] >= margin


def judge(entry: Entry, detections: Iterable[Detection]) -> Verdict:
    """All-correct means exactly the expected objects, each as often as asked, and every relation holds."""
    seen: dict[str, list[Detection]] = {}
    for detection in detections:
        seen.setdefault(detection.name, []).append(detection)
    problems = []
    for want in entry.expected:
        found = len(seen.get(want.name, []))
        if found != want.count:
            problems.append(f"{found} {plural(want.name)} instead of {want.count}")
    wanted = {want.name for want in entry.expected}
    for name, extra in seen.items():
        if name not in wanted:
            problems.append(f"{len(extra)} unwanted {name if len(extra) == 1 else plural(name)}")
    for i, side, j in entry.relations:
        first, second = entry.expected[i].name, entry.expected[j].name
        pairs = [(a, b) for a in seen.get(first, []) for b in seen.get(second, [])]
        if not all(on_side(a.box, side, b.box) for a, b in pairs):
            words = side if side in ("above", "below") else f"{side} of"
            problems.append(f"the {first} is not {words} the {second}")
    return Verdict(not problems, tuple(problems))


def element_name(description: str) -> str | None:
    """The `color shape` that a description speaks of, such as `red circle`; None if it names none."""
    words = re.findall(r"[a-z]+", description.lower())
    shapes = [shape for shape in SHAPES for word in words if word in (shape, plural(shape))]
    colors = [word for word in words if word in COLORS]
    return f"{colors[0]} {shapes[0]}" if shapes and colors else None


def layout_iou(panel: Panel, detections: Sequence[Detection]) -> float | None:
    """Mean IoU of the panel's shape elements with the detections of their shape and color.

    A missing one counts as 0. Pairs are formed greedily, best overlap first. None if the panel has no
    such element.
    """
    named = [(element_name(element.description), element.box) for element in panel.elements]
    boxes = [(name, box) for name, box in named if name is not None]
    if not boxes:
        return None
    pairs = [
        (iou(box, seen.box), i, j)
        for i, (name, box) in enumerate(boxes)
        for j, seen in enumerate(detections)
        if seen.name == name
    ]
    total = 0.0
    used_boxes: set[int] = set()
    used_seen: set[int] = set()
    for value, i, j in sorted(pairs, reverse=True):
        if i not in used_boxes and j not in used_seen:
            used_boxes.add(i)
            used_seen.add(j)
            total += value
    return total / len(boxes)
