"""Seeded random damage to panel documents, before and after they are written as text."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**64,
    -(2**70),
    10**400,
    1e308,
    -1e-320,
    0.5,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "x" * 20_000,
    "0.5",
    "50%",
    "nan",
    "1e999",
    "\ud800",
    "a\udfffb",
    "\x00",
    "\u202e",
    "#FFF",
    "#gggggg",
    [],
    {},
    [[]],
    [None],
    [3, "x", {}],
    {"x0": 0},
    {"": ""},
    {"extra": {}},
    {"width": 3, "height": 3, "runs": [9]},
    {"width": 4096, "height": 4096, "runs": [0, 4096 * 4096]},
    {"x0": 1, "y0": 1, "x1": 0, "y1": 0},
    {"x0": "1", "y0": "2", "x1": "300", "y1": "400"},
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((value, key))
        found += _places(item)
    return found


def _swap(random: Random, container: Any, key: Any) -> None:
    container[key] = copy.deepcopy(random.choice(_ODD))


def _delete(random: Random, container: Any, key: Any) -> None:
    del container[key]


def _nest(random: Random, container: Any, key: Any) -> None:
    for _ in range(random.choice((1, 5, 50, 200))):
        container[key] = [container[key]] if random.random() < 0.5 else {"a": container[key]}


def _rename(random: Random, container: Any, key: Any) -> None:
    name = random.choice(
        ("", "id", "box", "bbox", "label", "elements", "version", "extra", "x" * 300, "\u202e")
    )
    if isinstance(container, dict):
        container[name] = container.pop(key)
    else:
        container.insert(0, {name: container[key]})


def _repeat(random: Random, container: Any, key: Any) -> None:
    if isinstance(container, list):
        container.extend([container[key]] * random.choice((1, 3, 30)))
    else:
        container[f"{key}2"] = copy.deepcopy(container[key])


def _scale(random: Random, container: Any, key: Any) -> None:
    if isinstance(container[key], (int, float)) and not isinstance(container[key], bool):
        container[key] *= random.choice((-1, 10, 1000, 1e300, 10**30))
    else:
        container[key] = json.dumps(container[key], skipkeys=True)


_DAMAGE: tuple[Callable[[Random, Any, Any], None], ...] = (
    _swap,
    _swap,
    _delete,
    _nest,
    _rename,
    _repeat,
    _scale,
)


def damaged(document: Any, random: Random) -> Any:
    """A copy of the document with one to four places damaged."""
    document = copy.deepcopy(document)
    for _ in range(random.randint(1, 4)):
        places = _places(document)
        if places:
            random.choice(_DAMAGE)(random, *random.choice(places))
    return document


def _truncated(random: Random, text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")[: random.randrange(len(text) + 1)]


def _reencoded(random: Random, text: str) -> bytes:
    return text.encode(random.choice(("utf-16", "utf-32", "utf-8-sig", "cp037", "utf-7")), "replace")


def _noisy(random: Random, text: str) -> bytes:
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(random.randint(1, 5)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data)


def _duplicated(random: Random, text: str) -> str:
    """An object's first member once more, with another value."""
    key = random.choice(("version", "elements", "base", "id", "box", "weight"))
    value = json.dumps(random.choice(_ODD[:13]))
    at = random.choice([index for index, character in enumerate(text) if character == "{"] or [0])
    return f'{text[: at + 1]}"{key}": {value}, {text[at + 1 :]}'


def _deepened(random: Random, text: str) -> str:
    depth = random.choice((10, 500, 5000))
    return text.replace("[", "[" * depth, 1).replace("]", "]" * depth, 1)


_TEXT_DAMAGE: tuple[Callable[[Random, str], bytes | str], ...] = (
    _truncated,
    _reencoded,
    _noisy,
    _duplicated,
    _deepened,
    lambda random, text: f"```json\n{text}\n```",
)


def damaged_text(document: Any, random: Random) -> bytes | str:
    """The document as JSON text (possibly damaged already), with the text damaged too."""
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    return random.choice(_TEXT_DAMAGE)(random, text)
