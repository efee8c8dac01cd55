"""The planners that the extension offers, by name."""

from __future__ import annotations

from collections.abc import Callable

from lib_ranni.errors import InputError
from lib_ranni.planner.protocol import Done, Planner, PlanRequest, finish


def _builtin() -> Planner:
    # Its vocabulary would cost every start of the WebUI a twentieth of a second.
    from lib_ranni.planner.builtin.planner import BuiltinPlanner

    return BuiltinPlanner()


PLANNERS: dict[str, Callable[[], Planner]] = {"builtin": _builtin}


def plan(prompt: str, *, name: str, aspect: float, seed: int | None) -> Done:
    """Plan a prompt for a canvas of this width / height.

    Raises `InputError` for an unknown name and `PlannerError` when the planner fails.
    """
    if name not in PLANNERS:
        raise InputError(f"there is no planner {name!r}; choose {', '.join(PLANNERS)}")
    return finish(PLANNERS[name]().plan(PlanRequest(prompt, min(10.0, max(0.1, aspect)), seed)))
