"""Panels seen through a part of the canvas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_ranni.panel.preview import mask_picture
from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Keypoint, Mask, Panel
from lib_ranni.panel.window import mask_of, through_window
from tests.panel.strategies import boxes, masks, panels

LEFT, RIGHT = Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0)


def panel_of(*found: Element) -> Panel:
    return Panel(elements=found, aspect=2.0)


def test_what_lies_in_the_window_is_in_its_units() -> None:
    element = Element(
        id="e1", description="x", box=Box(0.25, 0.5, 0.75, 1.0), keypoints=(Keypoint("eye", 0.3, 0.6),)
    )
    seen = through_window(panel_of(element), LEFT)
    assert seen.elements[0].box == Box(0.5, 0.5, 1.0, 1.0)
    assert seen.elements[0].keypoints == (Keypoint("eye", 0.6, 0.6),)
    assert seen.aspect == 1.0
    assert through_window(panel_of(element), RIGHT).elements[0].keypoints == ()


def test_what_lies_outside_is_left_out() -> None:
    elements = (Element(id="e1", description="x", box=LEFT), Element(id="e2", description="y", box=RIGHT))
    assert [e.id for e in through_window(panel_of(*elements), RIGHT).elements] == ["e2"]


def test_a_mask_is_cropped_along() -> None:
    mask = Mask(4, 1, (1, 2, 1))
    element = Element(id="e1", description="x", box=Box(0.25, 0, 0.75, 1), mask=mask)
    seen = through_window(panel_of(element), LEFT).elements[0]
    assert seen.mask == Mask(2, 1, (1, 1))
    edge = Box(0.75, 0.0, 1.0, 1.0)
    assert through_window(panel_of(element), edge).elements == ()


@given(panels())
def test_the_whole_canvas_shows_the_panel_itself(panel: Panel) -> None:
    assert through_window(panel, FULL_CANVAS) == panel


@given(panels(), boxes(least=0.05), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_point_is_covered_in_the_window_as_on_the_canvas(
    panel: Panel, window: Box, at: tuple[float, float]
) -> None:
    x, y = window.x0 + at[0] * window.width, window.y0 + at[1] * window.height
    seen = {element.id: element.box for element in through_window(panel, window).elements}
    for element in panel.elements:
        inside = all(
            low + 1e-6 < value < high - 1e-6
            for low, value, high in ((element.box.x0, x, element.box.x1), (element.box.y0, y, element.box.y1))
        )
        if inside and element.mask is None and 0.01 < at[0] < 0.99 and 0.01 < at[1] < 0.99:
            box = seen[element.id]
            assert box.x0 - 1e-6 <= at[0] <= box.x1 + 1e-6
            assert box.y0 - 1e-6 <= at[1] <= box.y1 + 1e-6


@given(masks())
def test_a_mask_comes_back_from_its_picture(mask: Mask) -> None:
    again = mask_of(mask_picture(mask))
    assert again is not None
    assert mask_picture(again).tobytes() == mask_picture(mask).tobytes()


@pytest.mark.parametrize("shade", [0, 127])
def test_a_dark_picture_is_no_mask(shade: int) -> None:
    assert mask_of(Image.new("L", (3, 2), shade)) is None
