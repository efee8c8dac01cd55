"""Prompts with known truth for planners: does the panel hold what the prompt asks for, and where?

The truth has GenEval's form, a list of classes with count, color and position, so that its rows load too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from lib_ranni.evaluation.suite import Side, Verdict, on_side
from lib_ranni.panel.types import Element, Panel

Aspect = Literal["counts", "colors", "positions"]
Position = Literal["left of", "right of", "above", "below"]

_FILE = Path(__file__).with_name("suite_planner.json")

_SIDES: dict[Position, Side] = {"left of": "left", "right of": "right", "above": "above", "below": "below"}

_COLORS = frozenset(
    (
        "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray",
        "cyan", "magenta", "violet", "turquoise", "teal", "gold", "golden", "silver", "beige",
    )
)  # fmt: skip

_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse",
    "geese": "goose", "feet": "foot", "teeth": "tooth", "knives": "knife", "leaves": "leaf",
    "loaves": "loaf", "wolves": "wolf", "shelves": "shelf", "grey": "gray",
}  # fmt: skip

_PHRASE_ENDS = re.compile(
    r"[,;.:]|\b(?:with|without|in|on|under|at|of|near|beside|next|above|below|over|to|from|that|which|wearing|holding|and)\b"
)


class Include(Struct, frozen=True, rename={"kind": "class"}):
    """`count` things of a class. `position` (side, k) places them relative to the entry's k-th include."""

    kind: str
    count: int = 1
    color: str | None = None
    position: tuple[Position, int] | None = None


class PlannerEntry(Struct, frozen=True):
    """A prompt and its truth: what must be there, what must not, and whether that is all (`only`)."""

    id: str
    category: str
    prompt: str
    include: tuple[Include, ...]
    absent: tuple[str, ...] = ()
    only: bool = False


class Course(Struct, frozen=True):
    """How a plan came about: times a model was asked, repairs of its reply, why it was done without it.

    `first_seconds` is when the first element was there; None where none came before the whole plan.
    """

    asked: int = 0
    repairs: int = 0
    fell_back: str = ""
    first_seconds: float | None = None


class PlannerOutcome(Struct, frozen=True):
    """One panel and the verdict on it; `mode` is the planner's name.

    `aspects`: whether the counts, colors and positions that the entry asks for are right, each on its own.
    """

    entry: PlannerEntry
    mode: str
    panel: Panel
    verdict: Verdict
    seconds: float
    iou: float | None = None
    course: Course = Course()
    aspects: dict[Aspect, bool] = {}


def load_planner_suite(path: Path = _FILE) -> tuple[PlannerEntry, ...]:
    """The entries of a suite file. Raises `msgspec.ValidationError` naming a bad field."""
    return msgspec.json.decode(path.read_bytes(), type=tuple[PlannerEntry, ...])


class _GenevalRow(Struct):
    tag: str
    prompt: str
    include: list[Include]
    exclude: list[dict[str, Any]] = field(default_factory=list)


def load_geneval(path: Path) -> tuple[PlannerEntry, ...]:
    """The rows of a GenEval `evaluation_metadata.jsonl`; every prompt names all there is."""
    entries = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        row = msgspec.json.decode(line, type=_GenevalRow)
        entries.append(PlannerEntry(f"geneval-{number}", row.tag, row.prompt, tuple(row.include), only=True))
    return tuple(entries)


def singular(word: str) -> str:
    """The singular of an English noun; other words mostly stay as they are."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if re.search(r"(?:ch|sh|ss|x|zz)es$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _head_words(description: str) -> list[str]:
    """The first noun phrase of a description, in lower case and singular: its last words name the thing."""
    phrase = _PHRASE_ENDS.split(description.lower(), maxsplit=1)[0]
    return [singular(word) for word in re.findall(r"[a-z][a-z'-]*", phrase)]


def matches(element: Element, want: Include) -> bool:
    """Whether an element is such a thing: its head noun is the class, and it has that color and no other."""
    words = _head_words(element.description)
    kind = [singular(word) for word in want.kind.lower().split()]
    if words[-len(kind) :] != kind:
        return False
    colors = {word for word in words[: -len(kind)] if word in _COLORS}
    return want.color is None or colors == {singular(want.color)}


def _misplaced(
    want: Include, index: int, found: Sequence[Sequence[Element]], names: Sequence[str]
) -> str | None:
    if want.position is None:
        return None
    position, other = want.position
    side = _SIDES[position]
    if all(on_side(a.box, side, b.box) for a in found[index] for b in found[other]):
        return None
    return f"the {names[index]} is not {position} the {names[other]}"


def judge_panel(entry: PlannerEntry, panel: Panel) -> Verdict:
    """Right: each class as often as asked, in its color, on its side, and nothing the entry rules out."""
    names = [f"{want.color} {want.kind}" if want.color else want.kind for want in entry.include]
    found = [[e for e in panel.elements if matches(e, want)] for want in entry.include]
    problems = []
    for want, name, seen in zip(entry.include, names, found, strict=True):
        if len(seen) != want.count:
            problems.append(f"{len(seen)} x {name} instead of {want.count}")
    for index, want in enumerate(entry.include):
        problem = _misplaced(want, index, found, names)
        if problem is not None:
            problems.append(problem)
    for kind in entry.absent:
        if any(matches(element, Include(kind)) for element in panel.elements):
            problems.append(f"{kind}, which the prompt excludes")
    if entry.only:
        wanted = {element.id for seen in found for element in seen}
        extra = [element.description for element in panel.elements if element.id not in wanted]
        problems.extend(f"unasked {description!r}" for description in extra)
    return Verdict(not problems, tuple(problems))


def judge_aspects(entry: PlannerEntry, panel: Panel) -> dict[Aspect, bool]:
    """Counts whatever the colors, colors whatever the counts, and positions; each where it is asked for."""
    right: dict[Aspect, bool] = {}
    kinds = {singular(want.kind.lower()): 0 for want in entry.include}
    for want in entry.include:
        kinds[singular(want.kind.lower())] += want.count
    found = {kind: [e for e in panel.elements if matches(e, Include(kind))] for kind in kinds}
    right["counts"] = all(len(found[kind]) == count for kind, count in kinds.items())
    colored = [want for want in entry.include if want.color is not None]
    if colored:
        right["colors"] = all(any(matches(e, want) for e in panel.elements) for want in colored)
    if any(want.position is not None for want in entry.include):
        each = [[e for e in panel.elements if matches(e, want)] for want in entry.include]
        names = [want.kind for want in entry.include]
        misplaced = (_misplaced(want, n, each, names) for n, want in enumerate(entry.include))
        right["positions"] = all(each) and not any(misplaced)
    return right


def run_planner_suite(
    entries: Sequence[PlannerEntry],
    planner: str,
    plan: Callable[[str], tuple[Panel, Course]],
    on_progress: Callable[[str, int, int], None] | None = None,
) -> list[PlannerOutcome]:
    """Plan every prompt and judge its panel. `planner` is the name that the figures go under."""
    outcomes = []
    for done, entry in enumerate(entries, 1):
        began = time.perf_counter()
        panel, course = plan(entry.prompt)
        seconds = time.perf_counter() - began
        verdict, aspects = judge_panel(entry, panel), judge_aspects(entry, panel)
        outcomes.append(
            PlannerOutcome(entry, planner, panel, verdict, seconds, course=course, aspects=aspects)
        )
        if on_progress is not None:
            on_progress(planner, done, len(entries))
    return outcomes
