"""What is wrong with a document, where, and what was done about it; and readers for plain values."""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct

from lib_ranni.panel.types import MAX_TEXT


class Problem(Struct, frozen=True):
    """One fault of a document. `path` is like `elements[2].box.x1`; `repair` says what mending does."""

    path: str
    message: str
    repair: str

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.message} ({self.repair})"


def shown(value: Any) -> str:
    """A value as it may be quoted in a message: short, and with control characters escaped."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


class Problems:
    """Collects problems while a document is read, and reads numbers, texts and flags out of it."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, message: str, repair: str) -> None:
        """Note a problem."""
        self.found.append(Problem(path, message, repair))

    def all(self) -> tuple[Problem, ...]:
        """Everything found so far."""
        return tuple(self.found)

    def number(self, path: str, value: Any, low: float, high: float, default: float) -> float:
        """A finite number within [low, high]; mended by reading digits, clamping, or the default."""
        if isinstance(value, str):
            number = _number_in(value)
            if number is not None:
                self.add(path, f"is the text {shown(value)}, not a number", f"read as {number:g}")
                value = number
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.add(path, f"must be a number, not {shown(value)}", f"set to {default:g}")
            return default
        if not isinstance(value, int) and not math.isfinite(value):
            self.add(path, f"must be finite, not {value}", f"set to {default:g}")
            return default
        if value < low or value > high:
            nearest = low if value < low else high
            self.add(path, f"must be in {low:g}..{high:g}, not {shown(value)}", f"clamped to {nearest:g}")
            return nearest
        return float(value)

    def whole(self, path: str, value: Any, low: int, high: int) -> int | None:
        """A whole number within [low, high], or None; mended to None."""
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.add(path, f"must be a whole number in {low}..{high}, not {shown(value)}", "dropped")
            return None
        return value

    def text(self, path: str, value: Any, limit: int = MAX_TEXT) -> str:
        """A text of at most `limit` characters; mended by cutting, or to the empty text."""
        if not isinstance(value, str):
            self.add(path, f"must be a text, not {shown(value)}", "set to nothing")
            return ""
        if len(value) > limit:
            self.add(path, f"has {len(value)} characters, at most {limit} are allowed", "cut")
            value = value[:limit]
        return value

    def flag(self, path: str, value: Any) -> bool:
        """True or false; mended from 0, 1 and the words for them, else to false."""
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else value
        flag = word in (1, "1", "true", "yes", "on")
        self.add(path, f"must be true or false, not {shown(value)}", f"set to {str(flag).lower()}")
        return flag


def _number_in(text: str) -> float | None:
    text = text.strip()
    scale = 1.0
    if text.endswith(("%", "％")):
        text, scale = text[:-1], 0.01
    try:
        number = float(text) * scale
    except ValueError:
        return None
    return number if math.isfinite(number) else None
