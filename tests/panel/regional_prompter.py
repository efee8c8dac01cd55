"""Short ways to ask for a panel of Regional Prompter's parameters, and to look at it."""

from __future__ import annotations

from typing import Any

from lib_ranni.panel.formats import Imported, regional_prompter

Sides = tuple[float, float, float, float]
HALVES = [(0, 0, 0.5, 1), (0.5, 0, 1, 1)]
BANDS = [(0, 0, 1, 0.5), (0, 0.5, 1, 1)]


def from_prompt(prompt: str, negative: str = "", **settings: Any) -> Imported:
    values = {f"RP {name.replace('_', ' ')}": value for name, value in settings.items()}
    given = {"RP Active": "True", **values, "Prompt": prompt, "Negative prompt": negative}
    return regional_prompter.from_parameters(given)


def texts_of(imported: Imported) -> list[str]:
    return [element.description for element in imported.panel.elements]


def boxes_of(imported: Imported) -> list[Sides]:
    return [
        tuple(round(side, 4) for side in (e.box.x0, e.box.y0, e.box.x1, e.box.y1))  # type: ignore[misc]
        for e in imported.panel.elements
    ]
