"""Untrusted documents: what is accepted, what is wrong and where, and how it is mended."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lib_ranni.errors import PanelError
from lib_ranni.panel.problems import Problem, below, shown
from lib_ranni.panel.reading import check, load, read, repair
from lib_ranni.panel.types import FULL_CANVAS, MAX_TEXT, Box, Element, Lora, Mask, Panel
from lib_ranni.panel.writing import to_document, to_json

_CAT: dict[str, Any] = {
    "id": "e1",
    "description": "a cat",
    "box": {"x0": 0.1, "y0": 0.2, "x1": 0.5, "y1": 0.6},
}


def _document(**fields: Any) -> dict[str, Any]:
    return {"version": 1, "elements": [{**_CAT, **fields}]}


def _only_problem(document: Any) -> Problem:
    problems = read(document).problems
    assert len(problems) == 1, problems
    return problems[0]


def _mended(**fields: Any) -> Element:
    panel = repair(_document(**fields)).panel
    assert panel is not None
    return panel.elements[0]


def test_a_flawless_document_is_read_as_it_stands() -> None:
    panel = load(
        _document(
            negative="dog",
            colors=["#ff0000"],
            weight=2,
            base_ratio=0.25,
            start=0.1,
            end=0.9,
            seed=7,
            locked=True,
            keypoints=[{"name": "nose", "x": 0.3, "y": 0.4}],
            lora=[{"name": "fur"}],
            mask={"width": 2, "height": 1, "runs": [1, 1]},
        )
    )
    cat = panel.elements[0]
    assert cat.box == Box(0.1, 0.2, 0.5, 0.6)
    assert (cat.negative, cat.colors, cat.weight, cat.seed, cat.locked) == ("dog", ("#ff0000",), 2.0, 7, True)
    assert (cat.base_ratio, cat.start, cat.end) == (0.25, 0.1, 0.9)
    assert cat.mask == Mask(2, 1, (1, 1))
    assert cat.lora == (Lora("fur", 1.0),)


@pytest.mark.parametrize(
    "as_text", [json.dumps, lambda d: json.dumps(d).encode(), lambda d: bytearray(json.dumps(d), "ascii")]
)
def test_text_bytes_and_decoded_documents_are_the_same(as_text: Any) -> None:
    assert load(as_text(_document())) == load(_document())


def test_a_byte_order_mark_is_no_problem() -> None:
    text = json.dumps(_document())
    assert load("\ufeff" + text) == load(text.encode("utf-8-sig")) == load(text)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        "NaN",
        '"panel"',
        b"\xff\xfe{}",
        "{} {}",
        '{"base": "\ud800"}',
        "[" * 100_000,
        '{"aspect": 1e999}',
        '{"seed": ' + "9" * 5000 + "}",
        None,
        [],
        3,
        "x",
        object(),
    ],
)
def test_what_is_no_panel_has_one_problem_and_no_mending(document: Any) -> None:
    problem = _only_problem(document)
    assert problem.path == ""
    assert problem.message
    assert problem.repair
    assert check(document) == (problem,)
    for function in (load, repair):
        with pytest.raises(PanelError) as caught:
            function(document)
        assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    ("fields", "path", "value"),
    [
        ({"weight": 11}, "weight", 10.0),
        ({"weight": -1}, "weight", 0.0),
        ({"weight": "2.5"}, "weight", 2.5),
        ({"weight": "50%"}, "weight", 0.5),
        ({"weight": "heavy"}, "weight", 1.0),
        ({"weight": "nan"}, "weight", 1.0),
        ({"weight": float("nan")}, "weight", 1.0),
        ({"weight": float("inf")}, "weight", 1.0),
        ({"weight": True}, "weight", 1.0),
        ({"weight": None}, "weight", 1.0),
        ({"weight": 10**400}, "weight", 10.0),
        ({"base_ratio": 2}, "base_ratio", 1.0),
        ({"base_ratio": []}, "base_ratio", 0.0),
        ({"start": 1.5}, "start", 0.0),
        ({"seed": 1.5}, "seed", None),
        ({"seed": "7"}, "seed", None),
        ({"seed": 10**400}, "seed", None),
        ({"locked": "yes"}, "locked", True),
        ({"locked": 0}, "locked", False),
        ({"locked": {}}, "locked", False),
        ({"negative": 3}, "negative", ""),
        ({"negative": "x" * (MAX_TEXT + 5)}, "negative", "x" * MAX_TEXT),
        ({"negative": "a\ud800b"}, "negative", "a\N{REPLACEMENT CHARACTER}b"),
        ({"colors": "#ff0000"}, "colors", ()),
        ({"colors": ["red"]}, "colors[0]", ()),
        ({"colors": ["#F00"]}, "colors[0]", ("#ff0000",)),
        ({"colors": ["ABCDEF"]}, "colors[0]", ("#abcdef",)),
        ({"colors": ["#000000"] * 7}, "colors", ("#000000",) * 5),
        ({"keypoints": {}}, "keypoints", ()),
        ({"keypoints": [{"name": "nose", "x": 0.5}]}, "keypoints[0]", ()),
        ({"keypoints": [{"name": "\udfff", "x": 0.5, "y": 0.5}]}, "keypoints[0]", ()),
        ({"lora": [3]}, "lora[0]", ()),
        ({"lora": [{"name": ""}]}, "lora[0]", ()),
        ({"lora": [{"name": "fur", "weight": 99}]}, "lora[0].weight", (Lora("fur", 10.0),)),
        ({"mask": "circle"}, "mask", None),
        ({"mask": {"width": 2.5, "height": 2, "runs": [0, 5]}}, "mask", None),
        ({"mask": {"width": 2, "height": 2, "runs": [0, 3.5, 0.5]}}, "mask", None),
        ({"mask": {"width": 2, "height": 2, "runs": [4]}}, "mask", None),
        ({"id": ""}, "id", "e2"),
        ({"id": []}, "id", "e2"),
        ({"id": {}}, "id", "e2"),
        ({"id": "\ud800"}, "id", "e2"),
    ],
)
def test_each_fault_of_an_element_is_named_and_mended(fields: dict[str, Any], path: str, value: Any) -> None:
    document = _document(**fields)
    document["elements"].append({**_CAT, "id": "e1", "description": "a dog"})
    problems = read(document).problems
    assert f"elements[0].{path}" in {problem.path for problem in problems}
    field = path.split("[")[0].split(".")[0]
    mended = repair(document).panel
    assert mended is not None
    assert getattr(mended.elements[0], field) == value
    assert not isinstance(check(document), Panel)
    assert check(to_document(mended)) == mended


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ({"x0": 0.5, "y0": 0.2, "x1": 0.1, "y1": 0.6}, (0.1, 0.2, 0.5, 0.6)),
        ({"x0": -0.5, "y0": 0.2, "x1": 0.5, "y1": 1.6}, (0, 0.2, 0.5, 1)),
        ({"x0": 100, "y0": 200, "x1": 500, "y1": 600}, (0.1, 0.2, 0.5, 0.6)),
        ({"x0": "10%", "y0": "0.2", "x1": 0.5, "y1": 0.6}, (0.1, 0.2, 0.5, 0.6)),
        ({"x0": 0.5, "y0": 0.5, "x1": 0.5, "y1": 0.5}, (0.4975, 0.4975, 0.5025, 0.5025)),
    ],
)
def test_boxes_are_mended(box: dict[str, Any], expected: tuple[float, ...]) -> None:
    mended = _mended(box=box).box
    assert (mended.x0, mended.y0, mended.x1, mended.y1) == pytest.approx(expected)
    assert all(problem.path.startswith("elements[0].box") for problem in read(_document(box=box)).problems)


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (3, "elements[0]"),
        ({**_CAT, "description": "  "}, "elements[0].description"),
        ({**_CAT, "box": None}, "elements[0].box"),
        ({**_CAT, "box": 3}, "elements[0].box"),
        ({**_CAT, "box": {"x0": 0}}, "elements[0].box"),
        ({**_CAT, "box": {"x0": 2, "y0": 0, "x1": 3, "y1": 1}}, "elements[0].box"),
    ],
)
def test_an_element_without_words_or_place_is_dropped(item: Any, path: str) -> None:
    reading = read({"version": 1, "elements": [item, {**_CAT, "id": "e9"}]})
    assert [problem.path for problem in reading.problems] == [path]
    assert "dropped" in reading.problems[0].repair
    assert reading.panel is not None
    assert [element.id for element in reading.panel.elements] == ["e9"]


def test_a_thin_box_is_as_good_as_any() -> None:
    thin = Panel(elements=(Element(id="a", description="a hair", box=Box(0.5, 0.5, 0.501, 0.5001)),))
    assert load(to_json(thin)) == thin


def test_a_masked_element_needs_no_box() -> None:
    document = _document(mask={"width": 1, "height": 2, "runs": [1, 1]})
    del document["elements"][0]["box"]
    assert load(document).elements[0].box == FULL_CANVAS


def test_repeated_elements_are_merged_unless_their_ids_say_they_are_meant() -> None:
    bare = {key: _CAT[key] for key in ("description", "box")}
    reading = read({"version": 1, "elements": [_CAT, bare, {**_CAT, "description": "A CAT "}]})
    assert [problem.path for problem in reading.problems] == ["elements[1]", "elements[2].id", "elements[2]"]
    assert reading.panel is not None
    assert len(reading.panel.elements) == 1
    assert len(load({"version": 1, "elements": [_CAT, {**_CAT, "id": "e2"}]}).elements) == 2


def test_ids_are_given_without_taking_those_that_come_later() -> None:
    bare = {key: _CAT[key] for key in ("description", "box")}
    panel = load({"version": 1, "elements": [bare, {**_CAT, "description": "a dog"}]})
    assert [element.id for element in panel.elements] == ["e2", "e1"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"elements": {}}, "elements"),
        ({"base": ["a"]}, "base"),
        ({"aspect": 0}, "aspect"),
        ({"aspect": "wide"}, "aspect"),
        ({"provenance": []}, "provenance"),
        ({"provenance": {"unread": "x"}}, "provenance.unread"),
        ({"provenance": {"unread": ["x", 3]}}, "provenance.unread[1]"),
        ({"provenance": {"seed": -1}}, "provenance.seed"),
        ({"version": 2}, "version"),
        ({"version": 10**400}, "version"),
        ({"version": "1"}, "version"),
        ({"version": None}, "version"),
        ({"elements": [_CAT] * 1}, None),
    ],
)
def test_each_fault_of_the_panel_is_named(fields: dict[str, Any], path: str | None) -> None:
    problems = read({"version": 1, **fields}).problems
    assert [problem.path for problem in problems] == ([] if path is None else [path])


def test_too_many_elements_are_cut_off() -> None:
    items = [{**_CAT, "id": f"n{n}", "description": f"cat {n}"} for n in range(1005)]
    reading = read({"version": 1, "elements": items})
    assert [problem.path for problem in reading.problems] == ["elements"]
    assert reading.panel is not None
    assert len(reading.panel.elements) == 1000


def test_a_thousand_long_elements_are_read_quickly() -> None:
    items = [{**_CAT, "id": f"n{n}", "description": "x" * 9990 + str(n)} for n in range(1000)]
    began = time.perf_counter()
    assert isinstance(check({"version": 1, "elements": items}), Panel)
    assert time.perf_counter() - began < 5


def test_fields_of_newer_versions_are_kept() -> None:
    document = _document(glow={"radius": [1, 2.5, None]})
    document |= {"light": "north", "provenance": {"planner": "p", "tokens": 12}}
    panel = load(document)
    assert panel.extra == {"light": "north"}
    assert panel.provenance.extra == {"tokens": 12}
    assert panel.elements[0].extra == {"glow": {"radius": [1, 2.5, None]}}
    assert to_document(panel) == document


def test_unknown_fields_that_json_cannot_hold_are_dropped() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    fields = {
        "a": float("nan"),
        "b": {"c": float("inf"), "ok": 1},
        "d": [2**70, 1],
        "e": "\ud800",
        "f": {3: 4, "g\udc00": 5},
        "h": object(),
        "i": deep,
    }
    reading = read({"version": 1, **fields})
    paths = [problem.path for problem in reading.problems]
    assert paths[:6] == ["a", "b.c", "d[0]", "e", "f[3]", r"f['g\udc00']"]
    assert paths[6] == "h"
    assert paths[7] == "i" + "[0]" * 32
    panel = reading.panel
    assert panel is not None
    assert {key: panel.extra[key] for key in "bdf"} == {"b": {"ok": 1}, "d": [1], "f": {}}
    assert load(to_json(panel)) == panel


def test_problems_read_as_sentences() -> None:
    problem = _only_problem(_document(weight=11))
    assert str(problem) == "elements[0].weight: must be in 0..10, not 11 (clamped to 10)"
    error = PanelError(read(_document(weight=11, seed=-1, locked=3, colors=3)).problems)
    assert str(error).endswith("; and 1 more")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "an object"),
        ([1], "a list"),
        (None, "null"),
        (True, "true"),
        (2.5, "2.5"),
        (10**400, "a huge number"),
        ("a\nb", r"'a\nb'"),
        ("\ud800", r"'\ud800'"),
        ("x" * 10**6, "'" + "x" * 36 + "..."),
    ],
)
def test_values_in_messages_are_short_and_printable(value: Any, text: str) -> None:
    assert shown(value) == text


def test_numbers_too_long_to_print_are_no_trouble() -> None:
    long = 10**5000
    document = {
        "version": long,
        "aspect": -long,
        "elements": [{**_CAT, "weight": long, "seed": long, "x": long}],
    }
    paths = [problem.path for problem in read(document).problems]
    assert sorted(paths) == [
        "aspect",
        "elements[0].seed",
        "elements[0].weight",
        "elements[0].x",
        "version",
    ]
    assert shown(long) == "a huge number"


def test_paths_of_odd_names_are_quoted() -> None:
    assert below("", "a") == "a"
    assert below("elements[0]", "a b") == "elements[0]['a b']"
