"""What is wanted of a prompt set: `parti:Category=Animals;n=8;seed=1`.

A file's name, then after a colon conditions on its columns and, in any order, `n` (how many), `seed` (draw
them at random, always the same ones) and `offset` (how many to pass over first).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.problems import shown
from lib_ranni.panel.types import MAX_SEED

MAX_PROMPTS = 100_000
"""Prompts that are taken out of a file at once, and how many may be passed over."""

_MOST_LETTERS = 2000
_PART = re.compile(r"\s*([^=!~<>]+?)\s*(<=|>=|!=|=|~|<|>)\s*(.*?)\s*", re.DOTALL)
_SOURCE = re.compile(r"((?:[A-Za-z]:[\\/])?[^:]*)(?::(.*))?", re.DOTALL)
"""A colon after the letter of a Windows drive is part of the path."""

_NUMBERS = {"n": (1, MAX_PROMPTS), "seed": (0, MAX_SEED), "offset": (0, MAX_PROMPTS)}


class Condition(Struct, frozen=True):
    """A cell must be (`=`), or must not be (`!=`), one of some texts, hold one (`~`), or be a number."""

    column: str
    sign: str
    values: tuple[str, ...]

    def fits(self, cells: Mapping[str, str]) -> bool:
        """Whether a row fits; `cells` by names in small letters. A cell that is missing is empty."""
        cell = cells.get(self.column.casefold(), "").casefold()
        if self.sign in ("=", "!="):
            return any(cell == value.casefold() for value in self.values) == (self.sign == "=")
        if self.sign == "~":
            return any(value.casefold() in cell for value in self.values)
        try:
            found, limit = float(cell), float(self.values[0])
        except ValueError:
            return False
        return {"<": found < limit, "<=": found <= limit, ">": found > limit, ">=": found >= limit}[self.sign]

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{'|'.join(self.values)}"


class Wanted(Struct, frozen=True):
    """An expression, read. Without `n` everything is wanted, without `seed` in the order of the file."""

    source: str
    conditions: tuple[Condition, ...] = ()
    n: int | None = None
    seed: int | None = None
    offset: int = 0


def parse(text: str) -> Wanted:
    """Read an expression. Raises `InputError` saying which part is none."""
    if len(text) > _MOST_LETTERS:
        raise InputError(f"a prompt set's expression has at most {_MOST_LETTERS} characters")
    match = _SOURCE.fullmatch(text.strip())
    if match is None or not match[1].strip():
        raise InputError(
            f"{shown(text)} names no prompt set; write it like parti:Category=Animals;n=8;seed=1"
        )
    numbers: dict[str, int] = {}
    conditions = []
    for part in filter(str.strip, (match[2] or "").split(";")):
        found = _PART.fullmatch(part)
        if found is None:
            raise InputError(f"{shown(part)} is no condition; write it like Category=Animals, or n=8")
        name, sign, value = found.groups()
        if name in _NUMBERS and sign == "=":
            numbers[name] = _number(name, value)
            continue
        values = tuple(word.strip() for word in value.split("|"))
        if sign in ("<", "<=", ">", ">=") and not _is_number(value):
            raise InputError(f"{shown(part)}: {sign} compares with a number, such as width>=512")
        conditions.append(Condition(name, sign, values))
    return Wanted(match[1].strip(), tuple(conditions), **numbers)


def _number(name: str, word: str) -> int:
    low, high = _NUMBERS[name]
    if not (word.isascii() and word.isdecimal() and len(word) < 20 and low <= int(word) <= high):
        raise InputError(f"{name}={word[:40]}: it must be a whole number in {low}..{high}")
    return int(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
