"""Story -> boxes: every instance of every thing gets a place that agrees with what the prompt says.

Things in contact are merged into blocks, blocks tied by "left of" and the like into clusters with columns
and rows, clusters are put on shelves in the order they were named, and the whole is scaled to the canvas.
Sky, floor and backgrounds lie behind everything and take no part in this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lib_ranni.planner.builtin.layout_blocks import BlockBuilder
from lib_ranni.planner.builtin.layout_canvas import fill
from lib_ranni.planner.builtin.layout_clusters import gather
from lib_ranni.planner.builtin.layout_plan import Plan, make_plan
from lib_ranni.planner.builtin.layout_rects import Rect, around
from lib_ranni.planner.builtin.layout_relations import CONTACT, clears, holds
from lib_ranni.planner.builtin.layout_scene import backdrop_rects, content_range, is_strip
from lib_ranni.planner.builtin.layout_sizes import best_columns, group_size, instances, natural_size
from lib_ranni.planner.builtin.story import Kind, Story

MAX_PLACED = 100
"""More instances than this are not laid out: what has no element stays in the base prompt."""

_ALONE, _TOGETHER, _TOUCHING = 0.62, 0.42, 0.5
"""Largest side of a medium-sized box, as a share of the canvas, alone, among others and in contact."""

_ASPECTS = (1.0, 0.5, 2.0)
"""Shapes tried for groups, relative to the canvas."""


@dataclass(frozen=True)
class Placed:
    """One instance of a thing and its rectangle in 0..1 of the canvas."""

    thing: int
    rect: Rect


@dataclass
class Layout:
    """All instances from back to front, what did not fit in, and which statements could not be kept."""

    placed: list[Placed]
    left_out: list[int]
    notes: list[str]


def lay_out(story: Story, aspect: float) -> Layout:
    """Boxes for a story on a canvas of this aspect (width / height). Deterministic."""
    plan = make_plan(story, MAX_PLACED)
    rects = _fit(plan, aspect) if plan.nodes else {}
    whole: dict[int, Rect] = {}
    pieces: dict[int, list[Rect]] = {}
    for index, node in enumerate(plan.nodes):
        if index not in rects:
            continue
        area = _share(rects[index], aspect)
        found = instances(node.count, node.cell, node.columns, area)
        pieces.setdefault(node.thing, []).extend(found)
    for thing, rect in backdrop_rects(plan.story, plan.backs, not pieces).items():
        pieces[thing] = _backdrop(plan.story, thing, rect, aspect)
    whole = {thing: around(found) for thing, found in pieces.items()}
    placed = [Placed(thing, rect) for thing in _back_to_front(plan) for rect in pieces[thing]]
    return Layout(placed, plan.left_out, _broken(plan, whole, pieces))


def _share(rect: Rect, aspect: float) -> Rect:
    """From units of the canvas height to shares of the canvas."""
    return Rect(rect.x0 / aspect, rect.y0, rect.x1 / aspect, rect.y1)


def _backdrop(story: Story, index: int, rect: Rect, aspect: float) -> list[Rect]:
    thing = story.things[index]
    if is_strip(thing) or thing.count == 1:
        return [rect]
    cell = natural_size(thing)
    area = Rect(rect.x0 * aspect, rect.y0, rect.x1 * aspect, rect.y1)
    columns = best_columns(thing.count, cell, area.width / area.height)
    width, height = group_size(thing.count, cell, columns)
    scale = min(area.width / width, area.height / height)
    x, y = area.cx - width * scale / 2, area.cy - height * scale / 2
    fitted = Rect(x, y, x + width * scale, y + height * scale)
    return [_share(r, aspect) for r in instances(thing.count, cell, columns, fitted)]


def _fit(plan: Plan, aspect: float) -> dict[int, Rect]:
    """The nodes' rectangles, from that shape of the groups which lets everything be largest."""
    top, bottom = content_range(plan.story, plan.backs)
    low = any(plan.story.things[n].strip == "bottom" for n in plan.backs)
    bottom = min(bottom, 0.97) if low else bottom
    canvas = Rect(0.0, top, aspect, bottom)
    shapes = _ASPECTS if any(node.count > 1 for node in plan.nodes) else _ASPECTS[:1]
    best: dict[int, Rect] = {}
    best_scale, best_columns_ = 0.0, [node.columns for node in plan.nodes]
    for shape in shapes:
        _shape_groups(plan, aspect * shape)
        blocks = BlockBuilder(plan.nodes, plan.contacts, plan.left_of).build()
        zones = fill(gather(plan, blocks), canvas, low)
        scale = min(_limit(plan, aspect), *(zone.scale for zone in zones))
        if scale > best_scale * 1.01:
            best_scale, best_columns_ = scale, [node.columns for node in plan.nodes]
            best = {n: r for zone in zones for n, r in zone.place(scale).items()}
    for node, columns in zip(plan.nodes, best_columns_, strict=True):
        node.columns = columns
    return best


