"""Which elements an instruction means: by noun and attributes, order, place, size or id."""

from __future__ import annotations

from functools import lru_cache

from lib_ranni.errors import EditError
from lib_ranni.panel.color_words import COLORS
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.planner.builtin.chinese import read_chinese
from lib_ranni.planner.builtin.chinese_words import chinese
from lib_ranni.planner.builtin.editing_steps import Extreme, Reference, References, example, named
from lib_ranni.planner.builtin.english_phrases import NounPhrase, PhraseReader
from lib_ranni.planner.builtin.english_words import english, singular, tokenize
from lib_ranni.planner.language import is_chinese

GENERIC = frozenset(("thing", "element", "object", "item", "one", "shape", "stuff", "东西", "物体", "元素"))
"""Nouns that fit every element."""

_MOST_READ = 300
"""Characters of a description that are looked at for what it is of."""

_SIZES: dict[str, Extreme] = {
    **dict.fromkeys(("large", "big", "huge", "giant", "大", "巨大"), "large"),
    **dict.fromkeys(("small", "little", "tiny", "mini", "小"), "small"),
}
_SAME = {"grey": "gray", "golden": "gold", "blonde": "blond"}


@lru_cache(maxsize=4096)
def _english(description: str) -> tuple[str, frozenset[str], frozenset[str]]:
    """(head noun, words of its phrase, all words) of a description, in the singular."""
    tokens = tokenize(description[:_MOST_READ])
    reader = PhraseReader(description, tokens)
    phrase: NounPhrase | None = reader.phrase(0)
    words = frozenset(_plain(t.lower) for t in tokens if t.kind == "word")
    if phrase is None:
        return "", words, words
    head, named_by = _plain(phrase.head), {_plain(reader.lower[n]) for n in phrase.words}
    if phrase.of is not None:
        named_by |= {_plain(reader.lower[n]) for n in phrase.of.words}
    return head, frozenset(named_by), words


@lru_cache(maxsize=4096)
def _chinese(description: str) -> tuple[str, frozenset[str]]:
    """(head noun, color names) of a description."""
    things = read_chinese(description[:_MOST_READ]).things
    return (things[0].head, frozenset(things[0].colors)) if things else ("", frozenset())


def _plain(word: str) -> str:
    word = singular(word.removesuffix("'s"))
    return _SAME.get(word, word)


def vocabulary(panel: Panel) -> tuple[frozenset[str], frozenset[str]]:
    """(head nouns, all words) of the panel's English descriptions, in the singular."""
    heads: set[str] = set()
    words: set[str] = set()
    for element in panel.elements:
        if not is_chinese(element.description):
            head, _, all_words = _english(element.description)
            heads.add(head)
            words |= all_words
    return frozenset(heads), frozenset(words)


def head_of(description: str) -> str:
    """The noun that a description is about, in the singular; empty if there is none."""
    return _chinese(description)[0] if is_chinese(description) else _english(description)[0]


def _has_color(element: Element, color: str) -> bool:
    return color in COLORS and COLORS[color] in element.colors


def _fit(element: Element, head: str) -> int:
    """How well a noun names an element, 0 (not) to 3."""
    if not head or _plain(head) in GENERIC:
        return 3
    text = element.description
    if is_chinese(head):
        own = _chinese(text)[0]
        if head in (own, text):
            return 3
        if own.endswith((head, head.removesuffix("子") or head)):
            return 2
        return int(head in text.rpartition("的")[2])
    own, phrase, _ = _english(text)
    wanted = _plain(head)
    if own == wanted:
        return 3
    if wanted in {"person", "human"} and english().has("persons", own):
        return 2
    return int(wanted in phrase)


def named_by(panel: Panel, noun: str) -> bool:
    """Whether a noun names an element of the panel."""
    return bool(noun) and any(_fit(element, noun) for element in panel.elements)


def _shows(element: Element, attribute: str) -> bool:
    """Whether an element has an attribute, by its description or its colors."""
    text = element.description
    if is_chinese(attribute):
        color = chinese().lookup("colors", attribute)
        if color is not None:
            return color in _chinese(text)[1] or _has_color(element, color) or attribute in text
        return attribute in text
    return _plain(attribute) in _english(text)[2] or _has_color(element, attribute)


def _candidates(panel: Panel, reference: Reference) -> list[Element]:
    """What noun, attributes and place fit, before order and number.

    A size that no description names means the largest or smallest.
    """
    fits = {e.id: _fit(e, reference.head) for e in panel.elements}
    best = max(fits.values(), default=0)
    found = [e for e in panel.elements if best and fits[e.id] == best]
    for attribute in reference.attributes:
        having = [e for e in found if _shows(e, attribute)]
        if having or attribute not in _SIZES:
            found = having
        else:
            found = _extreme(found, (_SIZES[attribute],), reference.many)
    if reference.relation and found:
        found = _related(panel, found, reference)
    return found


def _related(panel: Panel, found: list[Element], reference: Reference) -> list[Element]:
    """Those that stand so towards the targets; the nearest where the relation is no strict one."""
    targets = [e for e in resolve(panel, reference.targets) if e not in found or len(found) > 1]
    if not targets:
        return []
    others = [e for e in found if e not in targets]
    fitting = [e for e in others if any(_stands(e.box, reference.relation, t.box) for t in targets)]
    if reference.relation == "between":
        fitting = [e for e in others if _between(e.box, targets[0].box, targets[-1].box)]
    if not reference.many and len(fitting) > 1:
        fitting.sort(key=lambda e: min(_distance(e.box, t.box) for t in targets))
        fitting = fitting[:1]
    return fitting


