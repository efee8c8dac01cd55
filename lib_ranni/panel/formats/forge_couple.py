"""Forge Couple: a line of the prompt for each region, in equal tiles (Basic) or in boxes (Advanced).

Read from an infotext or a request to the WebUI's API. Its weights are shares: where regions overlap, and
with the line that acts on the whole picture, each has its weight by the sum of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import infotexts
from lib_ranni.panel.formats.boxes import Quad
from lib_ranni.panel.formats.conversion import Imported, corners, given, imported, is_number
from lib_ranni.panel.formats.fc_writing import least_of, write
from lib_ranni.panel.formats.infotexts import MAX_PROMPT
from lib_ranni.panel.formats.prompts import with_lora
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import MAX_ELEMENTS

__all__ = ["NAME", "detects", "from_parameters", "read", "write"]

NAME = "forge_couple"
SCRIPT = "forge couple"

_SETTING = re.compile(
    r"(?:^|[\n,{\"]) {0,4}(?:forge_couple(?:_mode)?\"? {0,4}:|forge couple\" {0,4}:)", re.IGNORECASE
)

# The names of the positional arguments of the API, as the infotext calls them.
_ARGUMENTS = (
    *("forge_couple", "forge_couple_compatibility", "forge_couple_mode", "forge_couple_separator"),
    *("forge_couple_direction", "forge_couple_background", "forge_couple_background_weight"),
    *("forge_couple_mapping", "forge_couple_common_parser", "debug", "forge_couple_def_in_prompt"),
)
_NOT_COMMON = ("lora", "lyco", "hypernet")
"""Tags of the WebUI, which are gone from the prompt before `< >` is looked for."""


class _Settings(Struct, frozen=True, kw_only=True):
    """What the settings say. `brackets` is `{ }`, `< >` or nothing."""

    mode: str
    separator: str
    vertical: bool
    background: str
    background_weight: float
    mapping: Any
    brackets: str
    keep_definitions: bool
    skip_blank: bool
    without_hires: bool


class _Region(Struct, frozen=True):
    """A line of the prompt, the (x0, y0, x1, y1) where it acts, and its share."""

    path: str
    words: str
    sides: Quad
    weight: float


class _Layout(Struct, frozen=True):
    """What acts on the whole picture, with its share, and what acts in regions."""

    base: str
    base_weight: float
    regions: list[_Region]


def detects(text: str) -> bool:
    """Whether the text has its settings."""
    return _SETTING.search(text) is not None


def read(text: str) -> Imported:
    """The panel of an infotext or an API request. Raises `InputError` for mask mode and lost mappings."""
    text = given(text)
    document = infotexts.document_of(text)
    if document is None:
        return from_parameters(infotexts.parameters_of_text(text))
    values = infotexts.arguments_of(document, SCRIPT)
    if values is None:
        return from_parameters(document)
    # As good as given when they are left out.
    usual = {"forge_couple_common_parser": "{ }", **infotexts.parameters_of_request(document)}
    names = list(_ARGUMENTS)
    if len(values) > 1 and not isinstance(values[1], bool):
        # Its first versions had no switch for the hires fix.
        names.remove("forge_couple_compatibility")
    return from_parameters({**usual, **dict(zip(names, values, strict=False))})


def from_parameters(parameters: Mapping[str, Any]) -> Imported:
    """The panel of an infotext's parameters: `Prompt`, `Negative prompt`, `Size`, and `forge_couple...`."""
    problems = Problems()
    settings = _settings(parameters, problems)
    prompt = problems.text("Prompt", parameters.get("Prompt", ""), MAX_PROMPT)
    lines = [line.strip() for line in _expanded(prompt, settings).split(settings.separator)]
    # One more than regions, for the base.
    if len(lines) > MAX_ELEMENTS + 1:
        raise InputError(f"the prompt has {len(lines)} lines; a panel has at most {MAX_ELEMENTS} regions")
    layout = (_boxes if settings.mode == "advanced" else _tiles)(lines, settings, problems)
    ratios = [_base_ratio(region, layout.base_weight) for region in layout.regions]
    differ = len(set(ratios)) > 1
    least = least_of(region.weight for region in layout.regions)
    elements = []
    for region, ratio in zip(layout.regions, ratios, strict=True):
        if not region.words:
            problems.add(region.path, "has no text", "left to the base prompt")
            continue
        element: dict[str, Any] = {"box": corners(*region.sides), "weight": region.weight / least}
        element["description"], element["lora"] = with_lora(region.words)
        if differ:
            element["base_ratio"] = ratio
        elements.append(element)
    if any(element["lora"] for element in elements):
        problems.add("Prompt", "has LoRAs that acted on the whole picture", "kept to their regions")
    document: dict[str, Any] = {
        "base": layout.base,
        "negative": parameters.get("Negative prompt", ""),
        "elements": elements,
    }
    aspect = infotexts.aspect_of(parameters)
    if aspect is not None:
        document["aspect"] = aspect
    mixing: dict[str, Any] = {"mode": "attention", "base_ratio": max(ratios, default=0.0)}
    if settings.mode == "advanced":
        mixing["overlap"] = "blend"
    if settings.without_hires:
        mixing["hires"] = {"enabled": False}
    return imported(NAME, document, problems, mixing)


