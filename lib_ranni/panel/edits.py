"""The six unit operations on a panel (Ranni, section 3.3): add, remove, replace, re-attribute, resize, move.

Each returns a new panel and leaves everything else alone. A locked element refuses; so does an id that
is not there. `EditError` says which ids there are.
"""

from __future__ import annotations

from typing import Any

from lib_ranni.errors import EditError
from lib_ranni.panel import geometry
from lib_ranni.panel.types import Box, Element, Panel, with_fields


def _open_element(panel: Panel, element_id: str) -> Element:
    element = panel.find(element_id)
    if element is None:
        ids = ", ".join(e.id for e in panel.elements) or "none"
        raise EditError(f"there is no element {element_id!r}; the panel has {ids}")
    if element.locked:
        raise EditError(f"element {element_id!r} is locked; unlock it first")
    return element


def _changed(panel: Panel, element: Element, **changes: Any) -> Panel:
    try:
        changed = with_fields(element, **changes)
    except (ValueError, TypeError) as error:
        raise EditError(f"element {element.id!r} cannot be changed so: {error}") from error
    return _with_elements(panel, tuple(changed if e.id == element.id else e for e in panel.elements))


def _with_elements(panel: Panel, elements: tuple[Element, ...]) -> Panel:
    """The panel with other elements, marked as edited if they are other ones."""
    if elements == panel.elements:
        return panel
    return with_fields(panel, elements=elements, provenance=with_fields(panel.provenance, edited=True))


def add(panel: Panel, description: str, box: Box | None = None, **fields: Any) -> Panel:
    """A new element in front; without a box it gets the emptiest place near the middle."""
    try:
        element = Element(
            id=panel.fresh_id(), description=description, box=box or geometry.free_box(panel), **fields
        )
        return _with_elements(panel, (*panel.elements, element))
    except (ValueError, TypeError) as error:
        raise EditError(f"this element cannot be added: {error}") from error


def remove(panel: Panel, element_id: str) -> Panel:
    """The panel without this element."""
    element = _open_element(panel, element_id)
    return _with_elements(panel, tuple(e for e in panel.elements if e.id != element.id))


def replace(panel: Panel, element_id: str, description: str) -> Panel:
    """Another thing in the same place: what belonged to the old one (colors, LoRA, ...) goes with it."""
    element = _open_element(panel, element_id)
    return _changed(
        panel,
        element,
        description=description,
        negative="",
        colors=(),
        keypoints=(),
        lora=(),
        seed=None,
        mask=None,
    )


def reattribute(
    panel: Panel,
    element_id: str,
    description: str | None = None,
    colors: tuple[str, ...] | None = None,
) -> Panel:
    """The same thing with other attributes: a new wording, new colors, or both.

    Colors that the old wording stood for are dropped when only the wording changes.
    """
    element = _open_element(panel, element_id)
    if description is None and colors is None:
        raise EditError("say what to change: a description, colors, or both")
    return _changed(
        panel,
        element,
        description=element.description if description is None else description,
        colors=() if colors is None else colors,
    )


def resize(
    panel: Panel,
    element_id: str,
    factor: float | None = None,
    *,
    width: float | None = None,
    height: float | None = None,
) -> Panel:
    """An element grown by `factor`, or set to `width` and/or `height`, around its center."""
    element = _open_element(panel, element_id)
    box = element.box
    if factor is not None:
        if width is not None or height is not None:
            raise EditError("give a factor or a size, not both")
        width, height = box.width * factor, box.height * factor
    new = (box.width if width is None else width, box.height if height is None else height)
    if not all(0 < side < float("inf") for side in new):
        raise EditError(f"a size must be positive, not {new[0]:g} by {new[1]:g}")
    return _placed(panel, element, geometry.centered(*box.center, *new))


def move(
    panel: Panel,
    element_id: str,
    by: tuple[float, float] | None = None,
    *,
    to: tuple[float, float] | None = None,
) -> Panel:
    """An element shifted by (dx, dy), or with its center brought to (x, y); it stays on the canvas."""
    element = _open_element(panel, element_id)
    if (by is None) == (to is None):
        raise EditError("give either a shift or a new center")
    x, y = element.box.center
    dx, dy = by if by is not None else (0.0, 0.0)
    if to is not None:
        dx, dy = to[0] - x, to[1] - y
    if not all(abs(v) < float("inf") for v in (dx, dy)):
        raise EditError("a shift must be finite")
    return _placed(panel, element, geometry.moved(element.box, dx, dy))


def place(panel: Panel, element_id: str, box: Box) -> Panel:
    """An element moved and resized in one, into this box."""
    return _placed(panel, _open_element(panel, element_id), box)


def _placed(panel: Panel, element: Element, box: Box) -> Panel:
    """The element in its new box; its keypoints follow, its mask (if any) no longer fits and goes."""
    old = element.box
    if all(abs(getattr(box, side) - getattr(old, side)) < 1e-9 for side in Box.__struct_fields__):
        return panel

    def follow(x: float, y: float) -> tuple[float, float]:
        u, v = (x - old.x0) / old.width, (y - old.y0) / old.height
        x, y = box.x0 + u * box.width, box.y0 + v * box.height
        return min(1.0, max(0.0, x)), min(1.0, max(0.0, y))

    points = []
    for point in element.keypoints:
        x, y = follow(point.x, point.y)
        points.append(with_fields(point, x=x, y=y))
    return _changed(panel, element, box=box, keypoints=tuple(points), mask=None)
