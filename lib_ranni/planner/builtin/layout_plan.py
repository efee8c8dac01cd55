"""A story made ready for layout: what takes part, what lies behind, and which statements count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from lib_ranni.planner.builtin.layout_blocks import Contact, Node
from lib_ranni.planner.builtin.layout_ranks import Axis
from lib_ranni.planner.builtin.layout_relations import CONTACT
from lib_ranni.planner.builtin.layout_scene import find_backdrops
from lib_ranni.planner.builtin.layout_sizes import is_plain_shape, natural_size
from lib_ranni.planner.builtin.story import Link, Story


class Statement(NamedTuple):
    """Nodes in this order along an axis; `loose`: or in the reverse order."""

    axis: Axis
    nodes: tuple[int, ...]
    loose: bool = False


@dataclass
class Plan:
    """`backs` are things behind everything, `nodes` everything else that is laid out."""

    story: Story
    backs: list[int]
    nodes: list[Node]
    contacts: list[Contact]
    statements: list[Statement]
    left_out: list[int]

    @property
    def left_of(self) -> set[tuple[int, int]]:
        """Pairs of nodes in order along x."""
        pairs: set[tuple[int, int]] = set()
        for statement in self.statements:
            if statement.axis == "x" and not statement.loose:
                pairs.update(pairwise(statement.nodes))
        return pairs


def make_plan(story: Story, limit: int) -> Plan:
    """The plan of a story, with at most `limit` instances."""
    story = replace(story, links=_with_holders(story.links))
    backs = find_backdrops(story)
    nodes: list[Node] = []
    left_out: list[int] = []
    halves = {
        link.target
        for link in story.links
        if link.kind == "between" and link.target == link.other and story.things[link.target].count > 1
    }
    taken = 0
    nodes_of: dict[int, list[int]] = {}
    for index, thing in enumerate(story.things):
        count = max(1, thing.count)
        if taken + count > limit:
            left_out.append(index)
            continue
        taken += count
        if index in backs:
            continue
        parts = [(count + 1) // 2, count // 2] if index in halves else [count]
        nodes_of[index] = [len(nodes) + n for n in range(len(parts))]
        stretchy = thing.count == 1 and not is_plain_shape(thing)
        nodes += [Node(index, part, natural_size(thing), stretchy=stretchy) for part in parts]
    backs = [n for n in backs if n not in left_out]
    contacts, statements = _statements(story, nodes_of)
    return Plan(story, backs, nodes, contacts, statements, left_out)


def _with_holders(links: list[Link]) -> list[Link]:
    """In "a girl holding an umbrella in front of a house" it is the girl who is in front of it."""
    holders: dict[int, int] = {}
    found = []
    for link in links:
        if link.kind == "hold":
            holders[link.subject] = link.target
        holder = holders.get(link.subject, link.target)
        moves = link.kind in {"on", "under", "front", "next"} and holder != link.target
        found.append(replace(link, subject=holder) if moves else link)
    return found


def _statements(story: Story, nodes_of: dict[int, list[int]]) -> tuple[list[Contact], list[Statement]]:
    contacts: list[Contact] = []
    statements: list[Statement] = []
    for link in story.links:
        subjects, targets = nodes_of.get(link.subject), nodes_of.get(link.target)
        if subjects is None or targets is None or link.subject == link.target:
            continue
        if link.kind in CONTACT:
            contacts.append(Contact(link.kind, subjects[0], targets[0]))
        elif link.kind in {"left", "above"}:
            axis: Axis = "x" if link.kind == "left" else "y"
            statements += [Statement(axis, (s, t)) for s in subjects for t in targets]
        elif link.kind == "between" and (ends := _ends(link, nodes_of)) is not None:
            statements.append(Statement("x", (ends[0], subjects[0], ends[1]), loose=True))
        else:
            statements.append(Statement("x", (subjects[-1], targets[0]), loose=True))
    for axis, row in story.rows:
        chain = tuple(node for n in dict.fromkeys(row) for node in nodes_of.get(n, []))
        statements.append(Statement(axis, chain))
    # What leaves no choice is settled first.
    return contacts, sorted(statements, key=lambda statement: statement.loose)


def _ends(link: Link, nodes_of: dict[int, list[int]]) -> tuple[int, int] | None:
    """The two nodes that something is between."""
    targets, others = nodes_of[link.target], nodes_of.get(link.target if link.other is None else link.other)
    if others is None or link.subject == link.other:
        return None
    return (targets[0], others[-1]) if targets[0] != others[-1] else None