def _settings(parameters: Mapping[str, Any], problems: Problems) -> _Settings:
    def text(name: str, default: str) -> str:
        return infotexts.text_in(parameters, f"forge_couple{name}", default, problems)

    def choice(name: str, *known: str) -> str:
        word = text(name, known[0])
        if word.lower() in map(str.lower, known):
            return word.lower()
        fault = f"must be one of {', '.join(known)}, not {shown(word)}"
        problems.add(f"forge_couple{name}", fault, f"read as {known[0]}")
        return known[0].lower()

    active = text("", "true").lower()
    if active == "error":
        raise InputError(
            "Forge Couple drew this picture without regions, because the lines of its prompt did not fit; "
            "mend them there, or draw the boxes here"
        )
    if active in ("false", "0"):
        fault = "is false: this picture was made without regions"
        problems.add("forge_couple", fault, "regions read all the same")
    mode = choice("_mode", "Basic", "Advanced", "Mask")
    if mode == "mask":
        raise InputError(
            "Forge Couple's mask mode cannot be imported: its masks are not part of the settings; "
            "draw the regions as boxes or masks here"
        )
    separator = problems.text("forge_couple_separator", parameters.get("forge_couple_separator") or "")
    separator = separator.replace("\\n", "\n").replace("\\t", " ")
    compatibility = text("_compatibility", "")
    brackets = choice("_common_parser", "off", "{ }", "< >")
    return _Settings(
        mode=mode,
        separator=separator if separator.strip() else "\n",
        vertical=choice("_direction", "Horizontal", "Vertical") == "vertical",
        background=choice("_background", "None", "First Line", "Last Line"),
        background_weight=max(0.1, _number(parameters, "forge_couple_background_weight", 0.5, problems)),
        mapping=parameters.get("forge_couple_mapping"),
        brackets="" if brackets == "off" else brackets,
        keep_definitions=infotexts.is_on(text("_def_in_prompt", "true")),
        # The versions that did not count blank lines are older than this setting.
        skip_blank=not compatibility,
        without_hires=infotexts.is_on(compatibility),
    )


def _number(parameters: Mapping[str, Any], name: str, default: float, problems: Problems) -> float:
    value = parameters.get(name)
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value[:40])
    return default if value is None else problems.number(name, value, 0.0, 10.0, default)


def _expanded(prompt: str, settings: _Settings) -> str:
    """The prompt with its common parts, `{key:text}`, in place of each `{key}`."""
    if not settings.brackets:
        return prompt
    begin, end = settings.brackets.split(" ")
    known: dict[str, str] = {}
    size = len(prompt)

    def define(match: re.Match[str]) -> str:
        if match[1].strip().lower() in _NOT_COMMON and begin == "<":
            return match[0]
        known[match[1].strip()] = match[2].strip()
        return match[2].strip() if settings.keep_definitions else ""

    def use(match: re.Match[str]) -> str:
        nonlocal size
        words = known.get(match[1].strip(), match[0])
        size += len(words)
        if size > MAX_PROMPT:
            raise InputError(f"the common parts make this prompt longer than {MAX_PROMPT:,} characters")
        return words

    prompt = re.sub(rf"{begin}([^{begin}{end}:]+):([^{begin}{end}]+){end}", define, prompt)
    return re.sub(rf"{begin}([^{begin}{end}]+){end}", use, prompt)


