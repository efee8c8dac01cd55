"""Regional Prompter's matrix mode: ratios in its settings, regions in the prompt parted by keywords.

Read from an infotext, from a request to the WebUI's API, or from the prompt alone. What its users drew
stays where it was: ratios that do not fit the prompt are spread as it spreads them, but nothing of a prompt
is lost and every such case is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lib_ranni.panel.formats import infotexts, rp_parameters
from lib_ranni.panel.formats.conversion import (
    Imported,
    corners,
    given,
    imported,
)
from lib_ranni.panel.formats.grid import (
    Grid,
    fitted,
    grid_of,
    read_shares,
)
from lib_ranni.panel.formats.prompts import joined, with_lora
from lib_ranni.panel.formats.rp_parameters import NAME, Settings
from lib_ranni.panel.formats.rp_segments import (
    Segments,
    has_keywords,
    split_prompt,
    without_comments,
)
from lib_ranni.panel.formats.rp_writing import write
from lib_ranni.panel.problems import Problems, shown

__all__ = ["NAME", "detects", "from_parameters", "read", "write"]

_SETTING = re.compile(
    r"(?:^|[\n,\"]) {0,4}RP (?:Active|Divide mode|Ratios)\"? {0,4}:|regional prompter\" {0,4}:", re.I
)
_BREAK = re.compile(r"(?<!\w)BREAK(?!\w)")


def detects(text: str) -> bool:
    """Whether the text has its settings, or is a prompt with its keywords or BREAK."""
    if _SETTING.search(text):
        return True
    return text.lstrip()[:1] not in ("{", "[") and (has_keywords(text) or _BREAK.search(text) is not None)


def read(text: str) -> Imported:
    """The panel of an infotext, an API request or a prompt. Raises `InputError` for what is no grid."""
    text = given(text)
    document = infotexts.document_of(text)
    if document is not None:
        return from_parameters(rp_parameters.parameters_of_request(document) or document)
    return from_parameters(infotexts.parameters_of_text(text))


def from_parameters(parameters: Mapping[str, Any]) -> Imported:
    """The panel of an infotext's parameters: `Prompt`, `Negative prompt`, `Size`, and the `RP ...` ones."""
    problems = Problems()
    settings = rp_parameters.read_settings(parameters, problems)
    prompt = problems.text("Prompt", parameters.get("Prompt", ""), infotexts.MAX_PROMPT)
    segments = _segments(prompt, "prompt", settings, settings.use_common, problems)
    regions = list(segments.regions)
    if segments.plain:
        problems.add("Prompt", "has no keyword between regions", "read as the base prompt")
        segments, regions = Segments(None, regions[0], (), ()), []
    grid = _grid(settings, segments, regions, problems)
    boxes = grid.boxes() if grid else []
    if settings.flip_prompts and segments.common is not None:
        regions.reverse()
    mixing, ratios = _base_ratios(settings, segments, grid, problems)
    whole, negatives = _negatives(parameters, settings, segments, len(regions), problems)
    elements = []
    for index, (words, box) in enumerate(zip(regions, boxes, strict=True)):
        if not words:
            problems.add(f"regions[{index}]", "has no text", "left to the base prompt")
            continue
        element: dict[str, Any] = {"box": corners(*box), "negative": negatives[index]}
        element["description"], element["lora"] = with_lora(joined(segments.common, words))
        if ratios[index] is not None:
            element["base_ratio"] = ratios[index]
        elements.append(element)
    if settings.mode == "attention" and any(element["lora"] for element in elements):
        problems.add("Prompt", "has LoRAs that acted on the whole picture", "kept to their regions")
    document: dict[str, Any] = {
        "base": joined(segments.common, segments.base or ""),
        "negative": whole,
        "elements": elements,
    }
    aspect = infotexts.aspect_of(parameters)
    if aspect is not None:
        document["aspect"] = aspect
    return imported(NAME, document, problems, {"mode": settings.mode, **mixing})


def _segments(text: str, path: str, settings: Settings, use_common: bool, problems: Problems) -> Segments:
    if settings.comments:
        text = without_comments(text)
    return split_prompt(
        text,
        path,
        problems,
        use_common=use_common,
        use_base=settings.use_base and path == "prompt",
        keep_and=settings.keep_and,
        keep_break=settings.keep_break,
    )


def _grid(settings: Settings, segments: Segments, regions: list[str], problems: Problems) -> Grid | None:
    """The grid of the regions. Text that has no place of its own is added to the last region."""
    if not regions:
        return None
    if segments.explicit:
        return _explicit_grid(settings, segments, problems)
    shares = _shares(settings, len(regions), problems)
    flat = settings.ratios is None or ";" not in settings.ratios
    places = len(shares[0]) if flat else sum(max(1, len(band) - 1) for band in shares)
    if len(regions) != places and not (len(regions) == places + 1 and not regions[-1]):
        fault = f"{shown(settings.ratios)} makes {places} regions, the prompt has {len(regions)}"
        fewer = len(regions) < places
        repair = "filled in reading order" if fewer else "the last region got what was left over"
        problems.add("RP Ratios", fault, repair)
    if len(regions) > places:
        rest = [text for text in regions[places - 1 :] if text]
        regions[places - 1 :] = [" BREAK ".join(rest)]
    # A string of shares without ";" splits along the chosen direction only.
    bands = [[1.0, *shares[0]]] if flat else shares
    counts: list[int] = []
    left = len(regions)
    for band in bands:
        if left > 0:
            counts.append(min(left, max(1, len(band) - 1)))
            left -= counts[-1]
    return fitted(bands, counts, upright=settings.upright)


