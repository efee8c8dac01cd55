"""What happens when something is pressed on the page. Each page has a session of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gradio as gr

from lib_ranni.errors import RanniError
from lib_ranni.standalone.app import shown
from lib_ranni.standalone.app.controls import NAMES
from lib_ranni.standalone.app.drawing import explained
from lib_ranni.standalone.app.models import about
from lib_ranni.standalone.app.sessions import Session
from lib_ranni.standalone.app.studio import Studio

_LOOK_S = 0.15
_SIGN_OF_LIFE = 8
"""Looks after which the page is told again although nothing has changed: only so is it noticed if it left."""

MODEL_SETS = ("mode", "base_ratio", "feather", "steps", "cfg", "sampler", "width", "height")
"""Controls that a newly loaded checkpoint fills with its own values."""

_UNCHANGED = tuple(gr.update() for _ in range(4))
"""In place of what `_pictures` gives."""

Copy = Callable[[Path], str]
"""Makes a file reachable for the page; its address, relative to the page's."""


class Handlers:
    """The page's events. Sessions come in and go out of each, since Gradio keeps them."""

    def __init__(self, studio: Studio, copy: Copy) -> None:
        self._studio = studio
        self._copy = copy

    async def generate(self, session: Session | None, *values: Any) -> AsyncIterator[tuple[Any, ...]]:
        """Session, status, Generate, Cancel and what `_pictures` gives, as the drawing goes on."""
        session = session or Session()
        if session.is_drawing:
            yield session, *(gr.update() for _ in range(3)), *_UNCHANGED
            return
        try:
            drawing = self._studio.drawing(values, session.shown, session.owner)
        except RanniError as error:
            yield session, shown.status(str(error), failed=True), *_buttons(drawing=False), *_UNCHANGED
            return
        session.begin(drawing)
        try:
            seen, silent = "", 0
            while True:
                is_over, text = drawing.is_over, shown.drawn(drawing)
                fresh, state = session.take(), _buttons(drawing=not is_over)
                if fresh and session.unmark():
                    # Gradio keeps the mark's place, where another picture is from now on; only an empty
                    # gallery has none.
                    yield session, text, *state, gr.update(), [], *_UNCHANGED[2:]
                if is_over or fresh or text != seen or silent >= _SIGN_OF_LIFE:
                    seen, silent = text, 0
                    yield session, text, *state, *(self._pictures(session) if fresh else _UNCHANGED)
                if is_over:
                    return
                silent += 1
                await asyncio.sleep(_LOOK_S)
        finally:
            # A page that was closed asks for no more.
            if not drawing.is_over:
                drawing.cancel()

    def cancel(self, session: Session | None) -> None:
        """End the page's drawing within a step."""
        if session is not None and session.drawing is not None:
            session.drawing.cancel()

    def choose(self, session: Session | None, event: gr.SelectData) -> tuple[Any, ...]:
        """Session and the chosen picture, after a click on one in the gallery."""
        session = session or Session()
        session.choose(str(event.value))
        return session, self._chosen(session)

    def use(self, session: Session | None, planner: str) -> tuple[Any, ...]:
        """All controls, from the chosen picture."""
        if session is None or session.chosen is None:
            return tuple(gr.update() for _ in NAMES)
        controls = self._studio.controls(session.chosen, planner)
        return tuple(getattr(controls, name) for name in NAMES)

    def use_seed(self, session: Session | None) -> Any:
        """The seed of the chosen picture."""
        return gr.update() if session is None or session.chosen is None else session.chosen.request.seed

    async def load(self, text: str) -> AsyncIterator[tuple[Any, ...]]:
        """What is said of the model, and the controls that it fills."""
        kept = tuple(gr.update() for _ in MODEL_SETS)
        try:
            path = self._studio.models.path(text or "")
            job = self._studio.loading(text or "")
        except RanniError as error:
            yield shown.status(str(error), failed=True), *kept
            return
        try:
            yield shown.status("Loading …"), *kept
            while not job.is_over:
                await asyncio.sleep(_LOOK_S)
        finally:
            self._studio.leave(job)
        checkpoint = self._studio.models.checkpoint
        if job.error is not None or checkpoint is None or checkpoint.path != path:
            message = (
                explained(job.error)
                if job.error is not None
                else "another page has loaded a model; load again"
            )
            yield shown.status(message, failed=True), *kept
            return
        usual = self._studio.usual("", checkpoint)
        yield shown.status(about(checkpoint)), *(getattr(usual, name) for name in MODEL_SETS)

    def _pictures(self, session: Session) -> tuple[Any, ...]:
        """The chosen picture, the gallery, and the two buttons that need a picture."""
        gallery = [(str(kept.path), kept.path.name) for kept in session.pictures if kept.path.exists()]
        known = gr.update(interactive=session.chosen is not None)
        return self._chosen(session), gallery, known, known

    def _chosen(self, session: Session) -> str:
        kept = session.chosen
        if kept is None or not kept.path.exists():
            return shown.picture(None)
        return shown.picture(kept, self._copy(kept.path))


def _buttons(*, drawing: bool) -> tuple[Any, Any]:
    """Generate and Cancel."""
    return gr.update(interactive=not drawing), gr.update(interactive=drawing)
