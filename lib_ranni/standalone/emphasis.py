"""Emphasis in prompts as the WebUI writes it: `(word)`, `((word))`, `[word]`, `(word:1.3)`, `\\(`, BREAK."""

from __future__ import annotations

import re
from typing import NamedTuple

ROUND, SQUARE = 1.1, 1 / 1.1
STRONGEST = 10.0
"""No nesting of brackets makes a weight larger than this."""

_FINITE = 1e4
"""A larger factor counts as this, so that products of nested ones stay finite."""

DEEPEST = 64
"""Brackets nested deeper are plain characters: no prompt may cost quadratic time."""

_TOKEN = re.compile(
    r"""
      \\(?P<escaped>[()\[\]\\])
    | :\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)
    | (?P<bracket>[()\[\]])
    | (?P<break>\bBREAK\b)
    | (?P<text>[^\\()\[\]:B]+ | .)
    """,
    re.VERBOSE | re.DOTALL,
)


class Span(NamedTuple):
    """A piece of prompt and its weight. `breaks` starts a new chunk of tokens instead."""

    text: str
    weight: float
    breaks: bool = False


class _Reader:
    """Spans read so far, and where the brackets that are still open began."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._open: dict[str, list[int]] = {"(": [], "[": []}
        self._joins = False

    def add(self, text: str) -> None:
        """Plain characters."""
        if self._joins:
            text = self.spans.pop().text + text
        self.spans.append(Span(text, 1.0))
        self._joins = True

    def start_chunk(self) -> None:
        """A BREAK."""
        self.spans.append(Span("", 1.0, True))
        self._joins = False

    def start(self, bracket: str) -> bool:
        """An opening bracket; False if it is too deep to count."""
        if len(self._open[bracket]) >= DEEPEST:
            return False
        self._open[bracket].append(len(self.spans))
        self._joins = False
        return True

    def end(self, bracket: str, factor: float) -> bool:
        """The end of the innermost open bracket of a kind; False if there is none."""
        if not self._open[bracket]:
            return False
        for index in range(self._open[bracket].pop(), len(self.spans)):
            span = self.spans[index]
            if not span.breaks:
                self.spans[index] = span._replace(weight=span.weight * factor)
        self._joins = False
        return True

    def finish(self) -> list[Span]:
        """All spans; a bracket never closed counts to the end."""
        while self.end("(", ROUND) or self.end("[", SQUARE):
            pass
        return _merged(self.spans)


def parse_emphasis(prompt: str) -> list[Span]:
    """Split a prompt into spans of equal weight. Unclosed brackets count to the end; none is an error."""
    reader = _Reader()
    for match in _TOKEN.finditer(prompt):
        bracket = match["bracket"]
        taken = False
        if match["escaped"]:
            reader.add(match["escaped"])
            taken = True
        elif match["break"]:
            reader.start_chunk()
            taken = True
        elif match["weight"]:
            taken = reader.end("(", min(_FINITE, max(-_FINITE, float(match["weight"]))))
        elif bracket in ("(", "["):
            taken = reader.start(bracket)
        elif bracket in (")", "]"):
            taken = reader.end(*{")": ("(", ROUND), "]": ("[", SQUARE)}[bracket])
        if not taken:
            reader.add(match[0])
    return reader.finish()


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in spans:
        span = span._replace(weight=min(STRONGEST, max(-STRONGEST, span.weight)))
        last = merged[-1] if merged else None
        if last and not last.breaks and not span.breaks and last.weight == span.weight:
            merged[-1] = Span(last.text + span.text, last.weight)
        else:
            merged.append(span)
    return merged or [Span("", 1.0)]