def _tiles(lines: list[str], settings: _Settings, problems: Problems) -> _Layout:
    """Equal columns, or rows, one for each line but that of the whole picture."""
    if settings.skip_blank and "" in lines:
        lines = [line for line in lines if line]
    base, weight = "", 0.0
    if lines and settings.background != "none":
        base, weight = lines.pop(0 if settings.background == "first line" else -1), settings.background_weight
    elif len(lines) == 1:
        problems.add("Prompt", "has one line only", "read as the base prompt")
        base = lines.pop()
    count = len(lines)
    regions = []
    for index, words in enumerate(lines):
        low, high = index / count, (index + 1) / count
        sides = (0.0, low, 1.0, high) if settings.vertical else (low, 0.0, high, 1.0)
        regions.append(_Region(f"lines[{index}]", words, sides, 1.0))
    return _Layout(base, weight, regions)


def _boxes(lines: list[str], settings: _Settings, problems: Problems) -> _Layout:
    """The rows of the mapping with their lines; the first that covers the canvas is the base."""
    rows = _rows(settings.mapping)
    filled = [line for line in lines if line]
    rest: list[str] = []
    if len(lines) != len(rows):
        if len(filled) != len(rows):
            fault = f"has {len(rows)} rows for {len(lines)} lines of the prompt"
            fewer = len(lines) < len(rows)
            repair = "rows without a line left out" if fewer else "lines without a row made the base prompt"
            problems.add("forge_couple_mapping", fault, repair)
            rest = [line for line in lines[len(rows) :] if line]
        else:
            lines = filled
    regions = []
    for index, (words, row) in enumerate(zip(lines, rows, strict=False)):
        numbers = _numbers(row)
        if numbers is None:
            path = f"forge_couple_mapping[{index}]"
            problems.add(path, "is not x from, x to, y from, y to and a weight", "left to the base prompt")
            rest += [words]
            continue
        x0, x1, y0, y1, weight = numbers
        if x0 < x1 and y0 < y1:
            weight = problems.number(f"forge_couple_mapping[{index}][4]", weight, 0.0, 10.0, 1.0)
            regions.append(_Region(f"lines[{index}]", words, (x0, y0, x1, y1), weight))
        else:
            problems.add(f"forge_couple_mapping[{index}]", "has no extent", "left out")
    whole = next((region for region in regions if region.sides == (0, 0, 1, 1)), None)
    if whole is None or len(lines) == 1:
        return _Layout(", ".join(rest), 0.0, regions)
    regions.remove(whole)
    return _Layout(", ".join([whole.words, *rest]), whole.weight, regions)


def _rows(mapping: Any) -> list[Any]:
    if isinstance(mapping, str):
        try:
            mapping = msgspec.json.decode(mapping)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            mapping = None
    if not isinstance(mapping, list) or not mapping:
        raise InputError(
            "Forge Couple's advanced mode needs its mapping, a list of rows [x from, x to, y from, y to, "
            "weight]; copy the whole infotext"
        )
    return mapping


def _numbers(row: Any) -> tuple[float, float, float, float, float] | None:
    """The five numbers of a row; older ones are texts, with both ends of a side in one, as `0.0:0.5`."""
    if not isinstance(row, list) or not 3 <= len(row) <= 5:
        return None
    items = [part for item in row for part in (item[:80].split(":") if isinstance(item, str) else [item])]
    try:
        found = [float(item) if isinstance(item, str) else item for item in items]
    except ValueError:
        return None
    if len(found) != 5 or not all(map(is_number, found)):
        return None
    x0, x1, y0, y1, weight = map(float, found)
    return x0, x1, y0, y1, weight


def _base_ratio(region: _Region, base_weight: float) -> float:
    """The base's share under a region that nothing else overlaps."""
    return round(base_weight / (base_weight + region.weight), 6) if base_weight else 0.0
