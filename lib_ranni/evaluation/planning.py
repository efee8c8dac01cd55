"""How planning went: whether what a model wrote was a plan, what it took, and what is right in it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec
from msgspec import Struct

from lib_ranni.evaluation.planner_suite import Aspect, PlannerOutcome

_ASPECTS: tuple[Aspect, ...] = ("counts", "colors", "positions")


class PlanningFigures(Struct, frozen=True):
    """Shares 0..1 of all prompts, and medians in seconds.

    `valid`: the first reply was a panel as it stood; `mended`: it was one after repairs, or a later one was;
    `fell_back`: the built-in planner had to step in. `counts`, `colors`, `positions`: right where the prompt
    asks for any. `asked` is the mean number of times that the model was asked.
    """

    valid: float
    mended: float
    fell_back: float
    asked: float
    counts: float | None
    colors: float | None
    positions: float | None
    first_element_seconds: float | None
    plan_seconds: float


def planning_figures(outcomes: Sequence[PlannerOutcome]) -> PlanningFigures:
    """The figures of one planner; at least one outcome."""
    courses = [outcome.course for outcome in outcomes]
    fell_back = sum(bool(course.fell_back) for course in courses)
    valid = sum(course.asked <= 1 and not course.repairs and not course.fell_back for course in courses)
    firsts = [course.first_seconds for course in courses if course.first_seconds is not None]
    shares: dict[str, float | None] = {}
    for aspect in _ASPECTS:
        known = [right for o in outcomes if (right := o.aspects.get(aspect)) is not None]
        shares[aspect] = sum(known) / len(known) if known else None
    total = len(outcomes)
    return PlanningFigures(
        valid=valid / total,
        mended=(total - valid - fell_back) / total,
        fell_back=fell_back / total,
        asked=sum(course.asked for course in courses) / total,
        counts=shares["counts"],
        colors=shares["colors"],
        positions=shares["positions"],
        first_element_seconds=median(firsts) if firsts else None,
        plan_seconds=median(outcome.seconds for outcome in outcomes),
    )


def planning_table(name: str, figures: PlanningFigures) -> str:
    """The figures as text, a line each."""
    lines = [f"planner {name}"]
    for field, value in msgspec.structs.asdict(figures).items():
        words = field.replace("_", " ")
        if value is None:
            shown = "-"
        elif field.endswith("seconds"):
            shown = f"{value:.2f} s"
        else:
            shown = f"{value:.2f}" if field == "asked" else f"{100 * value:.1f} %"
        lines.append(f"  {words:<22}{shown:>9}")
    return "\n".join(lines) + "\n"
