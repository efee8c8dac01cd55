"""The six unit operations: each does its one thing and leaves the rest alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import EditError
from lib_ranni.panel import edits
from lib_ranni.panel.geometry import overlap
from lib_ranni.panel.reading import check
from lib_ranni.panel.types import MAX_ELEMENTS, Box, Element, Keypoint, Lora, Mask, Panel, with_fields
from lib_ranni.panel.writing import to_json
from tests.panel.strategies import boxes, panels

_CAT = Element(
    id="e1",
    description="a gray cat",
    box=Box(0.1, 0.1, 0.5, 0.3),
    mask=Mask(2, 1, (1, 1)),
    negative="dog",
    colors=("#808080",),
    keypoints=(Keypoint("nose", 0.3, 0.2),),
    weight=2.0,
    lora=(Lora("fur"),),
    seed=5,
    extra={"glow": 1},
)
_LAMP = Element(id="e2", description="a lamp", box=Box(0.6, 0.5, 0.9, 0.9), locked=True)
_PANEL = Panel(base="a room", elements=(_CAT, _LAMP))

_OPERATIONS: dict[str, Callable[[Panel, str], Panel]] = {
    "remove": edits.remove,
    "replace": lambda panel, i: edits.replace(panel, i, "a dog"),
    "reattribute": lambda panel, i: edits.reattribute(panel, i, "a red thing", ("#ff0000",)),
    "resize": lambda panel, i: edits.resize(panel, i, 0.5),
    "move": lambda panel, i: edits.move(panel, i, (0.1, -0.1)),
}


def _cat(panel: Panel) -> Element:
    cat = panel.find("e1")
    assert cat is not None
    return cat


@pytest.mark.parametrize("name", _OPERATIONS)
def test_locked_and_missing_elements_refuse(name: str) -> None:
    with pytest.raises(EditError, match="'e2' is locked"):
        _OPERATIONS[name](_PANEL, "e2")
    with pytest.raises(EditError, match="no element 'e7'; the panel has e1, e2"):
        _OPERATIONS[name](_PANEL, "e7")
    with pytest.raises(EditError, match="the panel has none"):
        _OPERATIONS[name](Panel(), "e1")


@given(panels(locked=False), st.sampled_from(sorted(_OPERATIONS)))
def test_an_operation_touches_one_element_only(panel: Panel, name: str) -> None:
    for element in panel.elements:
        after = _OPERATIONS[name](panel, element.id)
        others = [e for e in after.elements if e.id != element.id]
        assert others == [e for e in panel.elements if e.id != element.id]
        provenance = with_fields(panel.provenance, edited=after.provenance.edited)
        assert with_fields(after, elements=()) == with_fields(panel, elements=(), provenance=provenance)
        assert after.provenance.edited or after.elements == panel.elements or panel.provenance.edited
        assert after.provenance.edited == (panel.provenance.edited or after != panel)
        assert isinstance(check(to_json(after)), Panel)


@given(panels(locked=True))
def test_locked_panels_do_not_change(panel: Panel) -> None:
    refusals = 0
    for element in panel.elements:
        for operation in _OPERATIONS.values():
            with pytest.raises(EditError, match="locked"):
                operation(panel, element.id)
            refusals += 1
    assert refusals == len(panel.elements) * len(_OPERATIONS)


def test_adding_puts_a_new_element_in_front() -> None:
    box = Box(0, 0, 0.2, 0.2)
    panel = edits.add(_PANEL, "a vase", box, colors=("#0000ff",))
    assert panel.elements[:2] == _PANEL.elements
    assert panel.elements[2] == Element(id="e3", description="a vase", box=box, colors=("#0000ff",))


def test_adding_without_a_box_finds_a_free_place() -> None:
    panel = edits.add(_PANEL, "a vase")
    assert sum(overlap(panel.elements[2].box, e.box) for e in _PANEL.elements) < 0.02


@given(panels(), boxes())
def test_adding_then_removing_changes_nothing(panel: Panel, box: Box) -> None:
    more = edits.add(panel, "a vase", box)
    assert len(more.elements) == len(panel.elements) + 1
    edited = with_fields(panel, provenance=with_fields(panel.provenance, edited=True))
    assert edits.remove(more, more.elements[-1].id) == edited


@pytest.mark.parametrize(
    "fields", [{"weight": -1}, {"weight": "heavy"}, {"id": "e9"}, {"color": "red"}, {"seed": -3}]
)
def test_adding_with_bad_fields_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(EditError, match="cannot be added"):
        edits.add(_PANEL, "a vase", **fields)


def test_adding_needs_words_and_room() -> None:
    with pytest.raises(EditError, match="needs a description"):
        edits.add(_PANEL, " ")
    full = Panel(
        elements=tuple(Element(id=f"n{n}", description="x", box=_CAT.box) for n in range(MAX_ELEMENTS))
    )
    with pytest.raises(EditError, match="at most 1000"):
        edits.add(full, "a vase", _CAT.box)


def test_replacing_takes_the_old_things_own_attributes_away() -> None:
    dog = _cat(edits.replace(_PANEL, "e1", "a dog"))
    assert dog == Element(id="e1", description="a dog", box=_CAT.box, weight=2.0, extra={"glow": 1})


def test_reattributing_changes_words_colors_or_both() -> None:
    renamed = _cat(edits.reattribute(_PANEL, "e1", "a black cat"))
    assert (renamed.description, renamed.colors) == ("a black cat", ())
    painted = _cat(edits.reattribute(_PANEL, "e1", colors=("#000000",)))
    assert painted == with_fields(_CAT, colors=("#000000",))
    both = _cat(edits.reattribute(_PANEL, "e1", "a black cat", ("#000000",)))
    assert (both.description, both.colors, both.mask) == ("a black cat", ("#000000",), _CAT.mask)


@pytest.mark.parametrize(
    "arguments", [(), ("",), ("  ",), (None, ("red",)), (None, "#ff0000"), (None, (3,)), (None, 3)]
)
def test_reattributing_needs_something_usable(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(EditError):
        edits.reattribute(_PANEL, "e1", *arguments)


def test_resizing_works_around_the_center() -> None:
    half = _cat(edits.resize(_PANEL, "e1", 0.5))
    assert half.box.center == pytest.approx(_CAT.box.center)
    assert (half.box.width, half.box.height) == pytest.approx((0.2, 0.1))
    assert half.mask is None
    assert half.keypoints[0].x == pytest.approx(0.3)
    wide = _cat(edits.resize(_PANEL, "e1", width=0.6))
    assert (wide.box.width, wide.box.height) == pytest.approx((0.6, 0.2))
    assert _cat(edits.resize(_PANEL, "e1", 100)).box == Box(0, 0, 1, 1)


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf])
def test_a_size_must_be_positive(factor: float) -> None:
    with pytest.raises(EditError, match="a size must be positive"):
        edits.resize(_PANEL, "e1", factor)
    with pytest.raises(EditError, match="a size must be positive"):
        edits.resize(_PANEL, "e1", height=factor)


def test_a_factor_and_a_size_contradict_each_other() -> None:
    with pytest.raises(EditError, match="not both"):
        edits.resize(_PANEL, "e1", 2, width=0.5)


def test_moving_by_and_to() -> None:
    shifted = _cat(edits.move(_PANEL, "e1", (0.1, 0.2)))
    assert shifted.box.center == pytest.approx((0.4, 0.4))
    assert (shifted.keypoints[0].x, shifted.keypoints[0].y) == pytest.approx((0.4, 0.4))
    assert shifted.mask is None
    there = _cat(edits.move(_PANEL, "e1", to=(0.5, 0.5)))
    assert there.box.center == pytest.approx((0.5, 0.5))
    edge = _cat(edits.move(_PANEL, "e1", (5, 5)))
    assert (edge.box.x1, edge.box.y1) == pytest.approx((1, 1))
    assert edge.box.width == pytest.approx(_CAT.box.width)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"by": (0, 0), "to": (0, 0)}, {"by": (math.nan, 0)}, {"by": (0, math.inf)}, {"to": (math.nan, 0.5)}],
)
def test_a_move_needs_one_finite_goal(arguments: dict[str, Any]) -> None:
    with pytest.raises(EditError):
        edits.move(_PANEL, "e1", **arguments)


def test_a_change_of_nothing_keeps_even_the_mask() -> None:
    assert edits.move(_PANEL, "e1", to=_CAT.box.center) == _PANEL


@given(panels(locked=False, keypoints=(Keypoint("a", 0.5, 0.5),)), st.floats(-2, 2), st.floats(-2, 2))
def test_moving_keeps_sizes_and_keypoints_on_the_canvas(panel: Panel, dx: float, dy: float) -> None:
    for element in panel.elements:
        moved = edits.move(panel, element.id, (dx, dy)).find(element.id)
        assert moved is not None
        size = (moved.box.width, moved.box.height)
        assert size == pytest.approx((element.box.width, element.box.height), abs=1e-9)
        assert all(0 <= point.x <= 1 and 0 <= point.y <= 1 for point in moved.keypoints)
