"""Omost's canvas: Python code as its language models write it, or the conditions made of it as JSON.

The code is read with `ast` and never run. Places and sizes are words for points and rectangles on a grid of
90 by 90; whoever is farther from the viewer stands behind. The color of the whole canvas has no place in a
panel and is left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from PIL import ImageColor

from lib_ranni.errors import InputError
from lib_ranni.panel.formats.conversion import Imported, corners, given, imported, is_number
from lib_ranni.panel.formats.literals import Cut, arguments, closing
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import MAX_ELEMENTS

NAME = "omost"
CANVAS = 90

_CALL = re.compile(r"\.\s{0,9}(set_global_description|add_local_description)\s{0,9}\(")
_CANVAS = re.compile(r"=\s{0,9}Canvas\s{0,9}\(\s{0,9}\)")
_RECT = re.compile(r"\"rect\"\s{0,9}:")

_GLOBAL = ("description", "detailed_descriptions", "tags", "HTML_web_color_name")
_LOCAL = (
    *("location", "offset", "area", "distance_to_viewer", "description", "detailed_descriptions"),
    *("tags", "atmosphere", "style", "quality_meta", "HTML_web_color_name"),
)
_DETAILS = ("detailed_descriptions", "tags", "atmosphere", "style", "quality_meta")

_LOCATIONS = {
    "in the center": (45, 45),
    "on the left": (15, 45),
    "on the right": (75, 45),
    "on the top": (45, 15),
    "on the bottom": (45, 75),
    "on the top-left": (15, 15),
    "on the top-right": (75, 15),
    "on the bottom-left": (15, 75),
    "on the bottom-right": (75, 75),
}
_OFFSETS = {
    "no offset": (0, 0),
    "slightly to the left": (-10, 0),
    "slightly to the right": (10, 0),
    "slightly to the upper": (0, -10),
    "slightly to the lower": (0, 10),
    "slightly to the upper-left": (-10, -10),
    "slightly to the upper-right": (10, -10),
    "slightly to the lower-left": (-10, 10),
    "slightly to the lower-right": (10, 10),
}
_AREAS = {
    "a small square area": (50, 50),
    "a small vertical area": (40, 60),
    "a small horizontal area": (60, 40),
    "a medium-sized square area": (60, 60),
    "a medium-sized vertical area": (50, 80),
    "a medium-sized horizontal area": (80, 50),
    "a large square area": (70, 70),
    "a large vertical area": (60, 90),
    "a large horizontal area": (90, 60),
}
_USUAL_AREA = "a medium-sized square area"


def detects(text: str) -> bool:
    """Whether the text calls a canvas's methods, or is a JSON list of conditions with rectangles."""
    if _CALL.search(text):
        return True
    return text.lstrip().startswith("[") and '"prefixes"' in text and _RECT.search(text) is not None


def read(text: str) -> Imported:
    """The panel of the last canvas in the text. Raises `InputError` when nothing is placed on it."""
    text = given(text)
    problems = Problems()
    if text.lstrip().startswith("[") and not _CALL.search(text):
        return _read_conditions(text, problems)
    canvases = list(_CANVAS.finditer(text))
    if canvases and _CALL.search(text, canvases[-1].end()):
        text = text[canvases[-1].end() :]
    base = ""
    placed: list[tuple[float, dict[str, Any]]] = []
    count = 0
    for name, source in _calls(text, problems):
        if name == "set_global_description":
            base = _words(_fields(source, _GLOBAL))
            continue
        path = f"descriptions[{count}]"
        count += 1
        fields = _fields(source, _LOCAL)
        if not isinstance(fields.get("description"), str):
            problems.add(path, "has no description in plain quotes", "left out")
        else:
            placed.append((_distance(path, fields, problems), _element(path, fields, problems)))
    if not placed and not base:
        raise InputError("this code places nothing: there is no readable canvas.add_local_description(...)")
    placed.sort(key=lambda item: -item[0])
    elements = [element for _, element in placed]
    return imported(NAME, {"base": base, "elements": elements}, problems)


def _calls(text: str, problems: Problems) -> Iterable[tuple[str, str]]:
    """(method, arguments in brackets) of each call; one that is cut off is noted."""
    position = count = 0
    while (match := _CALL.search(text, position)) and count <= MAX_ELEMENTS:
        begin = match.end() - 1
        try:
            position = closing(text, begin)
        except Cut as cut:
            position = max(cut.position, match.end())
            problems.add(match[1], "is cut off or has unclosed quotes", "left out")
            continue
        count += 1
        yield match[1], text[begin:position]


