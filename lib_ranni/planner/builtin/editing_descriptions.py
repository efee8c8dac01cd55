"""New attributes in a description: a new color takes the old one's place, and other words remain."""

from __future__ import annotations

import re

from msgspec import Struct

from lib_ranni.panel.color_words import COLORS
from lib_ranni.panel.types import MAX_COLORS
from lib_ranni.planner.builtin.chinese_words import chinese, either, is_attribute, opening
from lib_ranni.planner.builtin.english_phrases import NounPhrase, PhraseReader
from lib_ranni.planner.builtin.english_words import english, tokenize
from lib_ranni.planner.language import is_chinese

_SHADES = frozenset(("dark", "light", "pale", "bright", "deep", "neon", "pastel"))
_NO_HUE = _SHADES | {"transparent"}
_JOINS = frozenset(("and", "&", ",", "-"))
_OPPOSITES: tuple[frozenset[str], ...] = tuple(
    frozenset(words.split())
    for words in (
        "old new young vintage modern antique ancient",
        "happy sad angry smiling",
        "open closed",
        "full empty",
        "wet dry",
        "hot cold warm",
        "clean dirty",
        "smooth rough",
        "tall short",
        "long short",
        "wide narrow",
        "thick thin",
        "striped spotted dotted checkered plaid plain",
        "round square rectangular triangular oval",
        "soft hard",
        "male female",
    )
)
_SHADE_ZH = "[深浅淡亮暗]?"


class Wording(Struct, frozen=True):
    """A description and its colors, as `#rrggbb`; None where the words name no color."""

    text: str
    colors: tuple[str, ...] | None


def is_color(word: str) -> bool:
    """Whether an English word names a color or several."""
    return english().has("colors", word) and word not in _NO_HUE


def hex_colors(names: list[str]) -> tuple[str, ...]:
    """What color words look like, each once."""
    return tuple(dict.fromkeys(COLORS[name] for name in names if name in COLORS))[:MAX_COLORS]


def described(description: str, words: str, part: str = "") -> Wording:
    """The description with attributes added, of its main noun or of the `part` it names.

    Attributes that cannot hold together with the new ones, such as another color or material, are dropped.
    """
    if is_chinese(description):
        return _chinese(description, words, part)
    return _english(description, words, part)


def _english(description: str, words: str, part: str) -> Wording:
    tokens = tokenize(description)
    reader = PhraseReader(description, tokens)
    phrase = _part(reader, part) if part else reader.phrase(0)
    new = [word for word in re.split(r"[\s,&]+", words) if word and word not in {"and", "very"}]
    # A shade is part of the color that follows it.
    colors = [w for i, w in enumerate(new) if is_color(w) or _shades(w, new[i + 1 : i + 2])]
    others = [w for w in new if w not in colors]
    hues = [w for w in colors if is_color(w)]
    known = hex_colors(hues) if hues and not part else None
    if part and phrase is None:
        return Wording(f"{description} with {words} {part}", None)
    if phrase is None or not phrase.words:
        return Wording(" ".join([*new, description]), known)
    old = [n for n in phrase.words if n != phrase.words[-1]]
    dropped = {n for n in old if _conflicts(reader.lower[n], others)}
    painted = _color_run(reader, old) if colors else set()
    first = phrase.words[0]
    spelled = _spelled(colors)
    if colors and not painted and not part:
        described_later = _predicate_colors(reader, phrase.end)
        if described_later:
            first_color = min(described_later)
            return Wording(
                _rebuilt(
                    description, reader, described_later | dropped, {first_color: spelled, first: others}
                ),
                known,
            )
    inserted: dict[int, list[str]] = {}
    # What a noun is made of stays next to it: a fire hydrant, an oak tree.
    place = min(painted) if painted else _noun_start(reader, phrase)
    inserted.setdefault(place, []).extend(spelled)
    inserted[first] = [*others, *inserted.get(first, [])]
    return Wording(_rebuilt(description, reader, dropped | painted, inserted), known)


def _shades(word: str, following: list[str]) -> bool:
    return word in _SHADES and bool(following) and is_color(following[0])


def _spelled(colors: list[str]) -> list[str]:
    """Several colors are joined by "and"."""
    spelled: list[str] = []
    for word in colors:
        if spelled and spelled[-1] not in _SHADES:
            spelled.append("and")
        spelled.append(word)
    return spelled


def _part(reader: PhraseReader, part: str) -> NounPhrase | None:
    """The phrase in a description whose noun is `part`."""
    for index in range(len(reader.tokens)):
        phrase = reader.phrase(index)
        if phrase is not None and phrase.head == part:
            return phrase
    return None


def _conflicts(word: str, new: list[str]) -> bool:
    if any(word in group and fresh in group for group in _OPPOSITES for fresh in new):
        return True
    lexicon = english()
    if any(lexicon.has("materials", w) for w in new) and lexicon.has("materials", word):
        return True
    sizes = lexicon.sets["large"] | lexicon.sets["small"]
    return word in sizes and any(w in sizes for w in new)


def _color_run(reader: PhraseReader, old: list[int]) -> set[int]:
    """The color words before the noun, with their shades and the "and" between them."""
    run = {n for n in old if is_color(reader.lower[n])}
    for n in old:
        word = reader.lower[n]
        joins = word in _JOINS and n - 1 in run and n + 1 in run
        if joins or (word in _SHADES and n + 1 in run):
            run.add(n)
    return run


