"""The Chinese reader against prompts with ground truth, pattern by pattern, and against odd input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.planner.builtin.chinese import read_chinese
from lib_ranni.planner.builtin.chinese_words import number
from lib_ranni.planner.builtin.layout_sizes import listed
from lib_ranni.planner.builtin.story import Story

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/planner_zh.jsonl").read_text(encoding="utf-8").splitlines()
]
CLAIMS = {
    "left": ("left", False),
    "right": ("left", True),
    "above": ("above", False),
    "below": ("above", True),
    "on": ("on", False),
    "under": ("under", False),
    "in": ("inside", False),
    "front": ("front", False),
    "behind": ("front", True),
    "next": ("next", False),
    "hold": ("hold", False),
}


def found_things(story: Story, include: list[dict[str, Any]]) -> list[int] | None:
    """The thing for each entry of the ground truth, or None if one is missing."""
    found: list[int] = []
    for entry in include:
        index = next(
            (
                n
                for n, thing in enumerate(story.things)
                if n not in found
                and entry["text"] in thing.text
                and thing.count == entry["count"]
                and (entry["color"] is None or entry["color"] in thing.colors)
            ),
            None,
        )
        if index is None:
            return None
        found.append(index)
    return found


def says(story: Story, subject: int, relation: str, target: int, other: int | None) -> bool:
    """Whether the story has this relation as a link, a row, or two places in the picture."""
    if relation == "between":
        ends = {target, other}
        return any(
            k.kind == "between" and k.subject == subject and {k.target, k.other} == ends for k in story.links
        )
    kind, swap = CLAIMS[relation]
    first, second = (target, subject) if swap else (subject, target)
    if any((k.kind, k.subject, k.target) == (kind, first, second) for k in story.links):
        return True
    axis = {"left": "x", "above": "y"}.get(kind)
    for row_axis, row in story.rows:
        if row_axis == axis and first in row and second in row and row.index(first) < row.index(second):
            return True
    one, two = story.things[first].spot, story.things[second].spot
    if kind != "left" or one is None or two is None or one.x is None or two.x is None:
        return False
    return one.x < two.x


def right(row: dict[str, Any]) -> bool:
    story = read_chinese(row["prompt"])
    things = found_things(story, row["include"])
    if things is None or len(story.things) != len(things) or story.unread:
        return False
    for subject, relation, *targets in row["relations"]:
        ends = [things[n] for n in targets]
        if not says(story, things[subject], relation, ends[0], ends[1] if len(ends) > 1 else None):
            return False
    negatives = [*story.negatives, *(text for thing in story.things for text in thing.negatives)]
    return row.get("negative") is None or row["negative"] in negatives


def test_reads_nine_of_ten_prompts_right() -> None:
    wrong = [row["prompt"] for row in ROWS if not right(row)]
    assert len(ROWS) == 40
    assert len(wrong) <= len(ROWS) // 10, wrong


def test_descriptions_carry_no_number_or_classifier() -> None:
    for row in ROWS:
        for thing in read_chinese(row["prompt"]).things:
            assert not thing.text.startswith(("一只", "一个", "两", "三", "一张", "一条")), row["prompt"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("两", 2),
        ("十", 10),
        ("十二", 12),
        ("二十", 20),
        ("二十三", 23),
        ("一百", 100),
        ("一百零五", 105),
    ],
)
def test_numbers(text: str, value: int) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("prompt", "counts"),
    [
        ("一对红色的鞋子", [2]),
        ("两双筷子", [4]),
        ("半打啤酒", [6]),
        ("两打鸡蛋", [24]),
        ("3个杯子、十二支铅笔", [3, 12]),
        ("兄弟俩", [1]),
        ("一百只羊", [1]),
        ("许多气球", [1]),
    ],
)
def test_counts(prompt: str, counts: list[int]) -> None:
    assert [thing.count for thing in read_chinese(prompt).things] == counts


def test_more_than_can_be_placed_is_one_thing_of_many() -> None:
    (thing,) = read_chinese("一百只羊").things
    assert thing.many
    assert thing.text == "许多羊"


@pytest.mark.parametrize(
    ("prompt", "scene"),
    [
        ("一张猫和狗的照片，写实风格，8k", ["照片", "写实风格", "8k"]),
        ("一只狐狸在雪地里奔跑", ["雪地里"]),
        ("白色背景上有一只猫", ["白色背景"]),
        ("背景是雪山，前面有一只狗", ["背景是雪山"]),
        ("夜晚的城市街道，一盏路灯", ["夜晚的城市街道"]),
        ("油画风格的一只猫", ["油画风格"]),
    ],
)
def test_style_and_place_go_to_the_scene(prompt: str, scene: list[str]) -> None:
    assert read_chinese(prompt).scene == scene


@pytest.mark.parametrize(
    ("prompt", "whole", "own"),
    [
        ("一只猫，没有狗", ["狗"], []),
        ("一个房间，不要人和文字", ["人", "文字"], []),
        ("桌子上没有苹果", ["苹果"], []),
        ("一张没有椅子的桌子", [], ["椅子"]),
        ("一只没有尾巴的猫和一只狗", [], ["尾巴"]),
    ],
)
def test_negation(prompt: str, whole: list[str], own: list[str]) -> None:
    story = read_chinese(prompt)
    assert story.negatives == whole
    assert [text for thing in story.things for text in thing.negatives] == own


def test_attributes_stay_with_their_thing() -> None:
    story = read_chinese("一个戴着红色帽子和蓝色围巾的男孩牵着一只白色的狗")
    boy, dog = story.things
    assert boy.text == "戴着红色帽子和蓝色围巾的男孩"
    assert boy.colors == ()
    assert (dog.text, dog.colors) == ("白色的狗", ("white",))


def test_later_clauses_describe_the_things_they_name() -> None:
    cat, dog = read_chinese("左边的猫是黑色的，右边的狗是白色的").things
    assert (cat.colors, dog.colors) == (("black",), ("white",))
    assert cat.spot is not None
    assert dog.spot is not None
    assert (cat.spot.x, dog.spot.x) == (0.0, 1.0)


def test_quoted_words_belong_to_what_they_stand_on() -> None:
    (sign,) = read_chinese("牌子上写着“欢迎光临，请进。”").things
    assert sign.text == "写着“欢迎光临，请进。”的牌子"


def test_english_within_chinese() -> None:
    story = read_chinese("一只cat在沙发上, a red car next to a blue bike, 高清")
    assert [thing.text for thing in story.things] == ["cat", "沙发", "red car", "blue bike"]
    assert [(k.kind, k.subject, k.target) for k in story.links] == [("on", 0, 1), ("next", 2, 3)]


def test_what_is_not_understood_is_reported() -> None:
    story = read_chinese("一只猫，因为我觉得勇气意味着很多东西")
    assert [thing.text for thing in story.things] == ["猫"]
    assert story.unread


def test_compounds_have_the_size_of_their_last_part() -> None:
    assert listed("wide_things", "红色小汽车")
    assert not listed("wide_things", "猫")


WORDS = [
    "一",
    "两",
    "三",
    "只",
    "个",
    "猫",
    "狗",
    "桌子",
    "在",
    "上",
    "左边",
    "的",
    "和",
    "、",
    "，",
    "。",
    "红色",
    "有",
    "没有",
    "放着",
    "从左到右",
    "背景",
    "抱着",
    "骑",
    "戴着帽子",
    "“",
    "”",
    "cat",
    "1",
    ":",
    "之间",
    "是",
    "位于",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=40).map("".join))
def test_never_raises_on_any_order_of_its_words(prompt: str) -> None:
    story = read_chinese(prompt)
    for link in story.links:
        assert 0 <= link.subject < len(story.things)
        assert 0 <= link.target < len(story.things)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_never_raises_on_any_text(prompt: str) -> None:
    read_chinese(prompt)
