"""Steps of an instruction -> unit operations on a panel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lib_ranni.errors import EditError
from lib_ranni.panel import operations as ops
from lib_ranni.panel.operations import AnyOperation
from lib_ranni.panel.types import Element, Panel
from lib_ranni.planner.builtin import editing_steps as steps
from lib_ranni.planner.builtin.editing_adding import added
from lib_ranni.planner.builtin.editing_bases import new_base
from lib_ranni.planner.builtin.editing_descriptions import Wording, described, equipped, hex_colors
from lib_ranni.planner.builtin.editing_places import freest, ranges
from lib_ranni.planner.builtin.editing_references import head_of, resolve, subjects
from lib_ranni.planner.builtin.editing_steps import Beside, Shift, named
from lib_ranni.planner.builtin.editing_things import attributes_before, one_of, things_of
from lib_ranni.planner.builtin.story import Spot

_LEAST = 1e-4
"""Moves and sizes that differ by less are none."""

_NEARER, _AWAY = 0.4, 0.15
"""How far elements approach, as a share of their distance, and how far they part, of the canvas."""


class Actions:
    """Turns steps into operations. `earlier` are the ids of the step before, `notes` what was passed over."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.earlier: list[str] = []
        self.notes: list[str] = []

    def take(self, step: steps.Step) -> list[AnyOperation]:
        """The operations of one step, which are applied to the panel. Raises `EditError`."""
        handlers: dict[type, Callable[[Any], list[AnyOperation]]] = {
            steps.Remove: self._remove,
            steps.Add: self._add,
            steps.Replace: self._replace,
            steps.Describe: self._describe,
            steps.Equip: self._equip,
            steps.Scale: self._scale,
            steps.Match: self._match,
            steps.Move: self._move,
            steps.Swap: self._swap,
            steps.Approach: self._approach,
            steps.Rebase: self._rebase,
        }
        found = handlers[type(step)](step)
        before = self.panel
        self.panel = ops.apply(before, found)
        if isinstance(step, steps.Add):
            self.earlier = [e.id for e in self.panel.elements[len(before.elements) :]]
        return found

    def _known(self) -> list[Element]:
        return [e for e in self.panel.elements if e.id in self.earlier]

    def _subjects(self, who: steps.References) -> list[Element]:
        found, locked = subjects(self.panel, who, self._known())
        if locked:
            self.notes.append(f"{named(locked)} is locked and stays as it is.")
        self.earlier = [element.id for element in found]
        return found

    def _targets(self, who: steps.References) -> list[Element]:
        return resolve(self.panel, who, self._known())

    def _remove(self, step: steps.Remove) -> list[AnyOperation]:
        if not step.keep:
            return [ops.Remove(e.id) for e in self._subjects(step.who)]
        kept = {e.id for e in self._targets(step.who)}
        locked = [e for e in self.panel.elements if e.locked and e.id not in kept]
        if locked:
            self.notes.append(f"{named(locked)} is locked and stays as it is.")
        return [ops.Remove(e.id) for e in self.panel.elements if e.id not in kept and not e.locked]

    def _add(self, step: steps.Add) -> list[AnyOperation]:
        place = step.place
        return [*added(self.panel, step, self._targets(place.targets) if isinstance(place, Beside) else [])]

    def _replace(self, step: steps.Replace) -> list[AnyOperation]:
        who, things = self._subjects(step.who), things_of(step.text)
        count = sum(thing.count for thing in things)
        if len(things) > 1 or count not in (1, len(who)):
            raise EditError(
                f"{named(who)} cannot become {count} things; remove what is too many, or add the others"
            )
        thing = things[0]
        words = attributes_before(thing)
        found: list[AnyOperation] = []
        for element in who:
            if words and head_of(element.description) == thing.head:
                found.append(_attribute(element, described(element.description, words)))
                continue
            found.append(ops.Replace(element.id, one_of(thing)))
            if colors := hex_colors([*thing.colors]):
                found.append(ops.Attribute(element.id, None, colors))
        return found

    def _describe(self, step: steps.Describe) -> list[AnyOperation]:
        return [
            _attribute(e, described(e.description, step.words, step.part)) for e in self._subjects(step.who)
        ]

    def _equip(self, step: steps.Equip) -> list[AnyOperation]:
        return [
            ops.Attribute(e.id, equipped(e.description, step.text), e.colors)
            for e in self._subjects(step.who)
        ]

    def _scale(self, step: steps.Scale) -> list[AnyOperation]:
        sizes = [
            (e, min(1.0, e.box.width * step.width), min(1.0, e.box.height * step.height))
            for e in self._subjects(step.who)
        ]
        return self._resized(sizes, "is as large as the canvas allows already")

    def _match(self, step: steps.Match) -> list[AnyOperation]:
        found = self._subjects(step.who)
        width, height = 1.0, 1.0
        if step.like:
            like = self._targets(step.like)
            width, height = max(e.box.width for e in like), max(e.box.height for e in like)
        sizes = [
            (
                e,
                width if step.sides != "height" else e.box.width,
                height if step.sides != "width" else e.box.height,
            )
            for e in found
        ]
        return self._resized(sizes, "has that size already")

    def _resized(self, sizes: list[tuple[Element, float, float]], same: str) -> list[AnyOperation]:
        found: list[AnyOperation] = [
            ops.Resize(e.id, width=max(w, _LEAST), height=max(h, _LEAST))
            for e, w, h in sizes
            if abs(w - e.box.width) > _LEAST or abs(h - e.box.height) > _LEAST
        ]
        if not found:
            raise EditError(f"{named([e for e, _, _ in sizes])} {same}; ask for another size")
        return found

    def _move(self, step: steps.Move) -> list[AnyOperation]:
        who, place = self._subjects(step.who), step.place
        if isinstance(place, Shift):
            return self._moved([(e, *_shifted(e, place)) for e in who])
        if isinstance(place, Spot):
            return self._moved([(e, *_spotted(e, place)) for e in who])
        targets = [t for t in self._targets(place.targets) if t not in who]
        if not targets:
            raise EditError(f"{named(who)} cannot stand beside itself; name another element")
        others = [e.box for e in self.panel.elements if e not in who]
        goals = []
        for element in who:
            size = (element.box.width, element.box.height)
            found = ranges(place.relation, size, [t.box for t in targets], element.box.center)
            if not found:
                raise EditError(
                    f"there is no room for {named([element])} {place.relation} {named(targets)}; "
                    "make it smaller, or move the other away from the edge first"
                )
            contact = place.relation in {"on", "inside", "front", "behind"}
            taken = [b for b in others if not contact or b not in [t.box for t in targets]]
            box = freest(found, size, taken)
            others.append(box)
            goals.append((element, *box.center))
        return self._moved(goals)

    def _moved(self, goals: list[tuple[Element, float, float]]) -> list[AnyOperation]:
        found: list[AnyOperation] = [
            ops.Move(e.id, to=(x, y))
            for e, x, y in goals
            if math.hypot(x - e.box.center[0], y - e.box.center[1]) > _LEAST
        ]
        if not found:
            raise EditError(
                f"{named([e for e, _, _ in goals])} is there already and cannot go further; "
                "name another place, or make it smaller first"
            )
        return found

    def _swap(self, step: steps.Swap) -> list[AnyOperation]:
        who = self._subjects((*step.who, *step.other))
        if len(who) != 2:
            raise EditError(f"two elements can change places, not {len(who)}: {named(who)}; name two of them")
        first, second = who
        return self._moved([(first, *second.box.center), (second, *first.box.center)])

    def _approach(self, step: steps.Approach) -> list[AnyOperation]:
        who = self._subjects(step.who)
        targets = self._targets(step.target) if step.target else who
        if not step.target and len(who) < 2:
            raise EditError(f"{named(who)} alone can neither approach nor part; name two elements")
        goals = []
        for element in who:
            others = [t.box.center for t in targets if t.id != element.id]
            if not others:
                continue
            x, y = element.box.center
            u = sum(c[0] for c in others) / len(others) - x
            v = sum(c[1] for c in others) / len(others) - y
            length = math.hypot(u, v)
            u, v = (u / length, v / length) if length > _LEAST else (1.0, 0.0)
            way = -_AWAY if step.away else _NEARER * length * (1.0 if step.target else 0.5)
            goals.append((element, *_on_canvas(element, x + u * way, y + v * way)))
        return self._moved(goals)

    def _rebase(self, step: steps.Rebase) -> list[AnyOperation]:
        return [ops.Rebase(new_base(self.panel.base, step))]


def _attribute(element: Element, wording: Wording) -> ops.Attribute:
    return ops.Attribute(
        element.id, wording.text, element.colors if wording.colors is None else wording.colors
    )


def _on_canvas(element: Element, x: float, y: float) -> tuple[float, float]:
    """The nearest center at which an element is on the canvas."""
    w, h = element.box.width / 2, element.box.height / 2
    return min(1 - w, max(w, x)), min(1 - h, max(h, y))


def _shifted(element: Element, place: Shift) -> tuple[float, float]:
    x, y = element.box.center
    return _on_canvas(element, x + place.dx * place.amount, y + place.dy * place.amount)


def _spotted(element: Element, place: Spot) -> tuple[float, float]:
    """An absolute place; an axis it does not speak of stays."""
    x, y = element.box.center
    return _on_canvas(element, x if place.x is None else place.x, y if place.y is None else place.y)
