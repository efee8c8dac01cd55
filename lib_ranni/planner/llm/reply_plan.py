"""A plan in what a reply decodes to: under any of the usual names, in any of the usual wrappers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from lib_ranni.panel.formats.boxes import KEYS
from lib_ranni.panel.formats.conversion import is_number, one_line
from lib_ranni.panel.problems import shown
from lib_ranni.planner.llm import json_text
from lib_ranni.planner.llm.reply_boxes import Written, box_in, box_of

_CAPTIONS = (
    *("description", "desc", "caption", "prompt", "label", "name", "text", "phrase", "object", "title"),
    *("subject", "element", "class"),
)
_LISTS = (
    *("elements", "objects", "regions", "layout", "items", "boxes", "bboxes", "annotations", "gen_boxes"),
    *("bbox_controls", "detections", "entities", "things"),
)
_PHRASES = ("phrases", "labels", "captions", "names", "descriptions")
_PLACES = ("locations", "boxes", "bboxes")
_BASES = ("base", "base_prompt")
_BASE_PARTS = ("background", "background_prompt", "scene", "setting", "style", "light", "lighting")
_NEGATIVES = ("negative", "negative_prompt", "neg_prompt")
_NAMES = frozenset(
    (*_CAPTIONS, *_LISTS, *_PHRASES, *_PLACES, *_BASES, *_BASE_PARTS, *_NEGATIVES, *KEYS, "id", "locked")
)
_NOT_TEXT = frozenset(("none", "n/a", "null", "na", "nothing", "-", "string"))
_MARKS = r"[\s.…_<>\[\](){}\"'-]*"
_PLACEHOLDER = re.compile(
    rf"{_MARKS}(?:string|text|str|label|(?:(?:a|the) )?(?:\w+ )?description(?: of [^\n]{{0,60}})?)?{_MARKS}"
    r"|<[^<>]*>|\{[^{}]*\}",
    re.IGNORECASE,
)
_MAX_DEPTH = 5
_MAX_NESTED = 3
_MOST_FOUND = 5_000
"""How many lists and objects of a text are looked into."""


class Entry(Struct, frozen=True):
    """A thing with its place as it was written."""

    fields: dict[str, Any]
    box: Written


class Plan(Struct):
    """What a reply says: entries that can be placed, what is wrong with the others, and how it was found.

    `explicit` says that its list of elements is there and empty.
    """

    base: str = ""
    negative: str = ""
    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    mends: list[str] = field(default_factory=list)
    note: str = ""
    size: tuple[float, float] | None = None
    cut: bool = False
    explicit: bool = False

    @property
    def usable(self) -> bool:
        """Whether there is something to draw: elements, or a base and the word that there are none."""
        return bool(self.entries) or (self.explicit and bool(self.base.strip()) and not self.cut)


class Search:
    """Looks for plans in a text. `seen` remembers what there was instead, for the message."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.said = ""
        self._looked_at = 0

    def plans(self, text: str, nested: int = 0) -> Iterator[tuple[Plan, json_text.Found]]:
        """The plans of a text in their order, elements that stand one by one as one plan."""
        loose: tuple[Plan, json_text.Found] | None = None
        heading: Any = None
        at, budget = 0, 2 * len(text) + 200_000
        self._looked_at = 0 if nested == 0 else self._looked_at
        while budget > 0 and (found := json_text.find(text, at)) is not None:
            budget -= found.end - found.begin
            self._looked_at += 1
            if self._looked_at > _MOST_FOUND:
                break
            plan = self.plan(found.value, nested=nested)
            if plan is None:
                flawless = not found.mends and not found.cut
                at = found.end if flawless else found.begin + 1
                if found.cut and isinstance(found.value, dict):
                    self.seen.add("cut")
                if isinstance(found.value, dict) and _base_of(found.value):
                    heading = found.value
                continue
            at = found.end
            plan.cut = found.cut
            plan.mends += found.mends
            if not isinstance(found.value, dict) or box_in(found.value) is None:
                if loose is not None:
                    yield loose
                    loose = None
                yield plan, found
            elif loose is None:
                _add_words(plan, heading or {})
                loose = plan, found
            else:
                _append(loose[0], plan)
        if loose is not None:
            yield loose

    def plan(self, value: Any, depth: int = _MAX_DEPTH, nested: int = 0) -> Plan | None:
        """The plan in a decoded value, wrappers opened; None if there is none."""
        if depth == 0:
            return None
        if isinstance(value, str):
            return self._in_text(value, nested)
        if isinstance(value, list):
            plan = Plan()
            _add_entries(plan, value)
            if plan.entries:
                return plan
            described = any(isinstance(item, dict) and _first(item, _CAPTIONS) for item in value[:50])
            return self._inside(value, depth, nested) or (plan if described else None)
        if not isinstance(value, dict):
            return None
        if isinstance(value.get("properties"), dict):
            self.seen.add("schema")
            return None
        if isinstance(value.get("error"), (str, dict)):
            self.seen.add("error")
            self.said = _error_text(value["error"])
        attempt = _direct(value)
        if attempt.usable:
            return attempt
        inner = self._inside(list(value.values()), depth, nested)
        if inner is None:
            return attempt if attempt.faults or attempt.explicit else None
        _add_words(inner, value)
        return inner

    def _inside(self, values: list[Any], depth: int, nested: int) -> Plan | None:
        plans = (self.plan(inner, depth - 1, nested) for inner in values[:100])
        best: Plan | None = None
        for plan in plans:
            if plan is not None and (best is None or plan.usable):
                best = plan
        return best

    def _in_text(self, text: str, nested: int) -> Plan | None:
        """The last plan of a text within JSON, such as the arguments of a tool call."""
        if nested >= _MAX_NESTED or not ("{" in text or "[" in text):
            return None
        best: Plan | None = None
        for plan, _ in self.plans(text, nested + 1):
            if best is None or plan.usable:
                best = plan
        return best


