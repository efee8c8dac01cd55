"""Captions with boxes in every shape that tools write, and writing them back exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import Imported, import_panel, layout_json
from lib_ranni.panel.types import Box, Panel
from tests.panel import strategies

_QUARTER = Box(0.0, 0.0, 0.5, 0.5)


def _read(value: Any) -> Imported:
    return layout_json.read(value if isinstance(value, str) else json.dumps(value))


def _boxes(imported: Imported) -> list[tuple[float, ...]]:
    return [(e.box.x0, e.box.y0, e.box.x1, e.box.y1) for e in imported.panel.elements]


def test_the_reply_of_an_llm_grounded_planner() -> None:
    imported = import_panel(
        "Objects: [('a red kite', [64, 128, 256, 128]), ('a hill', [0, 384, 512, 128])]\n"
        "Background prompt: A windy meadow\nNegative prompt: people"
    )
    assert (imported.format, imported.problems) == ("layout_json", ())
    assert (imported.panel.base, imported.panel.negative) == ("A windy meadow", "people")
    assert _boxes(imported) == [(0.125, 0.25, 0.625, 0.5), (0.0, 0.75, 1.0, 1.0)]


@pytest.mark.parametrize(
    "negative", ["", "\nNegative prompt:", "\nNegative prompt: None", "\n**Negative prompt**: "]
)
def test_a_reply_needs_no_objects_and_no_negative(negative: str) -> None:
    imported = import_panel(f"Objects: []\n\nBackground prompt: An empty beach{negative}")
    assert (imported.panel.base, imported.panel.negative, imported.panel.elements) == (
        "An empty beach",
        "",
        (),
    )


@pytest.mark.parametrize(
    "value",
    [
        [["a cat", [0, 0, 256, 256]]],
        [{"name": "a cat", "bounding_box": [0, 0, 256, 256]}],
        [{"caption": "a cat", "bbox": [0, 0, 0.5, 0.5]}],
        [{"label": "a cat", "box": {"x": 0, "y": 0, "w": 0.5, "h": 0.5}}],
        [{"description": "a cat", "box": {"x0": 0, "y0": 0, "x1": 0.5, "y1": 0.5}}],
        [{"label": "a cat", "bbox": {"xmin": 0, "ymin": 0, "xmax": 256, "ymax": 256}}],
        [{"text": "a cat", "x": 0, "y": 0, "width": 256, "height": 256}],
        [{"label": "a cat", "left": 0, "top": 0, "right": 256, "bottom": 256}],
        [{"label": "a cat", "cx": 0.25, "cy": 0.25, "w": 0.5, "h": 0.5}],
        [{"label": "a cat", "bbox_2d": [0, 0, 256, 256]}],
        {"objects": [{"name": "a cat", "bbox": [0, 0, 512, 512]}], "width": 1024, "height": 1024},
        {"objects": [{"name": "a cat", "bbox": [0, 0, 512, 256]}], "size": [1024, 512]},
        {"canvas": "1024x512", "layout": [["a cat", [0, 0, 512, 256]]]},
        {"image_size": {"width": 1024, "height": 512}, "layout": [["a cat", [0, 0, 512, 256]]]},
        {"prompt": "p", "phrases": ["a cat"], "locations": [[0, 0, 0.5, 0.5]]},
        {"labels": ["a cat"], "boxes": [[0, 0, 256, 256]]},
        {"prompt": "p", "gen_boxes": [["a cat", [0, 0, 256, 256]]], "bg_prompt": "b"},
        {
            "bbox_controls": [
                {"enable": True, "x": 0, "y": 0, "w": 0.5, "h": 0.5, "prompt": "a cat", "seed": -1}
            ]
        },
        {"Region control": {"Region 1": {"x": 0, "y": 0, "w": 0.5, "h": 0.5, "prompt": "a cat"}}}[
            "Region control"
        ],
        {"layout": {"objects": [["a cat", [0, 0, 256, 256]]]}},
        {"a cat": [0, 0, 256, 256]},
        {"a cat": [[0, 0, 256, 256]]},
        {"a cat": {"box": [0, 0, 256, 256]}},
        {"name": "a cat", "box": [0, 0, 256, 256]},
        ["a cat", [0, 0, 256, 256]],
        "[('a cat', (0, 0, 256, 256))]",
        "('a cat', [0, 0, 256, 256]),",
        "[{'name': 'a cat', 'bbox': [0, 0, 256, 256]}]",
        'Here you are:\n```json\n[["a cat", [0, 0, 256, 256]]]\n```\nDone.',
        "```python\n[('a cat', [0, 0, 256, 256])]\n```",
    ],
)
def test_every_shape_is_read(value: Any) -> None:
    imported = _read(value)
    assert [element.description for element in imported.panel.elements] == ["a cat"]
    assert _boxes(imported) == [(0.0, 0.0, 0.5, 0.5)]
    assert imported.problems == ()


@pytest.mark.parametrize(
    ("value", "box", "told"),
    [
        ([["a", [300, 300, 400, 400]]], (300 / 512, 300 / 512, 400 / 512, 400 / 512), "only as two corners"),
        ([["a", [0.5, 0.5, 0.4, 0.4]]], (0.5, 0.5, 0.9, 0.9), "only as a corner and a size"),
        ([["a", [100, 100, 300, 600]]], (0.1302, 0.1302, 0.5208, 0.9115), "size of its canvas"),
        ([["a", [0, 0, 500, 1000]]], (0.0, 0.0, 0.5, 1.0), "size of its canvas"),
        ([["a", [-20, -20, 276, 276]]], (0.0, 0.0, 0.5, 0.5), "needs 0 <="),
        ([["a", [0, 0, 1.02, 1]]], (0.0, 0.0, 1.0, 1.0), "needs 0 <="),
    ],
)
def test_guesses_are_told(value: Any, box: tuple[float, ...], told: str) -> None:
    imported = _read(value)
    assert _boxes(imported)[0] == pytest.approx(box, abs=1e-3)
    assert any(told in problem.message for problem in imported.problems), imported.problems


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"name": "b"}, "no box"),
        ({"name": "b", "box": [1, 2, 3]}, "no box"),
        ({"name": "b", "box": [1, 2, 3, "4"]}, "no box"),
        ({"name": "b", "box": [1, 2, 3, True]}, "no box"),
        ({"box": [1, 2, 3, 4]}, "no caption"),
        ({"name": " ", "box": [1, 2, 3, 4]}, "no caption"),
        ({"name": 3, "box": [1, 2, 3, 4]}, "no caption"),
        ("b", "no caption"),
        (["b", [10, 10, 0, 10]], "no extent"),
        ({"name": "b", "box": [1, 2, 3, 4], "enable": False}, "switched off"),
    ],
)
def test_a_bad_entry_is_left_out_and_told(item: Any, fault: str) -> None:
    imported = _read([["a", [0, 0, 256, 256]], item])
    assert [element.description for element in imported.panel.elements] == ["a"]
    assert fault in imported.problems[0].message
    assert imported.problems[0].path == "boxes[1]"


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "{}", "[1, 2]", "7", '"x"', "null", "[[", "[('a', [1, 2", "hello", "[('a', open('x'))]"),
        *(
            '{"phrases": ["a", "b"], "locations": [[0, 0, 1, 1]]}',
            "[" * 5000,
            '{"a":' * 3000 + "1" + "}" * 3000,
        ),
        *('{"objects":' * 900 + "[]" + "}" * 900, "```json\n```", "[('a', [1e999, 0, 1, 1])]"),
    ],
)
def test_what_is_no_layout_is_an_error(text: str) -> None:
    with pytest.raises(InputError):
        _read(text)


def test_names_in_an_object_go_with_their_boxes_and_attributes() -> None:
    imported = _read(
        {
            "background": "a lawn",
            "negative_prompt": "rain",
            "aspect": 2,
            "objects": [
                {
                    "name": "a",
                    "box": [0, 0, 0.5, 0.5],
                    "color": "#FF0000",
                    "neg_prompt": "b",
                    "weight": 2,
                    "seed": 7,
                }
            ],
        }
    )
    element = imported.panel.elements[0]
    assert (imported.panel.base, imported.panel.negative, imported.panel.aspect) == ("a lawn", "rain", 2.0)
    assert (element.negative, element.colors, element.weight, element.seed) == ("b", ("#ff0000",), 2.0, 7)
    assert [problem.path for problem in imported.problems] == ["elements[0].colors[0]"]


def test_more_boxes_than_a_panel_holds_are_left_out_and_told() -> None:
    imported = _read([[f"t{n}", [n / 2000, 0, 1, 1]] for n in range(1200)])
    assert len(imported.panel.elements) == 1000
    assert "1200 boxes" in imported.problems[0].message


@given(strategies.panels())
def test_what_is_written_is_read_as_the_same_panel(panel: Panel) -> None:
    assume(panel.base.strip() or not panel.base)
    assume(panel.base or panel.elements)
    places = [(e.description.strip().lower(), e.box) for e in panel.elements]
    assume(len(set(places)) == len(places))
    exported = layout_json.write(panel)
    imported = import_panel(exported.text, "layout_json")
    assert imported.problems == ()
    back = imported.panel
    assert (back.base, back.negative, back.aspect) == (panel.base, panel.negative, panel.aspect)
    for before, after in zip(panel.elements, back.elements, strict=True):
        for field in ("description", "box", "negative", "colors", "weight", "seed"):
            assert getattr(after, field) == getattr(before, field)
    kept = {problem.path.partition("].")[2] or problem.path for problem in exported.problems}
    assert kept <= {"mask", "keypoints", "base_ratio", "start", "end", "lora"}


def test_the_panels_own_negative_is_kept() -> None:
    text = layout_json.write(Panel(base="a lawn", negative="rain")).text
    assert _read(text).panel == Panel(base="a lawn", negative="rain")
