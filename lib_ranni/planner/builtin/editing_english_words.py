"""The words of English instructions: what is asked for, ways to go, amounts."""

from __future__ import annotations

import re

from lib_ranni.planner.builtin.editing_steps import Extreme
from lib_ranni.planner.builtin.english_words import Token

_TOKEN = re.compile(
    r"""
      (?P<quote>"[^"]*"|“[^”]*”)
    | (?P<word>\d+(?:\.\d+)?\s?%|\d+(?:\.\d+)?x?(?![A-Za-z0-9])|[A-Za-z0-9À-ɏ_]+(?:['’\-][A-Za-z0-9À-ɏ]+)*)
    | (?P<end>[.!?;\n]+)
    | (?P<punct>[^\s])
    """,
    re.VERBOSE,
)

REMOVE = (
    *("remove", "delete", "erase", "drop", "eliminate", "discard", "clear", "hide", "scrap", "omit"),
    *("get rid of", "take away", "take out", "wipe out", "cut out", "no more", "throw away", "throw out"),
    *(
        "dont want",
        "do not want",
        "don't want",
        "i don't want",
        "i do not want",
        "i don't need",
        "we don't need",
    ),
)
KEEP = ("keep only", "only keep", "leave only", "keep just", "just keep", "only leave")
ADD = (
    *(
        "add",
        "insert",
        "include",
        "draw",
        "create",
        "there should be",
        "there should also be",
        "there is",
        "there are",
    ),
    "show",
)
WANT = ("i want", "want", "i'd like", "i would like", "we need", "i need", "let there be", "have")
PUT = ("put", "place", "position", "set", "stand", "lay", "hang", "park", "sit")
MOVE = (
    *("move", "shift", "push", "pull", "slide", "bring", "drag", "send", "nudge", "relocate", "bump"),
    *("get", "take"),
)
LIFT = {"raise": -1, "lift": -1, "lower": 1}
SWAP = ("swap", "exchange", "switch", "interchange")
REPLACE = ("replace", "substitute")
TURN = ("turn", "change", "transform", "convert", "make", "let", "have")
PAINT = ("paint", "color", "colour", "recolor", "recolour", "dye", "tint")
EQUIP = ("give", "dress")
GROW = ("enlarge", "grow", "expand", "scale up", "magnify", "blow up", "increase", "upscale")
SHRINK = ("shrink", "reduce", "scale down", "downsize", "decrease", "downscale")
STRETCH = {"widen": "width", "heighten": "height", "narrow": "-width", "shorten": "-height"}
FACTORS = {"double": 2.0, "triple": 3.0, "halve": 0.5}
VERBS = frozenset(
    phrase.split()[0]
    for phrases in (
        *(REMOVE, KEEP, ADD, PUT, MOVE, tuple(LIFT), SWAP, REPLACE, TURN, PAINT, EQUIP, GROW, SHRINK),
        *(tuple(STRETCH), tuple(FACTORS), ("scale", "resize", "center", "stretch", "fill", "set")),
    )
    for phrase in phrases
) - {"there", "no", "i", "only", "dont"}
"""Words that can begin a step."""

POLITE = (
    *("please", "can you", "could you", "would you", "will you", "i want you to", "i would like you to"),
    *(
        "i'd like you to",
        "i'd like to",
        "i would like to",
        "let's",
        "lets",
        "now",
        "then",
        "also",
        "and",
        ",",
    ),
    *(
        "you should",
        "just",
        "ok",
        "okay",
        "next",
        "finally",
        "afterwards",
        "after that",
        "kindly",
        "hey",
        "so",
    ),
    *("i want to", "we should", "try to", "go ahead and", "first", "actually"),
)

SIZES: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("bigger", "larger", "huger", "big", "large", "huge", "giant", "enormous"), (1, 1)),
    **dict.fromkeys(("smaller", "tinier", "small", "little", "tiny", "littler"), (-1, -1)),
    **dict.fromkeys(("wider", "broader", "fatter", "longer", "wide"), (1, 0)),
    **dict.fromkeys(("narrower", "thinner", "slimmer"), (-1, 0)),
    **dict.fromkeys(("taller", "higher", "tall"), (0, 1)),
    **dict.fromkeys(("shorter", "lower", "flatter"), (0, -1)),
}
"""Sizes as the signs of what happens to width and height."""

