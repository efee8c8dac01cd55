"""New elements: how large they are and where they find a place."""

from __future__ import annotations

from lib_ranni.errors import EditError
from lib_ranni.panel.operations import Add
from lib_ranni.panel.types import MAX_ELEMENTS, Box, Element, Panel
from lib_ranni.planner.builtin.chinese_phrases import strip_of
from lib_ranni.planner.builtin.editing_descriptions import hex_colors
from lib_ranni.planner.builtin.editing_places import Size, freest, ranges, spot_range
from lib_ranni.planner.builtin.editing_references import head_of
from lib_ranni.planner.builtin.editing_steps import Add as AddStep
from lib_ranni.planner.builtin.editing_steps import Beside, named
from lib_ranni.planner.builtin.editing_things import things_of
from lib_ranni.planner.builtin.layout_sizes import listed, natural_size
from lib_ranni.planner.builtin.story import MAX_COUNT, Spot, Thing
from lib_ranni.planner.language import is_chinese

_SIDE = 0.28
"""Side of a medium-sized new element, as a share of the canvas' shorter side."""

_ON_SIDE, _LEAST_SCALE = 0.7, 0.4
"""What is on another is at most so wide, relative to it, but never shrinks by more than the second factor."""

_SHRINKS = (1.0, 0.7, 0.45, 0.25, 0.12)
"""Sizes that are tried, until there is room."""

_STRIPS = {"top": Box(0.0, 0.0, 1.0, 0.4), "bottom": Box(0.0, 0.6, 1.0, 1.0)}


def added(panel: Panel, step: AddStep, targets: list[Element]) -> list[Add]:
    """The new elements of a step, each in a place of its own. Raises `EditError` where there is no room."""
    taken = [element.box for element in panel.elements]
    found: list[Add] = []
    for thing in things_of(step.text):
        model = _model(panel, thing) if step.more else None
        text, colors = thing.text[:10_000], hex_colors([*thing.colors])
        if model is not None and thing.text == thing.head:
            text, colors = model.description, model.colors
        if len(taken) + min(thing.count, MAX_COUNT) > MAX_ELEMENTS:
            raise EditError(f"a panel has at most {MAX_ELEMENTS} elements; remove some first")
        for _ in range(min(thing.count, MAX_COUNT)):
            strip = _strip(thing) if step.place is None else None
            box = strip or _placed(panel, step, thing, model, targets, taken)
            taken.append(box)
            found.append(Add(text, (box.x0, box.y0, box.x1, box.y1), colors=colors))
    return found


def _model(panel: Panel, thing: Thing) -> Element | None:
    """The last element of the same kind."""
    return next((e for e in reversed(panel.elements) if head_of(e.description) == thing.head), None)


def _strip(thing: Thing) -> Box | None:
    """The place of what spans the picture, such as the sky."""
    name = strip_of(thing.head) if is_chinese(thing.head) else thing.strip
    return None if listed("celestial", thing.head) else _STRIPS.get(name)


def _size(panel: Panel, thing: Thing, model: Element | None) -> Size:
    if model is not None:
        return model.box.width, model.box.height
    width, height = natural_size(thing)
    side = _SIDE * min(1.0, panel.aspect)
    return min(0.9, width * side / panel.aspect), min(0.9, height * side)


def _placed(
    panel: Panel, step: AddStep, thing: Thing, model: Element | None, targets: list[Element], taken: list[Box]
) -> Box:
    """The place of one new element."""
    place = step.place or thing.spot
    width, height = _size(panel, thing, model)
    if isinstance(place, Beside):
        if place.relation in {"on", "inside"}:
            around = targets[0].box
            scale = min(1.0, max(_LEAST_SCALE, _ON_SIDE * around.width / width))
            width, height = width * scale, height * scale
        for shrink in _SHRINKS:
            size = (width * shrink, height * shrink)
            found = ranges(place.relation, size, [t.box for t in targets], None)
            if found:
                contact = place.relation in {"on", "inside", "front", "behind"}
                ignored = [t.box for t in targets] if contact else []
                return freest(found, size, [b for b in taken if b not in ignored])
        raise EditError(
            f"there is no room {place.relation} {named(targets)}; move it away from the edge first"
        )
    wanted = place or Spot()
    for shrink in _SHRINKS[:3]:
        size = (width * shrink, height * shrink)
        box = freest([spot_range(wanted, size)], size, taken)
        if all(_clear(box, other) for other in taken):
            return box
    return freest([spot_range(wanted, (width, height))], (width, height), taken)


def _clear(first: Box, second: Box) -> bool:
    """Whether two boxes do not meet."""
    apart_x = first.x1 <= second.x0 + 1e-6 or second.x1 <= first.x0 + 1e-6
    return apart_x or first.y1 <= second.y0 + 1e-6 or second.y1 <= first.y0 + 1e-6
