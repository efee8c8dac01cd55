"""Elements of a reply while it is still being written, so that they can be shown as they come."""

from __future__ import annotations

import io
import re

from lib_ranni.errors import InputError
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Element, with_fields
from lib_ranni.planner.llm import json_text
from lib_ranni.planner.llm.reply_boxes import Written, document_box, scale_of
from lib_ranni.planner.llm.reply_plan import Entry, entry_of
from lib_ranni.planner.llm.thoughts import LONGEST_TAG, TAG, may_open

_MAX_LENGTH = 2**20
_MAX_OBJECT = 20_000
_MAX_DEPTH = 64
_MAX_HEIGHT = 3
"""How deep an element's own objects may go; what goes deeper holds elements."""

_MARK = re.compile(r"[{}\[\"'<◁\\]|\Z")
_IN_TEXT = {'"': re.compile(r"[\"\\]|\Z"), "'": re.compile(r"['\\]|\Z")}
_BEFORE_TEXT = frozenset("{[,:(")


class _Open:
    """An object that is not closed yet: where it begins, and how deep the objects in it go."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.height = 0


class PartialReply:
    """Takes a reply piece by piece. It never raises, and its time grows with the length of the reply.

    What `read_reply` makes of the whole reply counts; here a plan that a model drafts and then replaces is
    shown as well, and JSON is followed only as far as its quotes and brackets are in order.
    """

    def __init__(self, aspect: float = 1.0) -> None:
        self._aspect = min(10.0, max(0.1, aspect))
        self._text = io.StringIO()
        self._length = 0
        self._rest = ""
        self._quote = ""
        self._last = ""
        self._thinking = False
        self._open: list[_Open] = []
        self._ids: set[str] = set()
        self._sights: set[tuple[str, str, tuple[float, ...]]] = set()
        self._most: Written | None = None
        self._counter = 0

    def feed(self, piece: str) -> list[Element]:
        """The elements whose objects this piece closes, in their order."""
        if self._length > _MAX_LENGTH:
            return []
        text = self._rest + piece
        # What was kept back is in the buffer already.
        base = self._length - len(self._rest)
        self._text.seek(0, io.SEEK_END)
        self._text.write(piece)
        self._length += len(piece)
        found: list[Element] = []
        at = 0
        while at < len(text):
            step = self._step(text, at, base, found)
            if step is None:
                break
            at = step
        self._rest = text[at:]
        return found

    def _step(self, text: str, at: int, base: int, found: list[Element]) -> int | None:
        """Go on from `at`; None where more has to come first."""
        if self._thinking:
            return self._think(text, at)
        pattern = _IN_TEXT[self._quote] if self._quote else _MARK
        match = pattern.search(text, at)
        begin = len(text) if match is None else match.start()
        mark = text[begin : begin + 1]
        before = text[at:begin].rstrip()
        self._last = before[-1:] or self._last
        if mark == "\\":
            return begin + 2 if begin + 1 < len(text) else self._keep(begin, at)
        if mark and mark in "<[◁":
            tag = TAG.match(text, begin)
            if tag is None and may_open(text[begin : begin + LONGEST_TAG]):
                return self._keep(begin, at)
            self._last = mark
            self._thinking = tag is not None and bool(tag["open"])
            return begin + 1 if tag is None else tag.end()
        if self._quote:
            self._quote = "" if mark else self._quote
        elif mark == "{":
            self._open.append(_Open(base + begin))
            del self._open[:-_MAX_DEPTH]
        elif mark == "}" and self._open:
            found += self._closed(self._open.pop(), base + begin + 1)
        elif (mark == '"' and self._open) or (mark == "'" and self._last in _BEFORE_TEXT and self._open):
            self._quote = mark
        self._last = mark or self._last
        return begin + 1

    def _keep(self, begin: int, at: int) -> int | None:
        """First up to `begin`, then wait for what follows there."""
        return begin if begin > at else None

    def _think(self, text: str, at: int) -> int | None:
        for match in TAG.finditer(text, at):
            if match["close"]:
                self._thinking = False
                return match.end()
        rest = max(at, len(text) - LONGEST_TAG)
        return rest if rest > at else None

    def _closed(self, item: _Open, end: int) -> list[Element]:
        """The element that an object is, unless it holds others."""
        if self._open:
            self._open[-1].height = max(self._open[-1].height, item.height + 1)
        if item.height > _MAX_HEIGHT or end - item.begin > _MAX_OBJECT:
            return []
        self._text.seek(item.begin)
        found = json_text.find(self._text.read(end - item.begin))
        entry = entry_of(found.value) if found is not None else ""
        if not isinstance(entry, Entry):
            return []
        for outer in self._open:
            outer.height = _MAX_HEIGHT + 1
        element = self._element(entry)
        return [] if element is None else [element]

    def _element(self, entry: Entry) -> Element | None:
        sight = (entry.fields.get("id", ""), entry.fields["description"], entry.box.numbers)
        if sight in self._sights:
            return None
        self._sights.add(sight)
        most = self._most
        if not entry.box.relative and (most is None or max(entry.box.numbers) > max(most.numbers)):
            self._most = entry.box
        box = document_box(entry.box, scale_of([self._most or entry.box], self._aspect, whole=False))
        if box is None:
            return None
        try:
            reading = repair({"version": 1, "elements": [{**entry.fields, "box": box}]})
        except InputError:
            return None
        elements = reading.panel.elements if reading.panel is not None else ()
        if not elements:
            return None
        usable = elements[0].id == entry.fields.get("id")
        return with_fields(elements[0], id=self._id(elements[0].id if usable else ""))

    def _id(self, given: str) -> str:
        """The given id, or the next of e1, e2, ... if there is none or another element has it."""
        while not given or given in self._ids:
            self._counter += 1
            given = f"e{self._counter}"
        self._ids.add(given)
        return given
