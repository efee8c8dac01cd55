"""Captions for `Scene`s, in the many wordings a user might choose: counts, lists, relations, places."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

from lib_ranni.evaluation.scenes import Scene, SceneObject

NUMBER_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}

LARGE, SMALL = 0.46, 0.24
"""Sizes from which a caption may call an object large or small."""

RELATION_MARGIN = 0.16
"""How much further apart two centers must be along one axis than along the other to name a relation."""


def plural(shape: str) -> str:
    """More than one of a shape: "crosses", "stars"."""
    return shape + "es" if shape.endswith("s") else shape + "s"


def article(words: str) -> str:
    """The words with "a" or "an" before them."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def relation(first: SceneObject, second: SceneObject) -> str | None:
    """`left`, `right`, `above` or `below` if `first` clearly stands so to `second`, else None."""
    dx, dy = second.x - first.x, second.y - first.y
    if abs(dx) > abs(dy) + RELATION_MARGIN:
        return "left" if dx > 0 else "right"
    if abs(dy) > abs(dx) + RELATION_MARGIN:
        return "above" if dy > 0 else "below"
    return None


_RELATION_WORDS = {
    "left": ("to the left of", "on the left of", "left of"),
    "right": ("to the right of", "on the right of", "right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
}


def place_words(item: SceneObject) -> str:
    """Where a caption says that an object is."""

    def third(v: float) -> int:
        return 0 if v < 0.36 else 2 if v > 0.64 else 1

    row = ("top", "", "bottom")[third(item.y)]
    column = ("left", "", "right")[third(item.x)]
    if row and column:
        return f"in the {row} {column} corner"
    if row:
        return f"at the {row}"
    if column:
        return f"on the {column}"
    return "in the center"


def _singular(item: SceneObject, rng: Random) -> str:
    words = item.name
    if item.size >= LARGE and rng.random() < 0.3:
        words = rng.choice(("large ", "big ")) + words
    elif item.size <= SMALL and rng.random() < 0.3:
        words = "small " + words
    # Half the names come bare: that is how a panel's descriptions, and many users, write them.
    kind = rng.random()
    if kind < 0.47:
        return article(words)
    return words if kind < 0.92 else f"one {words}"


def _phrases(scene: Scene, rng: Random) -> list[str]:
    """One noun phrase for each kind of object, in random order."""
    counts = Counter(item.name for item in scene.objects)
    phrases = []
    for name, count in counts.items():
        if count == 1:
            item = next(i for i in scene.objects if i.name == name)
            phrases.append(_singular(item, rng))
        else:
            number = NUMBER_WORDS[count] if rng.random() < 0.75 else str(count)
            color, shape = name.split(" ")
            phrases.append(f"{number} {color} {plural(shape)}")
    rng.shuffle(phrases)
    return phrases


def _listed(phrases: list[str], rng: Random) -> str:
    if len(phrases) == 1:
        return phrases[0]
    style = rng.random()
    if len(phrases) == 2 and style < 0.25:
        return rng.choice((" next to ", " with ", " beside ")).join(phrases)
    if style < 0.8:
        joint = rng.choice((" and ", ", and ") if len(phrases) > 2 else (" and ",))
        return ", ".join(phrases[:-1]) + joint + phrases[-1]
    return ", ".join(phrases)


def _related(scene: Scene, rng: Random) -> str | None:
    """A relation between two single objects, or a left-to-right list, where the scene has one."""
    items = list(scene.objects)
    if len({item.name for item in items}) < len(items):
        return None
    if len(items) == 2:
        rng.shuffle(items)
        first, second = items
        side = relation(first, second)
        if side is None:
            return None
        return f"{_singular(first, rng)} {rng.choice(_RELATION_WORDS[side])} {_singular(second, rng)}"
    items.sort(key=lambda item: item.x)
    if any(b.x - a.x < 0.12 for a, b in pairwise(items)):
        return None
    return "from left to right: " + _listed_in_order([_singular(i, rng) for i in items])


def _listed_in_order(phrases: list[str]) -> str:
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _background(scene: Scene, text: str, rng: Random) -> str:
    color = scene.background
    kind = rng.random()
    if kind < 0.42:
        return text
    if kind < 0.72:
        return f"{text} on a {color} background"
    if kind < 0.84:
        return f"{text} on a plain {color} background"
    if kind < 0.94:
        return f"{text}, {color} background"
    return f"{text} on a plain background"


def object_text(item: SceneObject, rng: Random) -> str:
    """One object by itself, as an element's description names it."""
    return _singular(item, rng)


def background_text(scene: Scene, rng: Random) -> str:
    """The background alone, as a base prompt names it."""
    color = scene.background
    wordings = (
        f"on a {color} background",
        f"{color} background",
        f"on a plain {color} background",
        f"plain {color} background",
        "plain background",
    )
    return rng.choice(wordings)


def caption(scene: Scene, rng: Random) -> str:
    """One caption that is true of the scene; every choice of words comes from `rng`."""
    color = scene.background
    if not scene.objects:
        wordings = (
            f"a plain {color} background",
            f"an empty {color} background",
            f"{color} background",
            f"on a {color} background",
            f"plain {color} background",
            "a plain background",
            "an empty background",
        )
        return rng.choice(wordings)
    text = None
    if len(scene.objects) == 1 and rng.random() < 0.2:
        text = f"{_singular(scene.objects[0], rng)} {place_words(scene.objects[0])}"
    elif len(scene.objects) > 1 and rng.random() < 0.45:
        text = _related(scene, rng)
    if text is None:
        text = _listed(_phrases(scene, rng), rng)
    if rng.random() < 0.2:
        text = rng.choice(("a picture of ", "a drawing of ", "an image of ", "a photo of ")) + text
    return _background(scene, text, rng)