EXTREMES: dict[str, tuple[Extreme, ...]] = {
    **dict.fromkeys(("left", "leftmost", "left-most", "left-hand"), ("left",)),
    **dict.fromkeys(("right", "rightmost", "right-most", "right-hand"), ("right",)),
    **dict.fromkeys(("top", "topmost", "upper", "uppermost", "highest", "higher"), ("top",)),
    **dict.fromkeys(("bottom", "bottommost", "lower", "lowest", "lowermost"), ("bottom",)),
    **dict.fromkeys(("middle", "center", "centre", "central"), ("middle",)),
    **dict.fromkeys(("bigger", "biggest", "larger", "largest", "taller", "tallest"), ("large",)),
    **dict.fromkeys(("smaller", "smallest", "shorter", "shortest", "tiniest", "littlest"), ("small",)),
}
"""What "the ... one" is the utmost in."""

ORDINALS = {
    **{"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8},
    **{"ninth": 9, "tenth": 10, "last": -1, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "6th": 6},
    **{"7th": 7, "8th": 8, "9th": 9, "10th": 10, "final": -1},
}
PRONOUNS = {
    **dict.fromkeys(("it", "that", "this", "him", "her", "he", "she"), False),
    **dict.fromkeys(("them", "they", "these", "those"), True),
}
"""Whether a pronoun means several."""

ALL = frozenset(("all", "every", "each", "both", "any"))
EVERYTHING = frozenset(("everything", "everyone", "everybody", "all"))
EXCEPT = ("except for", "except", "but", "other than", "besides", "apart from", "aside from", "save for")

WAYS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("left", "leftward", "leftwards"), (-1, 0)),
    **dict.fromkeys(("right", "rightward", "rightwards"), (1, 0)),
    **dict.fromkeys(("up", "upward", "upwards", "higher"), (0, -1)),
    **dict.fromkeys(("down", "downward", "downwards", "lower"), (0, 1)),
}
"""Ways to go, as (dx, dy)."""

LITTLE = (
    "a little bit",
    "a tiny bit",
    "a bit",
    "a little",
    "slightly",
    "somewhat",
    "a touch",
    "a tad",
    "just a bit",
)
MUCH = ("a lot", "far", "much", "way", "a great deal", "considerably", "significantly", "really", "very")
TIMES = {
    **{"twice": 2.0, "double": 2.0, "two times": 2.0, "three times": 3.0, "triple": 3.0, "thrice": 3.0},
    **{"half": 0.5, "four times": 4.0, "a third": 1 / 3, "a quarter": 0.25, "2x": 2.0, "3x": 3.0},
}
TAILS = (
    *(
        "please",
        "thanks",
        "thank you",
        "too",
        "now",
        "as well",
        "for me",
        "instead",
        "again",
        "also",
        "than before",
        "than it is",
        "than now",
    ),
)
"""What a step may end in without meaning anything."""

PLACE_NOUNS = {"sky": 0.15, "air": 0.2, "ceiling": 0.1, "ground": 0.9, "floor": 0.9, "grass": 0.9}
"""Heights of places that need no element of their own, 0 at the top."""


def tokens_of(text: str) -> list[Token]:
    """Words, numbers with their percent sign, quotations and marks; a possessive 's is a word of its own."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind, start, end = match.lastgroup or "", match.start(), match.end()
        lower = match[0].lower().replace("’", "'").replace(" ", "" if "%" in match[0] else " ")
        if kind == "word" and lower.endswith("'s") and lower not in {"let's", "it's", "that's", "there's"}:
            tokens.append(Token(kind, text[start : end - 2], lower[:-2], start, end - 2))
            tokens.append(Token(kind, text[end - 2 : end], "'s", end - 2, end))
        elif kind == "word" and lower.endswith("s'") and len(lower) > 3:
            tokens.append(Token(kind, text[start : end - 1], lower[:-1], start, end - 1))
        else:
            tokens.append(Token(kind, match[0], lower, start, end))
    return tokens
