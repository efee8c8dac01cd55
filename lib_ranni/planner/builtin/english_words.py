"""English words: splitting a prompt into them, and their forms."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from lib_ranni.planner.builtin.lexicon import Lexicon, load

Form = Literal["", "base", "s", "ed", "ing"]

_TOKEN = re.compile(
    r"""
      (?P<tag><[^<>]*>)
    | (?P<quote>"[^"]*"|“[^”]*”|(?<![A-Za-z0-9])'[^'\n]+'(?![A-Za-z0-9]))
    | (?P<weight>:\s*[+-]?\d+(?:\.\d+)?(?=\s*\)))
    | (?P<word>[A-Za-z0-9À-ɏ]+(?:['’\-][A-Za-z0-9À-ɏ]+)*)
    | (?P<end>[.!?;\n]+)
    | (?P<mark>[()\[\]{}\\])
    | (?P<punct>[^\s])
    """,
    re.VERBOSE,
)
_GLUED = re.compile(r"(\d+)(girl|boy|man|woman|cat|dog|other)(s?)", re.IGNORECASE)


class Token(NamedTuple):
    """A piece of the prompt. `lower` is what is compared, `text` what is quoted."""

    kind: str
    text: str
    lower: str
    start: int
    end: int


def tokenize(prompt: str) -> list[Token]:
    """Words, quotations and punctuation, without emphasis marks."""
    tokens = []
    for match in _TOKEN.finditer(prompt):
        kind = match.lastgroup or ""
        if kind in {"mark", "weight"}:
            continue
        text = match[0]
        glued = _GLUED.fullmatch(text) if kind == "word" else None
        if glued:
            middle = match.start() + len(glued[1])
            tokens.append(Token("word", glued[1], glued[1], match.start(), middle))
            noun = glued[2] + glued[3]
            tokens.append(Token("word", noun, noun.lower(), middle, match.end()))
            continue
        tokens.append(Token(kind, text, text.lower().replace("’", "'"), match.start(), match.end()))
    return tokens


@lru_cache(maxsize=1)
def english() -> Lexicon:
    """The English lexicon."""
    return load("en")


@lru_cache(maxsize=1)
def _all_verbs() -> frozenset[str]:
    sets = english().sets
    names = ("holding", "riding", "having", "posture", "watching", "verbs")
    return frozenset().union(*(sets[name] for name in names)) | {"wear"}


def singular(word: str) -> str:
    """The singular of a noun; a word that is one already comes back unchanged."""
    lexicon = english()
    known = lexicon.lookup("irregular_plurals", word)
    if known:
        return known
    if not is_plural(word):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zzes")):
        return word[:-2]
    return word[:-1]


def is_plural(word: str) -> bool:
    """Whether a noun looks plural."""
    lexicon = english()
    if lexicon.lookup("irregular_plurals", word):
        return True
    if lexicon.has("s_nouns", word) or lexicon.has("plural_only", word):
        return False
    return len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))


def _stems(word: str, ending: str) -> list[str]:
    stem = word[: -len(ending)]
    stems = [stem, stem + "e"]
    if len(stem) > 2 and stem[-1] == stem[-2]:
        stems.append(stem[:-1])
    if ending == "ed" and stem.endswith("i"):
        stems.append(stem[:-1] + "y")
    return stems


def verb_form(word: str) -> tuple[str, Form]:
    """(base, form) if the word can be a verb, else ("", "")."""
    lexicon, verbs = english(), _all_verbs()
    irregular = lexicon.lookup("irregular_verbs", word)
    if irregular:
        return irregular, "ed"
    if word in verbs:
        return word, "base"
    if word.endswith("ing") and len(word) > 4:
        known = next((s for s in _stems(word, "ing") if s in verbs), "")
        return known or _stems(word, "ing")[0], "ing"
    if word.endswith("ed") and len(word) > 3 and not lexicon.has("ed_nouns", word):
        known = next((s for s in _stems(word, "ed") if s in verbs), "")
        return known or _stems(word, "ed")[0], "ed"
    if word.endswith("s"):
        for stem in (word[:-1], word[:-2] if word.endswith("es") else "", word[:-3] + "y"):
            if stem in verbs:
                return stem, "s"
    return "", ""


def number_of(word: str) -> int | None:
    """The value of a number word or of digits (up to 9,999), else None."""
    if word.isascii() and word.isdigit() and len(word) <= 4:
        return int(word)
    value = english().lookup("numbers", word)
    return None if value is None else int(value)
