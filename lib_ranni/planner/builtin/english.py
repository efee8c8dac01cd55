"""Reading an English prompt: a shallow parse of noun phrases and of the words between them.

It knows no nouns. Articles, numbers, prepositions and verb forms tell where a phrase begins and ends, so
that any thing can be named; what fits nothing is left over and reported.
"""

from __future__ import annotations

from lib_ranni.planner.builtin.english_phrases import NounPhrase
from lib_ranni.planner.builtin.english_sentence import LINKING, Sentence
from lib_ranni.planner.builtin.english_words import singular, verb_form
from lib_ranni.planner.builtin.story import Story

_BEFORE_QUOTE = {"that", "which", "the", "with", "text", "words", "word"}
_NEGATIONS = {"without", "no", "lacking", "excluding", "minus"}


class EnglishReader(Sentence):
    """Reads one prompt; `story` is the result."""

    def read(self) -> Story:
        """Read the whole prompt."""
        while self._index < len(self.tokens):
            self._step()
        self._close_row()
        self._flush_loose()
        return self.story

    def _step(self) -> None:
        token = self.tokens[self._index]
        if token.kind == "end":
            self._close_row()
            self._flush_loose()
            self._new_sentence()
            self._index += 1
        elif token.kind == "word":
            self._word()
        elif token.kind == "quote":
            self._quotation()
        elif token.kind == "tag":
            self.story.scene.append(token.text)
            self._index += 1
        else:
            if token.text in {",", "，", "、"}:
                self._comma, self._scene_open = True, False
                if self._split_group():
                    return
            self._index += 1

    def _word(self) -> None:
        word = self.phrases.word(self._index)
        for reader in (self._order, self._negation, self._place, self._opener, self._related):
            if reader(word):
                return
        if word in LINKING:
            self._anded = True
            self._index += 1
        elif (
            (self._lexicon.has("pronouns", word) and self._relation and self._pronoun(word))
            or self._lexicon.has("auxiliaries", word)
            or (word in {"there", "here"})
        ):
            self._index += 1
        elif self._predicative(word) or not (self._style_segment() or self._thing()):
            self._predicate(word)

    def _predicative(self, word: str) -> bool:
        """A verb form right after a noun or an auxiliary cannot begin a new thing."""
        after_noun = self._index == self._noun_end
        after_auxiliary = self._lexicon.has("auxiliaries", self.phrases.word(self._index - 1))
        if not self._list or not (after_noun or after_auxiliary):
            return False
        return bool(verb_form(word)[1]) or (word.endswith("ly") and not self.phrases.is_attribute(word))

    # Words that need no noun ---------------------------------------------------------------------

    def _order(self, word: str) -> bool:
        """From left to right, from top to bottom, in a row, in a column."""
        found = self.places.order(self._index)
        if found is None:
            return False
        length, axis = found
        self._index += length
        self._axis = axis
        if self._list:
            self._row = list(self._list)
            self._close_row()
        return True

    def _place(self, word: str) -> bool:
        found = self.places.spot(self._index)
        if found is None:
            return False
        length, spot = found
        self._index += length
        if self._list and not (self._comma and not self._anded and self._leads(self._index)):
            for index in self._list[-1:]:
                thing = self.story.things[index]
                thing.spot = spot
        else:
            self._spot = spot
        return True

    def _leads(self, index: int) -> bool:
        """Whether a place stands before its thing: "..., on the right a dog"."""
        word = self.phrases.word(index)
        return bool(word) and (
            self._lexicon.has("auxiliaries", word)
            or self._lexicon.has("determiners", word)
            or self.phrases.phrase(index) is not None
        )

    def _negation(self, word: str) -> bool:
        index = self._index
        following = self.phrases.word(index + 1)
        if word == "not":
            index += 1 if following in {"a", "an", "any"} else 0
        elif word in {"doesn't", "don't", "hasn't", "haven't", "isn't", "aren't"}:
            index += 1 if following in {"have", "has", "show", "contain"} else 0
        elif word == "with" and following == "no":
            index += 1
        elif word not in _NEGATIONS:
            return False
        index += 1
        words: list[str] = []
        while (phrase := self.phrases.phrase(index)) is not None:
            words.append(self.phrases.slice(phrase.words[0], phrase.end - 1))
            index = phrase.end
            if self.phrases.word(index) not in {"or", "nor", "and"}:
                break
            again = index + 1 + (self.phrases.word(index + 1) in {"no", "without"})
            if self.phrases.word(index) == "and" and again == index + 1:
                break
            index = again
        if not words:
            return False
        whole = not self._list or (self._comma and not self._anded) or self._scene_open
        target = self.story.negatives if whole else self.story.things[self._list[-1]].negatives
        target += words
        self._index = index
        return True

    def _opener(self, word: str) -> bool:
        """Attributes that run to the end of a phrase: made of, shaped like, filled with."""
        found = self._lexicon.match("attribute_openers", self.phrases.lower, self._index)
        if found is None or not self._list:
            return False
        start, index = self._index, self._index + found[0]
        phrase = self.phrases.phrase(index)
        if phrase is None:
            return False
        self._describe_list(self.phrases.slice(start, phrase.end - 1))
        self._index = phrase.end
        return True

    def _related(self, word: str) -> bool:
        found = self._lexicon.match("relations", self.phrases.lower, self._index)
        if found is None:
            return False
        length, relation = found
        if relation == "inside" and self._color_tail(self._index + length):
            return True
        if relation in {"across", "inside", "on", "next", "under", "above", "with", "front", "behind"}:
            phrase = self.phrases.phrase(self._index + length)
            if phrase is not None and self._scenery(relation, phrase, self._index):
                return True
            if phrase is not None and relation in {"with", "inside"} and self._worn(phrase, self._index):
                return True
        if relation == "with" and not self._list and self._relation is None:
            # After scenery, as in "a sunny day with a sun above a house", it relates nothing.
            self._index += length
            return True
        if relation in {"across", "with"}:
            relation = "next"
        self._begin_relation(relation, self._index)
        self._index += length
        return True

    def _color_tail(self, index: int) -> bool:
        """Colors after a noun: "three squares in blue, red and white", "a sphere in red"."""
        end = index
        while self._lexicon.has("colors", self.phrases.word(end)):
            end += 1
            more = self._lexicon.has("colors", self.phrases.word(end + 1))
            if more and (self.phrases.tokens[end].text == "," or self.phrases.word(end) in LINKING):
                end += 1
        following = self.phrases.word(end)
        if end == index or not self._list or (following and not self._lexicon.has("stops", following)):
            return False
        self._describe_list(self.phrases.slice(self._index, end - 1))
        colors = [w for w in self.phrases.lower[index:end] if self._lexicon.has("colors", w)]
        for thing in (self.story.things[n] for n in self._list[-1:]):
            thing.colors = (*thing.colors, *colors)
        self._index = end
        return True

    def _worn(self, phrase: NounPhrase, start: int) -> bool:
        """Clothes and body parts after "with", "in" or "wearing" belong to their bearer's description."""
        if not self._list or not self._belongs(phrase):
            return False
        end = self._clothes_end(phrase)
        for index in self._tail():
            self.story.things[index].add(self.phrases.slice(start, end - 1))
        self._index = end
        return True

    def _scenery(self, relation: str, phrase: NounPhrase, start: int) -> bool:
        """A place as the object of a preposition goes to the base: "in a park", "on a white background"."""
        head, base = phrase.head, singular(phrase.head)
        scene = self._lexicon.has("scenes", head) or self._lexicon.has("scenes", base)
        if not scene or (relation in {"next", "front", "behind", "above", "under"} and phrase.count > 1):
            return False
        if relation == "with" and head not in {"background", "backdrop"} and not phrase.of:
            return False
        end = self._and_scenes(phrase.end)
        self.story.scene.append(self.phrases.slice(start, end - 1))
        self._index = end
        self._scene_open = True
        self._anded = False
        return True

    def _and_scenes(self, end: int) -> int:
        """Take along further scenery: "in rain and fog"."""
        if self.phrases.word(end) not in {"and", "or"}:
            return end
        following = self.phrases.phrase(end + 1)
        if following is not None and not following.determined and self._lexicon.has("scenes", following.head):
            return following.end
        return end

    # Things ----------------------------------------------------------------------------------------

    def _style_segment(self) -> bool:
        """A comma-separated segment that speaks of style, such as "highly detailed, 8k"."""
        if not self._segment_start():
            return False
        end = self._index
        while end < len(self.tokens) and self.tokens[end].kind == "word":
            end += 1
        words = self.phrases.lower[self._index : end]
        style = self._lexicon.sets["style"]
        scenes = self._lexicon.sets["scenes"]
        bare = not any(self._lexicon.has(kind, w) for kind in ("determiners", "stops") for w in words)
        closed = (
            end == len(self.tokens) or self.tokens[end].text in {",", "，"} or self.tokens[end].kind == "end"
        )
        if not (words and bare and closed):
            return False
        known = sum(w in style or self.phrases.is_attribute(w) or w.endswith("ly") for w in words)
        if (
            words[-1] in scenes
            or (words[-1] in style and known == len(words))
            or words[-1] in {"quality", "style"}
        ):
            self.story.scene.append(self.phrases.slice(self._index, end - 1))
            self._index = end
            return True
        return False

    def _segment_start(self) -> bool:
        previous = self.tokens[self._index - 1] if self._index else None
        return previous is None or previous.text in {",", "，", ":", "|"} or previous.kind == "end"

    def _thing(self) -> bool:
        phrase = self.phrases.phrase(self._index, plural_subject=self._anded and bool(self._list))
        if phrase is None:
            return False
        if self._picture(phrase):
            return True
        if self._belongs(phrase) and self._wearable(phrase):
            self._bearer().add(f"with {self.phrases.slice(phrase.words[0], phrase.end - 1)}")
            self._index = phrase.end
            return True
        if self._bare_attribute(phrase):
            return True
        if self._lexicon.has("abstract", phrase.head) and len(self.tokens) > 1:
            self._loose += range(phrase.start, phrase.end)
            self._index = phrase.end
            return True
        if self._scene_subject(phrase):
            self.story.scene.append(self.phrases.slice(phrase.start, phrase.end - 1))
            self._index, self._scene_open, self._comma = phrase.end, True, False
            return True
        self._index = self._noun_end = phrase.end
        known = self._mentioned(phrase)
        self._arrive(self._make(phrase, self._noun_after(phrase)) if known is None else known)
        return True

    def _picture(self, phrase: NounPhrase) -> bool:
        """A picture word at the beginning is a style where it tells what is seen."""
        after = self.phrases.after_picture(phrase)
        if after is None or self.story.things:
            return False
        self.story.scene.append(self.phrases.slice(phrase.words[0], phrase.words[-1]))
        self._index = after
        return True

    def _wearable(self, phrase: NounPhrase) -> bool:
        """A bare tag such as "red hair" describes the person before it."""
        bearer = bool(self.story.things) and self._relation is None
        tag = self._segment_start() and not phrase.determined
        return bearer and tag and self._lexicon.has("persons", self._bearer().head)

    def _bare_attribute(self, phrase: NounPhrase) -> bool:
        """A predicate adjective, "the car is red", or a tag of attributes only."""
        words = [self.phrases.lower[n] for n in phrase.words]
        if phrase.determined or not self._list or not all(map(self.phrases.is_attribute, words)):
            return False
        if self._comma and not self._after_copula():
            return False
        self._describe_list(self.phrases.slice(phrase.words[0], phrase.words[-1]))
        for index in self._tail():
            thing = self.story.things[index]
            thing.colors = (*thing.colors, *(w for w in words if self._lexicon.has("colors", w)))
        self._index = phrase.end
        return True

    def _after_copula(self) -> bool:
        return self._lexicon.has("auxiliaries", self.phrases.word(self._index - 1))

    def _scene_subject(self, phrase: NounPhrase) -> bool:
        head = phrase.head
        scene = self._lexicon.has("scenes", head) or self._lexicon.has("scenes", singular(head))
        if not scene or phrase.count > 1 or self._relation in {"left", "right", "above", "below"}:
            return False
        colored = len(phrase.words) > 1
        strip = self._lexicon.has("stuff_top", head) or self._lexicon.has("stuff_bottom", head)
        return not (strip and (colored or phrase.determined))

    # Predicates and leftovers ------------------------------------------------------------------

    def _predicate(self, word: str) -> None:
        """A verb, or a word that nothing else has taken."""
        base, form = verb_form(word)
        start = self._index
        self._index += 1
        if word.endswith("ly") or word in {"up", "down", "out", "off", "away", "together", "just"}:
            return
        if self._lexicon.has("wearing", word):
            phrase = self.phrases.phrase(self._index)
            if phrase is not None and self._list:
                end = self._clothes_end(phrase)
                for index in self._tail():
                    self.story.things[index].add(self.phrases.slice(start, end - 1))
                self._index = end
                return
        following = self.phrases.phrase(self._index)
        posture = bool(self._list) and self._lexicon.has("posture", base)
        if posture and self._state(following):
            return
        if following is not None and self._list and base and not self._scene_head(following):
            relation = self._relation_of(base)
            self._relation, self._subjects = relation, self._actors()
            self._list, self._anded, self._comma = [], False, False
            return
        if form == "ing" and self._list and following is None:
            for index in self._actors():
                self.story.things[index].add(self.tokens[start].text)
            return
        if not posture:
            self._loose.append(start)

    def _state(self, phrase: NounPhrase | None) -> bool:
        """Attributes without a noun after a posture say how the thing is: "a tub sits empty"."""
        if phrase is None or phrase.determined or phrase.of is not None:
            return False
        if not all(self.phrases.is_attribute(self.phrases.word(n)) for n in phrase.words):
            return False
        self._describe_list(self.phrases.slice(phrase.words[0], phrase.end - 1))
        self._index = phrase.end
        return True

    def _scene_head(self, phrase: NounPhrase) -> bool:
        return self._lexicon.has("scenes", phrase.head)

    def _relation_of(self, base: str) -> str:
        if self._lexicon.has("holding", base):
            return "hold"
        return "on" if self._lexicon.has("riding", base) else "next"

    def _quotation(self) -> None:
        """Written words belong to the thing they are written on, with what leads to them."""
        start = self._index
        while start - 1 in self._loose or self.phrases.word(start - 1) in _BEFORE_QUOTE:
            start -= 1
        self._loose = [n for n in self._loose if n < start]
        text = self.phrases.slice(start, self._index)
        if self._list:
            self.story.things[self._list[-1]].add(text)
        else:
            self.story.scene.append(text)
        self._index += 1


def read_english(prompt: str) -> Story:
    """What an English prompt says is in the picture, and where."""
    return EnglishReader(prompt).read()