def _direct(value: dict[str, Any]) -> Plan:
    """The plan that an object is, without looking into what it wraps; empty if it is none."""
    value = _plain_keys(value)
    plan = Plan(size=_size(value))
    _add_words(plan, value)
    phrases, places = _first(value, _PHRASES), _first(value, _PLACES)
    if isinstance(phrases, list) and isinstance(places, list) and len(phrases) == len(places):
        _add_entries(plan, [list(pair) for pair in zip(phrases, places, strict=True)])
        return plan
    for key in _LISTS:
        inner = value.get(key)
        if isinstance(inner, list):
            _add_entries(plan, inner)
            plan.explicit = not inner
            if plan.entries or (key == "elements" and (plan.explicit or plan.faults)):
                return plan
        elif isinstance(inner, dict):
            _add_members(plan, inner)
            if plan.entries:
                return plan
        plan.faults.clear()
    if box_in(value) is not None:
        _add_entries(plan, [value])
    else:
        _add_members(plan, value)
    return plan


def _add_words(plan: Plan, value: dict[str, Any]) -> None:
    """Fill in base and negative where the plan has none."""
    plan.base = plan.base or _base_of(value)
    plan.negative = plan.negative or _words(_first(value, _NEGATIVES))


def _append(plan: Plan, other: Plan) -> None:
    plan.entries += other.entries
    plan.faults += other.faults
    plan.mends += other.mends
    plan.cut = plan.cut or other.cut


def _add_members(plan: Plan, value: dict[str, Any]) -> None:
    """Entries of an object whose keys are the things, or their ids."""
    for name, inner in value.items():
        if isinstance(inner, dict) and box_in(inner) is not None:
            _add_entries(plan, [inner if _first(inner, _CAPTIONS) else {**inner, "description": name}])
        elif isinstance(inner, list):
            boxes = [inner] if box_of(inner) else inner[:1000]
            found = [box for box in map(box_of, boxes) if box is not None]
            if name not in _PLACES and len(found) == len(boxes):
                plan.entries += [Entry({"description": name}, box) for box in found]


def _add_entries(plan: Plan, items: list[Any]) -> None:
    for index, item in enumerate(items, 1):
        entry = entry_of(item)
        if isinstance(entry, Entry):
            plan.entries.append(entry)
        else:
            plan.faults.append(f"element {index} {entry}")


