"""Older panel documents -> the current layout, one version at a time.

Version 0 is any document without a version: written by hand, by a script, or by a language model. It may
call things by the names people use for them and give a box as a list of four numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import PANEL_VERSION

Document = dict[str, Any]

_PANEL_NAMES = {"base_prompt": "base", "background": "base", "objects": "elements", "regions": "elements"}
_ELEMENT_NAMES = {
    "label": "description",
    "prompt": "description",
    "text": "description",
    "caption": "description",
    "bbox": "box",
    "bounding_box": "box",
    "negative_prompt": "negative",
    "color": "colors",
    "loras": "lora",
}


def _renamed(document: Document, names: dict[str, str]) -> Document:
    """Old names become new ones unless the new one is taken; then the old one stays as it is."""
    renamed = dict(document)
    for old, new in names.items():
        if old in renamed and new not in renamed:
            renamed[new] = renamed.pop(old)
    return renamed


def _element_from_0(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    element = _renamed(value, _ELEMENT_NAMES)
    box = element.get("box")
    if isinstance(box, list) and len(box) == 4:
        element["box"] = dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
    if isinstance(element.get("colors"), str):
        element["colors"] = [element["colors"]]
    return element


def _from_0(document: Document) -> Document:
    document = _renamed(document, _PANEL_NAMES)
    if isinstance(elements := document.get("elements"), list):
        document["elements"] = [_element_from_0(item) for item in elements]
    return {**document, "version": 1}


MIGRATIONS: tuple[Callable[[Document], Document], ...] = (_from_0,)
"""MIGRATIONS[n] turns version n into version n + 1."""

assert len(MIGRATIONS) == PANEL_VERSION


def migrate(document: Document, problems: Problems) -> Document:
    """The document in the current layout; one from the future is returned as it is."""
    version = document.get("version", 0)
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        problems.add("version", f"must be a whole number, not {shown(version)}", "read as version 0")
        version = 0
    for step in MIGRATIONS[version:]:
        document = step(document)
    return document
