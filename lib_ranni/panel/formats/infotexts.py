"""Infotexts, which the WebUI writes beside pictures, and requests to its API, as parameters by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from lib_ranni.panel.formats.literals import Cut, closing
from lib_ranni.panel.problems import Problems, shown

MAX_PROMPT = 2**20

_FIRST = "Steps|RP Active|RP Divide mode|forge_couple|Tiled Diffusion"
"""The parameters that a line of them may begin with."""

_LINE = re.compile(rf"\n(?:{_FIRST}): ")
_NEGATIVE = "\nNegative prompt:"
_PAIR = re.compile(r'([A-Za-z][\w \-/]{0,60}): *("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_MARK = re.compile(rf"(?:Negative prompt|{_FIRST})(?=:)")
_MOST_CUT = 8
"""How many values may begin with a brace that is never closed: each costs a look at the rest."""


def parameters_of_text(text: str) -> dict[str, Any]:
    """The parameters of an infotext; a text without any is a prompt."""
    text = "\n" + text.strip()
    match = _LINE.search(text)
    head = text[: match.start()] if match else text
    prompt, _, negative = head.partition(_NEGATIVE)
    found: dict[str, Any] = {"Prompt": prompt.strip(), "Negative prompt": negative.strip()}
    for name, value in _pairs(text[match.start() :].replace("\n", " ") if match else ""):
        found.setdefault(name, value)
    return found


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """(name, value) of each parameter; an object in braces is one value, commas and all."""
    position = cut = 0
    while match := _PAIR.search(text, position):
        begin, position = match.start(2), match.end()
        value = _unquoted(match[2].strip())
        if text.startswith("{", begin) and cut < _MOST_CUT:
            try:
                position = closing(text, begin)
                value = text[begin:position]
            except Cut:
                cut += 1
        yield match[1].strip(), value


def _unquoted(value: str) -> str:
    """A value of an infotext without the quotes that one with a comma has."""
    if len(value) < 2 or not value.startswith('"') or not value.endswith('"'):
        return value
    try:
        inner = json.loads(value)
    except ValueError:
        return value[1:-1]
    return str(inner)


def document_of(text: str) -> dict[str, Any] | None:
    """The JSON object that the text is, or None."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return document if isinstance(document, dict) else None


def arguments_of(request: Mapping[str, Any], script: str) -> list[Any] | None:
    """The arguments for a script (its title in small letters) in a txt2img or img2img request, or None."""
    scripts = request.get("alwayson_scripts")
    for name, found in scripts.items() if isinstance(scripts, dict) else ():
        if isinstance(name, str) and name.lower() == script and isinstance(found, dict):
            values = found.get("args")
            return values if isinstance(values, list) else []
    return None


def parameters_of_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The prompts and the size of a request, as an infotext calls them."""
    return {
        "Prompt": request.get("prompt", ""),
        "Negative prompt": request.get("negative_prompt", ""),
        "Size-1": request.get("width", 512),
        "Size-2": request.get("height", 512),
    }


def aspect_of(parameters: Mapping[str, Any]) -> float | None:
    """Width / height of the picture, where the parameters tell."""
    sides: list[Any] = [parameters.get("Size-1"), parameters.get("Size-2")]
    match = _SIZE.match(plain_text(parameters.get("Size", "")))
    if match:
        sides = [match[1], match[2]]
    pixels = [int(text) if text.isdecimal() and len(text) < 6 else 0 for text in map(plain_text, sides)]
    return pixels[0] / pixels[1] if all(pixels) else None


def size_of(aspect: float) -> str:
    """A size of about 1024 by 1024 pixels in this aspect, in steps of 8."""
    return "x".join(str(max(8, 8 * round(128 * side))) for side in (math.sqrt(aspect), math.sqrt(1 / aspect)))


def plain_text(value: Any) -> str:
    """A plain value as text; nothing for what is none, or too large to be one."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return str(value)
    return ""


def text_in(parameters: Mapping[str, Any], name: str, default: str, problems: Problems) -> str:
    """A parameter as text without blanks around; the default where it is blank or no plain value."""
    value = parameters.get(name)
    if value is None or isinstance(value, (str, int, float)):
        return plain_text(value).strip() or default
    problems.add(name, f"must be a text, not {shown(value)}", f"read as {default}")
    return default


def is_on(word: str) -> bool:
    """Whether the text of a parameter means yes."""
    return word.lower() in ("true", "1", "yes", "on")


def defused(line: str, path: str, problems: Problems) -> str:
    """A line of a prompt, changed where an infotext would take it for the negative prompt or for settings."""
    match = _MARK.match(line)
    if match is None:
        return line
    problems.add(path, f"begins like a setting: {shown(match[0])}", "written with a blank before the colon")
    return f"{match[0]} {line[match.end() :]}"
