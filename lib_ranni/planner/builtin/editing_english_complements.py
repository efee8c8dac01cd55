"""What an English instruction says an element is to become: a size, a place, attributes, another thing."""

from __future__ import annotations

from typing import Literal

from lib_ranni.planner.builtin import editing_english_words as words
from lib_ranni.planner.builtin import editing_steps as steps
from lib_ranni.planner.builtin.editing_english_places import DestinationReader
from lib_ranni.planner.builtin.editing_steps import Beside, References, Step
from lib_ranni.planner.builtin.english_words import english, is_plural, number_of, verb_form

Read = tuple[list[Step], int]

GROWTH, LITTLE_GROWTH, MUCH_GROWTH = 1.3, 1.15, 1.7
"""Factors of width and height for "bigger", "a bit bigger" and "much bigger"."""

_MOST_FACTOR = 100.0
_CANVAS = ("picture", "image", "canvas", "screen", "frame", "photo", "whole thing")
_FULL = tuple(
    f"{verb} {the}{canvas}"
    for verb in ("fill", "cover", "fill up", "as big as", "fill out")
    for the in ("", "the ", "the whole ", "the entire ", "whole ")
    for canvas in _CANVAS
)
_FILLING: dict[Literal["both", "width", "height"], tuple[str, ...]] = {
    "both": _FULL,
    "width": (
        "fill the width",
        "fill the whole width",
        "the full width",
        "full width",
        "as wide as the picture",
    ),
    "height": ("fill the height", "fill the whole height", "the full height", "full height"),
}
_SAME: dict[str, Literal["both", "width", "height"]] = {
    "big": "both",
    "large": "both",
    "small": "both",
    "wide": "width",
    "tall": "height",
    "high": "height",
}
_CLOSER = ("closer to", "nearer to", "nearer", "close to", "closer towards", "toward", "towards")
_AWAY = ("away from", "farther from", "further from", "further away from", "farther away from", "far from")


