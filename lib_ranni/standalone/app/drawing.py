"""One press of Generate: plan if needed, wait for the model, draw the pictures one after the other."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from msgspec import Struct
from PIL import Image

from lib_ranni.errors import PlannerError, RanniError
from lib_ranni.panel.types import Panel, with_fields
from lib_ranni.planner.protocol import Done, Failed, Planner, PlanRequest
from lib_ranni.standalone.app.controls import Order
from lib_ranni.standalone.app.keeping import Shown, edits
from lib_ranni.standalone.app.models import Models
from lib_ranni.standalone.app.turns import Job, Turns
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.metadata import Numbering, save_png, single
from lib_ranni.standalone.requests import Request

Stage = Literal["planning", "waiting", "loading", "drawing", "done", "stopped", "failed"]
OVER: tuple[Stage, ...] = ("done", "stopped", "failed")

_LOCAL = "lib_ranni.planner.local.model"


class Progress(Struct, frozen=True):
    """How far a drawing is. `picture` counts from 0; `seconds` are those of drawing, planning apart."""

    stage: Stage
    picture: int = 0
    pictures: int = 1
    step: int = 0
    steps: int = 1
    seconds: float = 0.0
    message: str = ""


class Kept(Struct, frozen=True):
    """A finished picture: its file, and the request that draws exactly it again."""

    path: Path
    request: Request


class Gallery:
    """Where finished pictures go: files of one folder, numbered on from what is there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._names = Numbering(folder)
        self._lock = threading.Lock()

    def keep(self, picture: Image.Image, request: Request) -> Kept:
        """Write a picture with what draws it again."""
        with self._lock:
            path = self._names.next(request.seed)
            while path.exists():  # another program draws into the same folder
                path = self._names.next(request.seed)
            save_png(picture, path, request)
        return Kept(path, request)


class _Stopped(Exception):
    """The user has pressed Cancel."""


class Drawing:
    """An order being carried out, in threads of its own. Read `progress` and `pictures` at any time."""

    def __init__(
        self,
        order: Order,
        models: Models,
        turns: Turns,
        gallery: Gallery,
        planner: Callable[[str], Planner],
        shown: Shown | None = None,
        owner: str = "",
    ) -> None:
        self.pictures: tuple[Kept, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.progress = Progress("planning" if order.planner else "waiting", pictures=order.request.batch)
        self._order = order
        self._models, self._turns, self._gallery, self._planner = models, turns, gallery, planner
        self._shown, self._owner = shown or Shown(), owner if order.keep else ""
        self._stop = threading.Event()
        self._job: Job | None = None
        self._began = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.progress.stage in OVER

    @property
    def ahead(self) -> int:
        """How many others are drawn before."""
        return 0 if self._job is None else self._turns.ahead(self._job)

    def start(self) -> None:
        """Begin; returns at once."""
        threading.Thread(target=self._run, name="ranni-drawing", daemon=True).start()

    def cancel(self) -> None:
        """End within a step. Finished pictures stay."""
        self._stop.set()
        if self._job is not None:
            self._turns.leave(self._job)

    def _run(self) -> None:
        try:
            panel = self._planned() if self._order.planner and self._order.panel is None else None
            self._tell("waiting")
            self._job = job = Job(lambda: self._draw(panel or self._order.panel or Panel()))
            self._turns.add(job)
            if self._stop.is_set():
                self._turns.leave(job)
            job.wait()
            if job.error is not None:
                raise job.error
            self._tell("stopped" if self._stop.is_set() else "done")
        except _Stopped:
            self._tell("stopped")
        except Exception as error:  # whatever it is, the page goes on
            self._tell("failed", message=explained(error))

    def _tell(self, stage: Stage, **fields: Any) -> None:
        seconds = time.perf_counter() - self._began if self._began else 0.0
        self.progress = msgspec.structs.replace(self.progress, stage=stage, seconds=seconds, **fields)

    def _planned(self) -> Panel:
        request = self._order.request
        asked = PlanRequest(request.prompt, min(10.0, max(0.1, request.width / request.height)), request.seed)
        for event in self._planner(self._order.planner).plan(asked, self._stop.is_set):
            if self._stop.is_set():
                raise _Stopped
            if isinstance(event, Failed):
                raise PlannerError(event.message)
            if isinstance(event, Done):
                report = event.report
                fallback = (f"planned without the model: {report.fallback}",) if report.fallback else ()
                self.notes = (*fallback, *report.notes)
                return event.panel
        raise PlannerError("the planner stopped without a result; generate again")

    def _draw(self, panel: Panel) -> None:
        """All pictures, at the model."""
        if self._stop.is_set():
            return
        _make_room()
        if not self._models.has(self._order.model):
            self._tell("loading")
        engine = self._models.engine(self._order.model)
        request = self._request(panel, engine.checkpoint)
        self._began = time.perf_counter()
        self._tell("drawing", steps=request.steps)
        for picture, own in enumerate(self._singles(request, engine.checkpoint)):
            self._tell("drawing", picture=picture, step=0)
            generation = engine.generate(own, self._step, owner=self._owner)
            kept = self._gallery.keep(generation.images[0], own)
            self.pictures = (*self.pictures, kept)
            self.notes = tuple(dict.fromkeys((*self.notes, *generation.warnings)))

    def _singles(self, request: Request, checkpoint: Checkpoint) -> tuple[Request, ...]:
        """A request for each picture: of one that keeps the rest, an edit."""
        if not self._order.keep:
            return tuple(single(request, picture) for picture in range(request.batch))
        found, told = edits(request, self._shown, checkpoint, any_seed=self._order.any_seed)
        self.notes = (*self.notes, *told)
        return found

    def _step(self, step: int, steps: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        self._tell("drawing", step=step, steps=steps)

    def _request(self, panel: Panel, checkpoint: Checkpoint) -> Request:
        """The order with its panel. Without elements there is nothing to follow: the prompt is drawn."""
        request, defaults = self._order.request, checkpoint.defaults
        if not panel.elements:
            return msgspec.structs.replace(request, panels=(panel,), mode="plain")
        if not panel.base and not defaults.base and request.prompt:
            panel = with_fields(panel, base=request.prompt)
        return msgspec.structs.replace(request, panels=(defaults.grounded(panel),))


def _make_room() -> None:
    """Put language models of this process away: a picture is about to be drawn."""
    local = sys.modules.get(_LOCAL)
    if local is not None:
        with suppress(PlannerError):
            local.offload_all(wait=1.0)


def explained(error: Exception) -> str:
    """What went wrong, for the person at the page."""
    if isinstance(error, (RanniError, OSError)):
        return " ".join(str(error).split())
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "the graphics card has too little memory for this; draw smaller pictures"
    words = " ".join(str(error).split())[:300]
    return f"this is our fault: {type(error).__name__}: {words} (please report it)"
