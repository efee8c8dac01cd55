from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from PIL import Image

from lib_ranni.evaluation.contact_sheet import contact_sheet, wrapped
from lib_ranni.evaluation.report import as_json, error_ratio, summarize, table
from lib_ranni.evaluation.run import Job, Outcome, run_suite
from lib_ranni.evaluation.scenes import Scene, SceneObject, render
from lib_ranni.evaluation.suite import CATEGORIES, Entry, limited, load_suite
from lib_ranni.panel.fonts import text_picture
from lib_ranni.panel.types import Box, Element, Panel

ENTRIES = [
    entry for entry in load_suite() if sum(w.count for w in entry.expected) <= 4 and not entry.relations
]
ENTRIES = list(limited(ENTRIES, 10))
BY_PROMPT = {entry.prompt: entry for entry in ENTRIES}
SPOTS = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]


def scene_of(entry: Entry) -> Scene:
    names = [(w.shape, w.color) for w in entry.expected for _ in range(w.count)]
    colors = {color for _, color in names}
    background = entry.background or next(b for b in ("white", "gray", "black") if b not in colors)
    objects = [SceneObject(s, c, x, y, 0.3) for (s, c), (x, y) in zip(names, SPOTS, strict=False)]
    return Scene(background, tuple(objects))


def plan(prompt: str) -> Panel:
    elements = [
        Element(id=f"e{k}", description=o.name, box=Box(o.x - 0.15, o.y - 0.15, o.x + 0.15, o.y + 0.15))
        for k, o in enumerate(scene_of(BY_PROMPT[prompt]).objects)
    ]
    return Panel(base=prompt, elements=tuple(elements))


def draw_many(jobs: Sequence[Job], mode: str) -> list[Image.Image]:
    """The guided mode draws what is asked; the plain one forgets the last object."""
    pictures = []
    for job in jobs:
        scene = scene_of(BY_PROMPT[job.prompt])
        if mode == "plain":
            scene = Scene(scene.background, scene.objects[:-1])
        pictures.append(render(scene, 128))
    return pictures


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return run_suite(ENTRIES, ["plain", "attention"], draw_many, plan, batch=4)


def test_run_judges_every_mode(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == 2 * len(ENTRIES)
    assert [o.verdict.correct for o in outcomes] == [False] * len(ENTRIES) + [True] * len(ENTRIES)
    guided = outcomes[-1]
    assert guided.iou is not None
    assert guided.iou > 0.6
    assert all(o.seconds >= 0 for o in outcomes)


def test_run_batches_and_reports_progress() -> None:
    sizes, told = [], []

    def counting(jobs: Sequence[Job], mode: str) -> list[Image.Image]:
        sizes.append(len(jobs))
        return draw_many(jobs, mode)

    run_suite(ENTRIES, ["plain"], counting, plan, lambda *news: told.append(news), batch=4)
    assert sizes == [4, 4, 2]
    assert told[-4:] == [("plan", 10, 10), ("plain", 4, 10), ("plain", 8, 10), ("plain", 10, 10)]


def test_summary(outcomes: list[Outcome]) -> None:
    summary = summarize("shapes", outcomes)
    data = json.loads(as_json(summary))
    assert (data["suite"], data["n"]) == ("shapes", len(ENTRIES))
    assert set(data["modes"]) == {"plain", "attention"}
    assert set(data["modes"]["plain"]) == {"all_correct", "mean", "iou", "seconds_per_image"}
    assert list(data["modes"]["attention"]["all_correct"]) == [c for c in CATEGORIES if c != "spatial"]
    assert data["modes"]["attention"]["mean"] == 1
    assert error_ratio(summary, "attention") == float("inf")
    assert error_ratio(summary, "plain") == 1
    assert error_ratio(summary, "latent") is None


def test_table_is_aligned(outcomes: list[Outcome]) -> None:
    lines = table(summarize("shapes", outcomes)).splitlines()
    assert lines[0].startswith("suite shapes, 10 prompts")
    assert len({len(line) for line in lines[1:]}) == 1
    assert "binding-3/4" in lines[1]
    assert "infx" in lines[-1]


def test_an_empty_run_still_reports() -> None:
    assert json.loads(as_json(summarize("shapes", []))) == {"suite": "shapes", "n": 0, "modes": {}}


def test_contact_sheet_holds_all(outcomes: list[Outcome]) -> None:
    one_block = contact_sheet(outcomes, cell_px=96, blocks=1)
    assert one_block.height >= len(ENTRIES) * 96
    assert one_block.width >= 2 * 96
    several = contact_sheet(outcomes, cell_px=96, blocks=3)
    assert several.height < one_block.height < 2000
    assert several.width > 2 * one_block.width
    colors = {color for _, color in one_block.getcolors(one_block.width * one_block.height)}
    assert {(26, 140, 74), (204, 38, 38)} <= colors


def test_contact_sheet_of_nothing() -> None:
    assert contact_sheet([]).width > 0


def test_wrapping_keeps_words_and_width() -> None:
    text = "a drawing of an orange ring, a yellow ring and a supercalifragilistic heart"
    lines = wrapped(text, 120, 13)
    assert " ".join(lines) == text
    assert all(text_picture(line, 13).width <= 120 for line in lines if " " in line)
