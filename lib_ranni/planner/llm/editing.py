"""A model's changed layout laid over the user's panel: what was not asked about stays as it was."""

from __future__ import annotations

from lib_ranni.panel import edits
from lib_ranni.panel.types import Box, Element, Panel, with_fields


def merged(before: Panel, after: Panel) -> tuple[Panel, tuple[str, ...]]:
    """The panel with the changes of `after`, which a model wrote knowing texts and boxes only; and remarks.

    Elements are matched by id. A locked one stays, bit for bit, whatever the model did with it; others keep
    what the model has not seen (masks, LoRAs, seeds, ...) unless it no longer fits.
    """
    panel, remarks = before, []
    for old in before.elements:
        new = after.find(old.id)
        is_same = new is not None and new.description == old.description and _same_box(old.box, new.box)
        if is_same:
            continue
        if old.locked:
            remarks.append(f"{old.id} ({_short(old)}) is locked and stays as it is")
        elif new is None:
            panel = edits.remove(panel, old.id)
        else:
            if new.description != old.description:
                panel = edits.reattribute(panel, old.id, new.description)
            if not _same_box(old.box, new.box):
                panel = edits.place(panel, old.id, new.box)
    for new in after.elements:
        if before.find(new.id) is None:
            panel = edits.add(panel, new.description, new.box)
    changes = {
        name: getattr(after, name)
        for name in ("base", "negative")
        if getattr(after, name) != getattr(before, name)
    }
    if changes:
        panel = with_fields(panel, **changes, provenance=with_fields(panel.provenance, edited=True))
    return _in_order(panel, after), tuple(remarks)


def _same_box(old: Box, new: Box) -> bool:
    """Whether a box is the old one as the model saw it, in thousandths."""
    return all(abs(getattr(old, side) - getattr(new, side)) < 0.0015 for side in Box.__struct_fields__)


def _in_order(panel: Panel, after: Panel) -> Panel:
    """From back to front as the model has them; those that it does not mention keep their place."""
    wanted = [element.id for element in after.elements if panel.find(element.id) is not None]
    slots = [n for n, element in enumerate(panel.elements) if element.id in wanted]
    if [panel.elements[n].id for n in slots] == wanted:
        return panel
    elements = list(panel.elements)
    for n, element_id in zip(slots, wanted, strict=True):
        elements[n] = next(e for e in panel.elements if e.id == element_id)
    return with_fields(panel, elements=tuple(elements))


def _short(element: Element) -> str:
    text = element.description
    return text if len(text) <= 40 else text[:37] + "..."
