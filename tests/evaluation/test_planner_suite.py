from __future__ import annotations

from pathlib import Path

import pytest

from lib_ranni.evaluation.planner_suite import (
    Course,
    Include,
    PlannerEntry,
    judge_aspects,
    judge_panel,
    load_geneval,
    load_planner_suite,
    matches,
    run_planner_suite,
    singular,
)
from lib_ranni.evaluation.planning import planning_figures, planning_table
from lib_ranni.evaluation.report import as_json, summarize
from lib_ranni.panel.types import Box, Element, Panel

ENTRIES = load_planner_suite()
LEFT, RIGHT, TOP = Box(0.1, 0.4, 0.3, 0.6), Box(0.6, 0.4, 0.8, 0.6), Box(0.4, 0.0, 0.6, 0.2)


def panel(*things: tuple[str, Box]) -> Panel:
    return Panel(
        elements=tuple(Element(id=f"e{k}", description=d, box=box) for k, (d, box) in enumerate(things))
    )


PAIR = PlannerEntry(
    "t",
    "position",
    "a red bus left of two taxis",
    (Include("bus", color="red", position=("left of", 1)), Include("taxi")),
    absent=("person",),
    only=True,
)


def test_right_panel_passes() -> None:
    assert judge_panel(PAIR, panel(("a red bus", LEFT), ("a shiny taxi in the rain", RIGHT))).correct


@pytest.mark.parametrize(
    "things",
    [
        [("a red bus", LEFT)],
        [("a red bus", RIGHT), ("a taxi", LEFT)],
        [("a blue bus", LEFT), ("a taxi", RIGHT)],
        [("a red and blue bus", LEFT), ("a taxi", RIGHT)],
        [("a red bus", LEFT), ("a taxi", RIGHT), ("a taxi", TOP)],
        [("a red bus", LEFT), ("a taxi", RIGHT), ("a tree", TOP)],
        [("a red bus", LEFT), ("a taxi", RIGHT), ("three people", TOP)],
        [("a red bus stop", LEFT), ("a taxi", RIGHT)],
    ],
)
def test_each_fault_flips_the_verdict(things: list[tuple[str, Box]]) -> None:
    assert not judge_panel(PAIR, panel(*things)).correct


def test_class_is_the_head_noun() -> None:
    cat = Element(id="e", description="an orange cat on a red mat", box=LEFT)
    assert matches(cat, Include("cat", color="orange"))
    assert not matches(cat, Include("orange"))
    assert not matches(cat, Include("mat"))


@pytest.mark.parametrize(
    ("word", "one"),
    [("mice", "mouse"), ("cherries", "cherry"), ("benches", "bench"), ("bus", "bus"), ("glass", "glass"),
     ("knives", "knife"), ("dogs", "dog")],
)  # fmt: skip
def test_singular(word: str, one: str) -> None:
    assert singular(word) == one


def test_suite_invariants() -> None:
    assert len(ENTRIES) >= 60
    assert len({e.id for e in ENTRIES}) == len({e.prompt for e in ENTRIES}) == len(ENTRIES)
    for entry in ENTRIES:
        assert entry.include
        for index, want in enumerate(entry.include):
            assert want.count >= 1
            if want.position is not None:
                assert 0 <= want.position[1] < len(entry.include)
                assert want.position[1] != index


def test_an_empty_panel_is_never_right() -> None:
    told = []
    outcomes = run_planner_suite(
        ENTRIES, "none", lambda prompt: (Panel(base=prompt), Course()), lambda *n: told.append(n)
    )
    assert not any(outcome.verdict.correct for outcome in outcomes)
    summary = summarize("planner", outcomes)
    assert summary.modes["none"].mean == 0
    assert summary.modes["none"].iou is None
    assert told[-1] == ("none", len(ENTRIES), len(ENTRIES))


@pytest.mark.parametrize(
    ("things", "counts", "colors", "positions"),
    [
        ([("a red bus", LEFT), ("a taxi", RIGHT)], True, True, True),
        ([("a red bus", RIGHT), ("a taxi", LEFT)], True, True, False),
        ([("a blue bus", LEFT), ("a taxi", RIGHT)], True, False, False),
        ([("a red bus", LEFT), ("a taxi", RIGHT), ("a taxi", RIGHT)], False, True, True),
        ([("a taxi", RIGHT)], False, False, False),
    ],
)
def test_aspects_are_judged_each_on_its_own(
    things: list[tuple[str, Box]], counts: bool, colors: bool, positions: bool
) -> None:
    expected = {"counts": counts, "colors": colors, "positions": positions}
    assert judge_aspects(PAIR, panel(*things)) == expected


def test_what_is_not_asked_for_is_not_judged() -> None:
    entry = PlannerEntry("t", "counting", "two taxis", (Include("taxi", count=2),))
    assert judge_aspects(entry, panel(("taxi", LEFT), ("taxi", RIGHT))) == {"counts": True}


def test_figures_tell_how_plans_came_about() -> None:
    courses = iter(
        [
            Course(asked=1, first_seconds=0.5),
            Course(asked=1, repairs=2, first_seconds=1.5),
            Course(asked=3, first_seconds=2.5),
            Course(asked=1, fell_back="no server"),
        ]
    )
    right = panel(("a red bus", LEFT), ("a taxi", RIGHT))
    outcomes = run_planner_suite([PAIR] * 4, "p", lambda _: (right, next(courses)))
    figures = planning_figures(outcomes)
    assert (figures.valid, figures.mended, figures.fell_back, figures.asked) == (0.25, 0.5, 0.25, 1.5)
    assert (figures.counts, figures.colors, figures.positions) == (1.0, 1.0, 1.0)
    assert figures.first_element_seconds == 1.5
    text = planning_table("p", figures)
    assert "fell back" in text
    assert "25.0 %" in text
    assert b'"planning"' not in as_json(summarize("planner", outcomes))


def test_geneval_rows_load(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"tag": "position", "include": [{"class": "cow", "count": 1}, '
        '{"class": "kite", "count": 1, "position": ["above", 0]}], "prompt": "a kite above a cow"}\n'
        '{"tag": "counting", "include": [{"class": "cow", "count": 2}], '
        '"exclude": [{"class": "cow", "count": 3}], "prompt": "two cows"}\n'
    )
    first, second = load_geneval(path)
    assert first.category == "position"
    assert judge_panel(first, panel(("a kite", TOP), ("a cow", LEFT))).correct
    assert not judge_panel(second, panel(("a cow", LEFT))).correct
