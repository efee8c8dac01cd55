"""Argument types of the command line: each turns a word into a value or says what is wrong with it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def text(word: str) -> str:
    """A prompt; bytes of the command line that are not UTF-8 become replacement characters."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def bounded_int(low: int, high: int) -> Callable[[str], int]:
    """A whole number in low..high."""
    return _bounded(int, "a whole number", low, high)


def bounded_float(low: float, high: float) -> Callable[[str], float]:
    """A number in low..high."""
    return _bounded(float, "a number", low, high)


def _bounded(read: Callable[[str], Number], kind: str, low: Number, high: Number) -> Callable[[str], Number]:
    def convert(word: str) -> Number:
        try:
            value = read(word)
        except ValueError:
            raise ArgumentTypeError(f"{word!r} is not {kind}") from None
        if not low <= value <= high:
            raise ArgumentTypeError(f"{word} is not in {low:.16g}..{high:.16g}")
        return value

    return convert


def size(word: str) -> tuple[int, int]:
    """`512x768` -> (512, 768): pixels, multiples of 8 in 64..4096."""
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", word.strip())
    if match is None:
        raise ArgumentTypeError(f"{word!r} is not a size; write it like 512x768")
    width, height = int(match[1]), int(match[2])
    if any(side % 8 or not 64 <= side <= 4096 for side in (width, height)):
        raise ArgumentTypeError(f"{word}: both sides must be multiples of 8 in 64..4096")
    return width, height
