"""A panel as an infotext with Regional Prompter's settings, which the WebUI pastes.

The prompt spells out the grid with ADDCOL and ADDROW, so that no BREAK has to be counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib_ranni.errors import InputError
from lib_ranni.panel.formats.conversion import Exported, note_losses, one_line
from lib_ranni.panel.formats.grid import Grid, find_grid, write_ratio
from lib_ranni.panel.formats.infotexts import size_of
from lib_ranni.panel.formats.rp_parameters import NAME
from lib_ranni.panel.formats.rp_segments import without_keywords
from lib_ranni.panel.problems import Problems
from lib_ranni.panel.types import Element, Panel


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as an infotext that the WebUI pastes; of `settings`, `mode` and `base_ratio` are used.

    Raises `InputError` when the boxes do not tile the canvas in rows or columns.
    """
    found = find_grid([element.box for element in panel.elements])
    if found is None:
        raise InputError(
            "Regional Prompter needs regions that tile the canvas in rows or columns without gap or "
            "overlap; change the boxes, or export to another format"
        )
    problems = Problems()
    kept = frozenset({"base", "negative", "aspect", "element.negative", "element.lora", "element.base_ratio"})
    note_losses(panel, kept, problems)
    elements = [panel.elements[index] for index in found.order]
    texts = []
    for index, element in zip(found.order, elements, strict=True):
        tags = [f"<lora:{lora.name}:{lora.weight:g}>" for lora in element.lora]
        words = _written(element.description, f"elements[{index}].description", problems)
        texts.append(" ".join([words, *tags]))
    base = _written(panel.base, "base", problems)
    prompt = _with_keys(texts, found.grid)
    if base:
        prompt = f"{base} ADDBASE {prompt}"
    elif len(texts) == 1:
        # Without a keyword it would be an ordinary prompt.
        prompt = f"{prompt} BREAK"
    lines = [prompt]
    negative = _negative(panel, elements, found.grid, bool(base), problems)
    if negative:
        lines.append(f"Negative prompt: {negative}")
    values = _values(panel, elements, found.grid, dict(settings or {}), bool(base), problems)
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in values.items()))
    return Exported("\n".join(lines), NAME, problems.all())


def _written(text: str, path: str, problems: Problems) -> str:
    words = one_line(text)
    safe = without_keywords(words)
    if safe != words:
        problems.add(path, "has words that part prompts", "written in small letters")
    return safe


def _with_keys(texts: Sequence[str], grid: Grid) -> str:
    """The regions' texts, parted by keywords that spell out the grid."""
    inner, outer = ("ADDROW", "ADDCOL") if grid.upright else ("ADDCOL", "ADDROW")
    left = iter(texts)
    bands = [f" {inner} ".join(next(left) for _ in band.cells) for band in grid.bands]
    return f" {outer} ".join(bands)


def _negative(panel: Panel, elements: list[Element], grid: Grid, base: bool, problems: Problems) -> str:
    whole = _written(panel.negative, "negative", problems)
    if not any(element.negative.strip() for element in elements):
        return whole
    own = [_written(element.negative, f"{element.id}.negative", problems) for element in elements]
    # It must have as many parts as the prompt; that of the base stays empty.
    return f"{whole} ADDCOMM {'ADDBASE ' * base}{_with_keys(own, grid)}"


def _values(
    panel: Panel,
    elements: list[Element],
    grid: Grid,
    settings: dict[str, Any],
    base: bool,
    problems: Problems,
) -> dict[str, str]:
    ratio = problems.number("base_ratio", settings.get("base_ratio", 0.2), 0.0, 1.0, 0.2)
    outer, inner = (",", ";") if grid.upright else (";", ",")
    ratios = f"{ratio:g}"
    if any(element.base_ratio is not None for element in elements):
        left = iter(elements)
        own = [[next(left).base_ratio for _ in band.cells] for band in grid.bands]
        ratios = outer.join(inner.join(f"{ratio if r is None else r:g}" for r in band) for band in own)
    split = any(element.negative.strip() for element in elements)
    values = {
        "RP Active": "True",
        "RP Divide mode": "Matrix",
        "RP Matrix submode": "Rows" if grid.upright else "Columns",
        "RP Calc Mode": "Latent" if settings.get("mode") == "latent" else "Attention",
        "RP Ratios": write_ratio(grid, outer, inner),
        "RP Base Ratios": ratios,
        "RP Use Base": str(base),
        "RP Use Common": "False",
        "RP Use Ncommon": str(split),
        "RP Options": "No Options",
        "RP Flip": "False",
    }
    if panel.aspect != 1.0:
        values["Size"] = size_of(panel.aspect)
    return values


def _quoted(value: str) -> str:
    return f'"{value}"' if set(value) & set(",:;") else value
