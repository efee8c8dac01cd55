"""The state of an English sentence being read: the things named so far and the relation left open."""

from __future__ import annotations

from typing import Literal

from lib_ranni.planner.builtin.english_phrases import NounPhrase, PhraseReader
from lib_ranni.planner.builtin.english_places import PlaceReader
from lib_ranni.planner.builtin.english_words import english, singular, tokenize
from lib_ranni.planner.builtin.story import LINKS, MAX_COUNT, Link, Spot, Story, Thing

LINKING = {"and", "&", "plus"}
_NEVER_NOUNS = frozenset(
    ("red", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray", "grey", "cyan")
)
"""Colors that, unlike orange or peach, name no thing."""


class Sentence:
    """Takes things as they are named, joins them by what was said before, and keeps the story."""

    def __init__(self, prompt: str) -> None:
        self.tokens = tokenize(prompt)
        self.phrases = PhraseReader(prompt, self.tokens)
        self.places = PlaceReader(self.phrases)
        self.story = Story()
        self._lexicon = english()
        self._index = 0
        self._loose: list[int] = []
        self._new_sentence()

    def _new_sentence(self) -> None:
        self._list: list[int] = []
        self._anded = False
        self._comma = False
        self._relation: str | None = None
        self._subjects: list[int] = []
        self._waiting: tuple[str, int] | None = None
        self._between: int | None = None
        self._spot: Spot | None = None
        self._axis: str | None = None
        self._row: list[int] = []
        self._scene_open = False
        self._targets: set[int] = set()
        self._topic: list[int] = []
        self._noun_end = -1

    def _close_row(self) -> None:
        if self._axis and len(self._row) > 1:
            row = self._row if self._axis[0] != "-" else self._row[::-1]
            self.story.rows.append(("x" if self._axis[-1] == "x" else "y", tuple(row)))
        self._axis, self._row = None, []

    def _tail(self) -> list[int]:
        """The things that a predicate is about: those joined by "and", or the last one."""
        free = [index for index in self._list if index not in self._targets]
        if self._anded and free:
            return free
        return self._list[-1:]

    def _actors(self) -> list[int]:
        """Who does it: after "and" the same as before, "holding a saw and building a table"."""
        if self._topic and self._anded and self._list and self._list[-1] in self._targets:
            return self._topic
        self._topic = self._tail()
        return self._topic

    def _describe_list(self, words: str) -> None:
        for index in self._list[-1:] if not self._anded else self._tail():
            self.story.things[index].add(words)

    def _begin_relation(self, relation: str, start: int) -> None:
        if self._list:
            self._relation, self._subjects = relation, self._tail()
            self._list, self._anded, self._comma = [], False, False
        elif self._relation and self._subjects and relation == self._relation:
            return
        else:
            self._waiting = (relation, -1)

    def _pronoun(self, word: str) -> bool:
        """The target "it" or "them" of an open relation; False if there is nothing it could mean."""
        others = [n for n in range(len(self.story.things)) if n not in self._subjects]
        if not others:
            # "a dog and a cat behind it": only the last of the list is the subject.
            others, self._subjects = self._subjects[:-1], self._subjects[-1:]
        meant = others[-1:]
        if word in {"they", "them"}:
            plural = [n for n in others if self.story.things[n].count > 1]
            meant = plural[-1:] or (others if len(others) > 1 else [])
        if not meant:
            return False
        if self._relation == "between":
            meant = meant[-2:]
        for index in meant[:-1]:
            if self._relation == "between":
                self._arrive(index)
            elif self._relation:
                self._link(self._relation, self._subjects, index)
        self._arrive(meant[-1])
        return True

    def _mentioned(self, phrase: NounPhrase) -> int | None:
        """The thing that "the van" or "the red van" refers back to."""
        if self.phrases.word(phrase.start) != "the" or phrase.of is not None:
            return None
        head = singular(phrase.head)
        told = {self.phrases.lower[n] for n in phrase.words[:-1]}
        for index, thing in enumerate(self.story.things):
            if thing.head in {head, phrase.head} and told <= set(thing.text.lower().split()):
                return index
        return None

    def _bearer(self) -> Thing:
        persons = [t for t in self.story.things if self._lexicon.has("persons", t.head)]
        return (persons or self.story.things)[-1]

    def _noun_after(self, phrase: NounPhrase) -> NounPhrase | None:
        """The phrase that brings the noun of a bare color: "one red and one green apple"."""
        bare = [self.phrases.word(n) for n in phrase.words]
        color = len(bare) == 1 and bare[0] in _NEVER_NOUNS
        if not (color and phrase.determined and self.phrases.word(phrase.end) in LINKING):
            return None
        following = self.phrases.phrase(phrase.end + 1)
        if following is None or not following.determined or len(following.words) < 2:
            return None
        return following if self._lexicon.has("colors", self.phrases.word(following.words[0])) else None

    def _make(self, phrase: NounPhrase, noun_after: NounPhrase | None = None) -> int:
        """A new thing from a phrase; returns its index."""
        if noun_after is not None:
            index = self._make(noun_after)
            thing, own = self.story.things[index], [self.phrases.lower[n] for n in phrase.words]
            rest = [w for w in thing.text.split() if not self._lexicon.has("colors", w.lower())]
            thing.text, thing.count, thing.colors = " ".join([*own, *rest]), phrase.count, tuple(own)
            return index
        noun = phrase
        vague_of = phrase.of is not None and bool(phrase.collective)
        if vague_of and phrase.of is not None and phrase.collective in {"pair", "couple"}:
            noun = phrase.of
        count, many = noun.count, noun.vague or vague_of
        if count > MAX_COUNT:
            count, many = 1, True
        if noun.count == 0:
            count = 1
        head_at = noun.words[-1]
        head = singular(noun.head) if count > 1 else noun.head
        if count > 1 and not many:
            text = self._singular_text(noun, head)
        else:
            first = noun.start if many else noun.words[0]
            first += many and self.phrases.word(first) in {"a", "an", "the"}
            text = self.phrases.slice(first, noun.end - 1)
        words = [self.phrases.lower[n] for n in noun.words]
        inner = phrase.of
        key = singular(inner.head) if vague_of and inner is not None else singular(head)
        thing = Thing(text, key, count, many=many)
        attributes = [w for n, w in zip(noun.words, words, strict=True) if n != head_at]
        thing.colors = tuple(w for w in attributes if self._lexicon.has("colors", w))
        thing.size = 1.35 if any(self._lexicon.has("large", w) for w in attributes) else 1.0
        thing.size = 0.65 if any(self._lexicon.has("small", w) for w in attributes) else thing.size
        thing.strip = self._strip(head)
        thing.spot, self._spot = self._spot, None
        self.story.things.append(thing)
        return len(self.story.things) - 1

    def _singular_text(self, noun: NounPhrase, head: str) -> str:
        before = self.phrases.slice(noun.words[0], noun.words[-1] - 1) if len(noun.words) > 1 else ""
        plural = self.tokens[noun.words[-1]].text
        word = head if plural.lower() != head else plural
        after = self.phrases.slice(noun.words[-1] + 1, noun.end - 1) if noun.end > noun.words[-1] + 1 else ""
        return " ".join(part for part in (before, word, after) if part)

    def _strip(self, head: str) -> Literal["", "top", "bottom"]:
        if self._lexicon.has("stuff_top", head):
            return "top"
        return "bottom" if self._lexicon.has("stuff_bottom", head) else ""

    def _arrive(self, index: int) -> None:
        """A thing has been named: close the open relation, or join the list."""
        if self._axis:
            self._row.append(index)
        if self._relation == "between" and self._subjects:
            self._between_target(index)
            return
        if self._relation and self._subjects:
            self._link(self._relation, self._subjects, index)
            self._targets.add(index)
            self._relation, self._subjects = None, []
            self._list, self._anded, self._comma = [index], False, False
            return
        if self._waiting is not None and self._awaited(*self._waiting, index):
            return
        if self._comma and not self._anded and not self._axis:
            self._list = [n for n in self._list if n not in self._targets]
        if index not in self._list:
            self._list.append(index)
        self._comma = self._comma and not self._anded

    def _awaited(self, relation: str, target: int, index: int) -> bool:
        """A relation that was named first: "on the table is a cat". True while its objects come in."""
        things = self.story.things
        if target < 0:
            self._waiting = (relation, index)
            self._comma = False
            return True
        if relation == "between":
            if self._between is None and things[target].count == 1:
                self._between, self._anded = index, False
                return True
            other = target if self._between is None else self._between
            self.story.links.append(Link("between", index, target, other))
            self._between = None
        else:
            self._link(relation, [index], target)
        self._waiting = None
        return False

    def _between_target(self, index: int) -> None:
        if self.story.things[index].count > 1 and self._between is None:
            for subject in self._subjects:
                self.story.links.append(Link("between", subject, index, index))
        elif self._between is None:
            self._between = index
            self._anded = False
            return
        else:
            for subject in self._subjects:
                self.story.links.append(Link("between", subject, self._between, index))
        self._targets |= {index}
        self._relation, self._subjects, self._between = None, [], None
        self._list, self._anded, self._comma = [index], False, False

    def _link(self, relation: str, subjects: list[int], target: int) -> None:
        kind, swap = LINKS[relation]
        for subject in subjects:
            if subject != target:
                pair = (target, subject) if swap else (subject, target)
                self.story.links.append(Link(kind, *pair))

    def _split_group(self) -> bool:
        """Two things of one phrase: "two stalls, one orange and the other blue"."""
        at = self._index + 1
        if not self._list or self.story.things[self._list[-1]].count != 2 or self.phrases.word(at) != "one":
            return False
        words = [self.phrases.word(at + n) for n in range(1, 6)]
        first = words[0]
        rest = words[2:] if words[1] in LINKING else words[1:]
        if rest[:1] == ["the"]:
            rest = rest[1:]
        if not self.phrases.is_attribute(first) or rest[:1] not in (["other"], ["one"], ["another"]):
            return False
        second = rest[1] if len(rest) > 1 else ""
        if not self.phrases.is_attribute(second):
            return False
        index = self._list[-1]
        thing = self.story.things[index]
        twin = Thing(f"{second} {thing.text}", thing.head, 1, (second,), thing.size)
        thing.text, thing.count, thing.colors = f"{first} {thing.text}", 1, (first,)
        self.story.things.append(twin)
        self._list.append(len(self.story.things) - 1)
        self._index = at + 1 + words.index(second, 1) + 1
        return True

    def _belongs(self, phrase: NounPhrase) -> bool:
        head = phrase.head
        return any(
            self._lexicon.has(section, form)
            for section in ("clothing", "body")
            for form in (head, singular(head))
        )

    def _clothes_end(self, phrase: NounPhrase) -> int:
        """The end of a list of clothes: "a red hat, a blue shirt and black shoes"."""
        end = phrase.end
        while True:
            index = end
            while self.phrases.lower[index : index + 1] in ([","], ["and"], ["&"], ["with"]):
                index += 1
            following = self.phrases.phrase(index) if index > end else None
            if following is None or not self._belongs(following):
                return end
            end = following.end

    def _flush_loose(self) -> None:
        """Report words that were passed over, neighbors together."""
        run: list[int] = []
        for index in self._loose:
            if run and index != run[-1] + 1:
                self.story.unread.append(self.phrases.slice(run[0], run[-1]))
                run = []
            run.append(index)
        if run:
            self.story.unread.append(self.phrases.slice(run[0], run[-1]))
        self._loose = []
