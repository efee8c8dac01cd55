"""The prompts of a file that an expression wants, and what came of the rest."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.evaluation.prompt_sets.expression import MAX_PROMPTS, Condition, Wanted
from lib_ranni.evaluation.prompt_sets.rows import Container, Reader, Row
from lib_ranni.panel.problems import shown

_MOST_VALUES = 24
"""Columns, and values of one, that a message lists."""


class PromptSet(Struct, frozen=True):
    """Prompts with where they are from. `kind` is the set's name, empty for one that is not known.

    `skipped` counts rows that are no prompts, by what is wrong with them, as far as the file was read.
    """

    name: str
    kind: str
    container: Container
    prompts: tuple[Row, ...]
    skipped: Mapping[str, int]

    def remarks(self) -> list[str]:
        """What was passed over, in sentences."""
        return [
            f"{self.name}: {count} row{'s' * (count != 1)} left out ({why})"
            for why, count in self.skipped.items()
        ]


class _Filter:
    """Lets rows through that fit all conditions, and remembers what else there is for a message."""

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        self._conditions = conditions
        self._columns: dict[str, None] = {}
        self._values: dict[str, dict[str, None]] = {c.column.casefold(): {} for c in conditions}

    def __call__(self, row: Row) -> bool:
        if not self._conditions:
            return True
        cells = {name.casefold(): value for name, value in row.cells.items()}
        if len(self._columns) < _MOST_VALUES:
            self._columns.update(dict.fromkeys(row.cells))
        cells.setdefault("id", row.id)
        for column, seen in self._values.items():
            if column in cells and len(seen) < _MOST_VALUES:
                seen[cells[column][:40]] = None
        return all(condition.fits(cells) for condition in self._conditions)

    def complaint(self) -> str:
        """Why nothing fits; empty where there was nothing to fit."""
        if not self._columns:
            return ""
        for condition in self._conditions:
            seen = self._values[condition.column.casefold()]
            if not seen:
                names = ", ".join(shown(name) for name in [*self._columns][:_MOST_VALUES])
                return f"there is no column {shown(condition.column)}; there are: {names}, 'id'"
        for condition in self._conditions:
            seen = self._values[condition.column.casefold()]
            if not any(condition.fits({condition.column.casefold(): value}) for value in seen):
                values = ", ".join(shown(value) for value in seen)
                return f"nothing fits {shown(str(condition))}; {condition.column} is, among others: {values}"
        return "nothing fits all conditions together"


def read_prompts(path: Path, wanted: Wanted) -> PromptSet:
    """The prompts of a file that are wanted.

    Only these are in memory. Raises `InputError` where the file cannot be read, or has none of them.
    """
    reader, fits = Reader(path), _Filter(wanted.conditions)
    rows = (row for row in reader.rows() if fits(row))
    count = min(wanted.n or MAX_PROMPTS, MAX_PROMPTS)
    if wanted.seed is None:
        found = _first(rows, wanted.offset, count, reader)
    else:
        found = _drawn(rows, wanted.offset + count, wanted.seed, reader)[wanted.offset :]
    made = PromptSet(path.name, reader.kind.name, reader.container, tuple(found), dict(reader.skipped))
    if not found:
        raise InputError(f"{path.name} gives no prompts: {_reason(made, wanted, fits)}")
    return made


def _reason(empty: PromptSet, wanted: Wanted, fits: _Filter) -> str:
    if wanted.offset:
        return f"there are no more than offset={wanted.offset}"
    return fits.complaint() or "; ".join(empty.remarks()) or "it is empty"


def _first(rows: Iterator[Row], offset: int, count: int, reader: Reader) -> list[Row]:
    found: list[Row] = []
    seen: set[int] = set()
    passed = 0
    for row in rows:
        if reader.kind.unique:
            key = _rank(0, row.text)
            if key in seen:
                continue
            seen.add(key)
        passed += 1
        if passed > offset:
            found.append(row)
            if len(found) >= count:
                break
    return found


def _drawn(rows: Iterable[Row], count: int, seed: int, reader: Reader) -> list[Row]:
    """Each row's lot is a hash of it: what is drawn depends neither on the file's order nor on other rows."""
    heap: list[tuple[int, int, Row]] = []
    held: set[int] = set()
    for number, row in enumerate(rows):
        rank = _rank(seed, row.text if reader.kind.unique else f"{row.id}\n{row.text}")
        if rank in held or (len(heap) >= count and rank >= -heap[0][0]):
            continue
        held.add(rank)
        heapq.heappush(heap, (-rank, number, row))
        if len(heap) > count:
            held.discard(-heapq.heappop(heap)[0])
    return [row for _, _, row in sorted(heap, key=lambda entry: -entry[0])]


def _rank(seed: int, text: str) -> int:
    digest = blake2b(f"{seed}\n{text}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