def _fields(source: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of a call by name, as far as they are plain values."""
    positional, named = arguments(source)
    fields = {**dict(zip(names, positional, strict=False)), **named}
    return {key: value for key, value in fields.items() if value is not None}


def _words(fields: Mapping[str, Any]) -> str:
    """The description with its details behind it, as one text."""
    parts: list[Any] = [fields.get("description")]
    for name in _DETAILS:
        value = fields.get(name)
        parts += value if isinstance(value, list) else [value]
    kept = (part.strip(" ,.\n\t") for part in parts if isinstance(part, str))
    return ", ".join(part for part in kept if part)


def _element(path: str, fields: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    x, y = _named(f"{path}.location", fields.get("location"), _LOCATIONS, "in the center", problems)
    dx, dy = _named(f"{path}.offset", fields.get("offset", "no offset"), _OFFSETS, "no offset", problems)
    width, height = _named(f"{path}.area", fields.get("area"), _AREAS, _USUAL_AREA, problems)
    x, y = x + dx, y + dy
    sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    # Rectangles may leave Omost's canvas by design; only what is on it counts.
    box = corners(*(min(1.0, max(0.0, side / CANVAS)) for side in sides))
    colors = _colors(f"{path}.HTML_web_color_name", fields.get("HTML_web_color_name"), problems)
    return {"description": _words(fields), "box": box, "colors": colors}


def _named(
    path: str, value: Any, known: Mapping[str, tuple[int, int]], usual: str, problems: Problems
) -> tuple[int, int]:
    name = _closest(value, known)
    if not isinstance(value, str) or name != value.strip().lower():
        repair = f"read as {shown(name or usual)}"
        problems.add(path, f"{shown(value)} is none of Omost's words", repair)
    return known[name or usual]


def _closest(value: Any, known: Iterable[str]) -> str | None:
    """The known name most like the given one, if any is."""
    if not isinstance(value, str):
        return None
    found = difflib.get_close_matches(value[:60].strip().lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def _colors(path: str, value: Any, problems: Problems) -> list[str]:
    if value is None:
        return []
    name = value.strip().lower() if isinstance(value, str) else value
    if name == "navyblue":
        name = "navy"
    known = _closest(name, ImageColor.colormap)
    if known is None:
        problems.add(path, f"{shown(value)} is no color of the web", "left out")
        return []
    if known != name:
        problems.add(path, f"{shown(value)} is no color of the web", f"read as {known}")
    red, green, blue = ImageColor.getrgb(known)[:3]
    return [f"#{red:02x}{green:02x}{blue:02x}"]


def _distance(path: str, fields: Mapping[str, Any], problems: Problems) -> float:
    value = fields.get("distance_to_viewer", 1.0)
    if is_number(value) and value > 0:
        return float(value)
    problems.add(f"{path}.distance_to_viewer", f"must be above 0, not {shown(value)}", "read as 1")
    return 1.0


def _read_conditions(text: str, problems: Problems) -> Imported:
    """The conditions that ComfyUI's Omost nodes save: the whole canvas first, then from back to front."""
    try:
        conditions = msgspec.json.decode(text, type=list[Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InputError(f"these Omost conditions are not JSON: {error}") from error
    base = ""
    elements = []
    for index, condition in enumerate(conditions[: MAX_ELEMENTS + 1]):
        path = f"conditions[{index}]"
        rect = condition.get("rect") if isinstance(condition, dict) else None
        sides = rect if isinstance(rect, list) and len(rect) == 4 else []
        if not sides or not all(is_number(side) for side in sides):
            problems.add(path, "needs a rect of four numbers", "left out")
            continue
        prefixes = [part for part in _listed(condition.get("prefixes")) if isinstance(part, str)]
        # The first prefix of a region is the description of the whole canvas.
        whole = index == 0
        words = _words(
            {
                "description": ", ".join(prefixes if whole else prefixes[1:] or prefixes),
                "detailed_descriptions": _listed(condition.get("suffixes")),
            }
        )
        if whole:
            base = words
            continue
        top, bottom, left, right = (float(side) / CANVAS for side in sides)
        elements.append({"description": words, "box": corners(left, top, right, bottom)})
    return imported(NAME, {"base": base, "elements": elements}, problems)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
