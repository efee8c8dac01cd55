"""Driving the editor: places on the canvas in 0..1, and what the document holds."""

from __future__ import annotations

from typing import Any

Sides = tuple[float, float, float, float]


def element(element_id: str, sides: Sides, **fields: Any) -> dict[str, Any]:
    box = dict(zip(("x0", "y0", "x1", "y1"), sides, strict=True))
    return {"id": element_id, "description": f"thing {element_id}", "box": box, **fields}


def load(page: Any, *elements: dict[str, Any], **fields: Any) -> Any:
    """Load a panel; its problems."""
    return page.evaluate("d => editor.load(d)", {"version": 1, "elements": list(elements), **fields})


def value(page: Any) -> Any:
    return page.evaluate("editor.value()")


def sides(page: Any, element_id: str = "e1") -> list[float]:
    found = next(e for e in value(page)["elements"] if e["id"] == element_id)
    return [found["box"][side] for side in ("x0", "y0", "x1", "y1")]


def ids(page: Any) -> list[str]:
    return [e["id"] for e in value(page)["elements"]]


def selected(page: Any) -> list[str]:
    found = page.eval_on_selector_all("[data-id][aria-selected=true]", "all => all.map(e => e.dataset.id)")
    return list(found)


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """A place on the canvas in pixels of the page."""
    page.locator(".ranni-canvas").scroll_into_view_if_needed()
    rect = page.locator(".ranni-page").bounding_box()
    return rect["x"] + x * rect["width"], rect["y"] + y * rect["height"]


def drag(
    page: Any, start: tuple[float, float], end: tuple[float, float], button: str = "left", drop: bool = True
) -> None:
    page.mouse.move(*spot(page, *start))
    page.mouse.down(button=button)
    # Places are of the canvas as it is now: panning moves it.
    x0, y0 = spot(page, *start)
    x1, y1 = spot(page, *end)
    for part in (0.3, 0.7, 1.0):
        page.mouse.move(x0 + (x1 - x0) * part, y0 + (y1 - y0) * part)
    if drop:
        page.mouse.up(button=button)


def click(page: Any, x: float, y: float, *modifiers: str) -> None:
    for key in modifiers:
        page.keyboard.down(key)
    page.mouse.click(*spot(page, x, y))
    for key in modifiers:
        page.keyboard.up(key)


def tool(page: Any, name: str) -> None:
    page.click(f".ranni-toolbar [data-tool={name}], .ranni-arrange [data-tool={name}]")
