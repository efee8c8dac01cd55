"""Thousands of damaged panel documents: never a traceback, always a panel or problems with their paths."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import pytest

from lib_ranni.errors import PanelError
from lib_ranni.panel.preview import render
from lib_ranni.panel.problems import Problem
from lib_ranni.panel.reading import check, load, read, repair
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_document, to_json
from tests.panel.mutations import damaged, damaged_text

_BATCHES, _ROUNDS = 15, 200
_PATH = re.compile(r"|([A-Za-z_]\w*|\[.{1,45}\])(\.\w+|\[.{1,45}\])*", re.DOTALL)

_SEEDS: tuple[dict[str, Any], ...] = (
    {"version": 1, "elements": []},
    {
        "version": 1,
        "base": "a room",
        "negative": "fog",
        "aspect": 1.5,
        "light": {"from": ["north", 0.5]},
        "provenance": {"planner": "builtin", "prompt": "a cat and a lamp", "seed": 3, "unread": ["and"]},
        "elements": [
            {
                "id": "e1",
                "description": "a gray cat",
                "box": {"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.6},
                "mask": {"width": 4, "height": 2, "runs": [1, 2, 5]},
                "negative": "dog",
                "colors": ["#808080", "#ffffff"],
                "keypoints": [{"name": "nose", "x": 0.3, "y": 0.4}],
                "weight": 2.0,
                "base_ratio": 0.3,
                "start": 0.1,
                "end": 0.9,
                "lora": [{"name": "fur", "weight": 0.5}],
                "seed": 7,
                "locked": True,
                "mood": "calm",
            },
            {"id": "e2", "description": "一盏灯", "box": {"x0": 0.6, "y0": 0.5, "x1": 0.9, "y1": 0.9}},
        ],
    },
    {"background": "a lawn", "objects": [{"label": "a dog", "bbox": [100, 200, 500, 900], "color": "#f00"}]},
)


def _judge(document: Any) -> Panel | None:
    """What must hold for any document at all; returns what it was read or mended as."""
    checked = check(document)
    reading = read(document)
    if isinstance(checked, Panel):
        assert reading.problems == ()
        assert reading.panel == checked == load(document)
    else:
        assert checked
        assert checked == reading.problems
        for problem in checked:
            _judge_problem(problem)
        with pytest.raises(PanelError):
            load(document)
    if reading.panel is None:
        with pytest.raises(PanelError):
            repair(document)
        return None
    mended = repair(document)
    assert mended == reading
    assert mended.panel is not None
    assert check(to_json(mended.panel)) == mended.panel
    assert check(to_document(mended.panel)) == mended.panel
    return mended.panel


def _judge_problem(problem: Problem) -> None:
    assert problem.message
    assert problem.repair
    assert _PATH.fullmatch(problem.path), problem.path
    assert len(str(problem)) < 10_000
    str(problem).encode()


@pytest.mark.parametrize("batch", range(_BATCHES))
def test_damaged_documents(batch: int) -> None:
    random = Random(batch)
    fates = {"read": 0, "mended": 0, "refused": 0}
    for round_ in range(_ROUNDS):
        document = damaged(random.choice(_SEEDS), random)
        panel = _judge(document)
        flawless = panel is not None and not read(document).problems
        fates["refused" if panel is None else "read" if flawless else "mended"] += 1
        if panel is not None and round_ % 20 == 0:
            assert max(render(panel, 64).size) == 64
    assert sum(fates.values()) == _ROUNDS
    assert fates["mended"] > _ROUNDS / 4


@pytest.mark.parametrize("batch", range(_BATCHES))
def test_damaged_texts(batch: int) -> None:
    random = Random(1000 + batch)
    refused = 0
    for _ in range(_ROUNDS):
        document = random.choice(_SEEDS)
        if random.random() < 0.5:
            document = damaged(document, random)
        refused += _judge(damaged_text(document, random)) is None
    assert 0 < refused < _ROUNDS


def test_the_undamaged_documents_are_fine() -> None:
    assert [isinstance(check(seed), Panel) for seed in _SEEDS] == [True, True, False]
    for seed in _SEEDS:
        assert _judge(seed) == _judge(json.dumps(seed))


@pytest.mark.parametrize("text", ["", "\x00", "{}", "[]", "🦊", "\ud800", "{" * 10_000, "\ufeff", "-", '"'])
def test_texts_that_are_hardly_documents(text: str) -> None:
    panel = _judge(text)
    assert (panel is not None) == (text == "{}")
