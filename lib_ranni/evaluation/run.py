"""Draw a suite in several modes from the same seeds and panels, and judge every picture.

How pictures are drawn and prompts are planned is passed in; this module knows neither models nor planners.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from msgspec import Struct
from PIL import Image

from lib_ranni.evaluation.scoring import Detection, detect
from lib_ranni.evaluation.suite import Entry, Verdict, judge, layout_iou
from lib_ranni.panel.types import Panel


class Job(Struct, frozen=True):
    """One picture to draw."""

    prompt: str
    panel: Panel
    seed: int


Plan = Callable[[str], Panel]
Draw = Callable[[str, Panel, str, int], Image.Image]
"""(prompt, panel, mode, seed) -> picture."""
DrawMany = Callable[[Sequence[Job], str], Sequence[Image.Image]]
"""(jobs, mode) -> a picture for each job; each must depend on its own job only, not on the batch."""
OnProgress = Callable[[str, int, int], None]
"""(what is being done, how many are done, of how many)."""


class Outcome(Struct, frozen=True):
    """One picture and what the scorer makes of it. `iou` is None where the panel names no shape."""

    entry: Entry
    mode: str
    picture: Image.Image
    detections: tuple[Detection, ...]
    verdict: Verdict
    iou: float | None
    seconds: float


def _quiet(what: str, done: int, total: int) -> None:
    return None


def run_suite(
    entries: Sequence[Entry],
    modes: Sequence[str],
    draw_many: DrawMany,
    plan: Plan,
    on_progress: OnProgress = _quiet,
    *,
    batch: int = 8,
) -> list[Outcome]:
    """Plan each prompt once, draw it in every mode, `batch` pictures at a time; outcomes go mode by mode.

    `seconds` is a picture's share of its batch's drawing time; planning and scoring are not in it.
    """
    jobs = []
    for done, entry in enumerate(entries, 1):
        jobs.append(Job(entry.prompt, plan(entry.prompt), entry.seed))
        on_progress("plan", done, len(entries))
    outcomes: list[Outcome] = []
    for mode in modes:
        for start in range(0, len(jobs), batch):
            part = jobs[start : start + batch]
            began = time.perf_counter()
            pictures = draw_many(part, mode)
            seconds = (time.perf_counter() - began) / len(part)
            for entry, job, picture in zip(entries[start : start + batch], part, pictures, strict=True):
                outcomes.append(scored(entry, mode, job.panel, picture, seconds))
            on_progress(mode, start + len(part), len(jobs))
    return outcomes


def scored(entry: Entry, mode: str, panel: Panel, picture: Image.Image, seconds: float) -> Outcome:
    """Judge one picture of a mode, drawn in `seconds`."""
    seen = tuple(detect(picture))
    return Outcome(entry, mode, picture, seen, judge(entry, seen), layout_iou(panel, seen), seconds)
