"""Answers of Ranni's two turns: what breaks its own parsers, as a careful reader takes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.panel.types import Box, Element
from lib_ranni.planner.local.box_answer import BoxAnswer, joined
from lib_ranni.planner.local.element_answer import MOST, MOST_OF_A_KIND, read_elements

_DOGS_AND_CAT = ["dog", "dog", "cat"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("(dog, 2), (cat, 1)", _DOGS_AND_CAT),
        ("( Dog , 2 ),(cat,1)", _DOGS_AND_CAT),
        ("(dog,2)(cat,1)", _DOGS_AND_CAT),
        ("[(\"dog\", 2), ('cat', 1)]", _DOGS_AND_CAT),
        ("1. (dog, 2)\n2. (cat, 1)", _DOGS_AND_CAT),
        ("（dog，2），（cat，1）", _DOGS_AND_CAT),
        ("(dog, 2x); (cat, x1).", _DOGS_AND_CAT),
        ("* dog (2)\n* cat (1)", _DOGS_AND_CAT),
        ("1. dog (2)\n10. cat (1)", _DOGS_AND_CAT),
        ("- dog (two)\n• cat (1).", _DOGS_AND_CAT),
        ("dog (2), cat (1)", _DOGS_AND_CAT),
        ("Here are the elements (2):\n* dog (2)\n* cat (1)", _DOGS_AND_CAT),
        ("Sure (as you asked): (dog, 2), (cat, 1)", _DOGS_AND_CAT),
        ("Sure (as you asked), here they are: (dog, 2), (cat, 1) (both black)", _DOGS_AND_CAT),
        ("<think>(tree, 3)</think>\n(dog, 2), (cat, 1)", _DOGS_AND_CAT),
        ("(dog, 2), (cat)", _DOGS_AND_CAT),
        ("Elements: (cat), (dog, 2)", ["cat", "dog", "dog"]),
        ("(dog, two)", ["dog", "dog"]),
        ("(dog, a couple)", ["dog", "dog"]),
        ("(dog)", ["dog"]),
        ("(dog) (cat)", ["dog", "cat"]),
        ("* dog\n* cat", ["dog", "cat"]),
        ("(a, b, 2)", ["a, b", "a, b"]),
        ("(red, shiny apple, 1)", ["red, shiny apple"]),
        ("(dog, 1", ["dog"]),
        ("(dog, 1, (cat, 1)", ["dog", "cat"]),
        ("(dog (black), 1", ["dog (black)"]),
        ("(dog, 0)", []),
        ("(dog, 0), (cat, 1)", ["cat"]),
        ("(dog (black), 2)", ["dog (black)", "dog (black)"]),
        ("* dog (black) (1)", ["dog (black)"]),
        ("(a smile :( on a face, 1)", ["a smile :( on a face"]),
        ("no parens", []),
        ("", []),
        ("(2), (, 3), ()", []),
    ],
)
def test_elements_are_read_as_they_were_meant(text: str, labels: list[str]) -> None:
    assert list(read_elements(text).labels) == labels


def test_numbers_are_limited_and_cuts_are_told() -> None:
    answer = read_elements("(dog, 900), (dog, 2), (cat, 0)")
    assert answer.labels == ("dog",) * MOST_OF_A_KIND
    assert [words in note for words, note in zip(("900", "2 of dog", "cat"), answer.notes, strict=True)] == [
        True
    ] * 3
    many = read_elements(", ".join(f"(thing {n}, 20)" for n in range(50)))
    assert len(many.labels) == MOST
    assert len(many.notes) == 11


@given(st.text("(),dogcat123 *.\n", max_size=200) | st.text(max_size=100))
def test_any_answer_is_read(text: str) -> None:
    answer = read_elements(text)
    assert len(answer.labels) <= MOST
    assert all(label == label.strip() and label for label in answer.labels)


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8})?", fullmatch=True), st.integers(1, 5)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["({}, {})", "* {} ({})"]),
)
def test_what_is_well_written_is_read_in_full(things: list[tuple[str, int]], form: str) -> None:
    between = "\n" if form.startswith("*") else ", "
    answer = read_elements(between.join(form.format(*thing) for thing in things))
    assert list(answer.labels) == [label for label, count in things for _ in range(count)]


@pytest.mark.parametrize(
    "text", ["(" * 200_000, "(a" + "(b)" * 60_000, "(a, 1" * 40_000, "(2)" * 60_000, "* " * 90_000]
)
def test_a_flood_of_brackets_is_cut(text: str) -> None:
    assert len(read_elements(text).labels) <= MOST


def _read(text: str, *wanted: str, step: int = 7) -> tuple[BoxAnswer, list[Element]]:
    answer = BoxAnswer(wanted)
    told: list[Element] = []
    for start in range(0, len(text), step):
        told += answer.add(text[start : start + step])
    told += answer.finish()
    assert told == answer.elements
    return answer, told


def _names(elements: list[Element]) -> list[str]:
    return [element.description for element in elements]


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_boxes_are_read_as_they_arrive(step: int) -> None:
    text = "Sure (as asked): (Dog,[192,384,384,768]), (cat,[576,576,192,384])"
    answer, told = _read(text, "dog", "cat", step=step)
    assert [(e.id, e.description, e.box) for e in told] == [
        ("e1", "dog", Box(0.0, 0.0, 0.5, 1.0)),
        ("e2", "cat", Box(0.625, 0.5, 0.875, 1.0)),
    ]
    assert (answer.notes, answer.repairs) == ([], [])


def test_an_element_is_told_with_the_last_sign_of_its_box() -> None:
    answer = BoxAnswer(["dog", "cat"])
    assert list(answer.add("(dog,[192,384,384,768]")) == []
    assert _names(list(answer.add("),(cat,["))) == ["dog"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(dog (black),[300,300,100,100])", ["dog (black)"]),
        ("(dog, big,[300,300,100,100])", ["dog, big"]),
        ("('dog',[300,300,100,100])", ["dog"]),
        ("( dog , [300.5, 300, 99.5, 100] )", ["dog"]),
        ("(dog,[300,300,100,100]\n(cat,[500,300,100,100])", ["dog", "cat"]),
        ("(dog,[300,300,100,100]", ["dog"]),
    ],
)
def test_labels_and_boxes_that_break_upstream(text: str, names: list[str]) -> None:
    assert _names(_read(text, *names)[1]) == names


@pytest.mark.parametrize("bad", ["(dog,[1,2,3])", "(dog,[1,2,3,4,5])", "(dog,[a,b,c,d])", "(dog,[9,9,0,9])"])
def test_a_bad_box_is_told_and_its_element_gets_a_free_place(bad: str) -> None:
    answer, told = _read(f"(cat,[384,384,700,700]),{bad}", "dog", "cat")
    assert _names(told) == ["cat", "dog"]
    assert "box 2" in answer.repairs[0]
    assert "no box to dog;" in answer.notes[0]


def test_numbers_off_the_canvas_are_clamped() -> None:
    answer, told = _read("(dog,[0,384,200,200]),(cat,[-9,-9,100,100])", "dog", "cat")
    assert told[0].box == Box(0.0, 284 / 768, 100 / 768, 484 / 768)
    assert told[1].box == Box(0.0, 0.0, 41 / 768, 41 / 768)
    assert len(answer.repairs) >= 2


def test_missing_boxes_get_places_that_are_free() -> None:
    answer, told = _read("(dog,[192,384,384,768])", "dog", "dog", "cat")
    assert _names(told) == ["dog", "dog", "cat"]
    assert all(element.box.x0 >= 0.5 for element in told[1:])
    assert answer.notes == ["the model gave no box to dog, cat; free places were taken"]


def test_boxes_that_were_not_asked_for_are_kept_and_told() -> None:
    boxes = ",".join(f"({name},[100,100,50,50])" for name in ("dog", "dog", "grass"))
    answer, told = _read(boxes, "dog")
    assert _names(told) == ["dog", "dog", "grass"]
    assert answer.notes == ["the model placed what it had not listed: dog, grass"]


@pytest.mark.parametrize(
    ("asked", "placed"), [("red, shiny apple", "red shiny apple"), ("dog", "black dog"), ("dog", "dogs")]
)
def test_an_element_under_a_like_name_is_not_placed_twice(asked: str, placed: str) -> None:
    answer, told = _read(f"({placed},[100,100,50,50])", asked)
    assert len(told) == 1
    assert answer.notes == []


def test_what_follows_a_complete_list_is_not_read() -> None:
    first, second = "(dog,[100,100,50,50])", "(cat,[300,100,50,50])"
    answer, told = _read(f"{first}\n{second}\nI put {first} left of {second}.", "dog", "cat")
    assert _names(told) == ["dog", "cat"]
    assert answer.notes == ["2 boxes below the list were not read"]


def test_more_boxes_than_a_plan_may_have_are_left_out() -> None:
    answer, told = _read("(dog,[100,100,50,50])," * 200, "dog", step=100)
    assert len(told) == MOST
    assert any(str(200 - MOST) in note for note in answer.notes)


def test_an_answer_without_boxes_has_no_elements() -> None:
    _, told = _read("I would rather not (sorry).", "dog")
    assert told == []


@given(st.text("(),[]dogcat123 -.\n", max_size=200), st.integers(1, 50))
def test_any_answer_is_read_the_same_in_any_pieces(text: str, step: int) -> None:
    whole, _ = _read(text, "dog", step=10_000)
    parts, _ = _read(text, "dog", step=step)
    assert (whole.elements, whole.notes, whole.repairs) == (parts.elements, parts.notes, parts.repairs)


def test_labels_are_joined_as_the_box_turn_reads_them() -> None:
    assert joined(["red apple", "red apple", "big, old table"]) == "red apple,red apple,big old table"
