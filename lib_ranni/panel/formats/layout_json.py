"""Lists of captions with boxes, in JSON or as Python literals, as many planners and taggers write them.

    [("a cat", [60, 80, 200, 300]), ...]            LLM-grounded diffusion: x, y, width, height of 512
    [{"caption": "a cat", "bbox": [...]}, ...]      the same with names
    {"prompt": ..., "phrases": [...], "locations": [[0.1, 0.2, 0.5, 0.6], ...]}      GLIGEN
    {"bbox_controls": [{"x": ..., "y": ..., "w": ..., "h": ..., "prompt": ...}]}     Tiled Diffusion

Where a box does not name its numbers, fractions are read as two corners and pixels as a corner and a size,
unless only the other reading keeps all boxes on the canvas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from lib_ranni.errors import InputError
from lib_ranni.panel.formats.boxes import KEYS as BOX_KEYS
from lib_ranni.panel.formats.boxes import Entry, quad, resolved, sides_of
from lib_ranni.panel.formats.conversion import Exported, Imported, given, imported, is_number, note_losses
from lib_ranni.panel.formats.literals import Cut, closing, literal
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import MAX_ELEMENTS, Panel

NAME = "layout_json"

_CAPTIONS = ("description", "caption", "name", "label", "phrase", "prompt", "text", "object", "class")
_LISTS = (
    *("objects", "elements", "regions", "layout", "gen_boxes", "bbox_controls", "annotations", "items"),
    *("boxes", "bboxes"),
)
_PHRASES = ("phrases", "labels", "captions", "names")
_PLACES = ("locations", "boxes", "bboxes")
_BASES = ("base", "base_prompt", "background", "background_prompt", "bg_prompt", "scene", "prompt", "caption")
_NEGATIVES = ("negative", "negative_prompt", "neg_prompt")
_SIZES = ("size", "canvas", "canvas_size", "image_size", "resolution")

_FENCE = re.compile(r"```[a-zA-Z]{0,12}\n")
_OBJECTS = re.compile(r"(?:^|\n)\s{0,9}\**objects\**\s{0,9}:\s{0,9}(?=\[)", re.IGNORECASE)
_BACKGROUND = re.compile(r"\n[ \t]{0,9}\**background prompt\**[ \t]{0,9}:([^\n]*)", re.IGNORECASE)
_NEGATIVE = re.compile(r"\n[ \t]{0,9}\**negative prompt\**[ \t]{0,9}:([^\n]*)", re.IGNORECASE)


def detects(text: str) -> bool:
    """Whether the text begins with a list or an object, or names a list of objects."""
    text = _unfenced(text)
    quoted = re.match(r"\(\s{0,9}['\"]", text) is not None
    return text[:1] in ("[", "{") or quoted or _OBJECTS.search(text) is not None


def read(text: str) -> Imported:
    """The panel of a list of captions with boxes. Raises `InputError` when there is none."""
    text = _unfenced(given(text))
    problems = Problems()
    value, rest = _decoded(text)
    document: dict[str, Any] = {}
    for name, pattern in (("base", _BACKGROUND), ("negative", _NEGATIVE)):
        match = pattern.search(rest)
        words = match[1].strip().strip('"') if match else ""
        if words and words != "None":
            document[name] = words
    entries, size = _layout(value, document, problems)
    if len(entries) > MAX_ELEMENTS:
        problems.add("", f"has {len(entries)} boxes, at most {MAX_ELEMENTS} are allowed", "rest left out")
    document["elements"] = resolved(entries[:MAX_ELEMENTS], size, problems)
    return imported(NAME, document, problems)


def _unfenced(text: str) -> str:
    """What stands in a code fence, if there is one, without blanks around."""
    match = _FENCE.search(text)
    if match:
        inner, fence, after = text[match.end() :].partition("```")
        text = f"{inner}\n{after}" if fence else inner
    return text.strip()


def _decoded(text: str) -> tuple[Any, str]:
    """The list or object in the text, and what stands behind it."""
    match = _OBJECTS.search(text)
    source = text[match.end() :] if match else text
    try:
        return msgspec.json.decode(source), ""
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        fault = str(error)
    if source[:1] not in ("[", "{", "("):
        raise InputError("there is no list of captions and boxes in this text; begin it with [ or {")
    try:
        end = closing(source, 0)
        if source[0] == "(" and source[end : end + 1] == ",":
            # Entries without a list around them.
            return literal(source), ""
        return _json_or_literal(source[:end]), source[end:]
    except Cut as cut:
        raise InputError("this layout is cut off or nested too deep; a bracket is not closed") from cut
    except ValueError as error:
        raise InputError(f"this is neither JSON ({fault}) nor a Python list ({error})") from error


def _json_or_literal(source: str) -> Any:
    try:
        return msgspec.json.decode(source)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return literal(source)


def _layout(
    value: Any, document: dict[str, Any], problems: Problems
) -> tuple[list[Entry], tuple[float, float] | None]:
    """The captions with their boxes, and the size of the canvas if it is told; the rest into `document`."""
    size = None
    if isinstance(value, dict):
        size = _size(value)
        for name, keys in (("base", _BASES), ("negative", _NEGATIVES)):
            words = _first(value, keys)
            if isinstance(words, str) and words.strip():
                document[name] = words
        aspect = value.get("aspect")
        if size is not None:
            document["aspect"] = size[0] / size[1]
        elif is_number(aspect) and aspect > 0:
            document["aspect"] = aspect
        value = _items(value, 3)
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        value = [value]
    if not isinstance(value, list):
        raise InputError(f"a layout is a list of captions with boxes, not {shown(value)}")
    entries = []
    for index, item in enumerate(value):
        entry = _entry(f"boxes[{index}]", item, problems)
        if entry is not None:
            entries.append(entry)
    return entries, size


def _items(value: dict[str, Any], depth: int) -> Any:
    """The list of entries in an object, whichever way it holds them; wrappers are opened `depth` deep."""
    phrases, places = _first(value, _PHRASES), _first(value, _PLACES)
    if isinstance(phrases, list) and isinstance(places, list):
        if len(phrases) != len(places):
            raise InputError(f"there are {len(phrases)} phrases and {len(places)} boxes; give one for each")
        return [list(pair) for pair in zip(phrases, places, strict=True)]
    for key in _LISTS:
        if isinstance(value.get(key), (list, dict)):
            inner = value[key]
            return _items(inner, depth - 1) if isinstance(inner, dict) and depth else inner
    if _first(value, _CAPTIONS) is not None and sides_of(value) is not None:
        return [value]
    found: list[Any] = []
    for name, inner in value.items():
        if isinstance(inner, dict) and sides_of(inner) is not None:
            found.append({**({} if _first(inner, _CAPTIONS) else {"description": name}), **inner})
        elif isinstance(inner, list) and inner:
            boxes = inner if isinstance(inner[0], list) else [inner]
            found += [[name, box] for box in boxes if quad(box) is not None]
    return found


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The value of the first of these keys that is there."""
    return next((value[key] for key in keys if value.get(key) is not None), None)


