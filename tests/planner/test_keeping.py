"""Locked elements in a new plan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.panel.types import MAX_ELEMENTS, Box, Element, Panel
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.keeping import with_locked
from lib_ranni.planner.protocol import PlanRequest, finish
from tests.panel.strategies import boxes, panels

WORDS = (
    "apple",
    "red apple",
    "two red apples",
    "Red  Apple",
    "green apple",
    "dog",
    "苹果",
    "一只红苹果",
    "the",
    "?!",
)


def panel(*texts: str, locked: bool = False, start: int = 1) -> Panel:
    """Things side by side."""
    share = 1 / max(1, len(texts))
    return Panel(
        elements=tuple(
            Element(
                id=f"e{start + n}", description=text, box=Box(n * share, 0, (n + 1) * share, 1), locked=locked
            )
            for n, text in enumerate(texts)
        )
    )


def words_of(found: Panel) -> list[str]:
    return [element.description for element in found.elements]


@st.composite
def similar_panels(draw: st.DrawFn) -> Panel:
    """Panels whose things have much in common, some of them locked."""
    texts = draw(st.lists(st.sampled_from(WORDS), max_size=8))
    return Panel(
        elements=tuple(
            Element(id=f"e{n}", description=text, box=draw(boxes()), locked=draw(st.booleans()))
            for n, text in enumerate(texts)
        )
    )


@given(before=panels(most=6) | similar_panels(), planned=panels(most=6) | similar_panels())
def test_what_is_locked_stays_and_what_is_planned_is_kept_or_replaced(before: Panel, planned: Panel) -> None:
    found = with_locked(before, planned)
    locked = [element for element in before.elements if element.locked]
    kept = [element for element in found.elements if element in locked]
    assert kept == locked, "bit for bit, in their order"
    rest = [element for element in found.elements if element not in locked]
    assert len(planned.elements) - len(locked) <= len(rest) <= len(planned.elements)
    assert len({element.id for element in found.elements}) == len(found.elements)
    places = iter(planned.elements)
    assert all(
        any(one.box == other.box and one.description == other.description for other in places) for one in rest
    )
    assert (found.base, found.aspect, found.provenance) == (planned.base, planned.aspect, planned.provenance)


@given(planned=similar_panels(), before=panels(most=3, locked=False))
def test_without_locked_elements_the_plan_is_as_it_was(before: Panel, planned: Panel) -> None:
    assert with_locked(before, planned) is planned


@given(planned=similar_panels())
def test_a_plan_whose_elements_are_all_locked_stays_it(planned: Panel) -> None:
    locked = Panel(elements=tuple(elementwise_locked(planned)))
    assert set(words_of(with_locked(locked, planned))) == set(words_of(planned))
    assert len(with_locked(locked, planned).elements) == len(planned.elements)


def elementwise_locked(found: Panel) -> list[Element]:
    return [Element(id=e.id, description=e.description, box=e.box, locked=True) for e in found.elements]


@pytest.mark.parametrize(
    ("locked", "planned", "left"),
    [
        (["a red apple"], ["A Red  Apple", "a dog"], ["a dog"]),
        (["a red apple"], ["apple", "a dog"], ["a dog"]),
        (["a red apple"], ["a green apple", "a dog"], ["a green apple", "a dog"]),
        (["a red apple"], ["a green apple", "a red apple"], ["a green apple"]),
        (["apple"], ["apple", "apple", "apple"], ["apple", "apple"]),
        (["apple", "apple"], ["apple"], []),
        (["a wooden table"], ["an apple"], ["an apple"]),
        (["红色的苹果"], ["苹果", "狗"], ["狗"]),
        (["!!!"], ["???"], ["???"]),
    ],
)
def test_the_same_thing_is_not_drawn_twice(locked: list[str], planned: list[str], left: list[str]) -> None:
    found = with_locked(panel(*locked, locked=True), panel(*planned))
    assert sorted(words_of(found)) == sorted([*locked, *left])


def test_the_nearest_of_several_gives_way() -> None:
    before = Panel(elements=(Element(id="k", description="apple", box=Box(0.6, 0, 1, 1), locked=True),))
    found = with_locked(before, panel("apple", "apple"))
    assert [e.box.x0 for e in found.elements if e.id != "k"] == [0.0]


def test_a_locked_element_stands_in_front_of_what_is_larger() -> None:
    small, large = Box(0.4, 0.4, 0.6, 0.6), Box(0, 0, 1, 1)
    planned = Panel(
        elements=(
            Element(id="e1", description="meadow", box=Box(0, 0.2, 1, 1)),
            Element(id="e2", description="cat", box=Box(0.3, 0.3, 0.4, 0.4)),
        )
    )
    sky = Element(id="sky", description="sky", box=large, locked=True)
    dog = Element(id="dog", description="dog", box=small, locked=True)
    found = with_locked(Panel(elements=(sky, dog)), planned)
    assert [e.id for e in found.elements] == ["sky", "e1", "dog", "e2"]
    backwards = with_locked(Panel(elements=(dog, sky)), planned)
    assert [e.id for e in backwards.elements if e.locked] == ["dog", "sky"]


def test_ids_that_are_taken_are_given_anew() -> None:
    found = with_locked(panel("a table", locked=True), panel("apple", "pear"))
    assert {e.id: e.description for e in found.elements} == {"e1": "a table", "e3": "apple", "e2": "pear"}


def test_the_largest_panel_is_not_exceeded() -> None:
    many = tuple(
        Element(id=f"p{n}", description=f"thing {n}", box=Box(0, 0, 0.1, 0.1)) for n in range(MAX_ELEMENTS)
    )
    found = with_locked(panel("a table", "a lamp", locked=True), Panel(elements=many))
    assert len(found.elements) == MAX_ELEMENTS
    assert [e.description for e in found.elements if e.locked] == ["a table", "a lamp"]


def test_a_prompt_is_planned_around_what_is_locked() -> None:
    first = finish(BuiltinPlanner().plan(PlanRequest("two red apples and a green pear"))).panel
    apple = first.elements[0]
    kept = Element(id=apple.id, description=apple.description, box=Box(0.8, 0.8, 1, 1), locked=True)
    again = finish(BuiltinPlanner().plan(PlanRequest("two red apples and a dog"))).panel
    found = with_locked(Panel(elements=(kept,)), again)
    assert kept in found.elements
    assert sorted(words_of(found)) == sorted(words_of(again))
