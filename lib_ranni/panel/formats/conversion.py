"""What an import gives and an export makes, and what all foreign formats have in common.

Every reader makes a panel document and has it read by `lib_ranni.panel.reading`, so that limits, odd
texts and boxes off the canvas are treated alike whatever the source was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from msgspec import Struct
from msgspec.structs import fields

from lib_ranni.errors import InputError
from lib_ranni.panel.problems import Problem, Problems, is_unicode
from lib_ranni.panel.reading import read
from lib_ranni.panel.types import PANEL_VERSION, Element, Panel

MAX_BYTES = 2**20
"""The longest text that is looked at, in bytes of UTF-8."""

# What changes the picture; ids, locks and fields of newer versions do not.
_ELEMENT_FIELDS = (
    *("mask", "negative", "colors", "keypoints", "weight", "base_ratio"),
    *("start", "end", "lora", "seed"),
)
_PANEL_FIELDS = ("base", "negative", "aspect")


class Imported(Struct, frozen=True):
    """A foreign layout as our panel.

    `settings` holds what the source says about guidance, named as in a request's `guidance` object
    (`mode`, `base_ratio`, `hires`); what it does not say is absent. `problems` lists everything that was
    read otherwise than written.
    """

    panel: Panel
    settings: dict[str, Any]
    format: str
    problems: tuple[Problem, ...]


class Exported(Struct, frozen=True):
    """A panel as text in a foreign format; `problems` lists what that format cannot say."""

    text: str
    format: str
    problems: tuple[Problem, ...]


def given(text: Any) -> str:
    """The text to read, without a byte order mark and with no half of a surrogate pair in it.

    Raises `InputError` when it is not UTF-8, longer than `MAX_BYTES`, or blank.
    """
    if not isinstance(text, (str, bytes, bytearray)):
        raise InputError(f"a layout is imported from text, not from {type(text).__name__}")
    if len(text) > MAX_BYTES:
        raise InputError(f"this text is too long; at most {MAX_BYTES:,} bytes are read")
    try:
        words = text if isinstance(text, str) else bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("this is not UTF-8 text; save it as UTF-8 and try again") from error
    if not is_unicode(words):
        words = words.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    words = words.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not words.strip():
        raise InputError("there is nothing to import; paste a layout")
    if len(words.encode()) > MAX_BYTES:
        raise InputError(f"this text is too long; at most {MAX_BYTES:,} bytes are read")
    return words


def imported(
    name: str,
    document: Mapping[str, Any],
    problems: Problems,
    settings: Mapping[str, Any] | None = None,
) -> Imported:
    """The panel of a document made by the reader of the format `name`.

    Raises `InputError` when nothing in it can be drawn; the message has the reasons.
    """
    reading = read({"version": PANEL_VERSION, **document})
    found = (*problems.all(), *reading.problems)
    panel = reading.panel
    if panel is None or not (panel.elements or panel.base.strip()):
        reasons = "; ".join(map(str, found[:3])) or "it names no region and no base prompt"
        raise InputError(f"there is nothing to draw in this layout: {reasons}")
    return Imported(panel, dict(settings or {}), name, found)


def note_losses(panel: Panel, kept: frozenset[str], problems: Problems) -> None:
    """A problem for every field of the panel and its elements that a format has no place for.

    `kept` names the fields that it has, those of an element as `element.negative`.
    """
    usual = {info.name: info.default for info in (*fields(Element), *fields(Panel))}
    for field in _PANEL_FIELDS:
        if field not in kept and getattr(panel, field) != usual[field]:
            problems.add(field, "this format has no place for it", "left out")
    for index, element in enumerate(panel.elements):
        for field in _ELEMENT_FIELDS:
            if f"element.{field}" not in kept and getattr(element, field) != usual[field]:
                problems.add(f"elements[{index}].{field}", "this format has no place for it", "left out")


def one_line(text: str) -> str:
    """The text with every run of white space made one blank."""
    return " ".join(text.split())


def corners(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    """A box as a panel document writes it."""
    return {"x0": x0, "y0": y0, "x1": x1, "y1": y1}


def is_number(value: Any) -> TypeGuard[float]:
    """Whether the value is a number that a coordinate may be; true and false, nan and huge ones are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e9 <= value <= 1e9
