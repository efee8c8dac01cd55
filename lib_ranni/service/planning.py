"""What a body asks of a planner, at once or as a stream of server-sent events."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio.to_thread
import msgspec
from fastapi.responses import StreamingResponse

from lib_ranni.errors import RanniError
from lib_ranni.panel.diff import diff, sentences
from lib_ranni.panel.problems import Problems
from lib_ranni.panel.types import MAX_SEED, MAX_TEXT, Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.planners import NAMES
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    finish,
)
from lib_ranni.service.host import Host

_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff")

_UNHELD = {"Content-Encoding": "identity", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Keeps the host's compression, and proxies, from holding events back until there are many."""

Run = Callable[[Cancelled], Iterator[Event]]
"""Starts a planner; the events are those of one plan or edit."""


def plan_request(prompt: str, aspect: float, seed: int | None) -> PlanRequest:
    """What a planner is asked for a canvas of this width / height, whatever that is."""
    return PlanRequest(prompt, min(10.0, max(0.1, aspect)), seed)


def plan_run(host: Host, body: dict[str, Any], present: Panel | None, problems: Problems) -> Run:
    """What a body asks to be planned; its faults go into `problems`.

    Of the `present` panel the locked elements stay.
    """
    prompt = problems.text("prompt", body.get("prompt"), MAX_TEXT)
    aspect = problems.number("aspect", body.get("aspect", 1.0), 0.1, 10.0, 1.0)
    seed = problems.whole("seed", body.get("seed"), 0, MAX_SEED)
    name, picture = _name(body, problems), _picture(body.get("picture"), problems)
    asked = msgspec.structs.replace(plan_request(prompt, aspect, seed), picture=picture)

    def run(stop: Cancelled) -> Iterator[Event]:
        # What reads descriptions has vocabularies, which cost time when they are imported.
        from lib_ranni.planner.keeping import with_locked

        for event in host.planner(name).plan(asked, stop):
            if isinstance(event, Done) and present is not None:
                yield msgspec.structs.replace(event, panel=with_locked(present, event.panel))
            else:
                yield event

    return run


def edit_run(host: Host, body: dict[str, Any], panel: Panel, problems: Problems) -> Run:
    """What a body asks to be changed about a panel, in words."""
    instruction = problems.text("instruction", body.get("instruction"), MAX_TEXT)
    seed = problems.whole("seed", body.get("seed"), 0, MAX_SEED)
    name = _name(body, problems)
    return lambda stop: host.planner(name).edit(EditRequest(panel, instruction, seed), stop)


def at_once(run: Run, stopped: Cancelled, before: Panel | None = None) -> dict[str, Any]:
    """The end of a run as a response. Raises `PlannerError`."""
    return _end(finish(run(stopped)), before)


def streamed(run: Run, stopped: Cancelled, before: Panel | None = None) -> StreamingResponse:
    """The events of a run as they come: `delta`, `element`, `done`, `failed`. Hanging up cancels it."""
    return StreamingResponse(_lines(run, stopped, before), headers=_UNHELD, media_type="text/event-stream")


async def _lines(run: Run, stopped: Cancelled, before: Panel | None) -> AsyncIterator[bytes]:
    gone = threading.Event()
    events: Iterator[Event] | None = None

    def following() -> Event | None:
        nonlocal events
        try:
            if events is None:
                events = run(lambda: gone.is_set() or stopped())
            return next(events, None)
        except RanniError as error:
            return Failed(str(error))

    try:
        # What waits for a model must not keep the server from noticing that the caller has left.
        while (event := await anyio.to_thread.run_sync(following, cancellable=True)) is not None:
            yield _line(event, before)
            if isinstance(event, (Done, Failed)):
                return
    finally:
        gone.set()


def _line(event: Event, before: Panel | None) -> bytes:
    value: Any
    if isinstance(event, Delta):
        name, value = "delta", {"text": event.text}
    elif isinstance(event, ElementReady):
        name, value = "element", msgspec.to_builtins(event.element)
    elif isinstance(event, Done):
        name, value = "done", _end(event, before)
    else:
        name, value = "failed", {"error": event.message, "cancelled": event.cancelled}
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))


def _end(done: Done, before: Panel | None) -> dict[str, Any]:
    answer = {"panel": to_document(done.panel), "report": msgspec.to_builtins(done.report)}
    if before is not None:
        answer["changes"] = sentences(diff(before, done.panel))
    return answer


def _name(body: dict[str, Any], problems: Problems) -> str:
    name = problems.text("planner", body.get("planner", NAMES[0]), 64)
    if name not in NAMES:
        problems.add("planner", f"there is no planner of this name; choose {', '.join(NAMES)}", "none")
    return name


def _picture(value: Any, problems: Problems) -> bytes | None:
    if value is None:
        return None
    try:
        picture = base64.b64decode(value if isinstance(value, str) else "", validate=True)
    except (binascii.Error, ValueError):
        picture = b""
    if not picture.startswith(_PICTURES):
        problems.add("picture", "must be a PNG or JPEG file in base64", "left out")
        return None
    return picture
