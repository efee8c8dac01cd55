"""Ranni's own text panel, `(label,[cx,cy,w,h]),(label,[cx,cy,w,h])`: the "Box Answer" of its demo.

Numbers are pixels of a canvas of 768 by 768 with the center of the box first. Upstream pairs brackets by
position and splits at commas, so a label with either breaks it; here a label ends where its box begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lib_ranni.errors import InputError
from lib_ranni.panel.formats.conversion import (
    Exported,
    Imported,
    corners,
    given,
    imported,
    note_losses,
    one_line,
)
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import Box, Panel

NAME = "ranni"
CANVAS = 768
"""Side of Ranni's canvas in pixels."""

_BOX = re.compile(r",\s*\[([^\[\]]*)\]\s*\)")
_PLACED = re.compile(r",\s*\[\s*-?[\d.]+\s*(?:,\s*-?[\d.]+\s*){3}\]\s*\)")
_COUNTED = re.compile(r"\([^()\[\],]{1,200},\s*\d+\s*\)")
_NUMBER = re.compile(r"[+-]?(?:\d{1,6}(?:\.\d*)?|\.\d+)")
_UNSAYABLE = re.compile(r"[(),\[\]]+")


def detects(text: str) -> bool:
    """Whether the text has a bracketed label, not in quotes, with four numbers."""
    match = _PLACED.search(text)
    label = _label(text[: match.start()]) if match else ""
    return label[:1] not in ("", "'", '"')


def read(text: str) -> Imported:
    """The panel of a box answer. Raises `InputError` when there is no box in it."""
    text = given(text)
    problems = Problems()
    elements = []
    begin = count = 0
    for match in _BOX.finditer(text):
        path = f"boxes[{count}]"
        count += 1
        label = _label(text[begin : match.start()])
        begin = match.end()
        box = _box(path, match[1], problems)
        if not label:
            problems.add(path, "has no label before it", "left out")
        elif box is not None:
            elements.append({"description": label, "box": box})
    if not count:
        if _COUNTED.search(text):
            fault = "this is a list of things and their numbers, without boxes"
            raise InputError(f"{fault}; paste Ranni's box answer, such as (a cat,[384,384,200,300])")
        raise InputError("there is no box like (a cat,[384,384,200,300]) in this text")
    return imported(NAME, {"elements": elements}, problems)


def _label(text: str) -> str:
    """What stands behind the round bracket that is still open at the end of `text`."""
    depth = 0
    for index in range(len(text) - 1, -1, -1):
        if text[index] == ")":
            depth += 1
        elif text[index] == "(":
            if not depth and text[index + 1 :].strip():
                return one_line(text[index + 1 :])
            depth = max(0, depth - 1)
    return ""


def _box(path: str, text: str, problems: Problems) -> dict[str, float] | None:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        problems.add(path, f"needs four numbers, not {shown(text.strip())}", "left out")
        return None
    cx, cy, width, height = map(float, parts)
    if width <= 0 or height <= 0:
        problems.add(path, "has no extent", "left out")
        return None

    def start(center: float, size: float) -> float:
        # As upstream does with whole pixels: half of an odd size is rounded down.
        return center - (size // 2 if center.is_integer() and size.is_integer() else size / 2)

    x0, y0 = start(cx, width), start(cy, height)
    return corners(x0 / CANVAS, y0 / CANVAS, (x0 + width) / CANVAS, (y0 + height) / CANVAS)


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as a box answer that Ranni reads: boxes in whole pixels, labels without its signs.

    `settings` is not used: the text has no place for them.
    """
    problems = Problems()
    note_losses(panel, frozenset(), problems)
    entries = []
    for index, element in enumerate(panel.elements):
        label = one_line(_UNSAYABLE.sub(" ", element.description))
        if label != one_line(element.description):
            repair = "written without them"
            problems.add(
                f"elements[{index}].description", "has commas or brackets, which end a label", repair
            )
        entries.append(f"({label or 'thing'},[{','.join(map(str, _pixels(element.box)))}])")
    return Exported(",".join(entries), NAME, problems.all())


def _pixels(box: Box) -> tuple[int, int, int, int]:
    def span(low: float, high: float) -> tuple[int, int]:
        first = min(CANVAS - 1, round(low * CANVAS))
        size = max(1, round(high * CANVAS) - first)
        return first + size // 2, size

    (cx, width), (cy, height) = span(box.x0, box.x1), span(box.y0, box.y1)
    return cx, cy, width, height
