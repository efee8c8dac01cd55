"""Boxes: intersection, cover, snapping, alignment, order, free places."""

from __future__ import annotations

import math
from typing import Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import EditError
from lib_ranni.panel.geometry import (
    Edge,
    align,
    bounds,
    centered,
    cover,
    free_box,
    intersect,
    iou,
    moved,
    overlap,
    reorder,
    scaled,
    snap,
)
from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Panel
from tests.panel.strategies import boxes, panels

_CLOSE = 1e-9
_BOXES = st.lists(boxes(), min_size=1, max_size=5)


def _inside(inner: Box, outer: Box) -> bool:
    return (
        outer.x0 <= inner.x0 + _CLOSE
        and inner.x1 <= outer.x1 + _CLOSE
        and outer.y0 <= inner.y0 + _CLOSE
        and inner.y1 <= outer.y1 + _CLOSE
    )


@given(boxes(), boxes())
def test_the_common_part_lies_in_both(first: Box, second: Box) -> None:
    common = intersect(first, second)
    assert common == intersect(second, first)
    assert overlap(first, second) == (common.area if common else 0.0)
    if common:
        assert _inside(common, first)
        assert _inside(common, second)
    assert 0 <= iou(first, second) == iou(second, first) <= 1
    assert 0 <= cover(first, second) <= 1


@given(boxes())
def test_a_box_and_itself(box: Box) -> None:
    assert intersect(box, box) == intersect(box, FULL_CANVAS) == box
    assert iou(box, box) == pytest.approx(1)
    assert cover(box, box) == cover(box, FULL_CANVAS) == pytest.approx(1)
    assert cover(FULL_CANVAS, box) == pytest.approx(box.area)


def test_boxes_that_touch_have_nothing_in_common() -> None:
    left, right = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
    assert intersect(left, right) is None
    assert iou(left, right) == cover(left, right) == 0


def test_slivers_whose_area_rounds_to_nothing_divide_by_nothing() -> None:
    sliver = Box(0, 0, 1e-200, 1e-200)
    assert sliver.area == 0
    assert iou(sliver, sliver) == cover(sliver, FULL_CANVAS) == 0


@given(_BOXES)
def test_bounds_hold_all_and_are_no_larger(many: list[Box]) -> None:
    around = bounds(many)
    assert all(_inside(box, around) for box in many)
    assert (around.x0, around.y1) == (min(b.x0 for b in many), max(b.y1 for b in many))


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(1e-4, 1.5), st.floats(1e-4, 1.5))
def test_a_centered_box_has_its_size_and_is_on_the_canvas(x: float, y: float, w: float, h: float) -> None:
    box = centered(x, y, w, h)
    assert (box.width, box.height) == pytest.approx((min(1, w), min(1, h)), abs=_CLOSE)
    if w / 2 <= x <= 1 - w / 2:
        assert box.center[0] == pytest.approx(x, abs=_CLOSE)


