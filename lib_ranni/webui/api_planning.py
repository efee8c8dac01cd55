"""The routes that plan and edit, at once or as a stream of server-sent events."""

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
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    finish,
)
from lib_ranni.webui.planning import PLANNERS, interrupted, planner, request

_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff")

_UNHELD = {"Content-Encoding": "identity", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""Keeps the host's compression, and proxies, from holding events back until there are many."""

Run = Callable[[Cancelled], Iterator[Event]]
"""Starts a planner; the events are those of one plan or edit."""


def plan_run(body: dict[str, Any], problems: Problems) -> Run:
    """What a body asks to be planned; its faults go into `problems`."""
    prompt = problems.text("prompt", body.get("prompt"), MAX_TEXT)
    aspect = problems.number("aspect", body.get("aspect", 1.0), 0.1, 10.0, 1.0)
    seed = problems.whole("seed", body.get("seed"), 0, MAX_SEED)
    name, picture = _name(body, problems), _picture(body.get("picture"), problems)
    asked = msgspec.structs.replace(request(prompt, aspect, seed), picture=picture)
    return lambda stop: planner(name).plan(asked, stop)


def edit_run(body: dict[str, Any], panel: Panel, problems: Problems) -> Run:
    """What a body asks to be changed about a panel, in words."""
    told = problems.text("instruction", body.get("instruction"), MAX_TEXT)
    seed = problems.whole("seed", body.get("seed"), 0, MAX_SEED)
    name = _name(body, problems)
    return lambda stop: planner(name).edit(EditRequest(panel, told, seed), stop)


def at_once(run: Run, before: Panel | None = None) -> dict[str, Any]:
    """The end of a run as a response. Raises `PlannerError`."""
    return _end(finish(run(interrupted())), before)


def streamed(run: Run, before: Panel | None = None) -> StreamingResponse:
    """The events of a run as they come: `delta`, `element`, `done`, `failed`. Hanging up cancels it."""
    return StreamingResponse(_lines(run, before), headers=_UNHELD, media_type="text/event-stream")


async def _lines(run: Run, before: Panel | None) -> AsyncIterator[bytes]:
    gone, stopped = threading.Event(), interrupted()
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
    name = problems.text("planner", body.get("planner", PLANNERS[0]), 64)
    if name not in PLANNERS:
        problems.add("planner", f"there is no planner of this name; choose {', '.join(PLANNERS)}", "none")
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
