"""What the bodies of requests hold, and what is refused about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lib_ranni.panel import reading
from lib_ranni.panel.problems import Problem, Problems
from lib_ranni.panel.types import Panel

_MOST_TOLD = 100


class Refused(Exception):
    """What the caller sent cannot be used; `status` is the answer's, 4xx."""

    def __init__(self, status: int, message: str, problems: tuple[Problem, ...] = ()) -> None:
        self.status, self.message, self.problems = status, message, problems
        super().__init__(message)


def document_of(body: dict[str, Any]) -> Any:
    """The body's `panel`, unread. Raises `Refused` where it has none."""
    if "panel" not in body:
        raise Refused(422, "the body has no panel", (Problem("panel", "is missing", "give a panel"),))
    return body["panel"]


def panel_of(body: dict[str, Any]) -> Panel:
    """The body's panel. Raises `Refused` where it is not flawless."""
    checked = reading.check(document_of(body))
    if isinstance(checked, Panel):
        return checked
    raise Refused(422, "the panel has problems; POST it to validate to have it mended", under_panel(checked))


def text_of(body: dict[str, Any], name: str) -> str:
    """A member of the body that must be a text. Raises `Refused` where it is none."""
    value = body.get(name)
    if isinstance(value, str):
        return value
    raise Refused(422, "the body has problems", (Problem(name, "must be a text", "give a text"),))


def under_panel(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems of a panel with paths from the body down."""
    return tuple(
        Problem(f"panel.{problem.path}" if problem.path else "panel", problem.message, problem.repair)
        for problem in problems
    )


def require_none(problems: Problems) -> None:
    """Refuse a body in which any of its values had a problem."""
    if problems.found:
        raise Refused(422, "the body has problems", problems.all())


def told(problems: Iterable[Problem], most: int | None = None) -> list[Any]:
    """Problems as JSON values; at most `most` of them."""
    return [msgspec.to_builtins(problem) for problem in [*problems][:most]]


def failure(message: str, problems: Iterable[Problem] = ()) -> dict[str, Any]:
    """The body of an answer that refuses."""
    return {"error": message, "problems": told(problems, _MOST_TOLD)}
