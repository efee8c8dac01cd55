"""Things in contact become blocks: a cat on a table, flowers in a vase, a girl holding an umbrella.

A block is a tree. Its root is what carries the others; each child is placed against its parent by the
relation between them, at the first of a few places where it covers nothing that is none of its business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from lib_ranni.planner.builtin.layout_rects import Rect, around, common_area
from lib_ranni.planner.builtin.layout_sizes import GAP, group_size
from lib_ranni.planner.builtin.story import Kind

_SUNK = 0.2
"""Share of a thing's height by which it dips into what it stands on."""


@dataclass
class Node:
    """All, or some, instances of one thing, laid out together in `columns`."""

    thing: int
    count: int
    cell: tuple[float, float]
    columns: int = 1
    stretchy: bool = True

    @property
    def size(self) -> tuple[float, float]:
        """Size of all its instances together."""
        return group_size(self.count, self.cell, self.columns)


class Contact(NamedTuple):
    """`subject` is on, under, in front of, inside or held by `target`; both are node numbers."""

    kind: Kind
    subject: int
    target: int


class _Edge(NamedTuple):
    """A contact seen from the parent: `natural` when the child is its subject (the thing on the table)."""

    child: int
    kind: Kind
    natural: bool


@dataclass
class Block:
    """Nodes with fixed places towards each other.

    `parents` tells what carries what; `apart` are nodes that are tied to their parent but to nothing that
    carries it, such as a second holder of what another one holds.
    """

    root: int
    rects: dict[int, Rect]
    parents: dict[int, int] = field(default_factory=dict)
    apart: set[int] = field(default_factory=set)

    @property
    def bounds(self) -> Rect:
        """The rectangle around all of it."""
        return around(self.rects.values())

    def scaled(self, factor: float) -> Block:
        """The block in another size."""
        return Block(
            self.root, {n: r.scaled(factor) for n, r in self.rects.items()}, self.parents, self.apart
        )

    def moved(self, dx: float, dy: float) -> Block:
        """The block elsewhere."""
        return Block(self.root, {n: r.moved(dx, dy) for n, r in self.rects.items()}, self.parents, self.apart)

    def ancestors(self, node: int) -> set[int]:
        """The node and everything that carries it."""
        found = {node}
        while node in self.parents:
            node = self.parents[node]
            found.add(node)
        return found


class BlockBuilder:
    """Joins nodes by their contacts. `left_of` holds pairs of nodes that are ordered along x."""

    def __init__(self, nodes: list[Node], contacts: list[Contact], left_of: set[tuple[int, int]]) -> None:
        self._nodes = nodes
        self._left_of = left_of
        self._edges: dict[int, list[_Edge]] = {n: [] for n in range(len(nodes))}
        self._carried: set[int] = set()
        self._group = list(range(len(nodes)))
        for contact in contacts:
            self._join(contact)

    def _find(self, node: int) -> int:
        while self._group[node] != node:
            self._group[node] = self._group[self._group[node]]
            node = self._group[node]
        return node

    def _join(self, contact: Contact) -> None:
        """A contact within a block is left out: the tree has a way between the two already."""
        first, second = self._find(contact.subject), self._find(contact.target)
        if first == second:
            return
        self._group[max(first, second)] = min(first, second)
        self._edges[contact.target].append(_Edge(contact.subject, contact.kind, True))
        self._edges[contact.subject].append(_Edge(contact.target, contact.kind, False))
        self._carried.add(contact.subject)

    def build(self) -> list[Block]:
        """The blocks, in the order of their first node."""
        members: dict[int, list[int]] = {}
        for node in range(len(self._nodes)):
            members.setdefault(self._find(node), []).append(node)
        return [self._tree(nodes) for nodes in members.values()]

    def _tree(self, members: list[int]) -> Block:
        """The block of these nodes. Children are finished before their parents, without recursion."""
        root = next((n for n in members if n not in self._carried), members[0])
        order, parent = [root], {root: -1}
        for node in order:
            for edge in self._edges[node]:
                if edge.child not in parent:
                    parent[edge.child] = node
                    order.append(edge.child)
        blocks: dict[int, Block] = {}
        for node in reversed(order):
            edges = [edge for edge in self._edges[node] if parent[edge.child] == node]
            blocks[node] = self._assemble(node, edges, blocks)
        return blocks[root]

    def _assemble(self, node: int, edges: list[_Edge], blocks: dict[int, Block]) -> Block:
        kinds: dict[tuple[Kind, bool], list[_Edge]] = {}
        for edge in edges:
            kinds.setdefault((edge.kind, edge.natural), []).append(edge)
        width, height = self._nodes[node].size
        carried = kinds.get(("on", True), [])
        if self._nodes[node].stretchy and carried:
            needed = sum(blocks[e.child].bounds.width + GAP for e in carried) - GAP
            width = max(width, min(1.7 * width, needed))
        block = Block(node, {node: Rect(0.0, 0.0, width, height)})
        for siblings in kinds.values():
            siblings = self._ordered(siblings)
            for slot, edge in enumerate(siblings):
                self._attach(block, node, blocks[edge.child], edge, (slot, len(siblings)))
        return block

    def _ordered(self, siblings: list[_Edge]) -> list[_Edge]:
        """Siblings from left to right, as far as their order is known."""
        found: list[_Edge] = []
        for edge in siblings:
            at = len(found)
            for index, placed in enumerate(found):
                if (edge.child, placed.child) in self._left_of:
                    at = index
                    break
            found.insert(at, edge)
        return found

    def _attach(self, block: Block, parent: int, child: Block, edge: _Edge, slot: tuple[int, int]) -> None:
        """Put a child's block where it covers only what it may; failing that, where it covers least."""
        parent_rect = block.rects[parent]
        allowed = block.ancestors(parent)
        child = child.scaled(_fit(edge, child, parent_rect, slot[1]))
        best: tuple[float, Block] | None = None
        for shrink, side in product((1.0, 0.8, 0.6, 0.4), (1, -1)):
            candidate = child.scaled(shrink)
            rect = candidate.rects[child.root]
            x, y = _place(edge, rect, parent_rect, slot, side)
            candidate = candidate.moved(x - rect.x0, y - rect.y0)
            covered = _covered(block, candidate, allowed)
            if best is None or covered < best[0] - 1e-9:
                best = (covered, candidate)
            if covered == 0.0:
                break
        if best is not None:
            block.rects.update(best[1].rects)
            block.parents.update(child.parents)
            block.parents[child.root] = parent
            block.apart |= child.apart if edge.natural else set(child.rects)


