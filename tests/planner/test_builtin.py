"""The built-in planner from prompt to panel: what it keeps, what it reports, and that nothing breaks it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.panel.diff import diff
from lib_ranni.panel.reading import check
from lib_ranni.panel.types import Box, Panel
from lib_ranni.panel.writing import to_document, to_json
from lib_ranni.planner.builtin import planner
from lib_ranni.planner.builtin.planner import EMPTY_BASE, BuiltinPlanner
from lib_ranni.planner.protocol import Done, ElementReady, Failed, PlanRequest, Report, finish

SECONDS = 5.0
"""A generous bound for any prompt, on a machine that is busy with other things."""


def plan(prompt: str, aspect: float = 1.0) -> tuple[Panel, Report]:
    done = finish(BuiltinPlanner().plan(PlanRequest(prompt, aspect)))
    return done.panel, done.report


def descriptions(prompt: str) -> list[str]:
    return [element.description for element in plan(prompt)[0].elements]


def test_events_end_with_the_panel() -> None:
    *ready, done = BuiltinPlanner().plan(PlanRequest("two cats and a dog", seed=7))
    assert isinstance(done, Done)
    assert [event.element for event in ready if isinstance(event, ElementReady)] == list(done.panel.elements)
    assert [element.id for element in done.panel.elements] == ["e1", "e2", "e3"]
    assert done.panel.provenance.planner == "builtin"
    assert done.panel.provenance.prompt == "two cats and a dog"
    assert done.panel.provenance.seed == 7


def test_descriptions_are_of_one_instance_and_keep_their_own_attributes() -> None:
    assert descriptions("three red apples and a small wooden table") == [
        *["red apple"] * 3,
        "small wooden table",
    ]
    assert descriptions("三个红苹果和一张旧木桌") == [*["红苹果"] * 3, "旧木桌"]


def test_colors() -> None:
    panel, _ = plan("a red car and a black and white cat")
    assert [element.colors for element in panel.elements] == [("#ff0000",), ("#000000", "#ffffff")]
    panel, _ = plan("一辆红色的汽车")
    assert panel.elements[0].colors == ("#ff0000",)


@pytest.mark.parametrize(
    ("prompt", "base"),
    [
        ("a cat in a park, oil painting style", "in a park, oil painting style"),
        ("a cat and a dog", EMPTY_BASE),
        ("a misty forest, highly detailed, 8k", "a misty forest, highly detailed, 8k"),
        ("一只猫在公园里，油画风格", "公园里, 油画风格"),
        ("", ""),
        ("   ", ""),
        ("!!!", "!!!"),
    ],
)
def test_the_base_is_scene_and_style(prompt: str, base: str) -> None:
    assert plan(prompt)[0].base == base


def test_what_is_unread_keeps_the_whole_prompt() -> None:
    prompt = "一只猫，因为我觉得勇气意味着很多东西"
    panel, report = plan(prompt)
    assert panel.base == prompt
    assert report.unread
    assert panel.provenance.unread == report.unread
    assert [element.description for element in panel.elements] == ["猫"]


def test_negation_goes_to_the_element_or_to_the_panel() -> None:
    panel, _ = plan("a pizza without cheese")
    assert panel.elements[0].negative == "cheese"
    assert panel.negative == ""
    panel, _ = plan("a room, no people")
    assert panel.negative == "people"
    panel, _ = plan("一张没有椅子的桌子，不要人物")
    assert (panel.elements[0].negative, panel.negative) == ("椅子", "人物")


def test_a_panel_wide_negative_is_read_written_and_compared() -> None:
    panel, _ = plan("a room, no people")
    assert to_document(panel)["negative"] == "people"
    assert check(to_json(panel)) == panel
    assert "negative" not in to_document(Panel())
    (change,) = diff(Panel(), Panel(negative="people"))
    assert (change.operation, change.field) == ("set", "negative")
    with pytest.raises(ValueError, match="negative"):
        Panel(negative="x" * 10_001)


def test_contradictions_are_noted() -> None:
    _, report = plan("a cat to the left of a dog. The dog is to the left of the cat.")
    assert any("left of" in note for note in report.notes)


def test_too_many_things_stay_in_the_base() -> None:
    prompt = ", ".join(f"twenty thing{'abcdefgh'[n]}s" for n in range(8))
    panel, report = plan(prompt)
    assert len(panel.elements) == 100
    assert panel.base == prompt
    assert any("more things" in note for note in report.notes)


def test_more_than_two_dozen_is_one_element_of_many() -> None:
    panel, _ = plan("one hundred sheep")
    panel_digits, _ = plan("100 red balloons")
    assert len(panel_digits.elements) == 1
    assert "100" in panel_digits.elements[0].description
    assert len(panel.elements) == 1


def test_elements_run_from_back_to_front() -> None:
    assert descriptions("a cat on a red sofa") == ["red sofa", "cat"]


@pytest.mark.parametrize("aspect", [0.0, 0.01, 0.5, 2.0, 99.0, float("nan")])
def test_any_aspect(aspect: float) -> None:
    panel, _ = plan("a cat next to a dog", aspect)
    assert len(panel.elements) == 2
    assert 0.1 <= panel.aspect <= 10


def test_an_error_of_ours_is_a_failure_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(planner, "lay_out", broken)
    (event,) = BuiltinPlanner().plan(PlanRequest("a cat"))
    assert isinstance(event, Failed)
    assert "boom" in event.message


NOUNS = (
    "cat",
    "dog",
    "car",
    "bench",
    "clock",
    "red apple",
    "blue vase",
    "bus",
    "green bottle",
    "wooden chair",
)
RELATIONS = {"to the left of": (-1, 0), "to the right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def test_positions_as_a_detector_judges_them() -> None:
    """GenEval's rule: the centers differ more along the named axis than along the other."""
    for first in NOUNS:
        for second in NOUNS:
            for words, (sx, sy) in RELATIONS.items():
                if first == second:
                    continue
                panel, report = plan(f"a photo of a {first} {words} a {second}")
                found = {element.description: element.box.center for element in panel.elements}
                assert set(found) == {first, second}
                dx, dy = (a - b for a, b in zip(found[first], found[second], strict=True))
                along, across = (dx * sx, dy) if sx else (dy * sy, dx)
                assert along > abs(across)
                assert report == Report()


