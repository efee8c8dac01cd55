"""Plans held against their prompts: real faults are told, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.evaluation.planner_suite import load_planner_suite
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.llm.agreement import disagreements
from lib_ranni.planner.protocol import PlanRequest, finish

LEFT, RIGHT = Box(0.05, 0.3, 0.4, 0.7), Box(0.6, 0.3, 0.95, 0.7)
TOP, BOTTOM = Box(0.3, 0.05, 0.7, 0.4), Box(0.3, 0.6, 0.7, 0.95)


def told(prompt: str, *things: tuple[str, Box], base: str = "") -> tuple[str, ...]:
    elements = (Element(id=f"e{n}", description=words, box=box) for n, (words, box) in enumerate(things, 1))
    return disagreements(prompt, Panel(base=base, elements=tuple(elements)))


@pytest.mark.parametrize(
    ("prompt", "things", "words"),
    [
        ("a photo of three apples", [("a red apple", LEFT), ("an apple", RIGHT)], ["3 x 'apple'", "has 2"]),
        ("a cat", [("a cat", LEFT), ("a white cat", RIGHT)], ["1 x 'cat'", "has 2"]),
        ("三个苹果", [("苹果", LEFT), ("青苹果", RIGHT)], ["3 x '苹果'", "has 2"]),
        ("a cat and a dog", [("a cat", LEFT)], ["1 x 'dog'", "has none"]),
        ("一只猫和一只狗", [("猫", LEFT)], ["'狗'", "has none"]),
        ("two dogs and a cat", [("dog", LEFT), ("cat", RIGHT)], ["2 x 'dog'", "has 1"]),
    ],
)
def test_counts(prompt: str, things: list[tuple[str, Box]], words: list[str]) -> None:
    (sentence,) = told(prompt, *things)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("prompt", "things", "sentences"),
    [
        (
            "a red book and a yellow vase",
            [("a yellow book", LEFT), ("a red vase", RIGHT)],
            (
                "the prompt makes the book red, the plan makes e1 yellow",
                "the prompt makes the vase yellow, the plan makes e2 red",
            ),
        ),
        (
            "a red car and a dog",
            [("a car", LEFT), ("a red dog", RIGHT)],
            ("the prompt makes the car red, the plan makes the dog so instead",),
        ),
        (
            "a green bench",
            [("a blue bench", LEFT)],
            ("the prompt makes the bench green, the plan makes e1 blue",),
        ),
    ],
)
def test_colors(prompt: str, things: list[tuple[str, Box]], sentences: tuple[str, ...]) -> None:
    assert told(prompt, *things) == sentences


@pytest.mark.parametrize(
    ("prompt", "things", "sentence"),
    [
        ("a cat to the left of a dog", [("a cat", RIGHT), ("a brown dog", LEFT)], "the cat left of the dog"),
        ("a cat to the right of a dog", [("a cat", LEFT), ("a dog", RIGHT)], "the dog left of the cat"),
        ("a bird above a bench", [("a bench", TOP), ("a small bird", BOTTOM)], "the bird above the bench"),
        ("a bird below a bench", [("a bench", BOTTOM), ("a small bird", TOP)], "the bench above the bird"),
        ("a cup on a table", [("a table", TOP), ("a cup", BOTTOM)], "the cup on the table"),
        ("a ball under a table", [("a table", BOTTOM), ("a ball", TOP)], "the ball under the table"),
        ("from left to right: a cat, a dog", [("a cat", RIGHT), ("a dog", LEFT)], "the cat left of the dog"),
        ("一只猫在一只狗的左边", [("猫", RIGHT), ("狗", LEFT)], "the 猫 left of the 狗"),
    ],
)
def test_relations(prompt: str, things: list[tuple[str, Box]], sentence: str) -> None:
    assert told(prompt, *things) == (f"the prompt puts {sentence}, the plan does not",)


@pytest.mark.parametrize(
    ("prompt", "things"),
    [
        # Several in one element.
        ("a photo of three apples", [("three red apples", LEFT)]),
        ("a photo of three apples", [("apples", LEFT), ("an apple", RIGHT)]),
        ("two cats", [("a pair of cats", LEFT)]),
        ("三个苹果", [("三个红苹果", LEFT)]),
        ("a cat and a dog", [("a cat with a dog", LEFT)]),
        # Other words for it.
        ("two cats", [("a kitten", LEFT), ("a kitten", RIGHT)]),
        ("a dog and a person", [("a golden dog", LEFT), ("a man walking", RIGHT)]),
        ("a photo of three apples", [("a fruit", LEFT), ("an apple", RIGHT), ("an apple", TOP)]),
        ("four kids", [("child", LEFT), ("child", RIGHT)]),
        # Shades, and colors that are not told.
        ("a red car", [("a crimson sports car", LEFT)]),
        ("a red car", [("a car", LEFT)]),
        ("a gray cat", [("a grey cat", LEFT)]),
        ("a red car", [("a red and white car", LEFT)]),
        ("a purple flower", [("a violet flower", LEFT)]),
        # Places that are right, or nearly so.
        ("a cat to the left of a dog", [("a fluffy cat", LEFT), ("a dog sitting on grass", RIGHT)]),
        ("a cat to the left of a dog", [("a cat", TOP), ("a dog", BOTTOM)]),
        ("a cup on a table", [("a table", Box(0.1, 0.4, 0.9, 1)), ("a cup", Box(0.4, 0.5, 0.6, 0.9))]),
        # In the base, by parts, or nothing to hold a plan against.
        ("water under a bridge", [("a bridge", TOP), ("water", LEFT), ("water", RIGHT)]),
        ("a cat's tail and a hat", [("a tail of a cat", LEFT), ("a hat", RIGHT)]),
        ("a red ball and a blue ball", [("a ball", LEFT), ("another ball", RIGHT)]),
        ("a herd of sheep", [("sheep", LEFT), ("sheep", RIGHT)]),
        ("", [("a cat", LEFT)]),
        ("an abstract feeling of hope", [("a sunrise", LEFT)]),
    ],
)
def test_no_false_alarm(prompt: str, things: list[tuple[str, Box]]) -> None:
    assert told(prompt, *things) == ()


def test_a_plan_of_something_else_is_noticed() -> None:
    other = (("horse", LEFT), ("airship", RIGHT))
    assert told("two red apples and a green pear", *other) == (
        "the prompt asks for 'apple', the plan has none",
        "the prompt asks for 'pear', the plan has none",
    )
    assert told("a green pear", *other) == ()
    assert told("a dog and a cat", ("golden retriever", LEFT), ("cat", RIGHT)) == ()


def test_what_the_base_has_is_not_missing() -> None:
    assert told("a cat in front of a mountain", ("a cat", LEFT), base="a mountain at dawn") == ()


@pytest.mark.parametrize("path", ["planner_zh.jsonl"])
def test_plans_of_the_builtin_planner_agree_with_their_prompts(path: str) -> None:
    lines = (Path(__file__).parents[1] / "data" / path).read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]
    prompts += [entry.prompt for entry in load_planner_suite()]
    assert len(prompts) > 100
    found = {prompt: words for prompt in prompts if (words := disagreements(prompt, _planned(prompt)))}
    assert found == {}


def test_its_mirror_images_do_not() -> None:
    """Of prompts that say left or right, the plan turned around violates nearly all."""
    entries = [
        e for e in load_planner_suite() if any(i.position and i.position[0][0] in "lr" for i in e.include)
    ]
    assert len(entries) >= 5
    caught = [disagreements(entry.prompt, _mirrored(_planned(entry.prompt))) for entry in entries]
    assert sum(map(bool, caught)) >= 0.8 * len(entries)


def test_too_few_of_counted_things_are_noticed() -> None:
    entries = [e for e in load_planner_suite() if e.category == "counting"]
    assert len(entries) >= 5
    short = [(entry.prompt, _planned(entry.prompt)) for entry in entries]
    caught = [disagreements(prompt, Panel(elements=panel.elements[:-1])) for prompt, panel in short]
    assert sum(map(bool, caught)) >= 0.8 * len(entries)


def _planned(prompt: str) -> Panel:
    return finish(BuiltinPlanner().plan(PlanRequest(prompt))).panel


def _mirrored(panel: Panel) -> Panel:
    elements = []
    for element in panel.elements:
        box = element.box
        turned = Box(1 - box.x1, box.y0, 1 - box.x0, box.y1)
        elements.append(Element(id=element.id, description=element.description, box=turned))
    return Panel(elements=tuple(elements))


@given(st.text(max_size=120), st.lists(st.text(min_size=1, max_size=60).filter(str.strip), max_size=5))
def test_any_prompt_and_plan_do(prompt: str, descriptions: list[str]) -> None:
    found = told(prompt, *((words, LEFT) for words in descriptions))
    assert all(sentence.startswith("the prompt ") for sentence in found)


def test_large_plans_and_prompts_end() -> None:
    things = [(f"a cat number {n} " + "x " * 4000, LEFT) for n in range(100)]
    assert told("a cat " * 20_000, *things) == ()
    assert told("a cat", *things, ("a cat", RIGHT)) == ()
