"""What is wrong with a document, where, and what was done about it; and readers for plain values."""

from __future__ import annotations

import math
from typing import Any

from msgspec import Struct

from lib_ranni.panel.types import MAX_TEXT

_MAX_DEPTH = 32
_LEAST_INT, _MOST_INT = -(2**63), 2**64 - 1


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
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and not _LEAST_INT <= value <= _MOST_INT:
        # Python refuses to write out integers of thousands of digits.
        return "a huge number"
    text = ascii(value[:40]) if isinstance(value, str) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def below(path: str, key: Any) -> str:
    """The path of a member of the object at `path`."""
    if isinstance(key, str) and key.isidentifier() and len(key) <= 64:
        return f"{path}.{key}" if path else key
    return f"{path}[{shown(key)}]"


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        if not is_unicode(value):
            self.add(path, "holds half a surrogate pair", "replaced by \N{REPLACEMENT CHARACTER}")
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if len(value) > limit:
            self.add(path, f"has {len(value)} characters, at most {limit} are allowed", "cut")
            value = value[:limit]
        return str(value)

    def flag(self, path: str, value: Any) -> bool:
        """True or false; mended from 0, 1 and the words for them, else to false."""
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else value
        flag = word in (1, "1", "true", "yes", "on")
        self.add(path, f"must be true or false, not {shown(value)}", f"set to {str(flag).lower()}")
        return flag

    def unknown(self, path: str, document: dict[str, Any], known: set[str]) -> dict[str, Any]:
        """The fields of a newer version, kept so that nothing is lost; what JSON cannot hold is dropped."""
        rest = {key: value for key, value in document.items() if key not in known}
        return self._members(path, rest, _MAX_DEPTH)

    def _members(self, path: str, document: dict[Any, Any], depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in document.items():
            place = below(path, key)
            if not isinstance(key, str) or not is_unicode(key):
                self.add(place, "is not a name", "dropped")
            elif self._is_json(place, value, depth):
                members[key] = self._kept(place, value, depth)
        return members

    def _is_json(self, path: str, value: Any, depth: int) -> bool:
        if isinstance(value, (dict, list)):
            fault = "" if depth else f"is nested more than {_MAX_DEPTH} deep"
        elif isinstance(value, str):
            fault = "" if is_unicode(value) else "holds half a surrogate pair"
        elif isinstance(value, float):
            fault = "" if math.isfinite(value) else f"must be finite, not {value}"
        elif isinstance(value, int):
            fault = "" if _LEAST_INT <= value <= _MOST_INT else "has more than 64 bits"
        else:
            fault = "" if value is None else f"is not a JSON value: {shown(value)}"
        if fault:
            self.add(path, fault, "dropped")
        return not fault

    def _kept(self, path: str, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._members(path, value, depth - 1)
        if isinstance(value, list):
            items = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
            return [self._kept(p, item, depth - 1) for p, item in items if self._is_json(p, item, depth - 1)]
        return value


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
