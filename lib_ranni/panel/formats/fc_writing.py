"""A panel as an infotext with Forge Couple's settings in its advanced mode, which the WebUI pastes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from lib_ranni.errors import InputError
from lib_ranni.panel.formats.conversion import Exported, note_losses, one_line
from lib_ranni.panel.formats.infotexts import defused, size_of
from lib_ranni.panel.formats.prompts import with_tags
from lib_ranni.panel.geometry import overlap
from lib_ranni.panel.problems import Problems
from lib_ranni.panel.types import Box, Panel

_MOST_WEIGHT = 5.0
_NOTHING = 1e-6
_LEAST_RATIO = 0.001
"""The base acts at least as much as this, so that no place is without weight."""

_KEPT = frozenset({"base", "negative", "aspect", "element.weight", "element.lora", "element.base_ratio"})


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as an infotext; of `settings`, `base_ratio`, `mode`, `overlap` and `hires` are used.

    Raises `InputError` when there is no element, or no base prompt where elements leave a gap.
    """
    settings = settings or {}
    problems = Problems()
    note_losses(panel, _KEPT, problems)
    rows = [_row(element.box) for element in panel.elements]
    base = defused(one_line(panel.base), "base", problems)
    seen = [row for row, element in zip(rows, panel.elements, strict=True) if element.weight > 0]
    if not rows or not (base or _cover(seen)):
        raise InputError(
            "Forge Couple needs a region, and text for every place of the picture; give the panel a base "
            "prompt, or let the boxes cover the canvas"
        )
    if settings.get("mode") == "latent":
        problems.add("mode", "this format has no latent mode", "written for attention")
    if settings.get("overlap") != "blend" and _overlap(panel):
        problems.add("overlap", "this format draws no element in front of another", "they share by weight")
    lines, weights = _lines(panel, base, problems), _weights(panel, base, settings, problems)
    if base:
        rows.insert(0, (0.0, 1.0, 0.0, 1.0))
    mapping = [[*row, weight] for row, weight in zip(rows, weights, strict=True)]
    if panel.negative.strip():
        lines.append(f"Negative prompt: {one_line(panel.negative)}")
    lines.append(", ".join(f"{name}: {value}" for name, value in _values(panel, mapping, settings).items()))
    return Exported("\n".join(lines), "forge_couple", problems.all())


def _row(box: Box) -> tuple[float, float, float, float]:
    """x from, x to, y from, y to."""
    x0, x1, y0, y1 = (round(side, 4) for side in (box.x0, box.x1, box.y0, box.y1))
    return x0, x1, y0, y1


def _lines(panel: Panel, base: str, problems: Problems) -> list[str]:
    """The lines of the prompt, the base first if there is one."""
    lines = [base] if base else []
    for index, element in enumerate(panel.elements):
        path = f"elements[{index}]"
        words = defused(one_line(element.description), f"{path}.description", problems)
        lines.append(with_tags(words, element, path, problems))
    return lines


def _weights(panel: Panel, base: str, settings: Mapping[str, Any], problems: Problems) -> list[float]:
    """The weights of the lines: one number says both an element's own and the base's share under it."""
    ratio = problems.number("base_ratio", settings.get("base_ratio", 0.2), 0.0, 1.0, 0.2)
    own = [element.weight for element in panel.elements]
    least = least_of(own)
    weights = [weight / least for weight in own]
    if base:
        for index, element in enumerate(panel.elements):
            if element.base_ratio is None or not element.weight:
                continue
            wanted = _odds(ratio) / _odds(element.base_ratio)
            if len(set(own)) == 1:
                weights[index] = wanted
            elif not math.isclose(weights[index], wanted, rel_tol=0.01):
                fault = "this format has one number for it and for the weight"
                problems.add(f"elements[{index}].base_ratio", fault, "written as the weight")
        weights.insert(0, _odds(ratio))
    # Only their proportions matter.
    scale = min(1.0, _MOST_WEIGHT / max(*weights, 1e-9))
    return [float(f"{weight * scale:.4g}") for weight in weights]


def least_of(weights: Iterable[float]) -> float:
    """The least of the weights, to which the others are put in proportion; 1 where there are none."""
    return min((weight for weight in weights if weight > _NOTHING), default=1.0)


def _odds(ratio: float) -> float:
    """The base's weight beside a region of weight 1, so that it has this share."""
    ratio = min(max(ratio, _LEAST_RATIO), 1 - _LEAST_RATIO)
    return ratio / (1 - ratio)


def _values(panel: Panel, mapping: list[list[float]], settings: Mapping[str, Any]) -> dict[str, str]:
    hires = settings.get("hires")
    once = isinstance(hires, dict) and hires.get("enabled") is False
    values = {
        "forge_couple": "True",
        "forge_couple_compatibility": str(once),
        "forge_couple_mode": "Advanced",
        "forge_couple_separator": r"\n",
        "forge_couple_mapping": json.dumps(json.dumps(mapping)),
        "forge_couple_common_parser": "off",
    }
    if panel.aspect != 1.0:
        values["Size"] = size_of(panel.aspect)
    return values


def _overlap(panel: Panel) -> bool:
    boxes = [element.box for element in panel.elements]
    return any(overlap(box, other) > _NOTHING for index, box in enumerate(boxes) for other in boxes[:index])


def _cover(rows: Sequence[tuple[float, float, float, float]]) -> bool:
    """Whether the rows leave no place of the canvas free."""
    rows = sorted(rows)
    edges = sorted({0.0, 1.0, *(y for row in rows for y in row[2:])})
    for top, bottom in pairwise(edges):
        reached = 0.0
        for x0, x1, y0, y1 in rows:
            if y0 <= top and y1 >= bottom and x0 <= reached:
                reached = max(reached, x1)
        if not math.isclose(reached, 1.0):
            return False
    return True
