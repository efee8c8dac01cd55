"""Chinese words and noun phrases: number and classifier, attributes before the noun, the noun."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from lib_ranni.planner.builtin.lexicon import Lexicon, load

AND = "\ue000"
"""Stands for an "and" inside a phrase, where a list must not be split."""

_DIGITS = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_MOST = 9999


@lru_cache(maxsize=1)
def chinese() -> Lexicon:
    """The Chinese lexicon."""
    return load("zh")


@lru_cache(maxsize=64)
def either(*sections: str) -> str:
    """A pattern for the words of sections, longest first."""
    words = set().union(*(chinese().sets[section] for section in sections))
    return "(?:" + "|".join(re.escape(w) for w in sorted(words, key=lambda w: (-len(w), w))) + ")"


@lru_cache(maxsize=1)
def _opening() -> re.Pattern[str]:
    """A number with its classifier, or what stands for one."""
    classifiers = either("classifiers", "measures", "pairs")
    return re.compile(
        rf"(?P<again>另外?|这|那)?(?:"
        rf"(?P<many>{either('many')}(?:的)?)"
        rf"|(?P<dozen>半打|[一两二三四]?打(?=\w))"
        rf"|(?P<both>俩|仨)"
        rf"|(?P<number>\d{{1,4}}|[一二两三四五六七八九十百]+|几|数)\s*(?P<classifier>{classifiers})?"
        rf"|(?P<that>{classifiers}(?<=[只个条张辆位朵本把台座棵匹头])(?=\w))"
        rf")"
    )


def number(text: str) -> int | None:
    """The value of digits or of a Chinese numeral below a thousand."""
    if text.isascii() and text.isdigit():
        return int(text)
    known = chinese().lookup("numbers", text)
    if known is not None:
        return int(known)
    total = digit = 0
    for char in text:
        if char in {"十", "百"}:
            total += (digit or 1) * (10 if char == "十" else 100)
            digit = 0
        elif char in _DIGITS and not digit:
            digit = _DIGITS[char]
        else:
            return None
    return min(_MOST, total + digit) or None


@dataclass
class Opening:
    """How many of something, and where the words for that end."""

    end: int = 0
    count: int = 1
    many: bool = False
    measure: str = ""
    new: bool = False


def opening(text: str) -> Opening:
    """The number at the beginning of a phrase."""
    match = _opening().match(text)
    if match is None:
        return Opening()
    found = Opening(match.end(), new=match["again"] not in {"这", "那"})
    if match["many"]:
        found.many, found.end = True, match.end() if match["many"].endswith("的") else match.start("many")
    elif match["dozen"]:
        lead = match["dozen"][:-1]
        found.count = 6 if lead == "半" else 12 * (number(lead) or 1)
    elif match["both"]:
        found.count = 2 if match["both"] == "俩" else 3
    elif match["number"]:
        return _counted(found, match)
    elif not match["again"]:
        return Opening()
    return found


def _counted(found: Opening, match: re.Match[str]) -> Opening:
    count = 3 if match["number"] in {"几", "数"} else number(match["number"])
    classifier = match["classifier"] or ""
    if count is None or (not classifier and not match["number"].isdigit()):
        return Opening()
    found.count = count * 2 if classifier in chinese().sets["pairs"] else count
    if classifier in chinese().sets["measures"]:
        found.measure = classifier
    return found


@dataclass
class Noun:
    """A phrase's own words. `kept` are the attributes that stay in the description, with their 的."""

    count: int = 1
    many: bool = False
    new: bool = False
    measure: str = ""
    kept: list[str] = field(default_factory=list)
    colors: list[str] = field(default_factory=list)
    size: float = 1.0
    head: str = ""
    core: str = ""

    @property
    def text(self) -> str:
        """The description of one of it."""
        lead = f"一{self.measure}" if self.measure else ""
        return (lead + "".join(self.kept) + self.core).replace(AND, "和").strip()


def made_of(text: str, *sections: str, also: str = "") -> bool:
    """Whether a text is nothing but words of some sections (or matches of `also`), one after the other.

    It takes the longest word each time and never goes back: a pattern that could would take forever on
    repetitions.
    """
    word = _word(sections, also)
    at = 0
    while at < len(text):
        match = word.match(text, at)
        if match is None or match.end() == at:
            return False
        at = match.end()
    return at > 0


@lru_cache(maxsize=16)
def _word(sections: tuple[str, ...], also: str) -> re.Pattern[str]:
    return re.compile(either(*sections) + (f"|{also}" if also else ""))


def is_attribute(text: str) -> bool:
    """Whether a text is nothing but attributes, such as 红色, 木制, 很大."""
    bare = text.removeprefix("非常").removeprefix("十分").removeprefix("很").removesuffix("相间")
    joins = f"[深浅淡亮暗]?.色|[和与、的{AND}](?=.)"
    return (
        bool(bare)
        and bare[0] not in "和与、的"
        and made_of(bare, "colors", "materials", "large", "small", "adjectives", also=joins)
    )


def note_attribute(noun: Noun, text: str) -> None:
    """Take the color and the size out of an attribute's words."""
    for match in re.finditer(either("colors"), text):
        color = chinese().lookup("colors", match[0])
        if color and color not in noun.colors:
            noun.colors.append(color)
    bare = text.removeprefix("很").removeprefix("非常")
    if bare in chinese().sets["large"]:
        noun.size = 1.35
    elif bare in chinese().sets["small"]:
        noun.size = 0.65


def finish_noun(noun: Noun, core: str) -> None:
    """Read what is glued to the noun, such as 红 in 红苹果, and find the noun itself."""
    noun.core = core
    head = core
    while len(head) > 1:
        lead = re.match(either("colors", "materials", "large", "small"), head)
        if lead is None or lead.end() >= len(head):
            break
        fixed = "not_colors" if chinese().has("colors", lead[0]) else "not_sizes"
        if any(head.startswith(word) for word in chinese().sets[fixed]):
            break
        note_attribute(noun, lead[0])
        head = head[lead.end() :]
    noun.head = head
