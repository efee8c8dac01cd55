"""Which elements English instructions name: "the second apple on the left", "everything except the dog"."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin.editing_english_words import (
    ALL,
    EVERYTHING,
    EXCEPT,
    EXTREMES,
    ORDINALS,
    PRONOUNS,
    tokens_of,
)
from lib_ranni.planner.builtin.editing_references import GENERIC, vocabulary
from lib_ranni.planner.builtin.editing_steps import Extreme, Reference, References
from lib_ranni.planner.builtin.english_phrases import PhraseReader
from lib_ranni.planner.builtin.english_words import english, is_plural, number_of, singular

AREAS = {"edge", "side", "border", "corner", "margin"}
_RELATIONS = {
    "left",
    "right",
    "above",
    "below",
    "on",
    "under",
    "next",
    "between",
    "front",
    "behind",
    "inside",
}
_POSSESSIVE = {"my", "your", "his", "her", "its", "their", "our"}
_DEEPEST = 6
"""How many references may lie in each other."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class ReferenceReader:
    """Reads references at positions of an instruction's words."""

    def __init__(self, panel: Panel, text: str) -> None:
        self.text = text
        self.tokens = tokens_of(text)
        self.phrases = PhraseReader(text, self.tokens)
        self.size = len(self.tokens)
        self._depth = 0
        self._heads, self._words = vocabulary(panel)
        self._ids = {element.id.lower(): element.id for element in panel.elements}

    def word(self, index: int) -> str:
        """The lower-case word at an index, or nothing."""
        return self.phrases.word(index)

    def mark(self, index: int) -> str:
        """The word or sign at an index, or nothing past the end."""
        return self.tokens[index].lower if 0 <= index < self.size else ""

    def says(self, index: int, phrases: Iterable[str]) -> int:
        """How many words of the longest of these phrases stand at an index; 0 if none does."""
        best = 0
        for phrase in phrases:
            words = phrase.split()
            if len(words) > best and all(self.mark(index + n) == word for n, word in enumerate(words)):
                best = len(words)
        return best

    def quoted(self, start: int, end: int) -> str:
        """The user's own words from one index up to another."""
        if start >= end or start >= self.size:
            return ""
        return self.text[self.tokens[start].start : self.tokens[min(end, self.size) - 1].end]

    def number(self, index: int) -> float | None:
        """The number at an index: digits, with a percent sign or an x or without, or a number word."""
        match = _NUMBER.match(self.word(index))
        if match is not None:
            return float(match[0])
        value = number_of(self.word(index))
        return None if value is None else float(value)

    # Which elements ------------------------------------------------------------------------------

    def references(self, start: int, after: bool = True) -> tuple[References, int] | None:
        """A list of references; `after`: with the words that may follow a noun, such as "on the left"."""
        first = self.reference(start, after)
        if first is None:
            return None
        found, index = [first[0]], first[1]
        while self.mark(index) in {"and", ",", "&"} and len(found) < 50:
            following = index + 1 + (self.mark(index) == "," and self.word(index + 1) == "and")
            further = self.reference(following, after) if self._names(following) else None
            if further is None:
                break
            found.append(further[0])
            index = further[1]
        return tuple(found), index

    def _names(self, index: int) -> bool:
        """Whether a known element or a phrase with an article begins here, rather than a verb."""
        word = self.word(index)
        if word in PRONOUNS:
            return True
        known = singular(word) in self._heads or word in self._ids or word in ALL or word in EVERYTHING
        listed = self.phrases.is_attribute(word) or singular(word) in self._words or word in EXTREMES
        return (
            known
            or english().has("determiners", word)
            or word in ORDINALS
            or (listed and self._noun_follows(index))
        )

    def _noun_follows(self, index: int) -> bool:
        return any(singular(self.word(index + n)) in self._heads for n in range(1, 4))

    def reference(self, start: int, after: bool = True) -> tuple[Reference, int] | None:
        """One reference and where it ends; None, too, for the cat on the cat on the cat ... without end."""
        if self._depth == _DEEPEST:
            return None
        self._depth += 1
        try:
            return self._reference(start, after)
        finally:
            self._depth -= 1

    def _reference(self, start: int, after: bool) -> tuple[Reference, int] | None:
        word = self.word(start)
        if word in {"element", "number"} and self.word(start + 1) in self._ids:
            start, word = start + 1, self.word(start + 1)
        if word in self._ids:
            return Reference(self.quoted(start, start + 1), id=self._ids[word]), start + 1
        if word in EVERYTHING and (word != "all" or not self._plain_noun(start + 1)):
            return self._everything(start)
        if word in PRONOUNS and not self._plain_noun(start + 1):
            both = PRONOUNS[word]
            return Reference(word, pronoun=True, many=both), start + 1
        return self._noun_phrase(start, after)

    def _plain_noun(self, index: int) -> bool:
        """Whether a noun phrase goes on here: "that dog", "all the red apples", but not "it left"."""
        word = self.word(index)
        if word in {"the", "of", "my", "these", "those", "other"} or number_of(word) is not None:
            return True
        known = singular(word) in self._heads or singular(word) in GENERIC
        return known or (self._describes(index) and self._noun_follows(index))

    def _everything(self, start: int) -> tuple[Reference, int]:
        index = start + 1
        index += self.word(index) == "else"
        length = self.says(index, EXCEPT)
        but = self.references(index + length) if length else None
        end = but[1] if but else index
        return Reference(self.quoted(start, end), many=True, but=but[0] if but else ()), end

    def _describes(self, index: int) -> bool:
        """Whether a word can stand before a noun, such as a color or a word of some description."""
        word = self.word(index)
        return bool(word) and (self.phrases.is_attribute(word) or singular(word) in self._words)

    def _noun_phrase(self, start: int, after: bool) -> tuple[Reference, int] | None:
        index, many, count, ordinal = start, False, None, None
        extremes: list[Extreme] = []
        attributes: list[str] = []
        while index < self.size and index < start + 16:
            word = self.word(index)
            number = number_of(word)
            if word in ALL:
                many, count = True, 2 if word == "both" else count
            elif number is not None and word != "one":
                count = number
            elif word in ORDINALS:
                ordinal = ORDINALS[word]
            elif word in EXTREMES and self._before_noun(index):
                extremes += EXTREMES[word]
            elif word == "one" and self.word(index + 1) == "of":
                count, index = 1, index + 1
            elif not (english().has("determiners", word) or word in _POSSESSIVE or word in {"of", "those"}):
                break
            elif word == "of" and index == start:
                return None
            index += 1
        noun = self._noun(index)
        if noun is None and not (ordinal or extremes or (many and index > start)):
            return None
        head, attributes, end = noun if noun else ("", [], index)
        plural = is_plural(head) and singular(head) in {*self._heads, *GENERIC, "person"}
        plural = plural or (is_plural(head) and singular(head) != head)
        if count == 1:
            many = False
        reference = Reference(
            self.quoted(start, end),
            singular(head),
            tuple(attributes),
            many=many or plural or (count or 0) > 1,
            count=count,
            ordinal=ordinal,
            extremes=tuple(extremes),
        )
        return self._post(reference, start, end) if after else (reference, end)

    def _before_noun(self, index: int) -> bool:
        """Whether "left" and the like stand before a noun or end a phrase such as "the biggest"."""
        following = self.word(index + 1)
        if following in EXTREMES:
            return self._before_noun(index + 1)
        known = singular(following) in self._heads or singular(following) in GENERIC
        if known or self._describes(index + 1) or following in {"hand"}:
            return True
        return self.word(index).endswith(("est", "most")) or self.word(index - 1) == "the"

    def _noun(self, start: int) -> tuple[str, list[str], int] | None:
        """(head, attributes, end) of a noun with what stands before it."""
        words: list[str] = []
        index, last = start, 0
        while index < self.size and len(words) < 12:
            word = self.word(index)
            if self.mark(index) in {"and", ","} and words and not last and self._describes(index + 1):
                index += 1
                continue
            if not word or english().has("stops", word) or english().has("determiners", word) or word == "'s":
                break
            known = singular(word) in self._heads or singular(word) in GENERIC or word == "one"
            if last and not known:
                break
            if not known and not self._describes(index) and not (words and self._noun_follows(index)):
                break
            words.append(word)
            index += 1
            if known and not (self.phrases.is_attribute(word) and self._noun_next(index)):
                last = len(words)
        if last:
            return words[last - 1], words[: last - 1], start + self._span(start, last)
        word = self.word(index)
        if (
            word
            and not english().has("stops", word)
            and not english().has("determiners", word)
            and word != "'s"
        ):
            return word, words, index + 1
        return (words[-1], words[:-1], index) if words else None

    def _noun_next(self, index: int) -> bool:
        word = self.word(index)
        return singular(word) in self._heads or word == "one"

    def _span(self, start: int, count: int) -> int:
        """How many tokens the first `count` words take up, signs between them included."""
        index = start
        while count:
            count -= self.mark(index) not in {"and", ","}
            index += 1
        return index - start

    def _post(self, reference: Reference, start: int, end: int) -> tuple[Reference, int]:
        """What follows a noun: a place, things beside it, what it wears."""
        values = {name: getattr(reference, name) for name in reference.__dataclass_fields__}
        lead = self.says(end, ("that is", "that are", "which is", "which are", "that's", "who is"))
        index = end + lead
        side = self._side(index)
        if side is not None:
            extremes, index = side
            counted = self.word(end) == "from" and reference.ordinal is not None
            if counted and extremes[0] in {"left", "right", "top", "bottom"}:
                values["counted_from"] = extremes[0]
            else:
                values["extremes"] = (*reference.extremes, *extremes)
        elif (worn := self._worn(index)) is not None:
            values["attributes"], index = (*reference.attributes, *worn[0]), worn[1]
        elif (relation := self.relation(index)) is not None:
            values["relation"], values["targets"], index = relation
        elif self.word(index) in EXCEPT and (but := self.references(index + 1)) is not None:
            values["but"], index = but
        else:
            return reference, end
        values["said"] = self.quoted(start, index)
        return Reference(**values), index

    def _worn(self, index: int) -> tuple[list[str], int] | None:
        """(words, end) of what a description mentions: "with the gray beard", "in the white dress"."""
        phrase = (
            self.phrases.phrase(index + 1) if self.word(index) in {"with", "wearing", "in", "of"} else None
        )
        if phrase is None or singular(phrase.head) in self._heads:
            return None
        words = [self.phrases.lower[n] for n in phrase.words]
        if not all(singular(word) in self._words or self.phrases.is_attribute(word) for word in words):
            return None
        return words, phrase.words[-1] + 1

    def _side(self, index: int) -> tuple[tuple[Extreme, ...], int] | None:
        """ "on the left", "at the top", "in the bottom right corner", "from the right"."""
        if self.word(index) not in {"on", "in", "at", "from", "to"}:
            return None
        index += 1
        index += self.word(index) in {"the", "far"}
        index += self.word(index) == "far"
        found: list[Extreme] = []
        while self.word(index) in EXTREMES and EXTREMES[self.word(index)][0] not in {"large", "small"}:
            found += EXTREMES[self.word(index)]
            index += 1
        if self.word(index) in AREAS or self.word(index) in {"hand", "half"}:
            index += 1 + (self.word(index) == "hand" and self.word(index + 1) == "side")
        if not found or self.word(index) == "of":
            return None
        return tuple(found), index

    def relation(self, index: int) -> tuple[str, References, int] | None:
        """(relation, its targets, end) at an index."""
        match = english().match("relations", self.phrases.lower, index)
        if match is None or match[1] not in _RELATIONS or self.word(index) in {"from", "at", "around"}:
            return None
        if self.number(index + match[0]) is not None or self._is_canvas(index + match[0]):
            return None
        if match[1] == "between":
            targets = self.references(index + match[0], after=False)
        else:
            target = self.reference(index + match[0])
            targets = None if target is None else ((target[0],), target[1])
        return None if targets is None else (match[1], targets[0], targets[1])

    def _is_canvas(self, index: int) -> bool:
        index += self.word(index) in {"the", "this"}
        return english().has("picture_area", self.word(index)) and self.word(index) not in self._heads