def entry_of(item: Any) -> Entry | str:
    """The entry, or what is wrong with it."""
    if isinstance(item, list) and item and isinstance(item[0], str):
        item = {"description": item[0], "box": item[1] if len(item) == 2 else item[1:]}
    if isinstance(item, str):
        words, bracket, numbers = item.rpartition("[" if "[" in item else "(")
        item = {"description": words.strip(" :,-"), "box": numbers} if bracket else {"description": item}
    if not isinstance(item, dict):
        return f"must be an object with a description and a box, not {shown(item)}"
    if len(item) == 1:
        ((name, inner),) = item.items()
        box = box_of(inner)
        if box is not None and name not in ("box", "bbox"):
            return Entry({"description": name}, box)
        item = inner if isinstance(inner, dict) and box_in(inner) is not None else item
    item = _plain_keys(item)
    words = _words(_first(item, _CAPTIONS))
    if not words.strip() or _PLACEHOLDER.fullmatch(words[:200]):
        return f"has no description of its own ({shown(words)})"
    box = box_in(item)
    if box is None:
        return f"({shown(words)}) has no box of four numbers x0, y0, x1, y1"
    return Entry(_fields(item, words), box)


def _fields(item: dict[str, Any], words: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"description": words}
    name = item.get("id")
    if isinstance(name, int) and not isinstance(name, bool) and abs(name) < 10**9:
        name = str(name)
    if isinstance(name, str) and name.strip():
        fields["id"] = name.strip()
    negative = _words(_first(item, _NEGATIVES))
    if negative:
        fields["negative"] = negative
    colors = _first(item, ("colors", "color"))
    for color in colors if isinstance(colors, list) else [colors]:
        if isinstance(color, str) and color.startswith("#"):
            fields.setdefault("colors", []).append(color)
        elif isinstance(color, str) and color.strip() and color.lower() not in words.lower():
            fields["description"] = f"{one_line(color)} {fields['description']}"
    if is_number(item.get("weight")):
        fields["weight"] = item["weight"]
    if item.get("locked") is True:
        fields["locked"] = True
    return fields


def _plain_keys(value: dict[str, Any]) -> dict[str, Any]:
    """The object with the names that are looked for in small letters, and without blanks in them."""

    def plain(key: Any) -> Any:
        low = key.lower().replace(" ", "_") if isinstance(key, str) else key
        return low if low in _NAMES else key

    return {plain(key): inner for key, inner in value.items()}


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first of these keys that says something."""
    return next((value[key] for key in keys if value.get(key) not in (None, "", [])), None)


def _base_of(value: dict[str, Any]) -> str:
    if any(key in value for key in _BASES):
        return _words(_first(value, _BASES))
    parts = [_words(value.get(key)) for key in _BASE_PARTS]
    return ", ".join(dict.fromkeys(filter(None, parts))) or (
        _words(_first(value, ("prompt", "caption"))) if box_in(value) is None else ""
    )


def _words(value: Any) -> str:
    """A text, or several as one; nothing where there is only a word for nothing."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return ", ".join(filter(None, (_words(part) for part in value[:50] if isinstance(part, str))))
    if is_number(value):
        return f"{value:g}"
    if not isinstance(value, str) or value.strip().lower() in _NOT_TEXT:
        return ""
    return value.strip()


def _size(value: dict[str, Any]) -> tuple[float, float] | None:
    """The size of the canvas in pixels where the object tells it."""
    pair = _first(value, ("canvas_size", "image_size", "canvas", "resolution", "size")) or value
    if isinstance(pair, dict):
        pair = [pair.get("width"), pair.get("height")]
    if isinstance(pair, list) and len(pair) == 2 and all(is_number(side) and side > 0 for side in pair):
        return float(pair[0]), float(pair[1])
    return None


def _error_text(value: Any) -> str:
    words = value.get("message") if isinstance(value, dict) else value
    return ascii(one_line(words)[:200]) if isinstance(words, str) else ""
