"""Order along two axes: who is left of and above whom, as columns and rows.

Things that stand side by side share a row, things one above the other share a column, as far as earlier
statements allow; that keeps the line between them level or upright. A statement that contradicts the
earlier ones is refused.
"""

from __future__ import annotations

from typing import Literal

Axis = Literal["x", "y"]


class _Order:
    """Classes of equal items, with some classes before others."""

    def __init__(self, count: int) -> None:
        self._class = list(range(count))
        self._after: dict[int, set[int]] = {n: set() for n in range(count)}

    def find(self, item: int) -> int:
        """The class of an item."""
        while self._class[item] != item:
            self._class[item] = self._class[self._class[item]]
            item = self._class[item]
        return item

    def members(self, item: int) -> list[int]:
        """All items of an item's class."""
        own = self.find(item)
        return [n for n in range(len(self._class)) if self.find(n) == own]

    def reaches(self, first: int, second: int) -> bool:
        """Whether `first` is already before `second`."""
        goal, open_ = self.find(second), [self.find(first)]
        seen = set(open_)
        while open_:
            for following in self._after[open_.pop()]:
                if following == goal:
                    return True
                if following not in seen:
                    seen.add(following)
                    open_.append(following)
        return False

    def ordered(self, first: int, second: int) -> bool:
        """Whether one is already before the other."""
        return self.reaches(first, second) or self.reaches(second, first)

    def equate(self, first: int, second: int) -> None:
        """Make two items equal; they must not be ordered."""
        keep, drop = sorted((self.find(first), self.find(second)))
        if keep == drop:
            return
        self._class[drop] = keep
        self._after[keep] |= self._after[drop]
        for following in self._after.values():
            if drop in following:
                following.discard(drop)
                following.add(keep)

    def put_before(self, first: int, second: int) -> None:
        """Order two items; `second` must not be before `first`, nor equal to it."""
        self._after[self.find(first)].add(self.find(second))

    def ranks(self) -> list[int]:
        """For each item the length of the longest chain that leads to it."""
        depth: dict[int, int] = {}
        indegree = dict.fromkeys(self._after, 0)
        for later in self._after.values():
            for item in later:
                indegree[item] += 1
        ready = [item for item, n in indegree.items() if n == 0]
        while ready:
            item = ready.pop()
            for following in self._after[item]:
                depth[following] = max(depth.get(following, 0), depth.get(item, 0) + 1)
                indegree[following] -= 1
                if indegree[following] == 0:
                    ready.append(following)
        return [depth.get(self.find(n), 0) for n in range(len(self._class))]


class Ranks:
    """Columns and rows of items; see the module."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._orders = {"x": _Order(count), "y": _Order(count)}
        self._group = _Order(count)

    def before(self, axis: Axis, first: int, second: int) -> bool:
        """`first` is left of (x) or above (y) `second`. False if that contradicts what is known."""
        along, across = self._along(axis)
        if along.find(first) == along.find(second) or along.reaches(second, first):
            return False
        along.put_before(first, second)
        # "A left of B, and C above them": C cannot share a column with both, so one line is a diagonal.
        if not (across.ordered(first, second) or self._would_merge(along, across, first, second)):
            across.equate(first, second)
        self._group.equate(first, second)
        return True

    def beside(self, first: int, second: int) -> bool:
        """Two items stand in one row, in the order given if that is still open."""
        if self._orders["x"].ordered(first, second):
            return self._orders["y"].find(first) == self._orders["y"].find(second)
        return self.before("x", first, second) or self.before("x", second, first)

    def known(self, axis: Axis, first: int, second: int) -> bool:
        """Whether `first` is before `second` on an axis."""
        return self._orders[axis].reaches(first, second)

    def groups(self) -> list[list[int]]:
        """Items that some relation ties together, in order of appearance."""
        found: dict[int, list[int]] = {}
        for item in range(self._count):
            found.setdefault(self._group.find(item), []).append(item)
        return list(found.values())

    def cells(self, items: list[int]) -> dict[int, tuple[int, int]]:
        """(column, row) for each item of a group, no two in the same cell."""
        for _ in range(len(items) ** 2):
            columns, rows = self._orders["x"].ranks(), self._orders["y"].ranks()
            taken: dict[tuple[int, int], int] = {}
            clash: tuple[int, int] | None = None
            for item in items:
                cell = columns[item], rows[item]
                if cell in taken:
                    clash = taken[cell], item
                    break
                taken[cell] = item
            if clash is None:
                return {item: cell for cell, item in taken.items()}
            self._part(*clash)
        return {item: (n, 0) for n, item in enumerate(items)}

    def _part(self, first: int, second: int) -> None:
        """Give two items of one cell different columns, or rows if they share a column by order."""
        for order in (self._orders["x"], self._orders["y"]):
            if order.find(first) != order.find(second):
                order.put_before(first, second)
                return

    def _would_merge(self, along: _Order, across: _Order, first: int, second: int) -> bool:
        """Whether equating two items across would put different items into one and the same cell."""
        ones, others = ({along.find(n) for n in across.members(item)} for item in (first, second))
        return across.find(first) != across.find(second) and bool(ones & others)

    def _along(self, axis: Axis) -> tuple[_Order, _Order]:
        x, y = self._orders["x"], self._orders["y"]
        return (x, y) if axis == "x" else (y, x)