def _between(box: Box, first: Box, last: Box) -> bool:
    """Whether a center projects between two others."""
    (x, y), (u, v), (s, t) = box.center, first.center, last.center
    along = (x - u) * (s - u) + (y - v) * (t - v)
    return 0 < along < (s - u) ** 2 + (t - v) ** 2


def _distance(first: Box, second: Box) -> float:
    (x, y), (u, v) = first.center, second.center
    return (x - u) ** 2 + (y - v) ** 2


def _stands(box: Box, relation: str, target: Box) -> bool:
    (x, y), (u, v) = box.center, target.center
    if relation in {"left", "right"}:
        return x < u if relation == "left" else x > u
    if relation in {"above", "below"}:
        return y < v if relation == "above" else y > v
    if relation in {"on", "under"}:
        over = y < v if relation == "on" else y > v
        return over and box.x0 < target.x1 and target.x0 < box.x1
    if relation == "inside":
        return target.x0 <= x <= target.x1 and target.y0 <= y <= target.y1
    return True


def reading_order(elements: list[Element]) -> list[Element]:
    """Row by row from the top, each from left to right; a row is what its first element is level with."""
    rows: list[list[Element]] = []
    for element in sorted(elements, key=lambda e: e.box.center[1]):
        if rows and element.box.center[1] < rows[-1][0].box.y1:
            rows[-1].append(element)
        else:
            rows.append([element])
    return [element for row in rows for element in sorted(row, key=lambda e: e.box.center[0])]


def _extreme(found: list[Element], extremes: tuple[Extreme, ...], many: bool) -> list[Element]:
    """The outermost, middle, largest or smallest; of many, those on that half of what they span."""
    if not found:
        return []

    def score(element: Element) -> float:
        x, y = element.box.center
        values = {"left": -x, "right": x, "top": -y, "bottom": y}
        values |= {"large": element.box.area, "small": -element.box.area}
        return sum(values.get(extreme, 0.0) for extreme in extremes)

    if extremes == ("middle",):
        ordered = reading_order(found)
        return [ordered[(len(ordered) - 1) // 2]]
    scores = [score(element) for element in found]
    middle = (max(scores) + min(scores)) / 2
    if many:
        return [e for e, value in zip(found, scores, strict=True) if value > middle or len(found) == 1]
    return [max(found, key=score)]


def _ordered(found: list[Element], reference: Reference) -> list[Element]:
    side = reference.counted_from
    if not side:
        return reading_order(found)
    axis = 0 if side in {"left", "right"} else 1
    return sorted(found, key=lambda e: e.box.center[axis], reverse=side in {"right", "bottom"})


def _one(panel: Panel, reference: Reference, earlier: list[Element]) -> list[Element]:
    """The elements of one reference. Raises `EditError` if there are none, too few, or too many."""
    if reference.pronoun:
        found = earlier or (list(panel.elements) if reference.many else list(panel.elements[:2]))
        if not found or (len(found) > 1 and not reference.many and not earlier):
            raise EditError(
                f"“{reference.said}” could mean any element; the panel has {named(panel.elements)}. "
                f"Name the one you mean, {example(panel)}"
            )
        return found
    if reference.id:
        element = panel.find(reference.id)
        found = [] if element is None else [element]
    else:
        found = _candidates(panel, reference)
    if reference.but:
        left_out = {e.id for e in resolve(panel, reference.but)}
        found = [e for e in found if e.id not in left_out]
    if not found:
        raise EditError(
            f"there is no “{reference.said[:80]}” to do this with; the panel has {named(panel.elements)}. "
            f"Name one of them, {example(panel)}"
        )
    return _counted(panel, reference, found)


def _counted(panel: Panel, reference: Reference, found: list[Element]) -> list[Element]:
    """Those that ordinal, side and number leave."""
    if reference.extremes:
        found = _extreme(found, reference.extremes, reference.many)
    if reference.ordinal is not None:
        ordered = _ordered(found, reference)
        if abs(reference.ordinal) > len(ordered):
            raise EditError(
                f"there are only {len(ordered)} that “{reference.said[:80]}” could mean: {named(ordered)}"
            )
        start = reference.ordinal - 1 if reference.ordinal > 0 else reference.ordinal
        if (reference.count or 1) > 1:
            many = reference.count or 1
            return ordered[start : start + many] if start >= 0 else ordered[-many:]
        return [ordered[start]]
    if reference.count is not None:
        if len(found) < reference.count:
            raise EditError(
                f"“{reference.said[:80]}” needs {reference.count}, but there is only {named(found)}; "
                f"the panel has {named(panel.elements)}"
            )
        return reading_order(found)[: reference.count]
    if len(found) > 1 and not reference.many:
        raise EditError(
            f"“{reference.said[:80]}” could mean {named(found)}; say which one, "
            f"such as “the second”, “the left one”, “all” or “{found[0].id[:20]}”"
        )
    return found


def resolve(panel: Panel, references: References, earlier: list[Element] | None = None) -> list[Element]:
    """The elements that are meant, each once. `earlier` are those that "it" can mean."""
    found: dict[str, Element] = {}
    for reference in references:
        found |= {e.id: e for e in _one(panel, reference, earlier or [])}
    return list(found.values())


def subjects(
    panel: Panel, references: References, earlier: list[Element]
) -> tuple[list[Element], list[Element]]:
    """(elements to change, locked ones passed over). Raises `EditError` for a locked one that was named."""
    free: dict[str, Element] = {}
    passed: dict[str, Element] = {}
    for reference in references:
        found = _one(panel, reference, earlier)
        locked = [e for e in found if e.locked]
        if locked and (len(locked) == len(found) or not reference.many):
            raise EditError(f"{named(locked)} is locked and stays as it is; unlock it first, or name another")
        passed |= {e.id: e for e in locked}
        free |= {e.id: e for e in found if not e.locked}
    return list(free.values()), list(passed.values())
