"""The JSON that a language model writes a panel in: its schema, and panels in that form.

Boxes are whole thousandths of the canvas; models write these better than fractions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lib_ranni.panel.types import MAX_ELEMENTS, Box, Panel

THOUSAND = 1000


def reply_schema() -> dict[str, Any]:
    """JSON Schema of a reply, in the few words that servers with grammars and strict modes know.

    `base` is style, light and background; a box is x0, y0, x1, y1 in 0..1000.
    """
    side = {"type": "integer", "minimum": 0, "maximum": THOUSAND}
    element = _object(
        id={"type": "string"},
        description={"type": "string"},
        box={"type": "array", "items": side, "minItems": 4, "maxItems": 4},
    )
    return _object(
        base={"type": "string"},
        negative={"type": "string"},
        elements={"type": "array", "items": element, "maxItems": MAX_ELEMENTS},
    )


def to_reply(panel: Panel) -> str:
    """The panel as a model writes it and sees it when it edits; `locked` stands where an element is."""
    elements: list[dict[str, Any]] = []
    for element in panel.elements:
        box = _thousandths(element.box)
        entry: dict[str, Any] = {"id": element.id, "description": element.description, "box": box}
        if element.locked:
            entry["locked"] = True
        elements.append(entry)
    document = {"base": panel.base, "negative": panel.negative, "elements": elements}
    return msgspec.json.encode(document).decode()


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _thousandths(box: Box) -> list[int]:
    """Rounded, with an extent even where the box is thinner than a thousandth."""

    def span(low: float, high: float) -> tuple[int, int]:
        first = min(THOUSAND - 1, round(low * THOUSAND))
        return first, max(first + 1, round(high * THOUSAND))

    (x0, x1), (y0, y1) = span(box.x0, box.x1), span(box.y0, box.y1)
    return [x0, y0, x1, y1]
