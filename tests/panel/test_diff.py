"""What changed between two panels: as operations that can be applied, and as sentences."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.panel import edits
from lib_ranni.panel.diff import Change, diff, sentences
from lib_ranni.panel.geometry import reorder
from lib_ranni.panel.types import Box, Element, Keypoint, Lora, Mask, Panel, with_fields
from tests.panel.strategies import panels

_CAT = Element(id="e1", description="a gray cat", box=Box(0.1, 0.1, 0.5, 0.3))
_LAMP = Element(id="e2", description="a lamp", box=Box(0.6, 0.5, 0.9, 0.9))
_PANEL = Panel(base="a room", elements=(_CAT, _LAMP))


def _applied(before: Panel, changes: tuple[Change, ...], after: Panel) -> list[Element]:
    """The elements of `before` after the changes, using nothing but what the changes carry.

    `after` is only asked for the order, which `reorder` gives as text.
    """
    elements = {element.id: element for element in before.elements}
    order = None
    for change in changes:
        if change.operation == "remove":
            del elements[change.element]
        elif change.operation == "reorder":
            order = [element.id for element in after.elements]
            assert change.new == ", ".join(order)
        elif change.after is not None:
            elements[change.element] = change.after
    return [elements[i] for i in order] if order else list(elements.values())


def _without_traces(elements: Any) -> list[Element]:
    """What a diff does not look at: unknown fields, and boxes that differ by rounding."""
    return [with_fields(element, extra={}, box=Box(0, 0, 1, 1)) for element in elements]


@given(panels(), panels())
def test_applying_the_changes_gives_the_other_panel(before: Panel, after: Panel) -> None:
    result = _applied(before, diff(before, after), after)
    assert _without_traces(result) == _without_traces(after.elements)
    for mine, theirs in zip(result, after.elements, strict=True):
        sides = [(getattr(mine.box, s), getattr(theirs.box, s)) for s in Box.__struct_fields__]
        assert all(abs(a - b) < 3e-6 for a, b in sides)


@given(panels())
def test_a_panel_and_itself_do_not_differ(panel: Panel) -> None:
    assert diff(panel, panel) == ()


@given(panels(), panels())
def test_there_is_one_short_sentence_a_change(before: Panel, after: Panel) -> None:
    changes = diff(before, after)
    told = sentences(changes)
    assert len(told) == len(changes)
    assert all(sentence.endswith(".") and len(sentence) < 2000 for sentence in told)


def _operations(after: Panel) -> list[tuple[str, str]]:
    return [(change.operation, change.element) for change in diff(_PANEL, after)]


@pytest.mark.parametrize(
    ("after", "operations", "sentence"),
    [
        (
            edits.add(_PANEL, "a vase", Box(0, 0, 0.2, 0.2)),
            [("add", "e3")],
            "Added “a vase” at 10% across, 10% down, 20% wide, 20% high.",
        ),
        (edits.remove(_PANEL, "e1"), [("remove", "e1")], "Removed “a gray cat”."),
        (edits.replace(_PANEL, "e1", "a dog"), [("replace", "e1")], "Replaced “a gray cat” by “a dog”."),
        (
            edits.reattribute(_PANEL, "e1", "a black cat"),
            [("re-attribute", "e1")],
            "Changed “a gray cat” to “a black cat”.",
        ),
        (
            edits.reattribute(_PANEL, "e1", colors=("#000000", "#ffffff")),
            [("re-attribute", "e1")],
            "Changed the colors of “a gray cat” to #000000, #ffffff.",
        ),
        (
            edits.resize(_PANEL, "e1", 0.5),
            [("resize", "e1")],
            "Resized “a gray cat” from 40% by 20% to 20% by 10% of the canvas.",
        ),
        (
            edits.move(_PANEL, "e1", (0.1, -0.05)),
            [("move", "e1")],
            "Moved “a gray cat” 10.0% to the right and 5.0% up.",
        ),
        (edits.move(_PANEL, "e1", (-0.1, 0)), [("move", "e1")], "Moved “a gray cat” 10.0% to the left."),
        (
            reorder(_PANEL, "e1", "front"),
            [("reorder", "")],
            "Reordered the elements from back to front: e2, e1.",
        ),
        (
            with_fields(_PANEL, base="a hall"),
            [("set", "")],
            "Set the panel's base from “a room” to “a hall”.",
        ),
        (with_fields(_PANEL, aspect=1.5), [("set", "")], "Set the panel's aspect from 1 to 1.5."),
        (
            with_fields(_PANEL, negative="fog"),
            [("set", "")],
            "Set the panel's negative from nothing to “fog”.",
        ),
    ],
)
def test_each_operation_is_recognized(after: Panel, operations: list[Any], sentence: str) -> None:
    assert _operations(after) == operations
    assert sentences(diff(_PANEL, after)) == [sentence]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("weight", 2.5, "Set weight of “a gray cat” from 1 to 2.5."),
        ("base_ratio", 0.25, "Set base_ratio of “a gray cat” from none to 0.25."),
        ("locked", True, "Set locked of “a gray cat” from no to yes."),
        ("negative", "dog", "Set negative of “a gray cat” from nothing to “dog”."),
        ("seed", 7, "Set seed of “a gray cat” from none to 7."),
        ("mask", Mask(64, 32, (1024, 1024)), "Set mask of “a gray cat” from none to a mask of 64 by 32."),
        ("lora", (Lora("fur", 0.5),), "Set lora of “a gray cat” from none to fur (0.5)."),
        (
            "keypoints",
            (Keypoint("nose", 0.3, 0.2),),
            "Set keypoints of “a gray cat” from none to nose (0.3, 0.2).",
        ),
    ],
)
def test_settings_are_told_in_words(field: str, value: Any, sentence: str) -> None:
    after = with_fields(_PANEL, elements=(with_fields(_CAT, **{field: value}), _LAMP))
    (change,) = diff(_PANEL, after)
    assert (change.operation, change.element, change.field) == ("set", "e1", field)
    assert sentences((change,)) == [sentence]


def test_several_changes_of_one_element_are_told_apart() -> None:
    moved = edits.move(edits.resize(_PANEL, "e1", 0.5), "e1", (0.2, 0.2))
    assert _operations(edits.reattribute(moved, "e1", "a black cat")) == [
        ("re-attribute", "e1"),
        ("resize", "e1"),
        ("move", "e1"),
    ]


def test_an_element_added_behind_the_others_is_also_a_reordering() -> None:
    vase = Element(id="e3", description="a vase", box=_CAT.box)
    after = with_fields(_PANEL, elements=(vase, *_PANEL.elements))
    assert _operations(after) == [("add", "e3"), ("reorder", "")]


def test_a_move_too_small_to_name_is_told_all_the_same() -> None:
    assert sentences(diff(_PANEL, edits.move(_PANEL, "e1", (1e-5, 0)))) == ["Moved “a gray cat” a hair."]


@pytest.mark.parametrize(
    ("before", "after", "operation"),
    [
        ("a glass of wine", "a glass of beer", "re-attribute"),
        ("a cat, sitting", "a cat, sleeping", "re-attribute"),
        ("a cat in a hat", "a dog in a hat", "replace"),
        ("红苹果", "绿苹果", "replace"),
    ],
)
def test_the_thing_is_told_from_its_attributes(before: str, after: str, operation: str) -> None:
    first = Panel(elements=(with_fields(_CAT, description=before),))
    second = Panel(elements=(with_fields(_CAT, description=after),))
    assert [change.operation for change in diff(first, second)] == [operation]


@given(panels(locked=False), st.floats(0.3, 2))
def test_an_edit_is_described_as_what_it_was(panel: Panel, factor: float) -> None:
    for element in panel.elements:
        after = edits.resize(
            with_fields(panel, elements=(with_fields(element, mask=None),)), element.id, factor
        )
        kinds = {change.operation for change in diff(with_fields(panel, elements=(element,)), after)}
        assert kinds <= {"resize", "move", "set"}
