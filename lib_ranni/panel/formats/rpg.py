"""RPG's plan: a split ratio and one text for each region, joined by BREAK, as language models write it.

    Final split ratio: 1,1,1;2,1
    Regional Prompt: an owl BREAK the moon BREAK a nobleman under an oak

Models decorate, quote, reason and correct themselves, so the last plan of the text counts and what stands
around it does not matter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from lib_ranni.errors import InputError
from lib_ranni.panel.formats.conversion import (
    Exported,
    Imported,
    corners,
    given,
    imported,
    note_losses,
    one_line,
)
from lib_ranni.panel.formats.grid import Band, Grid, find_grid, grid_of, read_shares, write_ratio
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import Panel

NAME = "rpg"

_LABEL_END = r"[ \t]{0,4}[*_`\"]{0,4}[ \t]{0,4}[:：=]"
_RATIO_LABEL = re.compile(
    rf"(?:\b([a-z]{{1,12}})[ \t]{{1,4}})?\bsplit[ \t_]{{1,4}}ratios?{_LABEL_END}", re.IGNORECASE
)
_PROMPT_LABEL = re.compile(rf"\bregional[ \t_]{{1,4}}prompts?{_LABEL_END}", re.IGNORECASE)
_CAPTION_LABEL = re.compile(rf"\bcaption{_LABEL_END}", re.IGNORECASE)
_ONE = r"[(\[]{0,3} ?-?(?:\d{1,9}\.?\d{0,12}|\.\d{1,12})(?: ?/ ?\d{1,9})? ?%? ?[)\]]{0,3}"
_RATIO = re.compile(rf"{_ONE}(?:\s?[,;]\s?{_ONE})*")
_BARE_RATIO = re.compile(r"[\d.,;%/() \t，；％]+")
_BREAK = re.compile(r"(?<!\w)BREAK(?!\w)")
_BULLET = re.compile(r"(?:[-*•]\s)?\s*(?:\*{0,2}region\s?\d{1,4}\*{0,2}\s?[:：])?", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_MOST_RATIO = 20_000
_MOST_LABELS = 50
"""How many characters a ratio may have, and how many of a text's last ratios are looked at."""


def detects(text: str) -> bool:
    """Whether the text names a split ratio or a regional prompt, or begins with a bare ratio."""
    return bool(_RATIO_LABEL.search(text) or _PROMPT_LABEL.search(text)) or _bare(text) is not None


def read(text: str) -> Imported:
    """The last plan of the text. Raises `InputError` when texts and regions do not match."""
    text = given(text)
    problems = Problems()
    plan = text.rpartition("</think>")[2]
    bare = _bare(plan)
    base = ""
    if bare is not None:
        ratio, prompt = bare
    else:
        ratio, begin = _labeled_ratio(plan)
        prompt = _labeled_prompt(plan)
        captions = list(_CAPTION_LABEL.finditer(plan, 0, begin))
        if captions:
            base = _stripped(plan[captions[-1].end() :].lstrip().partition("\n")[0])
    texts = [_stripped(_BULLET.sub("", part.strip(), count=1)) for part in _BREAK.split(prompt)]
    grid = _grid(ratio, texts, problems)
    elements = []
    for index, (words, box) in enumerate(zip(texts, grid.boxes(), strict=True)):
        if words:
            elements.append({"description": words, "box": corners(*box)})
        else:
            problems.add(f"regions[{index}]", "has no text", "left to the base prompt")
    settings: dict[str, Any] = {"mode": "attention"}
    if not base:
        settings["base_ratio"] = 0.0
    return imported(NAME, {"base": base, "elements": elements}, problems, settings)


def _bare(text: str) -> tuple[str, str] | None:
    """The ratio and prompt of a text that is a line with a ratio and then the prompt."""
    first, _, rest = text.strip().partition("\n")
    if not rest.strip() or not _BARE_RATIO.fullmatch(first) or not any(map(str.isdigit, first)):
        return None
    ratio = _ratio_in(first)
    return None if ratio is None else (ratio, rest)


def _stripped(text: str) -> str:
    """One line of text without the marks that set it off."""
    return one_line(text).strip('*_`"“” ')


def _ratio_in(text: str) -> str | None:
    """The ratio at the beginning of the text, in plain signs."""
    text = unicodedata.normalize("NFKC", text[:_MOST_RATIO]).lstrip("*_`\"'$ \t\n")
    match = _RATIO.match(_SPACE.sub(" ", text))
    return None if match is None else re.sub(r"[()\[\]\s]+", "", match[0])


