"""English noun phrases: article or number, attributes, noun, and what follows with `of`."""

from __future__ import annotations

from dataclasses import dataclass, field

from lib_ranni.planner.builtin.english_words import (
    Token,
    english,
    is_plural,
    number_of,
    singular,
    verb_form,
)

_ATTRIBUTES = ("colors", "materials", "shapes_adj", "large", "small", "adjectives")

_LY_NOUNS = {"butterfly", "family", "assembly", "fly", "lily", "jelly", "belly", "dragonfly"}

_LONGEST_OPENING = 12
"""Words; a prompt of nothing but articles is read in linear time."""

_MOST_OF = 6
"""How many details of details are followed: the lid of the box of the ..."""

_ADJECTIVE_ENDINGS = ("y", "ing", "ed", "ful", "ous", "ic", "al", "ish", "ive", "less", "ent", "ant", "able")

_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}
"""Words that multiply the number before them."""


@dataclass
class NounPhrase:
    """A phrase and where it ends. `words` are the tokens of the noun and its attributes."""

    start: int
    end: int
    count: int = 1
    vague: bool = False
    determined: bool = False
    words: list[int] = field(default_factory=list)
    head: str = ""
    of: NounPhrase | None = None
    collective: str = ""


class PhraseReader:
    """Reads noun phrases out of a list of tokens."""

    def __init__(self, prompt: str, tokens: list[Token]) -> None:
        self.prompt = prompt
        self.tokens = tokens
        self.lower = [token.lower for token in tokens]

    def word(self, index: int) -> str:
        """The lower-case word at an index; empty past the end and for what is no word."""
        if 0 <= index < len(self.tokens) and self.tokens[index].kind == "word":
            return self.lower[index]
        return ""

    def after_picture(self, phrase: NounPhrase) -> int | None:
        """Where what a picture word tells of begins: behind "photo of", "drawing:", "sketch that shows"."""
        last = phrase.words[-1]
        at = last + 2 if self.word(last + 1) in {"that", "which"} else last + 1
        shows = self.lower[at] if at < len(self.tokens) else ""
        # "with" may tell of a thing's frame; of these words it rarely does.
        bare = shows == "with" and self.lower[last] in {"image", "photo", "photograph", "picture"}
        told = bare or shows == ":" or english().has("showing", shows)
        return at + 1 if told and english().has("pictures", self.lower[last]) else None

    def phrase(self, start: int, plural_subject: bool = False, depth: int = 0) -> NounPhrase | None:
        """The noun phrase that begins at `start`, or None. `plural_subject`: it ends an "A and B" list.

        `depth` counts the "of" before it.
        """
        phrase = NounPhrase(start, start)
        index = self._opening(phrase, start)
        index = self._noun(phrase, index, plural_subject)
        if not phrase.words:
            return None
        phrase.head = self.lower[phrase.words[-1]]
        phrase.end = index
        if self.word(index) == "of" and depth < _MOST_OF:
            self._of(phrase, index + 1, depth + 1)
        return phrase

    def is_attribute(self, word: str) -> bool:
        """Whether a word is a color, material, size or other listed attribute."""
        return any(english().has(section, word) for section in _ATTRIBUTES)

    def _opening(self, phrase: NounPhrase, index: int) -> int:
        """Articles, numbers and quantities; sets the phrase's count."""
        lexicon, last = english(), index + _LONGEST_OPENING
        while index < last:
            word = self.word(index)
            if lexicon.has("determiners", word):
                phrase.determined = True
                index += 1
            elif (number := number_of(word)) is not None and not self._is_unit(index):
                scale = _SCALES.get(self.word(index + 1), 1)
                phrase.count, phrase.determined = number * scale, True
                index += 1 if scale == 1 else 2
            elif word == "half" and self.word(index + 1) in {"a", "dozen"}:
                phrase.count, phrase.determined = 6, True
                index += 3 if self.word(index + 1) == "a" else 2
            elif lexicon.has("quantities", word) and self._counts(index):
                phrase.count = int(lexicon.tables["quantities"][word])
                phrase.determined = True
                index += 2 if self.word(index + 1) == "of" else 1
            elif lexicon.has("vague_quantities", word) and self.word(index + 1):
                count = int(lexicon.tables["vague_quantities"][word])
                phrase.count, phrase.vague, phrase.determined = max(1, count), count == 0, True
                index += 2 if self.word(index + 1) == "of" else 1
            elif word in {"exactly", "about", "only", "just"} and number_of(self.word(index + 1)) is not None:
                index += 1
            else:
                break
        return index

    def _counts(self, index: int) -> bool:
        """Whether a quantity word counts what follows: "a pair of shoes", "a dozen eggs", not "a couple"."""
        following = self.word(index + 1)
        return following == "of" or (self.word(index) == "dozen" and following != "")

    def _is_unit(self, index: int) -> bool:
        """A number that is no count, as in "4k image" or "50mm"."""
        return not self.lower[index].isdigit() and number_of(self.lower[index]) is None

    def _noun(self, phrase: NounPhrase, index: int, plural_subject: bool) -> int:
        lexicon = english()
        noun_seen = False
        while index < len(self.tokens):
            word = self.word(index)
            if not word:
                if self._comma_between_attributes(phrase, index):
                    index += 1
                    continue
                break
            if self._joins_colors(phrase, index):
                phrase.words.append(index)
                index += 1
                continue
            if lexicon.has("stops", word) or lexicon.has("auxiliaries", word):
                break
            if (relation := lexicon.match("relations", self.lower, index)) is not None and relation[0] > 1:
                break
            if phrase.words and (lexicon.has("determiners", word) or number_of(word) is not None):
                break
            if noun_seen and self._is_verb(phrase, index, plural_subject):
                break
            if word == "wearing" or (not phrase.words and not phrase.determined and self._loose_verb(index)):
                break
            phrase.words.append(index)
            if not self.is_attribute(word) and not self._describes(index):
                noun_seen = True
            index += 1
        return index

    def _loose_verb(self, index: int) -> bool:
        """A verb form where a bare noun phrase might begin, as in ", standing in a field"."""
        word = self.word(index)
        _, form = verb_form(word)
        if form == "ing":
            return not english().has("ing_nouns", word) or english().has("determiners", self.word(index + 1))
        return form == "s" or (form == "ed" and self._ends_or_relates(index + 1))

    def _ends_or_relates(self, index: int) -> bool:
        word = self.word(index)
        if not word or english().has("stops", word) or english().has("determiners", word):
            return True
        return english().match("relations", self.lower, index) is not None

    def _describes(self, index: int) -> bool:
        """A participle before its noun: "a painted chair", "a running dog"; or an adverb."""
        word = self.word(index)
        _, form = verb_form(word)
        following = self.word(index + 1)
        if not following or english().has("stops", following):
            return False
        if word.endswith("ly") and self.is_attribute(following):
            return True
        return form in {"ed", "ing"} and not english().has("ing_nouns", word)

    def _comma_between_attributes(self, phrase: NounPhrase, index: int) -> bool:
        """The comma in "the soft, warm glow"."""
        if self.tokens[index].text != "," or not phrase.determined or not phrase.words:
            return False
        # "an orange square, beige background": a shape's name ends a phrase, though "square" can describe.
        if english().has("plain_shapes", self.lower[phrase.words[-1]]):
            return False
        before = all(self._like_attribute(self.lower[n]) for n in phrase.words)
        following = self.word(index + 2)
        return (
            before
            and self._like_attribute(self.word(index + 1))
            and bool(following)
            and following not in {"and", "or"}
            and (not english().has("stops", following))
        )

    def _like_attribute(self, word: str) -> bool:
        """An attribute, listed or by its ending."""
        return self.is_attribute(word) or (len(word) > 4 and word.endswith(_ADJECTIVE_ENDINGS))

    def _joins_colors(self, phrase: NounPhrase, index: int) -> bool:
        """The "and" (or the comma word) in "a black and white cat"."""
        if self.lower[index] not in {"and", "&"} or not phrase.words:
            return False
        colors = english().sets["colors"] | english().sets["materials"]
        before, after = self.lower[phrase.words[-1]], self.word(index + 1)
        if before not in colors or after not in colors:
            return False
        following = self.word(index + 2)
        return bool(following) and not english().has("stops", following)

    def _is_verb(self, phrase: NounPhrase, index: int, plural_subject: bool) -> bool:
        """Whether the word at `index`, after at least one noun, begins the predicate."""
        lexicon, word = english(), self.word(index)
        _, form = verb_form(word)
        following = self.word(index + 1)
        opens = not following or self._ends_or_relates(index + 1) or number_of(following) is not None
        opens = opens or following.endswith("ly")
        last = self.lower[phrase.words[-1]]
        plural = (
            phrase.count > 1
            or is_plural(last)
            or plural_subject
            or (lexicon.has("persons", last) and last == "people")
        )
        if word.endswith("ly") and not lexicon.has("adjectives", word) and len(word) > 4:
            return word not in _LY_NOUNS
        if form == "ing":
            return not lexicon.has("ing_nouns", word) or lexicon.has("determiners", following)
        if form == "ed":
            return True
        if form == "s":
            return not (phrase.count > 1 and not is_plural(last)) and not lexicon.has("s_nouns", word)
        if form == "base":
            return plural and opens and (is_plural(last) or plural_subject or last == "people")
        return False

    def _of(self, phrase: NounPhrase, index: int, depth: int) -> None:
        """What follows "of": the thing itself after a collective, a detail of it otherwise."""
        inner = self.phrase(index, depth=depth)
        if inner is None:
            return
        phrase.of = inner
        phrase.end = inner.end
        if english().has("collectives", singular(phrase.head)):
            phrase.collective = phrase.head

    def slice(self, first: int, last: int) -> str:
        """The prompt's own text from token `first` to token `last` (inclusive), on one line."""
        start, end = self.tokens[first].start, self.tokens[last].end
        text = self.prompt[start:end]
        before = self.prompt[:start]
        if "(" in text or ")" in text or "[" in text or "]" in text:
            balanced = text.count("(") == text.count(")") and text.count("[") == text.count("]")
            if not balanced:
                opening = len(before) - len(before.rstrip("(["))
                widened = self.prompt[start - opening : end]
                if (
                    opening
                    and widened.count("(") == widened.count(")")
                    and widened.count("[") == widened.count("]")
                ):
                    text = widened
                else:
                    text = " ".join(token.text for token in self.tokens[first : last + 1])
        return " ".join(text.split())
