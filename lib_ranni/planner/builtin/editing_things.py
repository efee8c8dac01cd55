"""What an instruction wants to have in the picture, read as a prompt is read."""

from __future__ import annotations

import re

from lib_ranni.errors import EditError
from lib_ranni.planner.builtin.chinese import read_chinese
from lib_ranni.planner.builtin.chinese_words import opening
from lib_ranni.planner.builtin.english import read_english
from lib_ranni.planner.builtin.english_phrases import PhraseReader
from lib_ranni.planner.builtin.english_words import singular, tokenize
from lib_ranni.planner.builtin.story import Thing
from lib_ranni.planner.language import is_chinese

_ARTICLE = re.compile(r"(?:an?|the|some|my)\s+", re.IGNORECASE)


def one_of(thing: Thing) -> str:
    """The description of one of what may be named in the plural: bicycle for "bicycles"."""
    words = thing.text.split(" ")
    return " ".join([*words[:-1], singular(words[-1])]) if singular(words[-1]) == thing.head else thing.text


def attributes_before(thing: Thing) -> str:
    """The attributes of an English thing: wooden for "wooden dog"; nothing if more than that is said."""
    words, noun, rest = one_of(thing).rpartition(thing.head)
    reader = PhraseReader(words, tokenize(words))
    only = all(t.kind != "word" or t.lower == "and" or reader.is_attribute(t.lower) for t in reader.tokens)
    return words.strip() if noun and not rest and only else ""


def things_of(text: str) -> list[Thing]:
    """The things that a phrase names, at least one. Raises `EditError` for nothing but signs."""
    text = " ".join(text.split()).strip(" ,，。.!！?？、")
    story = (read_chinese if is_chinese(text) else read_english)(text)
    things = [thing for thing in story.things if thing.text.strip()]
    plain = len(things) == 1 and not story.unread
    several = len(things) > 1 and not story.links and not story.unread and not story.scene
    if (plain and not story.scene) or several:
        return things
    bare = (
        text[opening(text).end :].removeprefix("一片")
        if is_chinese(text)
        else _ARTICLE.sub("", text, count=1)
    )
    if not re.search(r"\w", bare):
        raise EditError("say what should be there, such as “add a red ball”")
    if not things:
        return [Thing(bare, bare)]
    return [Thing(bare, things[0].head, things[0].count if bare != text else 1, things[0].colors)]
