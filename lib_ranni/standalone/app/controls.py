"""The page's controls as data: what they say becomes an order, and a picture's request fills them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Any

import msgspec
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.guidance.edit_region import FEATHER, MARGIN
from lib_ranni.guidance.guides import Mode
from lib_ranni.guidance.weights import Overlap
from lib_ranni.panel.reading import load
from lib_ranni.panel.types import MAX_SEED, Panel
from lib_ranni.panel.writing import to_json
from lib_ranni.standalone.requests import MAX_SIDE, Request, checked

NONE = "none"
"""The planner's name where none shall plan."""

MIN_SIDE = 64


class Controls(Struct, frozen=True, kw_only=True):
    """The values of the page's controls, in the page's order. A `seed` of -1 draws one."""

    prompt: str = ""
    negative: str = ""
    panel: str = ""
    planner: str = NONE
    mode: Mode = "attention"
    base_ratio: float = 0.2
    feather: float = 0.0
    overlap: Overlap = "front"
    start: float = 0.0
    end: float = 1.0
    steps: int = 25
    cfg: float = 7.0
    sampler: str = "ddim"
    seed: int = -1
    batch: int = 1
    width: int = 512
    height: int = 512
    model: str = ""
    keep: bool = False
    edit_margin: int = MARGIN
    edit_feather: int = FEATHER


NAMES = Controls.__struct_fields__
_SAME = tuple(name for name in NAMES if name in Request.__struct_fields__ and name not in ("seed", "model"))
"""Controls that are fields of a request under the same name."""


class Order(Struct, frozen=True):
    """What to draw. Without a `panel` the prompt is planned first, if there is a `planner`.

    `request` holds everything else; its panels are not set yet. With `keep` it edits the pictures before
    it, and where `any_seed` will do it may take theirs.
    """

    request: Request
    panel: Panel | None
    planner: str
    model: Path
    keep: bool = False
    any_seed: bool = False


def read(values: Sequence[Any]) -> Controls:
    """The controls of a page's values. Raises `InputError` for what no page of ours sends."""
    try:
        return msgspec.convert(dict(zip(NAMES, values, strict=True)), Controls, strict=False)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise InputError(f"a setting cannot be used: {error}; correct it, or load the page again") from error


def order(controls: Controls, model: Path, recorded: str) -> Order:
    """What the controls ask for. `recorded` is the model's path as pictures shall carry it.

    Raises `InputError` for a value out of range and `PanelError` for a panel with problems.
    """
    for name in ("width", "height"):
        side = getattr(controls, name)
        if side % 8 or not MIN_SIDE <= side <= MAX_SIDE:
            raise InputError(
                f"the {name} cannot be {side}; give a multiple of 8 in {MIN_SIDE}..{MAX_SIDE} pixels"
            )
    seed = controls.seed
    if not -1 <= seed <= MAX_SEED:
        raise InputError(f"the seed cannot be {seed}; give -1 for any, or a number in 0..{MAX_SEED}")
    panel = load(controls.panel) if controls.panel.strip() else None
    if panel is None and not controls.prompt.strip():
        raise InputError("there is nothing to draw yet: write a prompt, or draw a box in the panel")
    request = Request(
        panels=(panel or Panel(),),
        **{name: getattr(controls, name) for name in _SAME},
        seed=SystemRandom().randrange(MAX_SEED + 1) if seed < 0 else seed,
        model=recorded,
    )
    planner = "" if controls.planner == NONE or controls.mode == "plain" else controls.planner
    return Order(checked(request), panel, planner, model, controls.keep, seed < 0)


def filled(request: Request, planner: str, model: str) -> Controls:
    """The controls that draw one picture's request again. What was drawn without a panel is not planned."""
    panel = request.panels[0]
    return Controls(
        **{name: getattr(request, name) for name in _SAME},
        panel=to_json(panel, indent=2) if panel.elements else "",
        planner=planner if panel.elements else NONE,
        seed=request.seed,
        model=request.model or model,
        keep=request.before is not None,
    )
