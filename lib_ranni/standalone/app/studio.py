"""What all open pages share: the model and its queue, the planners, the folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

from lib_ranni.planner.protocol import Planner
from lib_ranni.standalone.app.controls import Controls, filled, order, read
from lib_ranni.standalone.app.drawing import Drawing, Gallery, Kept
from lib_ranni.standalone.app.keeping import Shown
from lib_ranni.standalone.app.models import Models
from lib_ranni.standalone.app.turns import Job, Turns
from lib_ranni.standalone.checkpoint import SHAPES, Checkpoint


class Studio:
    """Draws for all pages, one picture at a time."""

    def __init__(self, models: Models, planner: Callable[[str], Planner], pictures: Path) -> None:
        self.models = models
        self._planner = planner
        self._gallery = Gallery(pictures)
        self._turns = Turns()
        self._drawings: WeakSet[Drawing] = WeakSet()

    def drawing(self, values: Sequence[Any], shown: Shown | None = None, owner: str = "") -> Drawing:
        """What a page's values ask for, not begun; `shown` are its pictures, which an edit may keep, and
        `owner` whose they are. Raises `InputError`.
        """
        controls = read(values)
        path = self.models.path(controls.model)
        recorded = "" if path == SHAPES else str(path)
        wanted = order(controls, path, recorded)
        drawing = Drawing(wanted, self.models, self._turns, self._gallery, self._planner, shown, owner)
        self._drawings.add(drawing)
        return drawing

    def loading(self, text: str) -> Job:
        """The loading of the checkpoint that a text names, in the queue. Raises `InputError`."""
        path = self.models.path(text)
        job = Job(lambda: self.models.engine(path))
        self._turns.add(job)
        return job

    def leave(self, job: Job) -> None:
        """Nobody waits for this any more."""
        self._turns.leave(job)

    def close(self, seconds: float = 5.0) -> bool:
        """Cancel all drawings; whether the model came to rest within so many seconds."""
        for drawing in list(self._drawings):
            drawing.cancel()
        return self._turns.rest(seconds)

    def controls(self, kept: Kept, planner: str) -> Controls:
        """The controls that draw a picture again."""
        return filled(kept.request, planner, str(SHAPES))

    def usual(self, planner: str, checkpoint: Checkpoint) -> Controls:
        """The controls as a page begins with them."""
        own = checkpoint.defaults
        return Controls(
            planner=planner,
            mode=own.mode,
            base_ratio=own.base_ratio,
            feather=own.feather,
            steps=own.steps,
            cfg=own.cfg,
            sampler=own.sampler,
            width=own.size,
            height=own.size,
            model=str(checkpoint.path),
        )