@pytest.mark.parametrize("word", ["two", "three", "four", "five", "six", "twelve", "a pair of", "24"])
def test_counts_are_in_the_panel(word: str) -> None:
    count = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "twelve": 12, "a pair of": 2, "24": 24}[
        word
    ]
    assert descriptions(f"a photo of {word} yellow birds") == ["yellow bird"] * count


# Hostile prompts ---------------------------------------------------------------------------------------

_PIECES = [
    "a cat", "一只猫", " left of ", "在", "的", "左边", "😀", "👨‍👩‍👧", "\u202e", "مرحبا",
    "שלום", "\x00", "\x1b[31m", "\ufeff",
    "\ud800", "((", "))", "[[", "{{", "<lora:x:1>", ":1.2)", "\"", "'", "“", "”", "`",
    "\\", "\n", "\t", "\r\n", ",", "，", "。",
    "、", "和", "and", "of", "with", "no", "没有", "from left to right:", "从左到右",
    "between", "之间", "99999", "一百", "%s", "{}",
    "\ue000", "\ue100", "ｆｕｌｌ", "İ", "ß", "ﬁ", "\u0301", "-", "—", "…", "#", "&", "/",
    "0", "-1", "1e9", "NaN", "null",
]  # fmt: skip
_LONG = [
    "猫，", "猫", "红色", "停放", "水彩画", "穿", "在上", "的", "抱着", "一只猫在", "a cat, ",
    "a cat and ", "cat ", "a ", "of ",
    "cat of ", "a dog with a cat on ", "\"", "“", "(", ")", "one two three ",
    "in the ", "and ", "no cat or ", "\n", "\u202e",
    "😀", "between a cat and ", "a cat left of ", "和", "没有", "1", "a,", "左边是", "桌子上放着",
    "'", "red ", ".", "，", "the box of a ",
]  # fmt: skip


