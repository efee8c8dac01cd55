"""Emphasis in prompts, as the WebUI writes it: `(word)`, `((word))`, `[word]`, `(word:1.3)`, `\\(` and BREAK."""

from __future__ import annotations

import re
from typing import NamedTuple

ROUND, SQUARE = 1.1, 1 / 1.1
STRONGEST = 10.0
"""No nesting of brackets makes a weight larger than this."""

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


def parse_emphasis(prompt: str) -> list[Span]:
    """Split a prompt into spans of equal weight. Unclosed brackets count to the end; none is an error."""
    spans: list[Span] = []
    open_round: list[int] = []
    open_square: list[int] = []

    def scale(start: int, factor: float) -> None:
        for index in range(start, len(spans)):
            if not spans[index].breaks:
                spans[index] = spans[index]._replace(weight=spans[index].weight * factor)

    for match in _TOKEN.finditer(prompt):
        bracket = match["bracket"]
        if match["escaped"]:
            spans.append(Span(match["escaped"], 1.0))
        elif match["weight"] and open_round:
            scale(open_round.pop(), float(match["weight"]))
        elif bracket == "(":
            open_round.append(len(spans))
        elif bracket == "[":
            open_square.append(len(spans))
        elif bracket == ")" and open_round:
            scale(open_round.pop(), ROUND)
        elif bracket == "]" and open_square:
            scale(open_square.pop(), SQUARE)
        elif match["break"]:
            spans.append(Span("", 1.0, True))
        else:
            spans.append(Span(match[0], 1.0))
    for start in open_round:
        scale(start, ROUND)
    for start in open_square:
        scale(start, SQUARE)
    return _merged(spans)


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