def _predicate_colors(reader: PhraseReader, start: int) -> set[int]:
    """Colors after the noun that describe no other noun: "a car painted red", "apple, green"."""
    found: set[int] = set()
    for n in range(start, len(reader.tokens)):
        following = reader.word(n + 1)
        ends = not following or english().has("stops", following)
        if is_color(reader.word(n)) and ends:
            found.add(n)
    return found


def _noun_start(reader: PhraseReader, phrase: NounPhrase) -> int:
    """Where the noun begins, with the nouns before it."""
    start = phrase.words[-1]
    for n in reversed(phrase.words[:-1]):
        if reader.is_attribute(reader.lower[n]) or reader.lower[n] in _JOINS:
            break
        # Only plain nouns belong to the noun; "majestic" and the like are adjectives.
        if reader.lower[n].endswith(("ic", "ful", "ous", "ing", "ed", "y", "al", "ive")):
            break
        start = n
    return start


def _rebuilt(
    description: str, reader: PhraseReader, dropped: set[int], inserted: dict[int, list[str]]
) -> str:
    """The text with tokens left out and words put before others."""
    pieces: list[str] = []
    end = 0
    for n, token in enumerate(reader.tokens):
        between = description[end : token.start]
        end = token.end
        pieces.append("" if n - 1 in dropped and not between.strip() else between)
        added = " ".join(inserted.get(n, []))
        if n in dropped:
            pieces.append(f"{added} " if added else "")
        else:
            pieces.append(f"{added} {token.text}" if added else token.text)
    text = " ".join("".join([*pieces, description[end:]]).split())
    text = re.sub(r" ([,.;])", r"\1", text)
    return re.sub(r"^([Aa])n? (?=(\w))", _article, text)


def _article(match: re.Match[str]) -> str:
    return f"{match[1]}{'n' if match[2].lower() in 'aeiou' else ''} "


def equipped(description: str, thing: str) -> str:
    """The description of something that now has or wears a thing; another of the same kind is replaced."""
    if is_chinese(description):
        verb = (
            "戴着" if re.search(r"[帽镜巾链罩表套冠]", thing) else "穿着" if _clothing_zh(thing) else "带着"
        )
        bare = thing[opening(thing).end :].strip()
        old = re.search(rf"(?:戴|穿|带)着[^的]{{0,12}}的?[^的]{{0,6}}{re.escape(bare[-2:])}的", description)
        new = f"{verb}{bare}的"
        return description.replace(old[0], new, 1) if old else new + description
    reader = PhraseReader(thing, tokenize(thing))
    phrase = reader.phrase(0)
    head = phrase.head if phrase else ""
    mine = PhraseReader(description, tokenize(description))
    old_part = _part(mine, head) if head else None
    if old_part is not None and phrase is not None and old_part.words[0] > 0:
        first, last = mine.tokens[old_part.words[0]], mine.tokens[old_part.words[-1]]
        return (
            description[: first.start]
            + reader.slice(phrase.words[0], phrase.end - 1)
            + description[last.end :]
        )
    has_one = re.search(r"\bwith an? [^,]*$", description)
    return f"{description} {'and' if has_one else 'with'} {thing}"


def _clothing_zh(thing: str) -> bool:
    return any(thing.endswith(word) for word in chinese().sets["clothing"])


def _chinese(description: str, words: str, part: str) -> Wording:
    bare = re.sub(r"^(?:很|非常|更|有点|变得)", "", words.strip("的 "))
    names = [m[0] for m in re.finditer(_SHADE_ZH + either("colors"), bare)]
    known = [
        c for name in names if (c := chinese().lookup("colors", name) or chinese().lookup("colors", name[1:]))
    ]
    colors = hex_colors(known) if known and not part else None
    if part and part in description:
        at = description.index(part)
        before = description[:at]
        tail = re.search(rf"{_SHADE_ZH}{either('colors')}的?$", before) if known else None
        before = before[: tail.start()] if tail else before
        return Wording(f"{before}{bare}的{description[at:]}", colors)
    if part:
        return Wording(f"{bare}{part}的{description}", None)
    lead = opening(description).end
    head, rest = description[:lead], description[lead:].lstrip()
    *segments, noun = rest.split("的")
    kept = [_without_color(s) if known and is_attribute(s) else s for s in segments]
    where = next((i for i, (s, k) in enumerate(zip(segments, kept, strict=True)) if s != k), len(kept))
    if known:
        noun = _without_glued_color(noun)
    kept = [*kept[:where], bare, *kept[where:]]
    return Wording(head + "".join(f"{s}的" for s in kept if s) + noun, colors)


def _without_color(text: str) -> str:
    """Attributes without the colors among them."""
    color = f"{_SHADE_ZH}{either('colors')}"
    return re.sub(rf"{color}(?:[和与、]{color})*(?:相间)?", "", text).strip("和与、")


def _without_glued_color(noun: str) -> str:
    """蓝色汽车 -> 汽车, 红苹果 -> 苹果; 金鱼 and 小红帽 stay."""
    lead = re.match(f"{_SHADE_ZH}{either('colors')}", noun)
    fixed = any(noun.startswith(word) for word in chinese().sets["not_colors"])
    return noun[lead.end() :] if lead and lead.end() < len(noun) and not fixed else noun
