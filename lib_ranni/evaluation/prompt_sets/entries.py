"""Pieces of large files, one after the other: lines, and the members of one JSON document.

No more than a piece is in memory. What is damaged is passed over and counted by what is wrong with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

MAX_ENTRY = 2**20
"""Bytes of a line, or of a member; longer ones are no prompts."""

Skipped = Counter[str]

_TOO_LONG = f"longer than {MAX_ENTRY // 2**20} MiB"
_CHUNK = 2**18
_OUTSIDE = re.compile(rb'["{}\[\],]')
_INSIDE = re.compile(rb'["\\]')


def lines(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[int, str]]:
    """The lines that are text in UTF-8, without their ends, with their numbers from 1."""
    number = 0
    while raw := file.readline(MAX_ENTRY + 1):
        number += 1
        if len(raw) > MAX_ENTRY:
            skipped[_TOO_LONG] += 1
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(MAX_ENTRY)
            continue
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        text = _decoded(raw.rstrip(b"\r\n"), skipped)
        if text is not None:
            yield number, text


def _decoded(raw: bytes, skipped: Skipped) -> str | None:
    if b"\0" in raw:
        skipped["NUL characters"] += 1
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        skipped["not in UTF-8"] += 1
        return None


class _Splitter:
    """Cuts a JSON document at the commas of its outermost level, without reading what is between them."""

    def __init__(self, skipped: Skipped) -> None:
        self.depth = 0
        self.over = False
        self._skipped = skipped
        self._held = bytearray()
        self._in_text = self._escaped = self._too_long = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Members that are complete with these next bytes."""
        start = position = 0
        if self._escaped and data:
            self._escaped, position = False, 1
        while not self.over:
            match = (_INSIDE if self._in_text else _OUTSIDE).search(data, position)
            if match is None:
                break
            sign, position = match[0], match.end()
            if sign == b'"':
                self._in_text = not self._in_text
            elif self._in_text:
                self._escaped = position == len(data)
                position += 1
            elif sign in b"{[":
                self.depth += 1
                start = position if self.depth == 1 else start
            else:
                self.depth -= sign in b"}]"
                self.over = self.depth <= 0
                if self.over or (sign == b"," and self.depth == 1):
                    yield from self._taken(data[start : position - 1])
                    start = position
        if self.depth > 0:
            self._hold(data[start:])

    def rest(self) -> bytes:
        """What is left of a member that was begun."""
        return bytes(self._held).strip()

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > MAX_ENTRY:
            self._too_long = True
            self._held.clear()

    def _taken(self, data: bytes) -> Iterator[bytes]:
        self._hold(data)
        member, too_long = self.rest(), self._too_long
        self._held.clear()
        self._too_long = False
        if too_long:
            self._skipped[_TOO_LONG] += 1
        elif member:
            yield member


def members(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[int, bytes]]:
    """The members of the one object or list that a file is, as they stand there, numbered from 1."""
    splitter, number = _Splitter(skipped), 0
    while not splitter.over and (data := file.read(_CHUNK)):
        for member in splitter.feed(data):
            number += 1
            yield number, member
    if splitter.depth > 0:
        skipped["cut short at the file's end"] += 1
