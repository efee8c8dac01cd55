"""English instructions -> steps. The verb decides what is read; words that are left over are an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin import editing_english_words as words
from lib_ranni.planner.builtin import editing_steps as steps
from lib_ranni.planner.builtin.editing_english_bases import BaseReader
from lib_ranni.planner.builtin.editing_english_complements import Read
from lib_ranni.planner.builtin.editing_steps import Beside, References, Shift, Step
from lib_ranni.planner.builtin.english_words import number_of
from lib_ranni.planner.builtin.story import Spot

Reader = Callable[[int], Read | None]

_BECOMING = (
    *("should be", "must be", "needs to be", "need to be", "has to be", "have to be", "is", "are", "becomes"),
    *(
        "should become",
        "should",
        "must",
        "needs to",
        "need to",
        "become",
        "ought to be",
        "will be",
        "shall be",
    ),
    *("to be", "to become", "to"),
)
_INDEFINITE = {"a", "an", "another", "some", "several", "more", "few", "one", "many", "lots"}
_OPENERS = {
    "to",
    "on",
    "in",
    "at",
    "above",
    "below",
    "under",
    "next",
    "between",
    "behind",
    "beside",
    "near",
    "over",
}
_OUT = (
    "from the picture",
    "from the image",
    "from the scene",
    "from the canvas",
    "away",
    "out",
    "from it",
    "off",
)


class EnglishInstruction(BaseReader):
    """Reads an instruction step by step."""

    def __init__(self, panel: Panel, text: str, carried: str = "") -> None:
        super().__init__(panel, text)
        self.carried = carried
        """The verb of the step before, for "paint the car green and the bus red"."""

    def step(self) -> tuple[list[Step], int] | None:
        """(what the first step asks for, where in the text it ends); None if it is not understood."""
        start = self._polite(0)
        if start >= self.size:
            return [], len(self.text)
        readers = self._verbs()
        for name, reader in readers:
            length = self.says(start, (name,))
            found = reader(start + length) if length else None
            if found is not None and (read := self._ended(found)) is not None:
                self.carried = name
                return read
        for reader in (self._placed_addition, *self._carry(readers), self._becoming, self.style):
            found = reader(start)
            if found is not None and (read := self._ended(found)) is not None:
                return read
        return None

    def _ended(self, read: Read) -> tuple[list[Step], int] | None:
        """The steps, if nothing is left over but what may end a step."""
        found, end = read[0], self.tail(read[1])
        if (length := self.says(end, words.EXCEPT)) and (but := self.references(end + length)) is not None:
            found, end = [_without(step, but[0]) for step in found], self.tail(but[1])
        return (found, self._offset(end)) if self.clean(end) else None

    def _carry(self, readers: list[tuple[str, Reader]]) -> list[Reader]:
        return [reader for name, reader in readers if name == self.carried]

    def _offset(self, index: int) -> int:
        return self.tokens[index].start if index < self.size else len(self.text)

    def _polite(self, index: int) -> int:
        while index < self.size:
            length = self.says(index, words.POLITE)
            if not length and self.tokens[index].kind != "end":
                break
            index += length or 1
        return index

    def _verbs(self) -> list[tuple[str, Reader]]:
        """What can begin a step, the longest first, and what reads the words after it."""
        table: list[tuple[tuple[str, ...], Reader]] = [
            (words.REMOVE, self._remove),
            (("no", "without"), self._remove),
            (words.KEEP, self._keep),
            (words.ADD, self._add),
            (words.WANT, self._want),
            (words.PUT, self._put),
            (words.MOVE, self._move),
            (tuple(words.LIFT), self._lift),
            (words.SWAP, self._swap),
            (words.REPLACE, self._replace),
            (words.TURN, self._turn),
            (("set",), self._turn),
            (words.PAINT, self._paint),
            (words.EQUIP, self._equip),
            ((*words.GROW, *words.SHRINK, "scale", "resize", *words.FACTORS, *words.STRETCH), self._resize),
            (("center", "centre"), self._center),
            (("stretch",), self._turn),
            (("use", "apply"), self.style),
        ]
        found = [(name, reader) for names, reader in table for name in names]
        return sorted(found, key=lambda item: -len(item[0].split()))

    # Add and remove ------------------------------------------------------------------------------

    def _remove(self, index: int) -> Read | None:
        found = self.references(index)
        if found is None:
            return None
        return [steps.Remove(found[0])], self._away_from(found[1])

    def _away_from(self, index: int) -> int:
        """The end of "from the picture", "off the table"."""
        length = self.says(index, ("off of", "off", "from", "out of"))
        known = length and self._names_known(index + length)
        found = self.reference(index + length, after=False) if known else None
        return index + self.says(index, _OUT) if found is None else found[1]

    def _keep(self, index: int) -> Read | None:
        found = self.references(index)
        return None if found is None else ([steps.Remove(found[0], keep=True)], found[1])

    def _add(self, index: int, place: Spot | Beside | None = None) -> Read | None:
        if self.word(index) == "no":
            return self._remove(index + 1)
        end = self.clause_end(index)
        more = self.says(index, ("another", "one more", "more", "an extra", "an additional"))
        start = index + (more if self.word(index) != "another" else 0)
        count = ""
        if self.word(start + 1) == "more":
            count, start, more = f"{self.word(start)} ", start + 2, 1
        elif self.word(start) in {"a", "the"} and words.ORDINALS.get(self.word(start + 1), 1) > 1:
            start, more = start + 2, 1
        for at in range(start + 1, end if place is None else 0):
            found = self.place(at)
            if found is None or isinstance(found[0], Shift) or not self._is_there(found[0]):
                continue
            if found[1] == end or self._another_begins(found[1]):
                return [steps.Add(count + self.quoted(start, at), found[0], bool(more))], found[1]
        return ([steps.Add(count + self.quoted(start, end), place, bool(more))], end) if end > start else None

    def _another_begins(self, index: int) -> bool:
        """Whether "and a dog" follows."""
        return self.mark(index) in {"and", ","} and self._indefinite(index + 1)

    def _indefinite(self, index: int) -> bool:
        return self.word(index) in _INDEFINITE or number_of(self.word(index)) is not None

    def _want(self, index: int) -> Read | None:
        """ "I want a bird", "I'd like the cat to be bigger"."""
        return self._add(index) if self._indefinite(index) else self._becoming(index)

    def _is_there(self, place: steps.Place) -> bool:
        """Whether a place speaks of elements; "a girl in a red dress" describes the girl."""
        if not isinstance(place, Beside):
            return True
        return all(
            r.id
            or r.pronoun
            or r.many
            or r.head in self._heads
            or r.said.lower().startswith(("the ", "all", "both"))
            for r in place.targets
        )

    def _placed_addition(self, index: int) -> Read | None:
        """ "To the left of the dog, add a ball"."""
        if self.word(index) not in _OPENERS:
            return None
        found = self.place(index)
        if found is None or isinstance(found[0], Shift):
            return None
        at = found[1] + (self.mark(found[1]) == ",")
        length = self.says(at, (*words.ADD, *words.PUT))
        return self._add(at + length, found[0]) if length else None

    # Places --------------------------------------------------------------------------------------

    def _put(self, index: int) -> Read | None:
        return (
            self._add(index)
            if self._indefinite(index)
            else self.base(index) or self._move(index) or self._turn(index)
        )

    def _move(self, index: int) -> Read | None:
        for after in (True, False):
            found = self.references(index, after)
            if found is None:
                continue
            who, end = found
            if self.word(index - 1) == "take" and self._away_from(end) > end:
                return [steps.Remove(who)], self._away_from(end)
            further = self.approach(who, end) or self.placed(who, end)
            if further is not None and self.ends(further[1]):
                return further
        return None

    def _lift(self, index: int) -> Read | None:
        found = self.references(index, after=False)
        if found is None:
            return None
        way = words.LIFT[self.word(index - 1)]
        amount, end = self.amount(found[1])
        return [steps.Move(found[0], Shift(0, way, amount))], end

    def _center(self, index: int) -> Read | None:
        found = self.references(index)
        return None if found is None else ([steps.Move(found[0], Spot(0.5, 0.5))], found[1])

    def _swap(self, index: int) -> Read | None:
        index += self.says(
            index, ("the positions of", "positions of", "the places of", "places of", "the position of")
        )
        found = self.references(index, after=False) or self.references(index)
        if found is None:
            return None
        who, end = found
        other: References = ()
        if self.word(end) in {"for", "by"} or (
            self.word(end) == "with" and self.word(end + 1) in _INDEFINITE
        ):
            return self._instead(who, end + 1)
        if self.word(end) == "with":
            further = self.references(end + 1)
            if further is None:
                return None
            other, end = further
        return [steps.Swap(who, other)], end + self.says(end, ("places", "positions", "around", "position"))

    # Other things and attributes -----------------------------------------------------------------

    def _instead(self, who: References, index: int) -> Read | None:
        end = self.clause_end(index, whole=False)
        return ([steps.Replace(who, self.quoted(index, end))], end) if end > index else None

    def _replace(self, index: int) -> Read | None:
        based = self.base(index)
        if based is not None:
            return based
        found = self.references(index)
        if found is None or self.word(found[1]) not in {"with", "by", "for", "to", "into"}:
            found = self.references(index, after=False)
        if found is None or self.word(found[1]) not in {"with", "by", "for", "to", "into"}:
            return None
        return self._instead(found[0], found[1] + 1)

    def _turn(self, index: int) -> Read | None:
        based = self.base(index)
        if based is not None:
            return based
        counted = self.says(index, ("the color of", "color of", "the colour of", "colour of"))
        sized = self.says(index, ("the size of", "size of"))
        for after in (True, False):
            found = self.references(index + (counted or sized), after)
            if found is None:
                continue
            who, end = found
            part, end = self.part(end)
            read = self.complement(who, end, part)
            if read is not None and self.ends(read[1]):
                return read
        return None

    def _paint(self, index: int) -> Read | None:
        for after in (False, True):
            found = self.references(index, after)
            if found is None:
                continue
            part, end = self.part(found[1])
            read = self.adjectives(found[0], end + self.says(end, ("in", "to", "with")), part)
            if read is not None and self.ends(read[1]):
                return read
        return None

    def _equip(self, index: int) -> Read | None:
        found = self.references(index, after=False)
        if found is None:
            return None
        who, start = found
        start += self.says(start, ("in", "up in", "as"))
        end = self.clause_end(start, whole=False)
        if self.word(end - 1) in {"color", "colour", "look"}:
            read = self.adjectives(who, start + (self.word(start) in {"a", "an"}))
            return None if read is None else (read[0], end)
        return ([steps.Equip(who, self.quoted(start, end))], end) if end > start else None

    def _becoming(self, index: int) -> Read | None:
        """ "The cat should be black", "cat bigger", "the dog to the left"."""
        for after in (False, True):
            found = self.references(index, after) if self._names(index) else None
            if found is None:
                continue
            who, end = found
            part, end = self.part(end)
            end += self.says(end, _BECOMING)
            read = self.complement(who, end, part) or self.placed(who, end)
            if read is not None and self.ends(read[1]):
                return read
        return None

    # Sizes ---------------------------------------------------------------------------------------

    def _resize(self, index: int) -> Read | None:
        verb = self.word(index - 1) if self.word(index - 1) not in {"up", "down"} else self.word(index - 2)
        down = self.word(index - 1) == "down" or verb in words.SHRINK
        index += self.says(index, ("the size of", "size of", "the width of", "the height of", "up", "down"))
        aspect = self.word(index - 2) if self.word(index - 1) == "of" else ""
        found = self.references(index)
        if found is None:
            return None
        who, end = found
        if self.word(end) in {"up", "down"}:
            down, end = self.word(end) == "down", end + 1
        factor, end = self.factor(end, down)
        if verb in words.FACTORS:
            factor = words.FACTORS[verb]
            end += self.says(end, ("in size", "its size", "'s size"))
        kind = words.STRETCH.get(verb, aspect)
        if kind.startswith("-"):
            factor = 1 / factor
        sides = (1.0 if kind.endswith("height") else factor, 1.0 if kind.endswith("width") else factor)
        return [steps.Scale(who, *sides)], end


def _without(step: Step, but: References) -> Step:
    """The step for all that are meant but these."""
    if isinstance(step, (steps.Add, steps.Rebase)):
        return step
    return replace(step, who=tuple(replace(r, but=(*r.but, *but)) for r in step.who))
