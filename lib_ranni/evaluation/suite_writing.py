"""How `suite_shapes.json` was written: every choice comes from one fixed seed.

`python -m lib_ranni.evaluation.suite_writing FILE` writes it again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import msgspec

from lib_ranni.evaluation.captions import NUMBER_WORDS, article, plural
from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS, SHAPES
from lib_ranni.evaluation.suite import CATEGORIES, Category, Entry, Expected, Side

SUITE_SEED = 20
FIRST_PICTURE_SEED = 5000

SIZES: dict[Category, int] = {
    "single": 40,
    "binding-2": 50,
    "binding-3/4": 40,
    "counting": 40,
    "spatial": 50,
}

Relations = tuple[tuple[int, Side, int], ...]
Draft = tuple[str, tuple[Expected, ...], Relations]

_SINGLE = (
    "{a}",
    "{a}",
    "a picture of {a}",
    "a drawing of {a}",
    "one {n}",
    "a large {n}",
    "a small {n}",
    "there is {a}",
    "{a} in the center",
)
_PAIR = (
    "{a} and {b}",
    "{a} and {b}",
    "{a} next to {b}",
    "{a} beside {b}",
    "a picture of {a} and {b}",
    "{a}, {b}",
    "a drawing of {a} and {b}",
    "there is {a} and {b}",
)
_SIDES: dict[Side, tuple[str, ...]] = {
    "left": ("to the left of", "on the left of", "left of"),
    "right": ("to the right of", "on the right of", "right of"),
    "above": ("above",),
    "below": ("below",),
}
_RELATED = (
    "{a} {side} {b}",
    "{a} {side} {b}",
    "a picture of {a} {side} {b}",
    "there is {a} {side} {b}",
    "a drawing of {a} {side} {b}",
)
_BACKGROUND = (
    "{text} on a {color} background",
    "{text} on a plain {color} background",
    "{text}, {color} background",
)

# (counts of each kind) and how many prompts of the category have them
_COUNTS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((2,), 8),
    ((3,), 9),
    ((4,), 7),
    ((2, 1), 5),
    ((2, 2), 4),
    ((3, 1), 3),
    ((5,), 2),
    ((3, 2), 2),
)


def _distinct(rng: Random, count: int, kind: int) -> list[Expected]:
    """`count` different objects; kind 0 shares one shape, kind 1 one color, others neither."""
    shapes = rng.sample(SHAPES, count)
    colors = rng.sample(tuple(COLORS), count)
    if kind == 0:
        shapes = [shapes[0]] * count
    elif kind == 1:
        colors = [colors[0]] * count
    return [Expected(shape, color) for shape, color in zip(shapes, colors, strict=True)]


def _listed(phrases: list[str]) -> str:
    return ", ".join(phrases[:-1]) + " and " + phrases[-1] if len(phrases) > 1 else phrases[0]


def _single(rng: Random, index: int) -> Draft:
    shape = SHAPES[index % len(SHAPES)]
    # 3 is coprime to the number of colors, so each color comes equally often with changing shapes.
    color = tuple(COLORS)[(3 * index + index // len(SHAPES)) % len(COLORS)]
    thing = Expected(shape, color)
    text = rng.choice(_SINGLE).format(a=article(thing.name), n=thing.name)
    return text, (thing,), ()


def _binding_2(rng: Random, index: int) -> Draft:
    a, b = _distinct(rng, 2, index % 4)
    return rng.choice(_PAIR).format(a=article(a.name), b=article(b.name)), (a, b), ()


def _binding_many(rng: Random, index: int) -> Draft:
    things = _distinct(rng, 3 + index % 2, 2 if index % 5 else 0)
    text = _listed([article(thing.name) for thing in things])
    opening = rng.choice(("", "", "", "a picture of ", "a drawing of "))
    return opening + text, tuple(things), ()


def _counting(rng: Random, index: int) -> Draft:
    plan = [counts for counts, times in _COUNTS for _ in range(times)]
    counts = plan[index]
    kinds = _distinct(rng, len(counts), 2)
    things = tuple(Expected(t.shape, t.color, n) for t, n in zip(kinds, counts, strict=True))
    digits = rng.random() < 0.2
    phrases = []
    for thing in things:
        number = str(thing.count) if digits else NUMBER_WORDS[thing.count]
        phrases.append(f"{number} {thing.name if thing.count == 1 else plural(thing.name)}")
    opening = rng.choice(("", "", "", "a picture of ", "a drawing of "))
    return opening + _listed(phrases), things, ()


def _spatial(rng: Random, index: int) -> Draft:
    if index % 5 == 4:
        count = 4 if index % 15 == 14 else 3
        things = tuple(_distinct(rng, count, 2))
        order: Relations = tuple((k, "left", k + 1) for k in range(count - 1))
        return "from left to right: " + _listed([article(t.name) for t in things]), things, order
    side = tuple(_SIDES)[(index - index // 5) % len(_SIDES)]
    a, b = _distinct(rng, 2, index % 6)
    text = rng.choice(_RELATED).format(a=article(a.name), b=article(b.name), side=rng.choice(_SIDES[side]))
    return text, (a, b), ((0, side, 1),)


_WRITERS: dict[Category, Callable[[Random, int], Draft]] = {
    "single": _single,
    "binding-2": _binding_2,
    "binding-3/4": _binding_many,
    "counting": _counting,
    "spatial": _spatial,
}


def _background(rng: Random, things: tuple[Expected, ...]) -> str | None:
    """A background to name, or None; always one where a plain model might else hide an object."""
    colors = {thing.color for thing in things}
    free = [b for b in BACKGROUNDS if b not in colors and not (b == "beige" and "white" in colors)]
    if colors & set(BACKGROUNDS) or rng.random() < 0.4:
        return rng.choice(free)
    return None


def generate() -> Iterator[Entry]:
    """The entries of the suite, always the same."""
    rng = Random(SUITE_SEED)
    used: set[str] = set()
    number = 0
    for category in CATEGORIES:
        index = 0
        while index < SIZES[category]:
            text, things, relations = _WRITERS[category](rng, index)
            background = _background(rng, things)
            prompt = text
            if background is not None:
                prompt = rng.choice(_BACKGROUND).format(text=text, color=background)
            if prompt in used:
                continue
            used.add(prompt)
            name = f"{category.replace('/', '-')}-{index + 1:02}"
            yield Entry(name, category, prompt, FIRST_PICTURE_SEED + number, things, relations, background)
            index += 1
            number += 1


def encoded() -> bytes:
    """The suite file's content: one entry a line."""
    lines = [msgspec.json.encode(entry).decode() for entry in generate()]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(encoded())