def _covered(block: Block, child: Block, allowed: set[int]) -> float:
    """Area that the child's things share with others than those that carry them."""
    strangers = [rect for node, rect in block.rects.items() if node not in allowed]
    total = sum(common_area(rect, placed) for rect in child.rects.values() for placed in strangers)
    for node in child.apart:
        total += sum(common_area(child.rects[node], block.rects[other]) for other in allowed)
    return total


def _fit(edge: _Edge, child: Block, parent: Rect, slots: int) -> float:
    """The factor that brings a child's block into proportion with its parent."""
    rect, bounds = child.rects[child.root], child.bounds
    small, large = (rect, parent) if edge.natural else (parent, rect)
    if edge.kind == "inside":
        room = 0.8 * large.width / small.width, 0.8 * large.height / small.height
        if edge.natural:
            # Containers seen from above or from the side hold their things in one row.
            room = 0.8 * (large.width / slots) / bounds.width, 0.8 * large.height / bounds.height
        factor = min(1.0, *room)
    elif edge.kind == "hold":
        # What is held never hides its holder.
        factor = min(1.0, 0.6 * large.width / small.width, 0.6 * large.height / small.height)
    elif edge.kind in {"on", "under"} and slots > 1:
        factor = min(1.0, (parent.width * 1.05 / slots - GAP / 2) / bounds.width)
    elif edge.kind == "on":
        factor = min(1.0, 1.1 * large.width / small.width)
    else:
        factor = 1.0
    if edge.natural or (edge.kind in {"on", "under"} and slots > 1):
        return max(factor, 0.05)
    return 1.0 / max(factor, 0.05)


def _place(edge: _Edge, child: Rect, parent: Rect, slot: tuple[int, int], side: int) -> tuple[float, float]:
    """The child's top left corner."""
    index, slots = slot
    share = (index + 0.5) / slots
    if edge.natural:
        dx, dy = _offset(edge.kind, child, parent, share, side)
        return parent.x0 + dx, parent.y0 + dy
    share = 0.5 if slots == 1 else 1 - share
    dx, dy = _offset(edge.kind, parent, child, share, side)
    return parent.x0 - dx, parent.y0 - dy


def _offset(kind: Kind, mover: Rect, anchor: Rect, share: float, side: int) -> tuple[float, float]:
    """Where the thing that moves begins, from the corner of the thing it refers to.

    What moves is the subject of the relation.
    `share` is its place along the other's width, 0..1; `side` the first or the second choice.
    """
    width, height = mover.width, mover.height
    along = anchor.width * share - width / 2
    if kind == "on":
        return along, -height + min(_SUNK * height, 0.45 * anchor.height)
    if kind == "under":
        return along, anchor.height - min(_SUNK * height, 0.45 * anchor.height)
    if kind == "inside":
        return along, (anchor.height - height) / 2
    if kind == "hold":
        x = anchor.width * (0.5 + side * 0.45) if share == 0.5 else anchor.width * (0.05 + 0.9 * round(share))
        return x - width / 2, anchor.height * 0.55 - height / 2
    # In front: lower and to the side, so that both can be seen.
    shift = (share - 0.5) * anchor.width if share != 0.5 else 0.0
    if not shift:
        shift = side * ((anchor.width + width) / 2 - 0.4 * min(anchor.width, width))
    return anchor.width / 2 + shift - width / 2, anchor.height - 0.85 * height
