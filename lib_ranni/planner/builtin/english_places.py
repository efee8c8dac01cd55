"""Absolute places ("in the top left corner", "in the background") and orders ("from left to right")."""

from __future__ import annotations

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
_TAILS = {"corner", "side", "part", "half", "edge", "hand", "third", "area", "position", "portion"}
_ORDERS = {
    ("left", "right"): "x",
    ("right", "left"): "-x",
    ("top", "bottom"): "y",
    ("bottom", "top"): "-y",
}


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
        x: float | None = None
        y: float | None = None
        behind = near = found = False
        while True:
            word = self._phrases.word(index)
            if word in _BOTH:
                y, x = _Y[_BOTH[word][0]], _X[_BOTH[word][1]]
            elif word in _X:
                x = _X[word]
            elif word in _Y:
                y = _Y[word]
            elif word in _MIDDLE:
                x, y = 0.5 if x is None else x, 0.5 if y is None else y
            elif word in _FAR:
                behind = True
            elif word in _NEAR:
                near = True
            elif word in {"very", "far", "dead"} or (word == "and" and found and self._more(index + 1)):
                index += 1
                continue
            else:
                break
            found = True
            index += 1
        if word in _TAILS and found:
            index += 1
        elif word == "corner" and not found:
            x, y, found = 1.0, 1.0, True
            index += 1
        if not found:
            return None
        if self._phrases.word(index) == "of":
            area = index + 2
            if self._phrases.word(index + 1) not in {"the", "this"} or not english().has("picture_area", self._phrases.word(area)):
                return None
            index = area + 1
        elif self._follows_noun(index, start):
            return None
        if near and y is None:
            y = 1.0
        return index - start, Spot(x, y, behind)

    def _more(self, index: int) -> bool:
        return self._phrases.word(index) in _X or self._phrases.word(index) in _Y

    def _follows_noun(self, index: int, start: int) -> bool:
        """Not a place but part of a noun phrase: "on the top shelf", "on the left hand"."""
        word = self._phrases.word(index)
        if not word or english().has("stops", word) or english().has("auxiliaries", word):
            return False
        if english().has("determiners", word) or self._phrases.word(start) not in {"in", "on", "at", "to", "near"}:
            return False
        last = self._phrases.word(index - 1)
        return last in _X or last in _Y or last in {"back", "front", "middle", "center", "corner"} and word not in {
            "there", "sits", "stands", "lies"
        }
