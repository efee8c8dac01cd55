"""What a planner is: prompt in, a stream of events out, the last of which is a panel or a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from lib_ranni.errors import PlannerError
from lib_ranni.panel.types import Element, Panel, Seed


class PlanRequest(Struct, frozen=True):
    """A prompt to plan. `aspect` is the canvas' width / height; a planner that draws lots uses `seed`."""

    prompt: str
    aspect: float = 1.0
    seed: Seed | None = None


class Report(Struct, frozen=True):
    """What a planner did with the prompt. `unread` are its words that no element or scene stands for."""

    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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


Event = Delta | ElementReady | Done | Failed


class Planner(Protocol):
    """Turns a prompt into a panel. The stream always ends with `Done` or `Failed`, and never raises."""

    name: str

    def plan(self, request: PlanRequest) -> Iterator[Event]:
        """Plan a prompt."""
        ...


def finish(events: Iterator[Event]) -> Done:
    """Run a plan to its end. Raises `PlannerError` when it failed."""
    for event in events:
        if isinstance(event, Done):
            return event
        if isinstance(event, Failed):
            raise PlannerError(event.message)
    raise PlannerError("the planner stopped without a result; plan again")