class ComplementReader(DestinationReader):
    """Reads what follows the element in "make the cat ..." and "the cat should be ..."."""

    def clean(self, index: int) -> bool:
        """Whether a step can end here."""
        if index >= self.size or self.tokens[index].kind == "end":
            return True
        return self.mark(index) in {
            ",",
            "and",
            "then",
            "but",
            "while",
            "also",
            "&",
            ")",
            "，",
            "next",
            "plus",
        }

    def tail(self, index: int) -> int:
        """The end of words that mean nothing here, such as "please"."""
        while length := self.says(index, words.TAILS):
            index += length
        return index

    def ends(self, index: int) -> bool:
        """Whether a step can end here but for "please" and "except the dog"."""
        end = self.tail(index)
        return self.clean(end) or bool(self.says(end, words.EXCEPT))

    def clause_end(self, start: int, whole: bool = True) -> int:
        """The end of the words that still belong to a step: before the next verb or sentence.

        Unless `whole`, "and the dog" and "and a dog" begin another step of the same kind.
        """
        for index in range(start, self.size):
            if self.tokens[index].kind == "end" or self.mark(index) == "then":
                return index
            if (length := self.says(index, words.TAILS)) and self.clean(index + length):
                return index
            if self.mark(index) in {"and", ",", "but", "&", "while"}:
                following = index + 1
                while self.mark(following) in {"and", "then", ",", "also", "please"}:
                    following += 1
                if not whole and self._names_known(following):
                    return index
                verb = self.word(following) in words.VERBS or self.mark(following) in {"then", ""}
                if verb and not self._noun_after_and(following):
                    return index
        return self.size

    def _names_known(self, index: int) -> bool:
        """Whether a definite phrase for an element of the panel begins here."""
        if (
            self.word(index) not in {"the", "both", "all", "every", "this", "that"}
            and self.word(index) not in self._ids
        ):
            return False
        found = self.reference(index, after=False)
        return found is not None and bool(found[0].id or found[0].head in self._heads)

    def _noun_after_and(self, index: int) -> bool:
        """ "A cat and paint" has no verb; "a hat and swap the dogs" has."""
        following = self.word(index + 1)
        return not following and self.word(index) in {"set", "park", "paint", "color", "dress", "stand"}

    def part(self, index: int) -> tuple[str, int]:
        """(what of an element is meant, end): the shirt in "the boy's shirt"; its color is no part."""
        if self.word(index) != "'s" or not self.word(index + 1):
            return "", index
        word = self.word(index + 1)
        return ("" if word in {"color", "colour", "size"} else word), index + 2

    def complement(self, who: References, index: int, part: str = "") -> Read | None:
        """One or more complements, joined by "and"."""
        if look := self.says(index, ("look", "appear", "to look")):
            return self.adjectives(who, index + look, part)
        if part:
            return self.adjectives(who, index + self.says(index, ("into", "to", "in", "be")), part)
        index += self.says(index, ("to be", "be", "become", "to become"))
        first = self._complement(who, index, part)
        if first is None:
            return None
        found, index = first
        while self.mark(index) in {"and", ","} and self.word(index + 1) not in words.VERBS:
            if self._names_known(index + 1):
                break
            further = self._complement(who, index + 1 + (self.word(index + 1) == "and"), part)
            if further is None or not self.clean(further[1]):
                break
            found, index = [*found, *further[0]], further[1]
        return found, index

    def _complement(self, who: References, index: int, part: str) -> Read | None:
        for reader in (self.sized, self._filling, self.approach, self._wearing):
            read = reader(who, index)
            if read is not None and self.ends(read[1]):
                return read
        if self.word(index) in {
            "go",
            "move",
            "stay",
            "stand",
            "sit",
            "located",
            "placed",
            "positioned",
            "moved",
        }:
            return self.approach(who, index + 1) or self.placed(who, index + 1)
        to = self.says(index, ("into", "to", "for"))
        read = self.adjectives(who, index + (to or self.says(index, ("in",))), part)
        if read is not None:
            return read
        if self.word(index) in {"in", "on", "at"} or self.says(index, ("to the",)):
            placed = self.placed(who, index)
            if placed is not None and self.clean(placed[1]):
                return placed
        return self._another(who, index + to, bool(to), part)

    def placed(self, who: References, index: int) -> Read | None:
        """A place to go to."""
        index += self.says(index, ("back",))
        found = self.place(index, moving=True)
        if found is not None:
            return [steps.Move(who, found[0])], found[1]
        target = self.reference(index + 1) if self.word(index) == "to" else None
        known = target is not None and (target[0].id or target[0].head in self._heads)
        return (
            None
            if target is None or not known
            else ([steps.Move(who, Beside("next", (target[0],)))], target[1])
        )

    def approach(self, who: References, index: int) -> Read | None:
        """Closer to another element or away from it, closer together, further apart."""
        _, at = self.amount(index)
        at += self.says(at, ("further", "farther", "more")) if self.word(at + 1) == "apart" else 0
        if self.word(at) == "apart":
            return [steps.Approach(who, away=True)], at + 1
        if length := self.says(
            at, ("closer together", "together", "nearer together", "closer to each other")
        ):
            return [steps.Approach(who)], at + length
        if length := self.says(
            at, ("away from each other", "further from each other", "away from one another")
        ):
            return [steps.Approach(who, away=True)], at + length
        closer, away = self.says(at, _CLOSER), self.says(at, _AWAY)
        if not (closer or away):
            return None
        target = self.references(at + (closer or away))
        return None if target is None else ([steps.Approach(who, target[0], away=bool(away))], target[1])

    def factor(self, index: int, down: bool = False) -> tuple[float, int]:
        """(factor of width and height, end) of "by 20%", "to 50%", "by 2", "a bit", or of no words at all."""
        number_at = index + (self.word(index) in {"by", "to"})
        number = self.number(number_at)
        if self.word(number_at) in {"half"}:
            return 0.5, number_at + 1 + self.says(number_at + 1, ("its size", "the size", "of its size"))
        if number is not None and number_at > index:
            end = number_at + 1
            percent = "%" in self.mark(number_at) or self.mark(end) in {"%", "percent"}
            end += self.mark(end) in {"%", "percent"}
            end += self.says(end, ("times", "of its size", "x"))
            if not percent:
                return _bounded(1 / number if down and number > 1 else number), end
            if self.word(index) == "to":
                return _bounded(number / 100), end
            return _bounded(1 - number / 100 if down else 1 + number / 100), end
        factor, end = self._degree(index)
        return (1 / factor if down else factor), end

    def _degree(self, index: int) -> tuple[float, int]:
        if length := self.says(index, words.LITTLE):
            return LITTLE_GROWTH, index + length
        if length := self.says(index, (*words.MUCH, "by a lot")):
            return MUCH_GROWTH, index + length
        return GROWTH, index

    def sized(self, who: References, index: int) -> Read | None:
        """Bigger, twice as tall, as wide as the dog, half the size."""
        index += self.says(index, ("even", "still", "just"))
        if (same := self._same(who, index)) is not None:
            return same
        times = self._times(index)
        if times is not None:
            return [steps.Scale(who, times[0], times[1])], times[2]
        degree, at = self._degree(index)
        percent = self.number(index)
        if percent is not None and ("%" in self.mark(index) or self.mark(index + 1) in {"percent", "%"}):
            degree, at = 1 + percent / 100, index + 1 + (self.mark(index + 1) in {"percent", "%"})
        signs = words.SIZES.get(self.word(at))
        # A bare "small" before more words describes something: "a small dog".
        if signs is None or (
            self.word(at + 1) and not self.ends(at + 1) and not self._degree_follows(at + 1)
        ):
            return None
        down = min(signs) < 0
        if at == index:
            degree, end = self.factor(at + 1, down)
        else:
            degree, end = (_bounded(2 - degree) if percent is not None and down else degree), at + 1
            degree = 1 / degree if down and percent is None else degree
        sides = [degree if sign else 1.0 for sign in signs]
        return [steps.Scale(who, sides[0], sides[1])], end

    def _degree_follows(self, index: int) -> bool:
        return self.word(index) == "by" or bool(self.says(index, (*words.LITTLE, *words.MUCH)))

    def _same(self, who: References, index: int) -> Read | None:
        """As big as another element."""
        sides = _SAME.get(self.word(index + 1)) if self.word(index) == "as" else None
        length = 3 if sides and self.word(index + 2) == "as" else 0
        if not length:
            length = self.says(index, ("the same size as", "same size as"))
            sides = "both" if length else sides
        target = self.references(index + length) if length else None
        if target is None:
            return None
        return [steps.Match(who, target[0], sides or "both")], target[1]

    def _times(self, index: int) -> tuple[float, float, int] | None:
        """(factor of width, of height, end) of "twice as tall", "half the size", "3 times bigger"."""
        length = self.says(index, words.TIMES)
        factor = next(
            (words.TIMES[p] for p in words.TIMES if len(p.split()) == length and self.says(index, (p,))), None
        )
        number = self.number(index)
        if factor is None and number is not None and self.word(index + 1) in {"times", "x"}:
            factor, length = _bounded(number), 2
        if factor is None or length == 0:
            return None
        at = index + length
        if ended := self.says(
            at, ("the size", "its size", "their size", "size", "the current size", "his size")
        ):
            return factor, factor, at + ended
        lead = self.word(at) == "as"
        signs = words.SIZES.get(self.word(at + lead))
        if signs is None:
            return None
        down = min(signs) < 0 and factor > 1
        factor = 1 / factor if down else factor
        end = at + lead + 1
        end += self.says(end, ("as before", "as it is", "as now", "as it was"))
        return (factor if signs[0] else 1.0), (factor if signs[1] else 1.0), end

    def _filling(self, who: References, index: int) -> Read | None:
        index += self.says(index, ("to",))
        for sides, phrases in _FILLING.items():
            if length := self.says(index, phrases):
                return [steps.Match(who, sides=sides)], index + length
        return None

    def _wearing(self, who: References, index: int) -> Read | None:
        """ "Wear a hat", "have a hat"."""
        length = self.says(
            index, ("wear", "wearing", "have", "has", "hold", "holding", "wears", "carry", "to wear")
        )
        end = self.clause_end(index + length)
        if not length or end <= index + length:
            return None
        return [steps.Equip(who, self.quoted(index + length, end))], end

    def adjectives(self, who: References, index: int, part: str = "") -> Read | None:
        """A run of attributes up to the end of the step: "black and fluffy"."""
        start = index
        while index < self.size:
            word = self.word(index)
            joins = self.mark(index) in {"and", ",", "&"} and index > start and self._attribute(index + 1)
            joins = joins or (
                word in {"very", "really", "completely", "all", "more"} and self._attribute(index + 1)
            )
            if not joins and not self._attribute(index):
                break
            index += 1
        if index == start:
            return None
        end = index + self.says(index, ("color", "colour", "in color", "colored", "instead"))
        return (
            ([steps.Describe(who, self.quoted(start, index).lower(), part)], end) if self.ends(end) else None
        )

    def _attribute(self, index: int) -> bool:
        word = self.word(index)
        return bool(word) and self.phrases.is_attribute(word) and word not in {"other", "same", "single"}

    def _another(self, who: References, index: int, into: bool, part: str) -> Read | None:
        """Another thing instead; a word without an article after "make the dog" describes it."""
        end = self.clause_end(index, whole=False)
        lead = self.word(index)
        if end <= index or not lead or lead in words.VERBS or self.says(index, ("the same", "as")):
            return None
        determined = english().has("determiners", lead) or number_of(lead) is not None
        several = is_plural(self.word(end - 1)) and any(r.many for r in who)
        if part:
            return None
        if determined or into or several:
            if self._only_attributes(index + determined, end):
                return [steps.Describe(who, self.quoted(index + determined, end).lower(), part)], end
            return [steps.Replace(who, self.quoted(index, end))], end
        if end - index == 1 and not english().has("stops", lead) and lead not in words.SIZES:
            return [steps.Describe(who, _participle(lead), part)], end
        return None

    def _only_attributes(self, start: int, end: int) -> bool:
        return start < end and all(self._attribute(n) for n in range(start, end))


def _participle(word: str) -> str:
    """Sleeping for "sleep", as it stands before a noun; other words unchanged."""
    if verb_form(word)[1] != "base" or english().has("adjectives", word):
        return word
    if word.endswith("e") and not word.endswith("ee"):
        return f"{word[:-1]}ing"
    short = len(word) == 3 and word[1] in "aiu" and word[2] not in "wxy"
    return f"{word}{word[-1] if short else ''}ing"


def _bounded(factor: float) -> float:
    return min(_MOST_FACTOR, max(1 / _MOST_FACTOR, factor))
