"""Axes of the X/Y/Z plot: each sets one field of the request, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from modules import scripts

from lib_ranni.errors import InputError
from lib_ranni.guidance.edit_region import MOST_CELLS
from lib_ranni.guidance.layout_noise import MOST_STRENGTH
from lib_ranni.panel.problems import shown
from lib_ranni.panel.types import MAX_SEED, Panel, with_fields
from lib_ranni.service.request import (
    MAX_CONTROL,
    MAX_TIMESTEP,
    MODES,
    OWN_CONDITIONER,
    Planning,
    Request,
)
from lib_ranni.webui import conditioners, folders, prompt_axes
from lib_ranni.webui.few_step_axes import AXES, OptionAxis
from lib_ranni.webui.planning import PLANNERS

ATTRIBUTE = "_ranni_axes"
"""Where a cell's processing object keeps its values, by the axis' name."""

_PREFIX = "[Ranni] "

Change = Callable[[Request, Any], Request]


class _Axis(NamedTuple):
    """An axis: how its values read, what they change, and which are allowed."""

    name: str
    type: Callable[[Any], Any]
    change: Change
    choices: Callable[[], list[str]] | None = None
    low: float = 0.0
    high: float = 1.0


def _guidance(name: str) -> Change:
    def change(request: Request, value: Any) -> Request:
        settings = msgspec.structs.replace(request.guidance, **{name: value})
        return msgspec.structs.replace(request, guidance=settings)

    return change


def _hires_ratio(request: Request, value: float) -> Request:
    hires = msgspec.structs.replace(request.guidance.hires, base_ratio=value)
    return _guidance("hires")(request, hires)


def _margin(request: Request, value: int) -> Request:
    return msgspec.structs.replace(request, memory=msgspec.structs.replace(request.memory, margin=value))


def _control(name: str) -> Change:
    def change(request: Request, value: Any) -> Request:
        control = msgspec.structs.replace(request.guidance.control, **{name: value})
        return _guidance("control")(request, control)

    return change


def _local_mask(request: Request, value: str) -> Request:
    return _control("local_mask")(request, value == "True")


def _conditioner(request: Request, value: str) -> Request:
    return _control("conditioner")(request, "" if value == OWN_CONDITIONER else value)


def _enabled(request: Request, value: str) -> Request:
    return msgspec.structs.replace(request, enabled=value == "True")


def _weight(request: Request, value: float) -> Request:
    def weighted(panel: Panel) -> Panel:
        elements = (with_fields(e, weight=min(10.0, e.weight * value)) for e in panel.elements)
        return with_fields(panel, elements=tuple(elements))

    return msgspec.structs.replace(request, panels=tuple(weighted(panel) for panel in request.panels))


def _planner(request: Request, value: str) -> Request:
    planning = Planning(name=value, seed=request.planner.seed)
    return msgspec.structs.replace(request, enabled=True, panels=(), planner=planning)


def _plan_seed(request: Request, value: int) -> Request:
    planning = Planning(name=request.planner.name or next(iter(PLANNERS)), seed=value)
    return msgspec.structs.replace(request, enabled=True, panels=(), planner=planning)


def _preset(request: Request, value: str) -> Request:
    return msgspec.structs.replace(request, enabled=True, panels=(folders.panels().read(value).panel,))


def _truths() -> list[str]:
    return ["True", "False"]


_AXES = (
    _Axis("Enabled", str, _enabled, _truths),
    _Axis("Mode", str, _guidance("mode"), lambda: list(MODES)),
    _Axis("Base ratio", float, _guidance("base_ratio")),
    _Axis("Feather", float, _guidance("feather"), high=0.5),
    _Axis("Start", float, _guidance("start")),
    _Axis("End", float, _guidance("end")),
    _Axis("Layout noise", float, _guidance("layout_noise"), high=MOST_STRENGTH),
    _Axis("Attention bias", float, _guidance("attention_bias")),
    _Axis("Hires base ratio", float, _hires_ratio),
    _Axis("Control scale", float, _control("scale"), high=MAX_CONTROL),
    _Axis("Control start", float, _control("start"), high=MAX_TIMESTEP),
    _Axis("Control stop", float, _control("stop"), high=MAX_TIMESTEP),
    _Axis("Postfix", str, _control("postfix")),
    _Axis("Local mask", str, _local_mask, _truths),
    _Axis("Conditioner", str, _conditioner, conditioners.choices),
    _Axis("Edit margin", int, _margin, high=MOST_CELLS),
    _Axis("Element weight", float, _weight, high=10.0),
    _Axis("Planner", str, _planner, lambda: list(PLANNERS)),
    _Axis("Plan seed", int, _plan_seed, high=MAX_SEED),
    _Axis("Kept panel", str, _preset, lambda: folders.panels().names()),
)


def applied(p: Any, request: Request) -> Request:
    """The request with the values of the grid's cell that is drawn; planners before what changes panels.

    Raises `InputError` for values that do not go together.
    """
    values = getattr(p, ATTRIBUTE, None) or {}
    order = {"Planner": 0, "Plan seed": 1, "Kept panel": 2}
    for axis in sorted(_AXES, key=lambda axis: order.get(axis.name, 3)):
        if axis.name in values:
            request = axis.change(request, values[axis.name])
    if fault := request.guidance.control.fault:
        raise InputError(f"{_PREFIX}Control stop {fault}")
    return request


def _apply(axis: _Axis) -> Callable[[Any, Any, Any], None]:
    def apply(p: Any, value: Any, _: Any) -> None:
        # Cells are shallow copies of one object: what they share must not be changed in place.
        setattr(p, ATTRIBUTE, {**(getattr(p, ATTRIBUTE, None) or {}), axis.name: value})

    return apply


def _confirm(axis: _Axis | OptionAxis) -> Callable[[Any, list[Any]], None]:
    def confirm(_: Any, values: list[Any]) -> None:
        known = axis.choices() if axis.choices is not None else None
        for value in values:
            if known is not None and value not in known:
                listed = ", ".join(known) or "none"
                raise RuntimeError(f"{_PREFIX}{axis.name}: {shown(value)} is none of {listed}")
            if isinstance(value, (int, float)) and known is None and not axis.low <= value <= axis.high:
                raise RuntimeError(
                    f"{_PREFIX}{axis.name}: {value} is not in {axis.low:.16g}..{axis.high:.16g}"
                )

    return confirm


def add_axes() -> None:
    """Register the axes once for each load of the host's grid script."""
    grid = next((s.module for s in scripts.scripts_data if s.script_class.__module__ == "xyz_grid.py"), None)
    if grid is None:
        return
    known = {option.label for option in grid.axis_options}
    axes: list[tuple[_Axis | OptionAxis, Any]] = [(axis, _apply(axis)) for axis in _AXES]
    axes += [(axis, axis.apply) for axis in AXES]
    for axis, apply in axes:
        label = f"{_PREFIX}{axis.name}"
        if label not in known:
            grid.axis_options.append(
                grid.AxisOption(label, axis.type, apply, confirm=_confirm(axis), choices=axis.choices)
            )
    for option in (prompt_axes.prompt_set_option(grid), prompt_axes.blocks_option(grid)):
        if option.label not in known:
            grid.axis_options.append(option)
