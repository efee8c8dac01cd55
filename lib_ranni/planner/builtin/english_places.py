"""Absolute places ("in the top left corner", "in the background") and orders ("from left to right")."""

from __future__ import annotations

from dataclasses import dataclass

from lib_ranni.planner.builtin.english_phrases import PhraseReader
from lib_ranni.planner.builtin.english_words import english
from lib_ranni.planner.builtin.story import Spot

_X = {"left": 0.0, "right": 1.0, "left-hand": 0.0, "right-hand": 1.0}
_Y = {"top": 0.0, "upper": 0.0, "bottom": 1.0, "lower": 1.0}
_MIDDLE = {"center", "centre", "middle", "central"}
_FAR = {"background", "distance", "back"}
_NEAR = {"foreground", "front"}
_BOTH = {
    f"{vertical}-{horizontal}": (vertical, horizontal)
    for vertical in ("top", "upper", "bottom", "lower")
    for horizontal in ("left", "right")
}
_STATIC = {"there", "sits", "stands", "lies"}
_NEARS = {"in", "on", "at", "to", "near"}
_TAILS = {"corner", "side", "part", "half", "edge", "hand", "third", "area", "position", "portion"}
_ORDERS = {
    ("left", "right"): "x",
    ("right", "left"): "-x",
    ("top", "bottom"): "y",
    ("bottom", "top"): "-y",
}


@dataclass
class _Seen:
    """What the words for a place have said so far."""

    x: float | None = None
    y: float | None = None
    behind: bool = False
    near: bool = False
    any: bool = False

    def add(self, word: str) -> bool:
        """Take in a word, if it speaks of a place."""
        if word in _BOTH:
            self.y, self.x = _Y[_BOTH[word][0]], _X[_BOTH[word][1]]
        elif word in _X:
            self.x = _X[word]
        elif word in _Y:
            self.y = _Y[word]
        elif word in _MIDDLE:
            self.x, self.y = 0.5 if self.x is None else self.x, 0.5 if self.y is None else self.y
        elif word in _FAR or word in _NEAR:
            self.behind, self.near = self.behind or word in _FAR, self.near or word in _NEAR
        else:
            return False
        self.any = True
        return True


class PlaceReader:
    """Recognizes places at a position of a phrase reader's tokens."""

    def __init__(self, phrases: PhraseReader) -> None:
        self._phrases = phrases

    def order(self, start: int) -> tuple[int, str] | None:
        """(words, axis) of "from left to right", "in a row"; a leading minus means reversed."""
        words = [self._phrases.word(start + n) for n in range(5)]
        lead = 1 if words[0] == "from" else 0
        if words[lead + 1] == "to":
            axis = _ORDERS.get((words[lead], words[lead + 2]))
            if axis:
                return lead + 3, axis
        if words[:2] == ["in", "a"] and words[2] in {"row", "line"}:
            return 3, "x"
        if words[:3] == ["side", "by", "side"] and words[3] != "with":
            return 3, "x"
        if words[:2] == ["in", "a"] and words[2] in {"column", "stack"}:
            return 3, "y"
        return None

    def spot(self, start: int) -> tuple[int, Spot] | None:
        """(words, place) of a place in the picture, not of one beside another thing."""
        index, word = start, self._phrases.word(start)
        if word in {"in", "at", "on", "to", "near"}:
            index += 1
        elif self._phrases.lower[start + 1 : start + 2] != [":"]:
            return None
        if self._phrases.word(index) in {"the", "one"}:
            index += 1
        seen = _Seen()
        index = self._words(index, seen)
        if self._phrases.word(index) in _TAILS and seen.any:
            index += 1
        elif self._phrases.word(index) == "corner":
            seen.x, seen.y, seen.any = 1.0, 1.0, True
            index += 1
        if not seen.any:
            return None
        if self._phrases.word(index) == "of":
            area = index + 2
            pictured = english().has("picture_area", self._phrases.word(area))
            if not pictured or self._phrases.word(index + 1) not in {"the", "this"}:
                return None
            index = area + 1
        elif self._follows_noun(index, start):
            return None
        if seen.near and seen.y is None:
            seen.y = 1.0
        return index - start, Spot(seen.x, seen.y, seen.behind)

    def _words(self, index: int, seen: _Seen) -> int:
        """Take in words for a place; where they end."""
        while True:
            word = self._phrases.word(index)
            if not seen.add(word):
                joins = word == "and" and seen.any and self._more(index + 1)
                if word not in {"very", "far", "dead"} and not joins:
                    return index
            index += 1

    def _more(self, index: int) -> bool:
        return self._phrases.word(index) in _X or self._phrases.word(index) in _Y

    def _follows_noun(self, index: int, start: int) -> bool:
        """Not a place but part of a noun phrase: "on the top shelf", "on the left hand"."""
        word = self._phrases.word(index)
        if not word or english().has("stops", word) or english().has("auxiliaries", word):
            return False
        if english().has("determiners", word) or self._phrases.word(start) not in _NEARS:
            return False
        last = self._phrases.word(index - 1)
        if last in _X or last in _Y:
            return True
        return last in {"back", "front", "middle", "center", "corner"} and word not in _STATIC
