"""Places and amounts in English instructions: "a bit to the left", "next to the dog", "in the sky"."""

from __future__ import annotations

from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin.editing_english_references import AREAS, ReferenceReader
from lib_ranni.planner.builtin.editing_english_words import LITTLE, MUCH, PLACE_NOUNS, WAYS
from lib_ranni.planner.builtin.editing_steps import Beside, Place, Shift
from lib_ranni.planner.builtin.english_places import PlaceReader
from lib_ranni.planner.builtin.story import Spot

STEP, A_BIT, FAR = 0.15, 0.07, 0.35
"""How far a move goes by default, "a bit" and "far", in 0..1 of the canvas."""


class DestinationReader(ReferenceReader):
    """Reads places at positions of an instruction's words."""

    def __init__(self, panel: Panel, text: str) -> None:
        super().__init__(panel, text)
        self.places = PlaceReader(self.phrases)

    def amount(self, index: int, default: float = STEP) -> tuple[float, int]:
        """(share of the canvas, end) of an amount; the default if there is none."""
        if length := self.says(index, LITTLE):
            return A_BIT, index + length
        if length := self.says(index, ("all the way", "as far as possible", "completely")):
            return 1.0, index + length
        if length := self.says(index, MUCH):
            return FAR, index + length
        start = index + (self.word(index) == "by")
        number = self.number(start)
        if number is not None and ("%" in self.mark(start) or self.word(start + 1) in {"percent", "%"}):
            return min(1.0, number / 100), start + 1 + (self.mark(start + 1) in {"percent", "%"})
        return default, index

    def place(self, start: int, moving: bool = False) -> tuple[Place, int] | None:
        """The place at an index. `moving`: "to the left" is a way to go, not a side of the canvas."""
        amount, index = self.amount(start)
        way = self._way(index, moving)
        if way is not None:
            dx, dy, end = way
            given = index > start
            if not given or self.word(end) == "by":
                amount, end = self.amount(end)
            return Shift(dx, dy, amount), end
        spot = self._spot(index)
        relation = None if spot else self.relation(index)
        return spot if relation is None else (Beside(relation[0], relation[1]), relation[2])

    def _is_scenery(self, index: int) -> bool:
        """Whether "in the sky" speaks of no element of the panel."""
        article = self.word(index + 1) in {"the", "a"}
        word = self.word(index + 1 + article)
        return word in PLACE_NOUNS and word not in self._heads

    def _way(self, index: int, moving: bool) -> tuple[int, int, int] | None:
        """(dx, dy, end) of a way to go."""
        to = self.says(index, ("to the", "towards the", "toward the", "further to the", "more to the"))
        if to and (not moving or self.word(index + to) not in {"left", "right"}):
            return None
        if to and self.word(index + to + 1) in {*AREAS, "of", "hand", "half"}:
            return None
        further = to or self.says(index, ("further", "farther", "more", "over"))
        way = WAYS.get(self.word(index + further))
        if way is None or not moving:
            return None
        dx, dy, end = *way, index + further + 1
        joined = end + (self.word(end) == "and")
        joined += self.says(joined, ("to the",))
        second = WAYS.get(self.word(joined))
        if second is not None and second[0] * dx == 0 and second[1] * dy == 0:
            dx, dy, end = dx + second[0], dy + second[1], joined + 1
        return dx, dy, end

    def _spot(self, index: int) -> tuple[Spot, int] | None:
        """A place in the picture."""
        article = self.word(index + 1) in {"the", "a"}
        if self.word(index) in {"in", "on", "at", "to", "into", "onto"} and self._is_scenery(index):
            return Spot(None, PLACE_NOUNS[self.word(index + 1 + article)]), index + 2 + article
        lowered = self.phrases.lower
        if self.word(index) in {"into", "onto", "towards", "toward"}:
            lowered[index] = "to"
        found = self.places.spot(index)
        if found is None:
            return None
        length, spot = found
        return Spot(spot.x, spot.y), index + length