def _size(value: Mapping[str, Any]) -> tuple[float, float] | None:
    """Width and height of the canvas in pixels, where the object tells."""
    pair = _first(value, _SIZES)
    if isinstance(pair, str):
        pair = [float(part) if part.isdecimal() and len(part) < 6 else 0 for part in pair.split("x")]
    if isinstance(pair, dict):
        pair = [pair.get("width"), pair.get("height")]
    if not isinstance(pair, list):
        pair = [value.get("width"), value.get("height")]
    if len(pair) != 2 or not all(is_number(side) and side > 0 for side in pair):
        return None
    return float(pair[0]), float(pair[1])


def _entry(path: str, item: Any, problems: Problems) -> Entry | None:
    """One caption with its box, or None if either is missing."""
    extra: dict[str, Any] = {}
    sides = None
    words: Any = None
    if isinstance(item, dict):
        if item.get("enable") is False:
            problems.add(path, "is switched off", "left out")
            return None
        words = _first(item, _CAPTIONS)
        sides = sides_of(item)
        extra = _extra(item)
    elif isinstance(item, list) and len(item) == 2:
        words, box = item
        sides = sides_of({"box": box})
    if not isinstance(words, str) or not words.strip():
        problems.add(path, "has no caption", "left out")
        return None
    if sides is None:
        keys = ", ".join(BOX_KEYS[:2])
        problems.add(path, f"has no box of four numbers (looked for {keys}, x and y)", "left out")
        return None
    return Entry(path, {"description": words, **extra}, *sides)


def _extra(item: Mapping[str, Any]) -> dict[str, Any]:
    """What else an entry says that an element can hold."""
    found: dict[str, Any] = {}
    negative = _first(item, _NEGATIVES)
    if isinstance(negative, str):
        found["negative"] = negative
    colors = _first(item, ("colors", "color"))
    if colors is not None:
        found["colors"] = colors if isinstance(colors, list) else [colors]
    if item.get("weight") is not None:
        found["weight"] = item["weight"]
    seed = item.get("seed")
    # Below 0 stands for a seed of chance.
    if seed is not None and not (is_number(seed) and seed < 0):
        found["seed"] = seed
    return found


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as an object with a list of descriptions and boxes, two corners each in 0..1.

    `settings` is not used: the list has no place for them.
    """
    problems = Problems()
    own = ("negative", "colors", "weight", "seed")
    kept = {"base", "negative", "aspect", *(f"element.{name}" for name in own)}
    note_losses(panel, frozenset(kept), problems)
    objects = []
    for element in panel.elements:
        box = element.box
        entry: dict[str, Any] = {
            "description": element.description,
            "box": [box.x0, box.y0, box.x1, box.y1],
        }
        if element.negative:
            entry["negative"] = element.negative
        if element.colors:
            entry["colors"] = list(element.colors)
        if element.weight != 1.0:
            entry["weight"] = element.weight
        if element.seed is not None:
            entry["seed"] = element.seed
        objects.append(entry)
    document: dict[str, Any] = {"background": panel.base} if panel.base else {}
    if panel.negative:
        document["negative"] = panel.negative
    if panel.aspect != 1.0:
        document["aspect"] = panel.aspect
    document["objects"] = objects
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode("utf-8")
    return Exported(text, NAME, problems.all())