def _labeled_ratio(text: str) -> tuple[str, int]:
    """The ratio to follow and where its label begins: the last final one, else the last of any kind."""
    best: tuple[bool, str, int] | None = None
    for match in list(_RATIO_LABEL.finditer(text))[-_MOST_LABELS:]:
        ratio = _ratio_in(text[match.end() : match.end() + _MOST_RATIO])
        final = (match[1] or "").lower() not in ("horizontal", "vertical")
        if ratio is not None and (final or best is None or not best[0]):
            best = (final, ratio, match.start())
    if best is None:
        raise InputError("there is no split ratio in this plan; add a line like 'Final split ratio: 1,1;2,1'")
    return best[1], best[2]


def _labeled_prompt(text: str) -> str:
    """The last regional prompt: up to a blank line that does not stand between two regions."""
    labels = list(_PROMPT_LABEL.finditer(text))
    if not labels:
        raise InputError("there is no 'Regional Prompt:' line with texts joined by BREAK in this plan")
    kept: list[str] = []
    blank = False
    for line in text[labels[-1].end() :].split("\n"):
        line = line.strip()
        bare = line.strip('*_`"- ')
        if not bare:
            blank = bool(kept)
            continue
        open_end = bool(kept) and kept[-1].endswith("BREAK")
        if _RATIO_LABEL.match(bare) or (blank and not open_end and not _BREAK.match(bare)):
            break
        kept.append(line.strip('*_`" '))
        blank = False
    prompt = "\n".join(kept)
    if not prompt:
        raise InputError("the regional prompt of this plan is empty; write one text for each region")
    return prompt


def _number(item: str) -> str:
    """A share as a decimal: fractions and percentages are worked out."""
    item = item.removesuffix("%")
    if "/" in item:
        try:
            return str(float(Fraction(item)))
        except (ValueError, ZeroDivisionError) as error:
            raise InputError(f"this ratio cannot be read: {shown(item)} is no share") from error
    return item


def _grid(ratio: str, texts: list[str], problems: Problems) -> Grid:
    """The grid for these texts; trailing blanks are dropped and slips of the planner set right."""
    rows = [[_number(item) for item in row.split(",") if item] for row in ratio.split(";")]
    plain = ";".join(",".join(row) for row in rows if row)
    shares = read_shares(plain, ";", ",", None)
    one_row = len(shares) == 1
    grid = Grid((Band(1.0, tuple(shares[0])),)) if one_row else grid_of(shares)
    while len(texts) > max(1, grid.size) and not texts[-1]:
        texts.pop()
    count = len(texts)
    if count == grid.size:
        return grid
    if one_row and count == grid.size - 1:
        problems.add("ratio", f"{shown(plain)} begins with the height of its only row", "height left out")
        return Grid((Band(1.0, tuple(shares[0][1:])),))
    if not one_row and count == sum(map(len, shares)):
        problems.add("ratio", f"{shown(plain)} leaves out the heights of its rows", "rows made equally high")
        return Grid(tuple(Band(1.0, tuple(row)) for row in shares))
    places = f"{grid.size} region{'s' * (grid.size != 1)}"
    given_texts = f"{count} text{'s' * (count != 1)}"
    raise InputError(
        f"the ratio {plain[:60]} makes {places}, but the regional prompt has {given_texts}; "
        "give one text for each region, joined by BREAK"
    )


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as RPG's plan. Raises `InputError` when its boxes do not tile the canvas in rows.

    `settings` is not used: RPG takes them from elsewhere.
    """
    found = find_grid([element.box for element in panel.elements])
    if found is None or found.grid.upright:
        raise InputError(
            "RPG needs regions that tile the canvas in rows without gap or overlap; "
            "change the boxes, or export to another format"
        )
    problems = Problems()
    note_losses(panel, frozenset({"base"}), problems)
    texts = []
    for index in found.order:
        words = one_line(panel.elements[index].description)
        if _BREAK.search(words):
            problems.add(
                f"elements[{index}].description", "says BREAK, which ends it", "written in small letters"
            )
            words = _BREAK.sub("break", words)
        texts.append(words)
    lines = [f"Caption: {one_line(panel.base)}"] if panel.base.strip() else []
    lines += [f"Final split ratio: {write_ratio(found.grid)}", f"Regional Prompt: {' BREAK '.join(texts)}"]
    return Exported("\n".join(lines), NAME, problems.all())
