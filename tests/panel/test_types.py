"""The invariants of the panel types: what breaks one cannot be built."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.panel.types import (
    FULL_CANVAS,
    MAX_ELEMENTS,
    MAX_TEXT,
    Box,
    Element,
    Keypoint,
    Lora,
    Mask,
    Panel,
    clamped_box,
)
from tests.panel.strategies import boxes, panels

_BOX = Box(0.1, 0.2, 0.5, 0.6)
_NOT_UNIT = [-0.1, 1.1, math.nan, math.inf, -math.inf]


def _element(**fields: Any) -> Element:
    return Element(**{"id": "e1", "description": "a cat", "box": _BOX, **fields})


@pytest.mark.parametrize(
    "sides",
    [
        (0.5, 0, 0.5, 1),
        (0.6, 0, 0.5, 1),
        (0, 0.5, 1, 0.5),
        (-0.1, 0, 1, 1),
        (0, 0, 1.01, 1),
        (0, 0, 1, math.nan),
    ],
)
def test_a_box_is_a_proper_rectangle_on_the_canvas(sides: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a box needs"):
        Box(*sides)


@given(boxes())
def test_a_box_knows_its_measures(box: Box) -> None:
    x, y = box.center
    assert box.x0 <= x <= box.x1
    assert box.y0 <= y <= box.y1
    assert box.area == pytest.approx((box.x1 - box.x0) * (box.y1 - box.y0))
    assert FULL_CANVAS.area == 1


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"id": ""}, "id of 1..64"),
        ({"id": "x" * 65}, "id of 1..64"),
        ({"description": " \t"}, "needs a description"),
        ({"description": "x" * (MAX_TEXT + 1)}, "at most 10000"),
        ({"negative": "x" * (MAX_TEXT + 1)}, "at most 10000"),
        ({"colors": ("#ff0000",) * 6}, "at most 5 colors"),
        ({"colors": ("#FF0000",)}, "#rrggbb"),
        ({"colors": ("#ff0000\n",)}, "#rrggbb"),
        ({"weight": -1}, "weight"),
        ({"weight": math.nan}, "weight"),
        ({"base_ratio": 1.5}, "base_ratio"),
        ({"start": 0.5, "end": 0.5}, "start < end"),
        ({"start": -0.5}, "start < end"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_an_element_refuses(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        _element(**fields)


@pytest.mark.parametrize("value", _NOT_UNIT)
def test_keypoints_lie_on_the_canvas(value: float) -> None:
    with pytest.raises(ValueError, match="keypoint"):
        Keypoint("nose", value, 0.5)
    with pytest.raises(ValueError, match="keypoint"):
        Keypoint("nose", 0.5, value)


def test_names_are_neither_empty_nor_endless() -> None:
    for build in (lambda name: Keypoint(name, 0, 0), Lora):
        for name in ("", "x" * 300):
            with pytest.raises(ValueError, match="needs a name"):
                build(name)


@pytest.mark.parametrize("weight", [11, -11, math.nan])
def test_a_lora_weight_has_limits(weight: float) -> None:
    with pytest.raises(ValueError, match="LoRA's weight"):
        Lora("style", weight)


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        ((0, 4, (0, 4)), "side"),
        ((4097, 1, (0, 4097)), "side"),
        ((2, 2, (1, 2)), "sum"),
        ((2, 2, (5, -1)), "negative"),
        ((2, 2, (4,)), "cover"),
        ((2, 2, (4, 0)), "cover"),
    ],
)
def test_a_mask_refuses(mask: tuple[int, int, tuple[int, ...]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Mask(*mask)


@pytest.mark.parametrize("aspect", [0, 0.09, 10.1, -1, math.nan, math.inf])
def test_a_panel_has_a_sensible_aspect(aspect: float) -> None:
    with pytest.raises(ValueError, match="aspect"):
        Panel(aspect=aspect)


def test_a_panel_limits_its_texts_and_elements() -> None:
    with pytest.raises(ValueError, match="base prompt"):
        Panel(base="x" * (MAX_TEXT + 1))
    many = tuple(_element(id=f"n{n}") for n in range(MAX_ELEMENTS + 1))
    with pytest.raises(ValueError, match="at most 1000 elements"):
        Panel(elements=many)
    assert len(Panel(elements=many[:-1]).elements) == MAX_ELEMENTS


def test_ids_are_unique_and_fresh_ones_free() -> None:
    with pytest.raises(ValueError, match="its own id"):
        Panel(elements=(_element(), _element()))
    panel = Panel(elements=(_element(id="e1"), _element(id="e3")))
    assert panel.fresh_id() == "e2"
    assert panel.find("e3") is panel.elements[1]
    assert panel.find("e2") is None


def test_types_are_frozen() -> None:
    for record, field in ((Panel(), "base"), (_element(), "box"), (_BOX, "x0")):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(record, field, None)


@given(panels())
def test_panels_are_values(panel: Panel) -> None:
    assert panel == Panel(**{name: getattr(panel, name) for name in panel.__struct_fields__})
    assert [panel.find(element.id) for element in panel.elements] == list(panel.elements)
    assert panel.find(panel.fresh_id()) is None


@given(*[st.floats() | st.floats(-0.2, 1.2)] * 4)
def test_clamping_makes_a_box_or_nothing(x0: float, y0: float, x1: float, y1: float) -> None:
    box = clamped_box(x0, y0, x1, y1)
    finite = all(map(math.isfinite, (x0, y0, x1, y1)))
    meets = finite and max(x0, x1) >= 0 and max(y0, y1) >= 0 and min(x0, x1) <= 1 and min(y0, y1) <= 1
    assert (box is not None) == meets
    if box is not None:
        assert box.width >= 0.0049
        assert box.height >= 0.0049


@given(boxes(least=0.005))
def test_clamping_leaves_a_box_alone(box: Box) -> None:
    assert clamped_box(box.x0, box.y0, box.x1, box.y1) in (box, clamped_box(box.x1, box.y1, box.x0, box.y0))
    assert clamped_box(box.x0, box.y0, box.x1, box.y1, least=0.001) == box
