"""Writing and reading are each other's inverse, and what is written fits the published schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from lib_ranni.panel.reading import check, load, repair
from lib_ranni.panel.types import Box, Element, Mask, Panel, json_schema
from lib_ranni.panel.writing import to_document, to_json
from tests.panel.strategies import panels

_VALIDATOR = Draft202012Validator(json_schema())


@given(panels())
def test_a_panel_survives_its_json(panel: Panel) -> None:
    assert check(to_json(panel)) == panel
    assert check(to_json(panel).encode()) == panel
    assert check(to_document(panel)) == panel
    assert json.loads(to_json(panel, indent=2)) == json.loads(to_json(panel))


@given(panels())
def test_what_is_written_fits_the_schema(panel: Panel) -> None:
    assert list(_VALIDATOR.iter_errors(json.loads(to_json(panel)))) == []


@given(panels())
def test_there_is_nothing_to_mend_in_a_panel(panel: Panel) -> None:
    reading = repair(to_json(panel))
    assert reading.panel == panel
    assert reading.problems == ()


def test_the_schema_is_a_schema_and_names_every_field() -> None:
    Draft202012Validator.check_schema(json_schema())
    definitions = json_schema()["$defs"]
    for kind in (Panel, Element, Box, Mask):
        assert set(definitions[kind.__name__]["properties"]) == set(kind.__struct_fields__) - {"extra"}
    assert "default" not in json.dumps(definitions["Box"])


@pytest.mark.parametrize(
    "fields",
    [
        {"elements": 3},
        {"aspect": 100},
        {"version": 2},
        {"base": 1},
        {"elements": [{"id": "a", "description": "a"}]},
    ],
)
def test_schema_and_reader_agree_on_what_is_wrong(fields: dict[str, Any]) -> None:
    document = {"version": 1, **fields}
    assert list(_VALIDATOR.iter_errors(document))
    assert not isinstance(check(document), Panel)


def test_defaults_are_left_out() -> None:
    assert to_document(Panel()) == {"version": 1, "elements": []}
    element = Element(id="e1", description="a cat", box=Box(0, 0, 1, 0.5))
    written = to_document(Panel(elements=(element,)))["elements"]
    assert written == [{"id": "e1", "description": "a cat", "box": {"x0": 0, "y0": 0, "x1": 1, "y1": 0.5}}]


def test_an_unknown_field_cannot_pose_as_a_known_one() -> None:
    panel = Panel(elements=(Element(id="e1", description="a", box=Box(0, 0, 1, 1), extra={"negative": 3}),))
    assert load(to_json(panel)).elements[0].extra == {}
