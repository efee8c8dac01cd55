"""Chinese phrases become things: attributes, places and actions before 的, lists, references back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal, NamedTuple

from lib_ranni.planner.builtin.chinese_patterns import SIDES, SPOTS, modifiers
from lib_ranni.planner.builtin.chinese_words import (
    AND,
    Noun,
    chinese,
    either,
    finish_noun,
    is_attribute,
    note_attribute,
    opening,
)
from lib_ranni.planner.builtin.english import read_english
from lib_ranni.planner.builtin.story import LINKS, MAX_COUNT, Kind, Link, Spot, Story, Thing

_LINKS: dict[str, tuple[Kind, bool]] = {**LINKS, "middle": ("inside", False), "ride": ("on", False)}

_PRONOUNS = {"它", "他", "她", "它们", "他们", "她们", "其", "此"}
_LIST = re.compile(r"、|，|,|和(?![服平尚谐])|与|以及|及|还有|跟|并且|&| and ")
_FOREIGN = re.compile(r"[\x20-\x7e]*[A-Za-z][\x20-\x7e]*")
_ABSTRACT = re.compile(
    "关于|讲述|因为|所以|如果|虽然|但是|我|你|什么|怎么|应该|可以|能够|希望|觉得|认为|意味"
)
_BETWEEN = re.compile(r"(?P<b>.+?(?:和|与|、|及).+?)(?:之间|中间)的(?P<y>.+)")
_LONGEST = 8
"""A noun of more characters than this is more likely a sentence that was not understood."""


class Held(NamedTuple):
    """An action with an object, such as 抱着一只猫."""

    before: str
    relation: str
    verb: str
    object: str


def split_list(text: str) -> list[str]:
    """The members of a list; 红色和白色的球 is one."""
    parts: list[str] = []
    start = 0
    for match in _LIST.finditer(text):
        part = text[start : match.start()]
        if is_attribute(part.strip()) and text[match.end() :].strip():
            continue
        parts.append(part.strip())
        start = match.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


class Phrases:
    """Makes things of phrases and keeps the story."""

    def __init__(self) -> None:
        self.story = Story()
        self.topic: list[int] = []

    def things(self, text: str) -> list[int]:
        """The things of a list of phrases."""
        if _FOREIGN.fullmatch(text):
            return self.foreign(text)
        between = _BETWEEN.fullmatch(text)
        if between is not None:
            found = self.things(between["y"])
            self.link("between", found, self.things(between["b"]))
            return found
        found = []
        for part in split_list(text):
            if _FOREIGN.fullmatch(part):
                found += self.foreign(part)
            elif (index := self.thing(part)) is not None:
                found.append(index)
        return found

    def foreign(self, text: str) -> list[int]:
        """Read a text without Chinese characters as English, and take over what it tells."""
        told, first = read_english(text), len(self.story.things)
        self.story.things += told.things
        for link in told.links:
            other = None if link.other is None else link.other + first
            moved = replace(link, subject=link.subject + first, target=link.target + first, other=other)
            self.story.links.append(moved)
        self.story.rows += [(axis, tuple(n + first for n in row)) for axis, row in told.rows]
        self.story.scene += told.scene
        self.story.negatives += told.negatives
        self.story.unread += told.unread
        return list(range(first, len(self.story.things)))

    def thing(self, text: str) -> int | None:
        """The thing of one phrase: a new one, or the one that it refers back to."""
        if text in _PRONOUNS:
            return self.topic[-1] if self.topic else None
        if _ABSTRACT.search(text):
            self.story.unread.append(text)
            return None
        noun = Noun()
        thing = Thing("", "")
        links: list[tuple[str, list[int]]] = []
        rest = text.replace(AND, "和") if "的" not in text else text
        for _ in range(12):
            rest = self._opening(noun, rest)
            if "的" not in rest and "风格" not in rest:
                break
            length = self._modifier(noun, thing, links, rest)
            if not length:
                break
            rest = rest[length:]
        rest = rest.strip(" 的着了")
        if not rest:
            return self._elliptic(noun)
        finish_noun(noun, rest)
        if not noun.new and not noun.kept and len(rest) > _LONGEST and not rest.isascii():
            self.story.unread.append(rest)
            return None
        index = self._known(noun)
        if index is None:
            index = self._add(noun, thing)
        for relation, targets in links:
            self.link(relation, [index], targets)
        return index

    def _opening(self, noun: Noun, text: str) -> str:
        if noun.new:
            return text
        found = opening(text)
        if found.end or found.many:
            noun.count, noun.many, noun.new, noun.measure = found.count, found.many, found.new, found.measure
        return text[found.end :].lstrip()

    def _elliptic(self, noun: Noun) -> int | None:
        """一只是红色的: a number or an attribute alone speaks of the thing before."""
        if noun.kept and self.topic:
            self.describe(self.topic[-1:], "".join(noun.kept).rstrip("的"))
            return self.topic[-1]
        return None

    def _modifier(self, noun: Noun, thing: Thing, links: list[tuple[str, list[int]]], text: str) -> int:
        """Read one modifier; its length, or 0 if none begins here."""
        patterns = modifiers()
        head = text[: text.find("的")] if "的" in text else ""
        if head and is_attribute(head):
            noun.kept.append(f"{head}的")
            note_attribute(noun, head)
            return len(head) + 1
        if (match := patterns["style"].match(text)) is not None:
            self.story.scene.append(match["b"])
        elif (match := patterns["none"].match(text)) is not None:
            thing.negatives += split_list(match["b"])
        elif (match := patterns["wear"].match(text)) is not None:
            noun.kept.append(match[0])
        elif (match := patterns["spot"].match(text)) is not None:
            thing.spot = spot_of(match)
        elif (match := patterns["hold"].match(text)) is not None and not is_attribute(match["b"]):
            relation = "ride" if match["v"] in chinese().sets["riding"] else "hold"
            links.append((relation, self.things(match["b"].replace(AND, "和"))))
        elif (match := patterns["place"].match(text)) is not None:
            self._placed(links, match)
        elif head:
            noun.kept.append(f"{head}的")
            note_attribute(noun, head)
            return len(head) + 1
        return match.end() if match is not None else 0

    def _placed(self, links: list[tuple[str, list[int]]], match: re.Match[str]) -> None:
        relation = chinese().lookup("places", match["loc"]) or "next"
        if self.scenery(match["b"]):
            self.story.scene.append(match["b"] + match["loc"])
            return
        links.append((self.meaning(relation, match["v"] or ""), self.things(match["b"])))

    def _known(self, noun: Noun) -> int | None:
        if noun.new:
            return None
        for index in range(len(self.story.things) - 1, -1, -1):
            thing = self.story.things[index]
            same = thing.text.endswith(noun.core) and thing.head.endswith(noun.head)
            if thing.text == noun.text or (not noun.kept and noun.core == noun.head and same):
                return index
        return None

    def _add(self, noun: Noun, thing: Thing) -> int:
        count = max(1, noun.count)
        thing.many = noun.many or count > MAX_COUNT
        thing.count = 1 if thing.many else count
        thing.text = f"许多{noun.text}" if count > MAX_COUNT else noun.text
        thing.head, thing.colors, thing.size = noun.head, tuple(noun.colors), noun.size
        thing.strip = strip_of(noun.head)
        self.story.things.append(thing)
        return len(self.story.things) - 1

    def scenery(self, text: str) -> bool:
        """Whether a phrase is a place or a time, and nothing to draw a box for."""
        lead = opening(text)
        if lead.new and lead.end:
            return False
        head = text[lead.end :].rpartition("的")[2]
        noun = Noun()
        finish_noun(noun, head)
        note_attribute(noun, text[: len(text) - len(head)])
        scenes = chinese().sets["scenes"]
        # Compounds too, such as 城市街道; a single character at the end is no sign, as in 冰山.
        known = noun.head in scenes or any(noun.head[n:] in scenes for n in range(1, len(noun.head) - 1))
        if not known or any(t.head == noun.head for t in self.story.things):
            return False
        return not (noun.colors and strip_of(noun.head))

    def meaning(self, relation: str, verb: str) -> str:
        """What a place word means with a verb: what flies over a house is not on it."""
        return "above" if relation == "on" and verb and re.match(either("flying"), verb) else relation

    def link(self, relation: str, subjects: list[int], targets: list[int]) -> None:
        """Relate things."""
        if relation in {"between", "middle"} and self._between(subjects, targets):
            return
        kind, swap = _LINKS.get(relation, ("next", False))
        for subject in subjects:
            for target in targets:
                if subject == target:
                    continue
                pair = (target, subject) if swap else (subject, target)
                self.story.links.append(Link(self._plain(kind, *pair), *self._upright(kind, pair)))

    def _between(self, subjects: list[int], targets: list[int]) -> bool:
        if not targets or (len(targets) == 1 and self.story.things[targets[0]].count < 2):
            return False
        for subject in subjects:
            self.story.links.append(Link("between", subject, targets[0], targets[-1]))
        return True

    def _shapes(self, pair: tuple[int, int]) -> bool:
        shapes = chinese().sets["plain_shapes"]
        return all(self.story.things[n].head in shapes for n in pair)

    def _plain(self, kind: Kind, subject: int, target: int) -> Kind:
        """Plain shapes do not stand on each other: 上面 is above, 下面 below."""
        return "above" if kind in {"on", "under"} and self._shapes((subject, target)) else kind

    def _upright(self, kind: Kind, pair: tuple[int, int]) -> tuple[int, int]:
        return pair[::-1] if kind == "under" and self._shapes(pair) else pair

    def describe(self, indices: list[int], words: str) -> None:
        """Put attributes before things."""
        noun = Noun()
        note_attribute(noun, words)
        for index in indices:
            thing = self.story.things[index]
            thing.text = f"{words.replace(AND, '和')}的{thing.text}"
            thing.colors = (*thing.colors, *noun.colors)
            thing.size = noun.size if noun.size != 1.0 else thing.size

    def held(self, text: str) -> Held | None:
        """The action with an object in a clause, and what stands before it."""
        match = modifiers()["held"].fullmatch(text)
        if match is None:
            return None
        verb = match["v"] or match["doing"] or match["bare"]
        riding = verb in chinese().sets["riding"]
        return Held(match["a"], "ride" if riding else "hold", verb, match["b"])


def spot_of(match: re.Match[str]) -> Spot | None:
    """The place in the picture that a match's `spot` or `loc` names."""
    if match["spot"]:
        return SPOTS[match["spot"]]
    return SIDES.get(chinese().lookup("places", match["loc"] or "") or "")


def strip_of(head: str) -> Literal["", "top", "bottom"]:
    """Whether a thing spans the picture, and where."""
    lexicon = chinese()
    if lexicon.has("stuff_top", head):
        return "top"
    return "bottom" if lexicon.has("stuff_bottom", head) else ""
