"""Our own panel document, as one format among the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_ranni.panel.formats.conversion import Exported, Imported, given
from lib_ranni.panel.formats.infotexts import document_of
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json

NAME = "panel"


def detects(text: str) -> bool:
    """Whether the text is a JSON object with our elements, or with a version of ours."""
    document = document_of(text)
    if document is None or not isinstance(document.get("elements"), list):
        return False
    boxes = [item.get("box") for item in document["elements"] if isinstance(item, dict)]
    return "version" in document or any(isinstance(box, dict) and "x0" in box for box in boxes)


def read(text: str) -> Imported:
    """The panel, mended where needed. Raises `InputError` when the text is no panel document."""
    reading = repair(given(text))
    return Imported(reading.panel or Panel(), {}, NAME, reading.problems)


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as JSON; nothing of it is lost. `settings` is not used."""
    return Exported(to_json(panel, indent=2), NAME, ())
