"""Blocks that relations tie together, in columns and rows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from lib_ranni.planner.builtin.layout_blocks import Block
from lib_ranni.planner.builtin.layout_canvas import Cluster
from lib_ranni.planner.builtin.layout_plan import Plan, Statement
from lib_ranni.planner.builtin.layout_ranks import Axis, Ranks
from lib_ranni.planner.builtin.layout_rects import Rect
from lib_ranni.planner.builtin.layout_sizes import GAP, listed
from lib_ranni.planner.builtin.story import Thing

_Anchors = tuple[dict[int, int], dict[int, int]]
"""Block -> the node by which it is aligned, for columns and for rows."""


def gather(plan: Plan, blocks: list[Block]) -> list[Cluster]:
    """Clusters of blocks, in the order in which they were named."""
    block_of = {node: index for index, block in enumerate(blocks) for node in block.rects}
    ranks = Ranks(len(blocks))
    anchors: _Anchors = ({}, {})
    for statement in plan.statements:
        _state(ranks, statement, block_of, anchors)
    _order_spots(plan, blocks, ranks)
    clusters = []
    for members in ranks.groups():
        cells = ranks.cells(members)
        rects = _grid([blocks[n] for n in members], [cells[n] for n in members], anchors, block_of)
        nodes = [node for n in members for node in blocks[n].rects]
        spots = [_place(plan.story.things[plan.nodes[node].thing]) for node in nodes]
        clusters.append(Cluster(rects, _only(x for x, _ in spots), _only(y for _, y in spots)))
    return clusters


def _state(ranks: Ranks, statement: Statement, block_of: dict[int, int], anchors: _Anchors) -> None:
    """Enter a statement; one that contradicts the earlier ones is left out."""
    nodes = statement.nodes
    if statement.loose and len(nodes) == 3 and _reversed(ranks, nodes, block_of):
        nodes = nodes[::-1]
    for first, second in pairwise(nodes):
        one, two = block_of[first], block_of[second]
        if one == two:
            continue
        loose = statement.loose and len(nodes) == 2
        kept = ranks.beside(one, two) if loose else ranks.before(statement.axis, one, two)
        if kept:
            # The line between the two is level (or upright) through their middles.
            level = anchors[1] if statement.axis == "x" else anchors[0]
            level.setdefault(one, first)
            level.setdefault(two, second)


def _reversed(ranks: Ranks, nodes: tuple[int, ...], block_of: dict[int, int]) -> bool:
    """Whether the order of what is between two things is already the other way round."""
    first, middle, last = (block_of[n] for n in nodes)
    return any(ranks.known("x", b, a) for a, b in ((first, middle), (middle, last), (first, last)) if a != b)


def _order_spots(plan: Plan, blocks: list[Block], ranks: Ranks) -> None:
    """Within a cluster, what is said to be on the left goes left of what is said to be on the right."""
    for members in ranks.groups():
        if len(members) < 2:
            continue
        places = {n: _place(plan.story.things[plan.nodes[blocks[n].root].thing]) for n in members}
        axes: tuple[tuple[Axis, int], ...] = (("x", 0), ("y", 1))
        for axis, which in axes:
            lows = [n for n in members if places[n][which] == 0.0]
            highs = [n for n in members if places[n][which] == 1.0]
            for low in lows:
                for high in highs:
                    ranks.before(axis, low, high)


def _place(thing: Thing) -> tuple[float | None, float | None]:
    """Where a thing is said to be. The sun is up."""
    if thing.spot is not None:
        return thing.spot.x, thing.spot.y
    return None, 0.0 if thing.strip == "top" and listed("celestial", thing.head) else None


def _only(values: Iterable[float | None]) -> float | None:
    """The one value that is given, or None if there is none or several."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None


def _grid(
    blocks: list[Block],
    cells: list[tuple[int, int]],
    anchors: _Anchors,
    block_of: dict[int, int],
) -> dict[int, Rect]:
    """Blocks on a grid: rows as high as their highest block, and each block's anchor on the row's line."""
    bounds = [block.bounds for block in blocks]
    centers = []
    for block, rect in zip(blocks, bounds, strict=True):
        number = block_of[block.root]
        x, y = rect.cx, rect.cy
        if number in anchors[0]:
            x = block.rects[anchors[0][number]].cx
        if number in anchors[1]:
            y = block.rects[anchors[1][number]].cy
        centers.append((x, y))
    reach = list(zip(centers, bounds, strict=True))
    columns = _lines([c for c, _ in cells], [(x - b.x0, b.x1 - x) for (x, _), b in reach])
    rows = _lines([r for _, r in cells], [(y - b.y0, b.y1 - y) for (_, y), b in reach])
    found: dict[int, Rect] = {}
    for block, (column, row), (x, y) in zip(blocks, cells, centers, strict=True):
        found |= block.moved(columns[column] - x, rows[row] - y).rects
    return found


def _lines(ranks: list[int], extents: list[tuple[float, float]]) -> dict[int, float]:
    """The middle line of each rank, from how far its members reach before and behind it."""
    lines: dict[int, float] = {}
    start = 0.0
    for rank in sorted(set(ranks)):
        members = [extent for r, extent in zip(ranks, extents, strict=True) if r == rank]
        lines[rank] = start + max(before for before, _ in members)
        start = lines[rank] + max(after for _, after in members) + GAP
    return lines
