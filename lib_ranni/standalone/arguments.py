"""Argument types of the command line: each turns a word into a value or says what is wrong with it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

from lib_ranni.panel.types import Box, clamped_box


def text(word: str) -> str:
    """A prompt; bytes of the command line that are not UTF-8 become replacement characters."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def bounded_int(low: int, high: int) -> Callable[[str], int]:
    """A whole number in low..high."""

    def convert(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            raise ArgumentTypeError(f"{word!r} is not a whole number") from None
        if not low <= value <= high:
            raise ArgumentTypeError(f"{value} is not in {low}..{high}")
        return value

    return convert


def bounded_float(low: float, high: float) -> Callable[[str], float]:
    """A number in low..high."""

    def convert(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise ArgumentTypeError(f"{word!r} is not a number") from None
        if not low <= value <= high:
            raise ArgumentTypeError(f"{word} is not in {low:g}..{high:g}")
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


def box(word: str) -> Box:
    """`0.1,0.2,0.5,0.9` -> the box from (x0, y0) to (x1, y1), in 0..1 of the canvas."""
    numbers = numbers_of(word, 4)
    found = clamped_box(*numbers)
    if found is None:
        raise ArgumentTypeError(f"{word!r} lies outside the canvas; x0,y0,x1,y1 are in 0..1")
    return found


def numbers_of(word: str, count: int) -> list[float]:
    """`count` numbers separated by commas."""
    try:
        numbers = [float(part) for part in word.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise ArgumentTypeError(f"{word!r} must be {count} numbers separated by commas")
    return numbers