@pytest.mark.parametrize("bad", [0.0, -0.1, math.nan, math.inf])
def test_a_size_must_be_a_size(bad: float) -> None:
    for size in ((bad, 0.5), (0.5, bad)):
        with pytest.raises(EditError, match="positive size"):
            centered(0.5, 0.5, *size)
    with pytest.raises(EditError, match="positive size"):
        scaled(FULL_CANVAS, bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_place_must_be_a_place(bad: float) -> None:
    with pytest.raises(EditError, match="a place"):
        centered(bad, 0.5, 0.1, 0.1)
    with pytest.raises(EditError, match="a place"):
        moved(Box(0, 0, 0.5, 0.5), 0, bad)


@given(boxes(), st.floats(-2, 2), st.floats(-2, 2))
def test_moving_keeps_the_size(box: Box, dx: float, dy: float) -> None:
    there = moved(box, dx, dy)
    assert (there.width, there.height) == pytest.approx((box.width, box.height), abs=_CLOSE)
    back = moved(moved(box, 0, 0), 0, 0)
    assert back.center == pytest.approx(box.center, abs=_CLOSE)


@given(boxes(least=0.01), st.floats(0.1, 5), st.none() | st.floats(0.1, 5))
def test_scaling_multiplies_the_sides(box: Box, fx: float, fy: float | None) -> None:
    grown = scaled(box, fx, fy)
    assert grown.width == pytest.approx(min(1, box.width * fx))
    assert grown.height == pytest.approx(min(1, box.height * (fx if fy is None else fy)))


@given(boxes(), st.sampled_from([1 / 64, 0.05, 0.1, 0.125, 0.25, 0.5]))
def test_snapping_puts_edges_on_the_grid(box: Box, step: float) -> None:
    snapped = snap(box, step)
    for edge in (snapped.x0, snapped.y0, snapped.x1, snapped.y1):
        assert edge / step == pytest.approx(round(edge / step), abs=1e-6)
    assert min(snapped.width, snapped.height) >= step * 0.99
    again = snap(snapped, step)
    assert (again.x0, again.y0, again.x1, again.y1) == pytest.approx(
        (snapped.x0, snapped.y0, snapped.x1, snapped.y1)
    )


@given(boxes(), st.floats(0.001, 0.5))
def test_snapping_to_any_grid_gives_a_box(box: Box, step: float) -> None:
    snapped = snap(box, step)
    assert snapped.width >= step * 0.99
    assert abs(snapped.center[0] - box.center[0]) <= 1.5 * step


@pytest.mark.parametrize("step", [0, -0.1, 0.6, math.nan])
def test_a_grid_step_has_limits(step: float) -> None:
    with pytest.raises(EditError, match="grid step"):
        snap(FULL_CANVAS, step)


@given(_BOXES, st.sampled_from(get_args(Edge)))
def test_aligning_brings_one_line_together(many: list[Box], edge: Edge) -> None:
    lined = align(many, edge)
    around = bounds(many)
    x, y = around.center

    def line(box: Box) -> float:
        return {
            "left": box.x0 - around.x0,
            "right": box.x1 - around.x1,
            "top": box.y0 - around.y0,
            "bottom": box.y1 - around.y1,
            "center": box.center[0] - x,
            "middle": box.center[1] - y,
        }[edge]

    for before, after in zip(many, lined, strict=True):
        assert line(after) == pytest.approx(0, abs=_CLOSE)
        assert (after.width, after.height) == pytest.approx((before.width, before.height), abs=_CLOSE)


def _panel(*ids: str) -> Panel:
    return Panel(elements=tuple(Element(id=i, description=i, box=FULL_CANVAS) for i in ids))


@pytest.mark.parametrize(
    ("place", "expected"),
    [("front", "acdb"), ("back", "bacd"), ("forward", "acbd"), ("backward", "bacd")],
)
def test_order_runs_from_back_to_front(
    place: Literal["front", "back", "forward", "backward"], expected: str
) -> None:
    panel = reorder(_panel(*"abcd"), "b", place)
    assert "".join(element.id for element in panel.elements) == expected


def test_the_front_most_goes_no_further() -> None:
    assert reorder(_panel(*"ab"), "b", "forward") == _panel(*"ab")
    assert reorder(_panel(*"ab"), "a", "backward") == _panel(*"ab")
    with pytest.raises(EditError, match="the panel has a, b"):
        reorder(_panel(*"ab"), "z", "front")


@given(panels(), st.sampled_from(["front", "back", "forward", "backward"]))
def test_reordering_loses_nobody(panel: Panel, place: Literal["front", "back"]) -> None:
    for element in panel.elements:
        after = reorder(panel, element.id, place)
        assert sorted(after.elements, key=lambda e: e.id) == sorted(panel.elements, key=lambda e: e.id)


def test_a_free_place_is_free_and_near_the_middle() -> None:
    assert free_box(Panel()).center == pytest.approx((0.5, 0.5))
    left = Element(id="a", description="a wall", box=Box(0, 0, 0.6, 1))
    place = free_box(Panel(elements=(left,)))
    assert overlap(place, left.box) == 0
    assert place.center[1] == pytest.approx(0.5)


@given(panels())
def test_there_is_always_a_place(panel: Panel) -> None:
    place = free_box(panel, 0.2, 0.4, steps=4)
    assert (place.width, place.height) == pytest.approx((0.2, 0.4))
