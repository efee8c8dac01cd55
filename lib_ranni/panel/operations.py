"""The unit operations of `edits` as data: what the API takes, the command line builds and a chat proposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lib_ranni.errors import EditError, InputError
from lib_ranni.panel import edits
from lib_ranni.panel.types import Box, Panel, clamped_box, with_fields

MAX_OPERATIONS = 1000


class Operation(Struct, frozen=True, tag_field="op", tag=str.lower, forbid_unknown_fields=True):
    """One change of a panel; in JSON `op` names its kind."""

    def apply(self, panel: Panel) -> Panel:
        """The panel after it. Raises `EditError` if it cannot be done."""
        raise NotImplementedError


class Add(Operation, frozen=True):
    """A new element in front. `box` is x0, y0, x1, y1; without one it gets a free place."""

    description: str
    box: tuple[float, float, float, float] | None = None
    negative: str = ""
    colors: tuple[str, ...] = ()

    def apply(self, panel: Panel) -> Panel:
        """The panel with the element."""
        fields: dict[str, Any] = {"negative": self.negative, "colors": self.colors}
        if self.box is None:
            return edits.add(panel, self.description, **fields)
        return edits.add(panel, self.description, _on_canvas(self.box), **fields)


class Remove(Operation, frozen=True):
    """Without an element."""

    id: str

    def apply(self, panel: Panel) -> Panel:
        """The panel without it."""
        return edits.remove(panel, self.id)


class Replace(Operation, frozen=True):
    """Another thing in an element's place."""

    id: str
    description: str

    def apply(self, panel: Panel) -> Panel:
        """The panel with the other thing."""
        return edits.replace(panel, self.id, self.description)


class Attribute(Operation, frozen=True):
    """The same thing described otherwise, in other colors, or both."""

    id: str
    description: str | None = None
    colors: tuple[str, ...] | None = None

    def apply(self, panel: Panel) -> Panel:
        """The panel with the thing so described."""
        return edits.reattribute(panel, self.id, self.description, self.colors)


class Resize(Operation, frozen=True):
    """An element grown by `factor` around its center, or brought to a width or height, in 0..1."""

    id: str
    factor: float | None = None
    width: float | None = None
    height: float | None = None

    def apply(self, panel: Panel) -> Panel:
        """The panel with the element in its new size."""
        if self.factor is None and self.width is None and self.height is None:
            raise EditError(f"say how to resize {self.id}: by a factor, or to a width or height")
        return edits.resize(panel, self.id, self.factor, width=self.width, height=self.height)


class Move(Operation, frozen=True):
    """An element shifted `by` (dx, dy), or with its center brought `to` (x, y)."""

    id: str
    by: tuple[float, float] | None = None
    to: tuple[float, float] | None = None

    def apply(self, panel: Panel) -> Panel:
        """The panel with the element in its new place."""
        return edits.move(panel, self.id, self.by, to=self.to)


class Rebase(Operation, frozen=True):
    """Another base prompt: background and style of the whole picture."""

    base: str

    def apply(self, panel: Panel) -> Panel:
        """The panel with this base prompt."""
        if self.base == panel.base:
            return panel
        try:
            return with_fields(panel, base=self.base, provenance=with_fields(panel.provenance, edited=True))
        except (ValueError, TypeError) as error:
            raise EditError(f"this cannot be the base prompt: {error}") from error


AnyOperation = Add | Remove | Replace | Attribute | Resize | Move | Rebase


def apply(panel: Panel, operations: Sequence[Operation]) -> Panel:
    """The panel after all operations, in their order. Raises `EditError` at the first that cannot be done."""
    for operation in operations:
        panel = operation.apply(panel)
    return panel


def read_operations(value: Any) -> tuple[AnyOperation, ...]:
    """Operations of what JSON decodes to. Raises `InputError` that names the place of the first fault."""
    try:
        operations = msgspec.convert(value, tuple[AnyOperation, ...])
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"the operations cannot be read: {error}") from error
    if len(operations) > MAX_OPERATIONS:
        raise InputError(f"{len(operations)} operations are too many; at most {MAX_OPERATIONS} are allowed")
    return operations


def _on_canvas(numbers: tuple[float, float, float, float]) -> Box:
    box = clamped_box(*numbers)
    if box is None:
        shown = ",".join(f"{number:g}" for number in numbers)
        raise EditError(f"the box {shown} lies outside the canvas; x0,y0,x1,y1 are in 0..1")
    return box
