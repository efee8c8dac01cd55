"""Documents without a version: the names people and language models use for things."""

from __future__ import annotations

from typing import Any

import pytest

from lib_ranni.panel.migration import MIGRATIONS, migrate
from lib_ranni.panel.problems import Problems
from lib_ranni.panel.reading import check, load
from lib_ranni.panel.types import PANEL_VERSION, Box, Panel


def test_there_is_a_step_from_every_version() -> None:
    assert len(MIGRATIONS) == PANEL_VERSION


@pytest.mark.parametrize("words", ["label", "prompt", "text", "caption", "description"])
@pytest.mark.parametrize("place", ["bbox", "bounding_box", "box"])
@pytest.mark.parametrize("things", ["objects", "regions", "elements"])
def test_version_0_goes_by_many_names(words: str, place: str, things: str) -> None:
    panel = load({things: [{words: "a cat", place: [0.1, 0.2, 0.5, 0.6]}], "background": "a lawn"})
    assert panel.base == "a lawn"
    assert panel.version == PANEL_VERSION
    assert [(e.id, e.description, e.box) for e in panel.elements] == [
        ("e1", "a cat", Box(0.1, 0.2, 0.5, 0.6))
    ]


def test_version_0_may_name_one_color_and_old_settings() -> None:
    item = {
        "label": "a cat",
        "box": [100, 200, 500, 600],
        "color": "#ff0000",
        "negative_prompt": "dog",
        "loras": [],
    }
    checked = check({"elements": [item]})
    assert isinstance(checked, tuple)
    assert [problem.path for problem in checked] == ["elements[0].box"]
    item["box"] = [0.1, 0.2, 0.5, 0.6]
    cat = load({"elements": [item]}).elements[0]
    assert (cat.colors, cat.negative, cat.lora, cat.extra) == (("#ff0000",), "dog", (), {})


def test_of_two_names_for_one_thing_neither_is_lost() -> None:
    item = {"text": "a tabby cat", "label": "cat", "box": [0, 0, 1, 1]}
    cat = load({"elements": [item]}).elements[0]
    assert cat.description == "cat"
    assert cat.extra == {"text": "a tabby cat"}
    named = load({"elements": [{**item, "description": "a cat"}]}).elements[0]
    assert named.description == "a cat"
    assert named.extra == {"label": "cat", "text": "a tabby cat"}


def test_version_1_keeps_old_names_as_unknown_fields() -> None:
    panel = load({"version": 1, "background": "a lawn"})
    assert (panel.base, panel.extra) == ("", {"background": "a lawn"})


@pytest.mark.parametrize("version", [True, -1, 1.0, "0", None, [], {}])
def test_a_version_that_is_none_is_taken_for_0(version: Any) -> None:
    problems = Problems()
    assert migrate({"version": version, "objects": []}, problems)["elements"] == []
    assert [problem.path for problem in problems.all()] == ["version"]


def test_migration_leaves_the_given_document_alone() -> None:
    document = {"objects": [{"label": "a cat", "bbox": [0, 0, 1, 1]}]}
    assert isinstance(check(document), Panel)
    assert document == {"objects": [{"label": "a cat", "bbox": [0, 0, 1, 1]}]}


@pytest.mark.parametrize("elements", [None, 3, "x", [3, None, [], "cat"], {"a": 1}])
def test_nonsense_survives_migration(elements: Any) -> None:
    checked = check({"elements": elements, "objects": elements})
    assert isinstance(checked, tuple)
    assert checked
