"""A drawing from order to pictures, on the shipped checkpoint: what is planned, followed, told and kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_ranni.errors import InputError
from lib_ranni.panel.writing import to_json
from lib_ranni.planner.llm.servers import server_named
from lib_ranni.planner.planners import Settings, make_planner
from lib_ranni.planner.protocol import Cancelled, Event, Failed, Planner, PlanRequest
from lib_ranni.standalone.app import shown
from lib_ranni.standalone.app.controls import NAMES, NONE, Controls
from lib_ranni.standalone.app.drawing import OVER, Drawing
from lib_ranni.standalone.app.handlers import Handlers
from lib_ranni.standalone.app.models import Models
from lib_ranni.standalone.app.studio import Studio
from lib_ranni.standalone.metadata import read_png
from tests.standalone.drawing import two

NOBODY = Settings(server=server_named("", base_url="http://127.0.0.1:9/v1", model="m"))


class Patient:
    """A planner that plans until it is told to stop, or raises what it was given."""

    name = "patient"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def plan(self, request: PlanRequest, cancelled: Cancelled) -> Iterator[Event]:
        if self.error is not None:
            raise self.error
        while not cancelled():
            time.sleep(0.01)
        yield Failed("told to stop", cancelled=True)


def _studio(models: Models, folder: Path, planner: Planner | None = None) -> Studio:
    return Studio(models, lambda name: planner or make_planner(name, NOBODY), folder / "out")


def _begun(studio: Studio, **changes: Any) -> Drawing:
    usual = {"prompt": "a red circle", "steps": 1, "width": 64, "height": 64, "seed": 3, "planner": "builtin"}
    controls = Controls(**{**usual, **changes})
    drawing = studio.drawing([getattr(controls, name) for name in NAMES])
    drawing.start()
    return drawing


def _ended(drawing: Drawing) -> Drawing:
    end = time.monotonic() + 30
    while not drawing.is_over and time.monotonic() < end:
        time.sleep(0.005)
    assert drawing.progress.stage in OVER
    return drawing


def test_a_plan_is_followed_and_each_picture_can_be_drawn_alone(models: Models, tmp_path: Path) -> None:
    drawing = _ended(_begun(_studio(models, tmp_path), batch=2))
    assert [kept.path.name for kept in drawing.pictures] == ["00001-3.png", "00002-4.png"]
    for kept in drawing.pictures:
        assert read_png(kept.path) == kept.request
        assert [element.description for element in kept.request.panels[0].elements] == ["red circle"]
        assert kept.request.panels[0].base == "plain background"


def test_a_panel_is_followed_without_planning(models: Models, tmp_path: Path) -> None:
    studio = _studio(models, tmp_path, Patient(AssertionError("nobody asked for a plan")))
    drawing = _ended(_begun(studio, panel=to_json(two()), prompt="words of mine"))
    (kept,) = drawing.pictures
    assert kept.request.panels == (two(),)
    assert kept.request.prompt == "words of mine"


def test_without_a_planner_the_prompt_is_drawn_as_it_is(models: Models, tmp_path: Path) -> None:
    (kept,) = _ended(_begun(_studio(models, tmp_path), planner=NONE)).pictures
    assert (kept.request.mode, kept.request.plain_prompt(0)) == ("plain", "a red circle")


def test_a_plan_without_the_model_is_noted(models: Models, tmp_path: Path) -> None:
    drawing = _ended(_begun(_studio(models, tmp_path), planner="openai"))
    assert len(drawing.pictures) == 1
    assert "there is no server at http://127.0.0.1:9/v1" in drawing.notes[0]
    assert "planned without the model" in shown.drawn(drawing)


@pytest.mark.parametrize(
    ("planner", "error", "words"),
    [
        ("local", None, "which folder the language model is"),
        ("builtin", ValueError("<b>odd</b>"), "this is our fault: ValueError: <b>odd</b>"),
        ("builtin", OSError(28, "No space left on device", "plan"), "No space left on device"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_drawing_is_drawn(
    models: Models, tmp_path: Path, planner: str, error: Exception | None, words: str
) -> None:
    studio = _studio(models, tmp_path, None if error is None else Patient(error))
    drawing = _ended(_begun(studio, planner=planner))
    assert drawing.progress.stage == "failed"
    assert words in drawing.progress.message
    assert "<b>" not in shown.drawn(drawing)
    assert len(_ended(_begun(studio, planner=NONE)).pictures) == 1


def test_a_folder_that_vanished_is_told(models: Models, tmp_path: Path) -> None:
    studio = _studio(models, tmp_path)
    (tmp_path / "out").rmdir()
    (tmp_path / "out").write_text("a file in its place")
    drawing = _ended(_begun(studio))
    assert drawing.progress.stage == "failed"
    assert str(tmp_path / "out") in drawing.progress.message


def test_cancel_ends_a_plan_and_a_wait(models: Models, tmp_path: Path) -> None:
    planning = _begun(_studio(models, tmp_path, Patient()))
    assert planning.progress.stage == "planning"
    planning.cancel()
    assert _ended(planning).progress.stage == "stopped"
    studio = _studio(models, tmp_path)
    first = _begun(studio, steps=1000, planner=NONE)
    second = _begun(studio, planner=NONE)
    while not second.ahead:
        time.sleep(0.005)
    assert "Waiting: 1 drawing before this one." in shown.drawn(second)
    second.cancel()
    assert _ended(second).progress.stage == "stopped"
    assert not first.is_over
    first.cancel()
    assert _ended(first).progress.stage == "stopped"
    assert (first.pictures, second.pictures) == ((), ())


def test_models_are_loaded_when_needed_and_a_wrong_path_changes_nothing(
    models: Models, tmp_path: Path
) -> None:
    studio = _studio(models, tmp_path)
    drawing = _ended(_begun(studio, model=str(tmp_path / "none.safetensors"), planner=NONE))
    assert "there is no checkpoint" in drawing.progress.message
    assert models.has(models.first)
    with pytest.raises(InputError, match="no home folder"):
        studio.loading("~nobody-here/x")
    job = studio.loading(f"  {models.first / 'shapes.safetensors'} ")
    assert job.wait(30)
    assert models.has(models.first / "shapes.safetensors")
    again = _ended(_begun(studio, planner=NONE))
    assert models.has(models.first)
    assert again.pictures[0].request.model == ""


def test_what_another_page_has_loaded_meanwhile_is_not_told_as_ones_own(
    models: Models, tmp_path: Path
) -> None:
    studio = _studio(models, tmp_path)
    handlers = Handlers(studio, str)

    async def load() -> tuple[str, str]:
        told = handlers.load(str(models.first / "shapes.safetensors"))
        begun = await anext(told)
        assert studio.loading("").wait(30)  # the next in the queue
        return begun[0], (await anext(told))[0]

    begun, ended = asyncio.run(load())
    assert "Loading" in begun
    assert "another page has loaded a model" in ended
