"""What Ranni's element turn answers: things and their numbers, read as a careful reader would.

Two forms: `(black dog, 1), (red apple, 6)`, and a list of lines `* red apple (6)` or `2. red apple (6)`.
Around either a model talks, spells numbers out, leaves them or a bracket away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from lib_ranni.panel.formats.conversion import one_line

MOST_OF_A_KIND = 24
MOST = 64
"""How many elements of one label, and how many in all, a panel gets."""

_MAX_TEXT = 20_000
_MAX_LABEL = 200
_MAX_CHECKED = 2 * _MAX_LABEL
_WORDS = (
    *("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
_NUMBERS = {
    **{word: number for number, word in enumerate(_WORDS)},
    **{"zero": 0, "none": 0, "a": 1, "an": 1, "single": 1},
    **{"pair": 2, "a pair": 2, "couple": 2, "a couple": 2, "both": 2},
    **{"few": 3, "a few": 3, "several": 3, "some": 3, "many": 6, "dozen": 12, "a dozen": 12},
}
_DIGITS = re.compile(r"[x×]?\s?(\d{1,6})(?:\.0+)?\s?[x×]?")
_BULLET = re.compile(r"\s*(?:[*•·+-]+|\d{1,3}[.)](?!\d))\s*")
_JOINT = re.compile(r"[\s,;.|/*•·\[\]-]*(?:(?:and|\d{1,3}[.)])\s*)?")
_AFTER_COUNT = re.compile(r"[\s.]*$|\s*[,;]|\s+and\b")
_NARROW = str.maketrans("（），；", "(),;")
_TRIM = " \t\"'`*_“”‘’,;"


class Answer(Struct, frozen=True):
    """Labels in small letters, in order, each as often as the thing appears; `notes` tell what was cut."""

    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


class _Group(Struct, frozen=True):
    """A pair of brackets in a line: what stands in it, and where it begins and ends."""

    inside: str
    begin: int
    end: int


def read_elements(text: str) -> Answer:
    """The things of an answer. There are none if it names none; nothing is raised."""
    lines = text[-_MAX_TEXT:].rpartition("</think>")[2].translate(_NARROW).splitlines()
    # A loose reading counts only where a strict one finds nothing.
    counted = [pair for line in lines for pair in _of_line(line, bulleted=True)]
    if not counted:
        counted = [pair for line in lines for pair in _of_line(line, bulleted=False)]
    if not counted:
        counted = [(line[match.end() :], 1) for line in lines if (match := _BULLET.match(line))]
    return _repeated((_label(label), count) for label, count in counted)


def _repeated(counted: Iterator[tuple[str, int]]) -> Answer:
    labels: list[str] = []
    notes: list[str] = []
    of_kind: dict[str, int] = {}
    for label, count in counted:
        if not label:
            continue
        if not count:
            notes.append(f"the model named {label} with the number 0; it was left out")
        room = min(MOST_OF_A_KIND - of_kind.get(label, 0), MOST - len(labels))
        if count > room:
            notes.append(f"the model named {count} of {label}; {room} of them were taken")
        taken = min(count, room)
        of_kind[label] = of_kind.get(label, 0) + taken
        labels += [label] * taken
    if len(notes) > 10:
        notes[10:] = [f"and {len(notes) - 10} more such numbers"]
    return Answer(tuple(labels), tuple(notes))


def _of_line(line: str, bulleted: bool) -> list[tuple[str, int]]:
    """(label, number) of each thing in a line; `bulleted`: a label before its number needs a bullet."""
    groups = list(_groups(line))
    pairs = [_pair(group.inside) for group in groups]
    things: list[tuple[str, int]] = []
    past = 0
    for index, (group, pair) in enumerate(zip(groups, pairs, strict=True)):
        count = _number(group.inside)
        if count is not None:
            before = line[past : group.begin]
            bullet = _BULLET.match(before)
            listed = bool(bullet or things or not bulleted)
            if listed and _AFTER_COUNT.match(line, group.end):
                pair = before[bullet.end() if bullet else 0 :], count
        elif pair is None and _joined(line, groups, index, loose=not any(pairs)):
            pair = group.inside, 1
        if pair is not None:
            things.append(pair)
            past = group.end
    return things


def _groups(line: str) -> Iterator[_Group]:
    """The outermost brackets of a line. One that is not closed ends with its number or with the line."""
    begin = depth = 0
    for index, sign in enumerate(line):
        if sign == "(":
            if depth == 1 and index - begin <= _MAX_CHECKED and _pair(line[begin + 1 : index]):
                yield _Group(line[begin + 1 : index], begin, index)
                depth = 0
            if not depth:
                begin = index
            depth += 1
        elif sign == ")" and depth:
            depth -= 1
            if not depth:
                yield _Group(line[begin + 1 : index], begin, index + 1)
    if depth:
        inside = line[begin + 1 :]
        yield _Group(inside if _pair(inside) else inside.removesuffix(")"), begin, len(line))


def _pair(inside: str) -> tuple[str, int] | None:
    """`label, number` taken apart; None where no number stands behind the last comma."""
    label, comma, number = inside.rstrip(" ,;").rpartition(",")
    count = _number(number) if comma else None
    return (label, count) if count is not None and _label(label) else None


def _number(text: str) -> int | None:
    text = text.strip(_TRIM).lower()
    match = _DIGITS.fullmatch(text)
    return int(match[1]) if match else _NUMBERS.get(text)


def _joined(line: str, groups: list[_Group], index: int, loose: bool) -> bool:
    """Whether brackets without a number belong to a list: what divides its things stands around them.

    `loose`: a blank divides too.
    """
    group, last = groups[index], index + 1 == len(groups)
    before = line[groups[index - 1].end if index else 0 : group.begin]
    after = line[group.end : len(line) if last else groups[index + 1].begin]

    def divides(text: str) -> bool:
        return _JOINT.fullmatch(text) is not None and (loose or bool(text.strip()))

    if index:
        return divides(before)
    starts = before.rstrip().endswith(":") or _JOINT.fullmatch(before) is not None
    return starts and (_JOINT.fullmatch(after) is not None if last else divides(after))


def _label(text: str) -> str:
    """A label in small letters without the marks around it; empty if it has no letter."""
    label = one_line(text).strip(_TRIM).removeprefix("and ").strip(_TRIM).lower()[:_MAX_LABEL].rstrip()
    return label if any(map(str.isalnum, label)) else ""
