"""When the elements of a panel act: shares of a run's steps, 0..1."""

from __future__ import annotations

from lib_ranni.panel.types import Element, Panel, with_fields


def acting(panel: Panel, start: float, end: float) -> tuple[Element, ...]:
    """The panel's elements, each no longer than from `start` to `end`; those that never act are left out."""
    kept = []
    for element in panel.elements:
        first, last = max(start, element.start), min(end, element.end)
        if first < last:
            kept.append(with_fields(element, start=first, end=last))
    return tuple(kept)
