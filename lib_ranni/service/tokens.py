"""How much room a text has in the chunks that text encoders read."""

from __future__ import annotations

import re
from collections.abc import Sequence

CHUNK = 75
"""Tokens of a chunk, without its begin and end."""

_WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]")
_LONGEST = 8


def room(count: int) -> int:
    """The tokens that the chunks of a text of `count` tokens hold."""
    return CHUNK * max(1, -(-count // CHUNK))


def estimated(texts: Sequence[str]) -> list[tuple[int, int]]:
    """(tokens, room) of texts as far as one can tell without a tokenizer."""
    counts = [sum(map(_pieces, _WORD.findall(text))) for text in texts]
    return [(count, room(count)) for count in counts]


def _pieces(word: str) -> int:
    """Most words are one token; long ones, and those of other scripts, come in pieces."""
    return -(-len(word) // _LONGEST) if word.isascii() else len(word)
