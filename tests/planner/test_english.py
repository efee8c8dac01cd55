"""The English reader: what it makes of one construction at a time."""

from __future__ import annotations

import pytest

from lib_ranni.evaluation.planner_suite import judge_panel, load_planner_suite
from lib_ranni.planner.builtin.english import read_english
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.builtin.story import Spot
from lib_ranni.planner.protocol import PlanRequest, finish


def _things(prompt: str) -> list[tuple[int, str]]:
    return [(thing.count, thing.text) for thing in read_english(prompt).things]


def _links(prompt: str) -> set[tuple[str, str, str]]:
    story = read_english(prompt)
    names = [thing.text for thing in story.things]
    return {(names[link.subject], link.kind, names[link.target]) for link in story.links}


@pytest.mark.parametrize(
    ("prompt", "things"),
    [
        ("three cats", [(3, "cat")]),
        ("a dozen red roses", [(12, "red rose")]),
        ("a pair of brown shoes and 2 hats", [(2, "brown shoe"), (2, "hat")]),
        ("two women, five mice and a goose", [(2, "woman"), (5, "mouse"), (1, "goose")]),
        ("a couple of old wooden chairs", [(2, "old wooden chair")]),
        ("a black and white cat", [(1, "black and white cat")]),
        ("a glass of orange juice", [(1, "glass of orange juice")]),
        ("a photo of a green backpack", [(1, "green backpack")]),
        ("there are four small yellow birds", [(4, "small yellow bird")]),
        ("a man wearing a red hat and blue jeans", [(1, "man wearing a red hat and blue jeans")]),
        ("a woman with long blond hair", [(1, "woman with long blond hair")]),
        ("a box made of glass", [(1, "box made of glass")]),
        ("one red and one green apple", [(1, "red apple"), (1, "green apple")]),
        ("a crowd of people", [(1, "crowd of people")]),
        ("five hundred birds", [(1, "five hundred birds")]),
    ],
)
def test_things_keep_their_counts_and_attributes(prompt: str, things: list[tuple[int, str]]) -> None:
    assert _things(prompt) == things


@pytest.mark.parametrize(
    ("prompt", "link"),
    [
        ("a dog to the left of a cat", ("dog", "left", "cat")),
        ("a dog on the right side of a cat", ("cat", "left", "dog")),
        ("a lamp above a desk", ("lamp", "above", "desk")),
        ("a rug below a table", ("table", "above", "rug")),
        ("a vase on top of a piano", ("vase", "on", "piano")),
        ("a cup on a red book", ("cup", "on", "red book")),
        ("a cat under a chair", ("cat", "under", "chair")),
        ("a bike next to a bench", ("bike", "next", "bench")),
        ("a car in front of a truck", ("car", "front", "truck")),
        ("a tree behind a car", ("car", "front", "tree")),
        ("a fish inside a bowl", ("fish", "inside", "bowl")),
        ("a girl riding a horse", ("girl", "on", "horse")),
        ("a boy holding a balloon", ("balloon", "hold", "boy")),
        ("a cat sitting on a sofa", ("cat sitting", "on", "sofa")),
        ("a ball between a dog and a cat", ("ball", "between", "dog")),
    ],
)
def test_relations_run_from_subject_to_target(prompt: str, link: tuple[str, str, str]) -> None:
    assert link in _links(prompt)


def test_an_order_makes_a_row() -> None:
    story = read_english("from left to right: a red cup, a blue bowl and a green plate")
    assert story.rows == [("x", (0, 1, 2))]
    assert read_english("from right to left: a cup, a bowl").rows == [("x", (1, 0))]
    assert read_english("from top to bottom: a cup, a bowl").rows == [("y", (0, 1))]


@pytest.mark.parametrize(
    ("prompt", "spot"),
    [
        ("a clock in the top left corner", Spot(0.0, 0.0)),
        ("a dog in the center", Spot(0.5, 0.5)),
        ("a boat on the right", Spot(1.0)),
        ("a castle in the background", Spot(behind=True)),
        ("in the bottom-right corner a signature", Spot(1.0, 1.0)),
    ],
)
def test_places_belong_to_their_thing(prompt: str, spot: Spot) -> None:
    assert [thing.spot for thing in read_english(prompt).things] == [spot]


def test_what_must_not_be_there_is_no_thing() -> None:
    story = read_english("a street without cars or people, a dog with no collar")
    assert "collar" in story.things[-1].negatives + story.negatives
    assert not any(word in thing.text for thing in story.things for word in ("cars", "people", "collar"))
    left_out = story.negatives + [word for thing in story.things for word in thing.negatives]
    assert {"cars", "people"} <= set(left_out)


def test_scenery_and_style_go_to_the_base() -> None:
    story = read_english("a red car in a snowy forest, highly detailed, 8k, oil painting style")
    assert [thing.text for thing in story.things] == ["red car"]
    assert " ".join(story.scene).startswith("in a snowy forest")
    assert story.unread == []


@pytest.mark.parametrize(
    "start",
    [
        "an image of",
        "a picture of,",
        "a photo with",
        "a drawing:",
        "an image showing",
        "a sketch that depicts",
    ],
)
def test_what_tells_of_the_picture_is_no_thing(start: str) -> None:
    """The order that follows was read as the picture's own, which became a thing in it."""
    assert _things(f"{start} from left to right: a white circle and a red star") == [
        (1, "white circle"),
        (1, "red star"),
    ]


def test_a_picture_in_the_picture_is_a_thing() -> None:
    assert _things("a picture on a wall") == [(1, "picture")]
    assert _things("a cat and a painting with a golden frame")[1][1].startswith("painting")


def test_what_is_not_understood_is_reported() -> None:
    assert read_english("a dog, and suddenly whereupon the of").unread
    assert read_english("three cats added up to nothing").unread


def test_the_planner_suite_is_planned_right() -> None:
    planner = BuiltinPlanner()
    entries = load_planner_suite()
    wrong = [
        entry.prompt
        for entry in entries
        if not judge_panel(entry, finish(planner.plan(PlanRequest(entry.prompt))).panel).correct
    ]
    assert len(wrong) <= 0.02 * len(entries), wrong
