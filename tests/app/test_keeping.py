"""Memory edits in the app: which picture the next one edits, and that the rest of it is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ranni.errors import InputError
from lib_ranni.guidance.edit_region import edit_region
from lib_ranni.panel import edits
from lib_ranni.panel.types import Box, Panel, with_fields
from lib_ranni.panel.writing import to_json
from lib_ranni.planner.protocol import Planner
from lib_ranni.standalone.app.controls import NAMES, NONE, Controls
from lib_ranni.standalone.app.drawing import Drawing, Kept
from lib_ranni.standalone.app.models import Models
from lib_ranni.standalone.app.sessions import Session
from lib_ranni.standalone.app.studio import Studio
from lib_ranni.standalone.metadata import read_png
from tests.standalone.drawing import element

OLD = Panel(
    base="plain background",
    elements=(
        element(1, "a red circle", Box(0.05, 0.1, 0.3, 0.5)),
        element(2, "a blue square", Box(0.7, 0.5, 0.95, 0.9)),
    ),
)
NEW = edits.replace(OLD, "e2", "a green star")


class Page:
    """An open page whose user presses Generate."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.session = Session()

    def generate(self, given: Panel, **changes: Any) -> Drawing:
        usual = {"panel": to_json(given), "planner": NONE, "steps": 2, "width": 104, "height": 72, "seed": 3}
        controls = Controls(**{**usual, "keep": True, **changes})
        session = self.session
        values = [getattr(controls, name) for name in NAMES]
        session.begin(self._studio.drawing(values, session.shown, session.owner))
        assert session.drawing is not None
        end = time.monotonic() + 60
        while not session.drawing.is_over and time.monotonic() < end:
            time.sleep(0.005)
        assert session.drawing.progress.stage == "done", session.drawing.progress
        session.take()
        return session.drawing


def _no_planner(name: str) -> Planner:
    raise InputError(f"nobody asked for {name}")


@pytest.fixture
def studio(models: Models, tmp_path: Path) -> Iterator[Studio]:
    made = Studio(models, _no_planner, tmp_path / "out")
    yield made
    assert made.close()


def _levels(before: Kept, after: Kept) -> Any:
    with Image.open(before.path) as one, Image.open(after.path) as other:
        return np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max(2)


def _require_kept(before: Kept, after: Kept, **margins: int) -> None:
    region = edit_region(before.request.panels[0], after.request.panels[0], (9, 13), **margins)
    kept: Any = (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    levels = _levels(before, after)
    assert 0 < kept.mean() < 1
    assert levels[kept].max() == 0
    assert levels.max() > 0


def test_the_next_picture_keeps_the_rest_and_its_file_tells_how(studio: Studio) -> None:
    page = Page(studio)
    (first,), (second,) = page.generate(OLD).pictures, page.generate(NEW).pictures
    _require_kept(first, second)
    assert read_png(second.path) == second.request
    assert second.request.before == first.request
    moved = edits.move(NEW, "e1", (0.1, 0.2))
    (third,) = page.generate(moved, edit_margin=0, edit_feather=0).pictures
    _require_kept(second, third, margin=0, feather=0)
    assert third.request.edits == 2
    (back,) = page.generate(NEW).pictures
    assert (_levels(second, back).max(), back.request) == (0, second.request)
    (off,) = page.generate(moved, keep=False).pictures
    assert off.request.before is None


def test_what_a_page_has_forgotten_is_drawn_once_more(studio: Studio) -> None:
    page = Page(studio)
    (first,) = page.generate(OLD, keep=False).pictures
    (second,) = page.generate(NEW).pictures
    _require_kept(first, second)


def test_any_seed_is_that_of_the_pictures_before_where_the_panel_was_changed(studio: Studio) -> None:
    page = Page(studio)
    before = page.generate(OLD, seed=-1, batch=2).pictures
    after = page.generate(NEW, seed=-1, batch=2).pictures
    for old, new in zip(before, after, strict=True):
        assert new.request.seed == old.request.seed
        _require_kept(old, new)
    undone = page.generate(OLD, seed=-1, batch=2).pictures
    assert [kept.request for kept in undone] == [kept.request for kept in before]
    page.session.choose(before[0].path.name)
    (one,) = page.generate(edits.remove(OLD, "e1"), seed=-1).pictures
    assert one.request.seed == before[0].request.seed
    _require_kept(before[0], one)
    (other,) = page.generate(edits.remove(OLD, "e1"), seed=-1).pictures
    assert (other.request.before, other.request.seed == one.request.seed) == (None, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 4}, "seed 3 (not 4)"),
        ({"steps": 1}, "steps 2 (not 1)"),
        ({"sampler": "euler"}, "sampler ddim (not euler)"),
        ({"width": 72}, "width 104 (not 72)"),
        ({"panel": to_json(with_fields(OLD, base="black background"))}, "reaches all of the picture"),
    ],
)
def test_what_does_not_fit_is_named_and_drawn_as_one_of_its_own(
    studio: Studio, changes: dict[str, Any], said: str
) -> None:
    page = Page(studio)
    page.generate(OLD)
    drawing = page.generate(NEW, **changes)
    assert said in " ".join(drawing.notes)
    assert drawing.pictures[0].request.before is None


def test_other_words_for_the_whole_picture_are_no_edit(studio: Studio) -> None:
    page = Page(studio)
    page.generate(OLD)
    assert page.generate(NEW, negative="fog").pictures[0].request.before is None
    (same,) = page.generate(OLD, mode="latent").pictures
    assert same.request.before is None
    plain = page.generate(OLD, mode="plain", prompt="a red circle").pictures[0]
    assert plain.request.before is None