def _shares(settings: Settings, count: int, problems: Problems) -> list[list[float]]:
    if settings.ratios is None:
        if count > 1:
            problems.add("RP Ratios", "are missing", f"split into {count} equal columns")
        return [[1.0] * count]
    if ";" not in settings.ratios:
        return read_shares(settings.ratios, ";", ",", problems)
    outer, inner = (",", ";") if settings.upright else (";", ",")
    return read_shares(settings.ratios, outer, inner, problems)


def _explicit_grid(settings: Settings, segments: Segments, problems: Problems) -> Grid:
    """The grid that ADDCOL and ADDROW spell out, its shares spread from the ratios."""
    flat = settings.ratios is None or ";" not in settings.ratios
    shares = _shares(settings, 1, problems)
    kinds = set(segments.keys)
    if flat and len(kinds) == 1:
        # One kind of keyword alone decides the direction.
        if settings.ratios is not None and len(shares[0]) != len(segments.regions):
            fault = f"{shown(settings.ratios)} is not for {len(segments.regions)} regions"
            problems.add("RP Ratios", fault, "spread over them as Regional Prompter does")
        return fitted([[1.0, *shares[0]]], [len(segments.regions)], upright="ADDROW" in kinds)
    upright = settings.upright
    if flat and upright and settings.ratios is not None:
        shares = [[share] for share in shares[0]]
    counts = [1]
    for key in segments.keys:
        if key == ("ADDCOL" if upright else "ADDROW"):
            counts.append(1)
        else:
            counts[-1] += 1
    grid = fitted(shares, counts, upright=upright)
    if settings.ratios is not None and grid != grid_of(shares, upright):
        fault = f"{shown(settings.ratios)} is no ratio of the grid that the keywords make"
        problems.add("RP Ratios", fault, "spread over it as Regional Prompter does")
    return grid


def _base_ratios(
    settings: Settings, segments: Segments, grid: Grid | None, problems: Problems
) -> tuple[dict[str, Any], list[float | None]]:
    """The mix with the base for all regions, and for each one if they differ; with the hires setting."""
    mixing: dict[str, Any] = {}
    if settings.without_hires:
        mixing["hires"] = {"enabled": False}
    if settings.only_hires:
        problems.add("RP Options", "enable regions only in the hires fix", "they act in both passes")
    count = grid.size if grid else 0
    if segments.base is None:
        return {"base_ratio": 0.0, **mixing}, [None] * count
    columns_first = settings.upright and grid is not None and len(grid.bands) > 1
    outer, inner = (",", ";") if columns_first else (";", ",")
    rows = [
        [_ratio(item.strip(), problems) for item in band.split(inner)]
        for band in settings.base_ratios[:20_000].split(outer)
    ]
    ratios: list[float] = []
    for index, band in enumerate(grid.bands if grid else ()):
        row = rows[min(index, len(rows) - 1)]
        ratios += [row[min(place, len(row) - 1)] for place in range(len(band.cells))]
    first = ratios[0] if ratios else rows[0][0]
    differ = any(ratio != first for ratio in ratios)
    return {"base_ratio": first, **mixing}, [ratio if differ else None for ratio in ratios]


def _ratio(item: str, problems: Problems) -> float:
    try:
        value = float(item[:40])
    except ValueError:
        problems.add("RP Base Ratios", f"{shown(item)} is not a number", "read as 0.2")
        return 0.2
    return problems.number("RP Base Ratios", value, 0.0, 1.0, 0.2)


def _negatives(
    parameters: Mapping[str, Any], settings: Settings, segments: Segments, count: int, problems: Problems
) -> tuple[str, list[str]]:
    """What the whole picture must not show, and what each region must not."""
    text = problems.text("Negative prompt", parameters.get("Negative prompt", ""), infotexts.MAX_PROMPT)
    found = _segments(text, "negative prompt", settings, settings.use_common_negative, problems)
    whole = [part for part in (found.common, found.base) if part]
    parts = list(found.regions)
    if found.plain:
        return parts[0], [""] * count
    if segments.base is not None and found.base is None and len(parts) == count + 1:
        whole += [parts.pop(0)] if parts[0] else parts[:0]
    if len(parts) != count:
        if len(parts) > 1:
            fault = f"has {len(parts)} parts for {count} regions"
            problems.add("Negative prompt", fault, "applied to the whole picture")
        whole += [part for part in parts if part]
        parts = [""] * count
    return ", ".join(part.rstrip(" ,") for part in whole), parts