def hostile_prompts() -> list[str]:
    """Some 600 odd prompts: single pieces, mixtures, nests, and up to 10,000 characters of one thing."""
    rng = random.Random(20)
    mixed = ["".join(rng.choices(_PIECES, k=rng.randint(2, 30))) for _ in range(480)]
    nested = [f"{quote * depth}a cat{quote * depth}" for quote in "\"'(“[" for depth in (1, 2, 50)]
    long = [(piece * 10_000)[:10_000] for piece in _LONG]
    return ["", " ", *_PIECES, *mixed, *nested, *long, "a cat " * 5_000, "x" * 200_000]


def test_hostile_prompts_always_give_a_panel_in_time() -> None:
    prompts = hostile_prompts()
    assert len(prompts) >= 500
    for prompt in prompts:
        start = time.perf_counter()
        panel, _ = plan(prompt)
        assert time.perf_counter() - start < SECONDS, ascii(prompt[:40])
        assert check(to_json(panel)) == panel, ascii(prompt[:40])


@settings(max_examples=300)
@given(st.text(max_size=300))
def test_any_text_gives_a_panel(prompt: str) -> None:
    panel, _ = plan(prompt)
    assert check(to_json(panel)) == panel


@settings(max_examples=200)
@given(st.lists(st.sampled_from(_PIECES), max_size=60).map("".join), st.floats(0.1, 10))
def test_any_mixture_of_pieces_gives_a_panel(prompt: str, aspect: float) -> None:
    panel, _ = plan(prompt, aspect)
    assert check(to_json(panel)) == panel


def test_chinese_relations_and_counts_hold_in_the_boxes() -> None:
    path = Path(__file__).parents[1] / "data/planner_zh.jsonl"
    wrong = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        panel, report = plan(row["prompt"])
        counts = [
            sum(e["text"] in x.description for x in panel.elements) >= e["count"] for e in row["include"]
        ]
        if not all(counts) or report.notes:
            wrong.append(row["prompt"])
    assert len(wrong) <= 4, wrong


def _boxes(prompt: str) -> dict[str, Box]:
    done = finish(BuiltinPlanner().plan(PlanRequest(prompt)))
    assert done.report.notes == ()
    assert done.report.unread == ()
    return {element.description: element.box for element in done.panel.elements}


def test_them_means_all_that_were_named() -> None:
    boxes = _boxes("a red circle to the left of a blue square and a yellow star above them")
    assert boxes["red circle"].x1 < boxes["blue square"].x0
    assert boxes["yellow star"].y1 < boxes["red circle"].y0
    assert boxes["yellow star"].y1 < boxes["blue square"].y0
    boxes = _boxes("a dog and a cat, and a ball between them")
    assert boxes["dog"].x1 < boxes["ball"].x0
    assert boxes["ball"].x1 < boxes["cat"].x0


def test_a_thing_named_again_is_the_same_thing() -> None:
    boxes = _boxes("a red ball and a blue box with a green cup on top of the blue box")
    assert list(boxes) == ["red ball", "blue box", "green cup"]
    assert boxes["green cup"].center[1] < boxes["blue box"].center[1]
    assert list(_boxes("a red car and the blue car")) == ["red car", "blue car"]


def test_a_shape_before_a_comma_is_a_thing() -> None:
    assert list(_boxes("a picture of an orange square, beige background")) == ["orange square"]
    assert list(_boxes("a cyan cross, a black diamond, beige background")) == ["cyan cross", "black diamond"]


def test_a_state_after_a_posture_is_no_thing() -> None:
    assert list(_boxes("A bath tub sits empty in a white bathroom.")) == ["bath tub empty"]
