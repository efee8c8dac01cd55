"""The editor's files and the real routes on one server, with a planner that a test leads by the hand."""

from __future__ import annotations

import contextlib
import mimetypes
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from lib_ranni.panel.types import Element, Panel
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    Planner,
    PlanRequest,
    Report,
    never,
)
from lib_ranni.service.routes import mount
from tests.service.plain_host import PlainHost

ROOT = Path(__file__).resolve().parents[2]


class Led:
    """Says what the test puts into `events`; notices within moments when nobody listens any more."""

    name = "openai"

    def __init__(self) -> None:
        self.events: queue.Queue[Event] = queue.Queue()
        self.asked: list[PlanRequest | EditRequest] = []
        self.left = threading.Event()

    def says(self, *events: Event) -> None:
        for event in events:
            self.events.put(event)

    def shows(self, *elements: Element) -> None:
        self.says(Delta("{"), *map(ElementReady, elements))

    def ends(self, panel: Panel, **report: object) -> None:
        self.says(Done(panel, Report(**report)))  # type: ignore[arg-type]

    def plan(self, request: PlanRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        return self._run(request, cancelled)

    def edit(self, request: EditRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        return self._run(request, cancelled)

    def _run(self, request: PlanRequest | EditRequest, cancelled: Cancelled) -> Iterator[Event]:
        self.asked.append(request)
        while not cancelled():
            with contextlib.suppress(queue.Empty):
                yield self.events.get(timeout=0.02)
        self.left.set()
        yield Failed("cancelled", cancelled=True)


class LedHost(PlainHost):
    """The built-in planner is the real one; any other is led by the test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.led = Led()

    def planner(self, name: str) -> Planner:
        return super().planner(name) if name == "builtin" else self.led


@contextlib.contextmanager
def served(host: LedHost) -> Iterator[str]:
    """The address of a server on this machine."""
    mimetypes.add_type("text/javascript", ".mjs")
    app = FastAPI()
    mount(app, host)
    app.mount("/", StaticFiles(directory=ROOT))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
