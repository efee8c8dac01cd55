"""Untrusted JSON -> a `Panel`, or a list of precise problems with paths.

There is one reader. It always knows how it would mend a value, so `check` (accept or list problems) and
`repair` (accept the mended panel and report what was done) cannot disagree about what is wrong.
"""

from __future__ import annotations

import codecs
from typing import Any

import msgspec
from msgspec import Struct

from lib_ranni.errors import PanelError
from lib_ranni.panel import migration
from lib_ranni.panel.element_reading import ElementReader
from lib_ranni.panel.problems import Problem, Problems, shown
from lib_ranni.panel.types import (
    MAX_ELEMENTS,
    MAX_SEED,
    PANEL_VERSION,
    Element,
    Panel,
    Provenance,
)

_PANEL_FIELDS = set(Panel.__struct_fields__) - {"extra"}
_PROVENANCE_FIELDS = set(Provenance.__struct_fields__) - {"extra"}


class Reading(Struct, frozen=True):
    """What came of a document: the mended panel (None if there was nothing to mend) and its problems."""

    panel: Panel | None
    problems: tuple[Problem, ...]


def read(document: bytes | str | Any) -> Reading:
    """Read JSON text, or what JSON text decodes to. Never raises on any input."""
    problems = Problems()
    if isinstance(document, (bytes, bytearray, str)):
        document = _decode(document, problems)
        if problems.found:
            return Reading(None, problems.all())
    if not isinstance(document, dict):
        problems.add("", f"a panel is a JSON object, not {shown(document)}", "give an object with 'elements'")
        return Reading(None, problems.all())
    document = migration.migrate(document, problems)
    return Reading(_panel(document, problems), problems.all())


def check(document: bytes | str | Any) -> Panel | tuple[Problem, ...]:
    """The panel if the document is flawless, else everything that is wrong with it."""
    reading = read(document)
    if reading.problems or reading.panel is None:
        return reading.problems
    return reading.panel


def load(document: bytes | str | Any) -> Panel:
    """Like `check`, but raises `PanelError` with all problems."""
    checked = check(document)
    if isinstance(checked, Panel):
        return checked
    raise PanelError(checked)


def repair(document: bytes | str | Any) -> Reading:
    """The mended panel and, as problems, every change that was made.

    Raises `PanelError` when the document is not a panel at all.
    """
    reading = read(document)
    if reading.panel is None:
        raise PanelError(reading.problems)
    return reading


def _decode(text: bytes | bytearray | str, problems: Problems) -> Any:
    # Editors on Windows put a byte order mark in front.
    data = text.removeprefix("\ufeff") if isinstance(text, str) else bytes(text).removeprefix(codecs.BOM_UTF8)
    try:
        return msgspec.json.decode(data)
    except RecursionError:
        problems.add("", "this JSON is nested too deep", "give a flatter document")
    except (msgspec.DecodeError, UnicodeError) as error:
        problems.add("", f"this is not JSON: {error}", "check the text near the place it names")
    return None


def _panel(document: dict[str, Any], problems: Problems) -> Panel:
    version = document.get("version", PANEL_VERSION)
    if version != PANEL_VERSION:
        problems.add(
            "version",
            f"version {shown(version)} is newer than this library's {PANEL_VERSION}",
            f"read as version {PANEL_VERSION}",
        )
    return Panel(
        base=problems.text("base", document.get("base", "")),
        negative=problems.text("negative", document.get("negative", "")),
        elements=_elements(document.get("elements", []), problems),
        aspect=problems.number("aspect", document.get("aspect", 1.0), 0.1, 10.0, 1.0),
        provenance=_provenance(document.get("provenance", {}), problems),
        extra=problems.unknown("", document, _PANEL_FIELDS),
    )


def _provenance(value: Any, problems: Problems) -> Provenance:
    if not isinstance(value, dict):
        problems.add("provenance", f"must be an object, not {shown(value)}", "dropped")
        return Provenance()
    unread = value.get("unread", [])
    if not isinstance(unread, list):
        problems.add("provenance.unread", f"must be a list, not {shown(unread)}", "dropped")
        unread = []
    return Provenance(
        planner=problems.text("provenance.planner", value.get("planner", "")),
        model=problems.text("provenance.model", value.get("model", "")),
        prompt=problems.text("provenance.prompt", value.get("prompt", "")),
        seed=problems.whole("provenance.seed", value.get("seed"), 0, MAX_SEED),
        unread=tuple(problems.text(f"provenance.unread[{n}]", text) for n, text in enumerate(unread)),
        edited=problems.flag("provenance.edited", value.get("edited", False)),
        extra=problems.unknown("provenance", value, _PROVENANCE_FIELDS),
    )


def _elements(value: Any, problems: Problems) -> tuple[Element, ...]:
    if not isinstance(value, list):
        problems.add("elements", f"must be a list, not {shown(value)}", "read as no elements")
        return ()
    if len(value) > MAX_ELEMENTS:
        fault = f"has {len(value)} elements, at most {MAX_ELEMENTS} are allowed"
        problems.add("elements", fault, "rest dropped")
        value = value[:MAX_ELEMENTS]
    reader = ElementReader(problems, [item.get("id") for item in value if isinstance(item, dict)])
    elements: list[Element] = []
    seen: dict[Any, str] = {}
    for index, item in enumerate(value):
        path = f"elements[{index}]"
        element = reader.read(path, item)
        if element is None:
            continue
        # Entries that could not be told apart in the picture. With an id of its own, one is there on purpose.
        sight = (element.description.strip().lower(), element.box, element.mask)
        twin = seen.setdefault(sight, element.id)
        if twin != element.id and element.id != item.get("id"):
            problems.add(path, f"repeats element {twin!r}: same description, same box", "merged with it")
            continue
        elements.append(element)
    return tuple(elements)