def _shape_groups(plan: Plan, aspect: float) -> None:
    carried = {contact.subject for contact in plan.contacts if contact.kind == "on"}
    for index, node in enumerate(plan.nodes):
        if index in carried:
            node.columns = node.count if node.count <= 6 else -(-node.count // 2)
        else:
            node.columns = best_columns(node.count, node.cell, aspect)


def _limit(plan: Plan, aspect: float) -> float:
    """The scale at which the largest thing is as large as it should be."""
    side = math.sqrt(aspect)
    largest = max(math.sqrt(node.cell[0] * node.cell[1]) for node in plan.nodes)
    if sum(node.count for node in plan.nodes) == 1:
        return min(_ALONE * side, 0.75 * side / largest)
    return (_TOUCHING if plan.contacts else _TOGETHER) * side / largest


def _back_to_front(plan: Plan) -> list[int]:
    """Things by depth: backdrops, then what others stand on, in or before, then the others."""
    things = dict.fromkeys(node.thing for node in plan.nodes)
    before: dict[int, set[int]] = {thing: set() for thing in things}
    for link in plan.story.links:
        if link.kind in CONTACT and link.subject in before and link.target in before:
            before[link.subject] |= {link.target} - {link.subject}
    found = list(plan.backs)
    open_ = list(things)
    done: set[int] = set()
    while open_:
        following = next((n for n in open_ if before[n] <= done), open_[0])
        open_.remove(following)
        done.add(following)
        found.append(following)
    return found


_SAID: dict[Kind, str] = {
    "left": "left of",
    "above": "above",
    "on": "on",
    "under": "under",
    "next": "next to",
    "between": "between",
    "front": "in front of",
    "inside": "inside",
    "hold": "held by",
}


def _broken(plan: Plan, whole: dict[int, Rect], pieces: dict[int, list[Rect]]) -> list[str]:
    """A sentence for each statement that the boxes do not keep."""
    notes = []
    things, backs = plan.story.things, set(plan.backs)
    for link in plan.story.links:
        others = {link.subject, link.target} | ({link.other} if link.other is not None else set())
        if len(others) == 1 or not others <= whole.keys():
            continue
        if others & backs and link.kind in {"next", *CONTACT}:
            continue
        if link.kind == "next" and any(
            o is not link and {o.subject, o.target} == others for o in plan.story.links
        ):
            continue  # "a bench with a cat on it": the closer relation says it all
        target, other = whole[link.target], whole[link.other] if link.other is not None else None
        if link.kind == "between" and link.other == link.target:
            half = (len(pieces[link.target]) + 1) // 2
            target, other = around(pieces[link.target][:half]), around(pieces[link.target][half:] or [target])
        subject_box = whole[link.subject]
        if not (holds(link.kind, subject_box, target, other) or clears(link.kind, subject_box, target)):
            subject, object_ = things[link.subject].text, things[link.target].text
            notes.append(
                f"could not place “{subject}” {_SAID[link.kind]} “{object_}”: it contradicts the rest"
            )
    return notes
