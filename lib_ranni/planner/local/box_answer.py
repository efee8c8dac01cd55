"""What Ranni's box turn answers, read while it arrives and compared with what it was asked to place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from lib_ranni.errors import InputError
from lib_ranni.panel import geometry
from lib_ranni.panel.formats import ranni
from lib_ranni.panel.types import MAX_TEXT, Box, Element, Panel
from lib_ranni.planner.local.element_answer import MOST

MAX_ANSWER = 40_000
"""How many characters of an answer are read."""

# A bracket that was forgotten before the next box is seen by that.
_END = re.compile(r"\](?:\s{0,8}\)|(?=\s{0,8},?\s{0,8}\())")
_MOST_END = 24
_NO_WORD = re.compile(r"[\W_]+")
_STEPS = 8
"""A free place is looked for at so many steps along each side."""


def joined(labels: Sequence[str]) -> str:
    """Labels as the box turn is given them; a comma inside one would make two of it."""
    return ",".join(" ".join(label.replace(",", " ").split()) for label in labels)


class BoxAnswer:
    """Reads boxes for `wanted` labels. `notes` tell what does not fit them, `repairs` what was mended."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.elements: list[Element] = []
        self.notes: list[str] = []
        self.repairs: list[str] = []
        self._wanted = list(wanted)
        self._unasked: list[str] = []
        self._text = ""
        self._total = self._entries = self._surplus = self._behind = 0

    def add(self, piece: str) -> Iterator[Element]:
        """The elements whose boxes end in this piece of the answer."""
        piece = piece[: MAX_ANSWER - self._total]
        self._total += len(piece)
        searched = max(0, len(self._text) - _MOST_END)
        self._text += piece
        while match := _END.search(self._text, searched):
            entry, self._text = self._text[: match.end()], self._text[match.end() :]
            searched = 0
            yield from self._read(entry if entry.endswith(")") else f"{entry})")

    def finish(self) -> Iterator[Element]:
        """The elements that are left: one whose last bracket is missing, and those that got no box."""
        if self._text.rstrip().endswith("]"):
            yield from self._read(f"{self._text})")
        self._pair_alike()
        if self._behind:
            self.notes.append(f"{self._behind} boxes below the list were not read")
        if self._surplus:
            self.notes.append(f"{self._surplus} more boxes than a plan may have were left out")
        if self._unasked:
            names = _listed(self._unasked)
            self.notes.append(f"the model placed what it had not listed: {names}")
        # Without any box the answer is no plan; the caller says so.
        if self._wanted and self.elements:
            names = _listed(self._wanted)
            self.notes.append(f"the model gave no box to {names}; free places were taken")
            for label in self._wanted:
                yield self._element(label, geometry.free_box(self._panel(), steps=_STEPS))

    def _panel(self) -> Panel:
        return Panel(elements=tuple(self.elements))

    def _read(self, entry: str) -> Iterator[Element]:
        self._entries += 1
        # Ranni reads one line; what a model adds below a complete list repeats or explains it.
        if self._behind or (self.elements and not self._wanted and "\n" in entry):
            self._behind += 1
            return
        if len(self.elements) >= MOST:
            self._surplus += 1
            return
        try:
            imported = ranni.read(entry)
        except InputError as error:
            if len(self.repairs) < MOST:
                self.repairs.append(f"box {self._entries}: {error}")
            return
        self.repairs += [f"box {self._entries}: {p.message} ({p.repair})" for p in imported.problems]
        for element in imported.panel.elements:
            label = element.description.strip("\"'`* ").lower()[:MAX_TEXT] or element.description
            alike = next((own for own in self._wanted if _key(own) == _key(label)), None)
            if alike is None:
                self._unasked.append(label)
            else:
                self._wanted.remove(alike)
            yield self._element(alike or label, element.box)

    def _element(self, label: str, box: Box) -> Element:
        element = Element(id=f"e{len(self.elements) + 1}", description=label, box=box)
        self.elements.append(element)
        return element

    def _pair_alike(self) -> None:
        """What was asked for and placed under a name that contains the other was asked for after all."""
        for label in list(self._unasked):
            words = f" {_key(label)} "
            for own in self._wanted:
                asked = f" {_key(own)} "
                if asked in words or words in asked or words.rstrip() == asked.rstrip() + "s":
                    self._wanted.remove(own)
                    self._unasked.remove(label)
                    break


def _key(label: str) -> str:
    """The words of a label, in small letters and without signs."""
    return _NO_WORD.sub(" ", label.lower()).strip()


def _listed(labels: Sequence[str]) -> str:
    counts = Counter(labels)
    names = [f"{label} ({count})" if count > 1 else label for label, count in counts.items()]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
