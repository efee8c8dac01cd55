"""What changed between two panels, as data and as sentences."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import fields

from lib_ranni.panel.types import Box, Element, Keypoint, Lora, Mask, Panel

Operation = Literal["add", "remove", "replace", "re-attribute", "resize", "move", "set", "reorder"]


class Change(Struct, frozen=True):
    """One unit operation, or (`set`, `reorder`) a change of a setting.

    `element` is an id, or empty for the panel itself. `field` names what `set` changed.
    """

    operation: Operation
    element: str = ""
    before: Element | None = None
    after: Element | None = None
    field: str = ""
    old: str = ""
    new: str = ""


_SETTINGS = tuple(
    info.name for info in fields(Element) if info.name not in {"id", "description", "box", "colors", "extra"}
)


def diff(before: Panel, after: Panel) -> tuple[Change, ...]:
    """The changes that turn `before` into `after`, elements being matched by id."""
    changes = [
        Change("set", field=name, old=_shown(getattr(before, name)), new=_shown(getattr(after, name)))
        for name in ("base", "negative", "aspect")
        if getattr(before, name) != getattr(after, name)
    ]
    old = {element.id: element for element in before.elements}
    new = {element.id: element for element in after.elements}
    changes += [Change("remove", i, before=e) for i, e in old.items() if i not in new]
    for element_id, element in new.items():
        if element_id in old:
            changes += _element_changes(old[element_id], element)
        else:
            changes.append(Change("add", element_id, after=element))
    if [*(i for i in old if i in new), *(i for i in new if i not in old)] != list(new):
        changes.append(Change("reorder", old=", ".join(old), new=", ".join(new)))
    return tuple(changes)


def _element_changes(before: Element, after: Element) -> list[Change]:
    changes: list[Change] = []

    def note(operation: Operation) -> None:
        changes.append(Change(operation, before.id, before, after))

    if before.description != after.description:
        same = _head(before.description) == _head(after.description)
        note("re-attribute" if same else "replace")
    elif before.colors != after.colors:
        note("re-attribute")
    if before.box != after.box:
        if not _same_size(before.box, after.box):
            note("resize")
        if not _same_place(before.box, after.box):
            note("move")
    for name in _SETTINGS:
        if getattr(before, name) != getattr(after, name):
            old, new = _shown(getattr(before, name)), _shown(getattr(after, name))
            changes.append(Change("set", before.id, before, after, name, old, new))
    return changes


def _shown(value: Any) -> str:
    """A setting's value, as it reads in a sentence."""
    if isinstance(value, str):
        return f"“{value}”" if value else "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mask):
        return f"a mask of {value.width} by {value.height}"
    if isinstance(value, Keypoint):
        return f"{value.name} ({value.x:.3g}, {value.y:.3g})"
    if isinstance(value, Lora):
        return f"{value.name} ({value.weight:g})"
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value)) or "none"
    return "none" if value is None else str(value)


def _head(description: str) -> str:
    """The word that names the thing: in a noun phrase, the last one before `of`, `with`, `in` or `on`."""
    words = description.lower().replace(",", " ,").split()
    for index, word in enumerate(words):
        if index and word in {"of", "with", "in", "on", "at", ","}:
            return words[index - 1]
    return words[-1] if words else ""


def _same_size(first: Box, second: Box) -> bool:
    return abs(first.width - second.width) < 1e-6 and abs(first.height - second.height) < 1e-6


def _same_place(first: Box, second: Box) -> bool:
    return all(abs(a - b) < 1e-6 for a, b in zip(first.center, second.center, strict=True))


def sentences(changes: tuple[Change, ...]) -> list[str]:
    """One plain sentence a change."""
    return [_sentence(change) for change in changes]


def _name(element: Element | None) -> str:
    return f"“{element.description}”" if element else "the panel"


def _shift(before: Box, after: Box) -> str:
    dx = after.center[0] - before.center[0]
    dy = after.center[1] - before.center[1]
    parts = []
    if abs(dx) >= 0.0005:
        parts.append(f"{abs(dx):.1%} to the {'right' if dx > 0 else 'left'}")
    if abs(dy) >= 0.0005:
        parts.append(f"{abs(dy):.1%} {'down' if dy > 0 else 'up'}")
    return " and ".join(parts) or "a hair"


def _place(box: Box) -> str:
    x, y = box.center
    return f"at {x:.0%} across, {y:.0%} down, {box.width:.0%} wide, {box.height:.0%} high"


def _sentence(change: Change) -> str:
    before, after = change.before, change.after
    if after is not None and change.operation == "add":
        return f"Added {_name(after)} {_place(after.box)}."
    if before is None or after is None:
        if change.operation == "remove":
            return f"Removed {_name(before)}."
        if change.operation == "reorder":
            return f"Reordered the elements from back to front: {change.new}."
        return f"Set the panel's {change.field} from {change.old} to {change.new}."
    if change.operation == "replace":
        return f"Replaced {_name(before)} by {_name(after)}."
    if change.operation == "re-attribute":
        if before.description != after.description:
            return f"Changed {_name(before)} to {_name(after)}."
        return f"Changed the colors of {_name(after)} to {', '.join(after.colors) or 'none'}."
    if change.operation == "resize":
        old, new = before.box, after.box
        return (
            f"Resized {_name(after)} from {old.width:.0%} by {old.height:.0%} "
            f"to {new.width:.0%} by {new.height:.0%} of the canvas."
        )
    if change.operation == "move":
        return f"Moved {_name(after)} {_shift(before.box, after.box)}."
    return f"Set {change.field} of {_name(after)} from {change.old} to {change.new}."
