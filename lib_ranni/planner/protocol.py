"""What a planner is: prompt in, a stream of events out, the last of which is a panel or a failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from msgspec import Struct

from lib_ranni.errors import PlannerError
from lib_ranni.panel.types import Element, Panel, Seed

Cancelled = Callable[[], bool]
"""Whether the caller has lost interest; asked several times a second."""


def never() -> bool:
    """The caller waits for the end."""
    return False


class PlanRequest(Struct, frozen=True):
    """A prompt to plan. `aspect` is the canvas' width / height; a planner that draws lots uses `seed`.

    `picture` is a PNG or JPEG file to plan from, for planners that can see.
    """

    prompt: str
    aspect: float = 1.0
    seed: Seed | None = None
    picture: bytes | None = None


class EditRequest(Struct, frozen=True):
    """A panel, as the user has edited it, and what to change about it, in words."""

    panel: Panel
    instruction: str
    seed: Seed | None = None


class Report(Struct, frozen=True):
    """What a planner did with the prompt.

    `unread` are its words that no element or scene stands for, `repairs` what was mended in a model's reply,
    `asked` how often a model was asked, `fallback` why the built-in planner had to step in, if it had to.
    """

    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    asked: int = 0
    fallback: str = ""
    cached: bool = False


class Delta(Struct, frozen=True):
    """Raw text from a language model, as it arrives."""

    text: str


class ElementReady(Struct, frozen=True):
    """An element is complete; the panel may still change until `Done`."""

    element: Element


class Done(Struct, frozen=True):
    """The plan is finished."""

    panel: Panel
    report: Report


class Failed(Struct, frozen=True):
    """The plan could not be made; `message` says why and what to do."""

    message: str
    cancelled: bool = False


Event = Delta | ElementReady | Done | Failed


class Planner(Protocol):
    """Turns a prompt into a panel. The stream always ends with `Done` or `Failed`, and never raises."""

    name: str

    def plan(self, request: PlanRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Plan a prompt."""
        ...

    def edit(self, request: EditRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Change a panel as told. Locked elements stay as they are."""
        ...


def finish(events: Iterator[Event]) -> Done:
    """Run a plan to its end. Raises `PlannerError` when it failed."""
    for event in events:
        if isinstance(event, Done):
            return event
        if isinstance(event, Failed):
            raise PlannerError(event.message)
    raise PlannerError("the planner stopped without a result; plan again")
