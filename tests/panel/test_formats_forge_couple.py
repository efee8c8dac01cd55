"""Forge Couple's infotexts and requests: lines of the prompt in tiles or boxes, and written back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import assume, given

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import Imported, forge_couple, import_panel
from lib_ranni.panel.types import Box, Element, Lora, Panel
from tests.panel import strategies
from tests.panel.regional_prompter import BANDS, HALVES, boxes_of, texts_of

_HALVES = [[0.0, 0.5, 0.0, 1.0, 1.0], [0.5, 1.0, 0.0, 1.0, 1.0]]
_WHOLE = [0.0, 1.0, 0.0, 1.0, 0.25]


def _read(prompt: str, **settings: Any) -> Imported:
    values = {f"forge_couple_{name}": value for name, value in settings.items()}
    usual = {"forge_couple": "True", "forge_couple_compatibility": "False", "Negative prompt": "fog"}
    return forge_couple.from_parameters({**usual, **values, "Prompt": prompt})


def _boxes(prompt: str, mapping: Any, **settings: Any) -> Imported:
    return _read(prompt, mode="Advanced", mapping=json.dumps(mapping), **settings)


def _told(imported: Imported) -> list[str]:
    return [problem.path for problem in imported.problems]


def test_a_picture_of_its_basic_mode() -> None:
    imported = import_panel(
        "two friends, photo\nred coat\nblue coat, scarf\nNegative prompt: fog\n"
        "Steps: 20, Sampler: Euler a, Seed: 1, Size: 1024x512, forge_couple: True, "
        "forge_couple_compatibility: True, forge_couple_mode: Basic, "
        r"forge_couple_separator: \n, forge_couple_direction: Horizontal, "
        "forge_couple_background: First Line, "
        "forge_couple_background_weight: 0.5, forge_couple_common_parser: { }, "
        "forge_couple_def_in_prompt: True, Version: neo"
    )
    assert (imported.format, imported.problems) == ("forge_couple", ())
    assert (imported.panel.base, imported.panel.negative, imported.panel.aspect) == (
        "two friends, photo",
        "fog",
        2.0,
    )
    assert (texts_of(imported), boxes_of(imported)) == (["red coat", "blue coat, scarf"], HALVES)
    # Its weights are 0.5 for the whole picture and 1 for a tile.
    assert imported.settings == {
        "mode": "attention",
        "base_ratio": pytest.approx(1 / 3, abs=1e-5),
        "hires": {"enabled": False},
    }


@pytest.mark.parametrize(
    ("settings", "prompt", "base", "texts"),
    [
        ({}, "a\nb", "", ["a", "b"]),
        ({"background": "Last Line"}, "a\nb\nc", "c", ["a", "b"]),
        ({"separator": "SEP"}, "a\nx SEP b", "", ["a\nx", "b"]),
        ({"separator": r"\nSEP\n"}, "a\nSEP\nb SEP c", "", ["a", "b SEP c"]),
        ({"separator": "\n"}, "a\n b ", "", ["a", "b"]),
        ({"common_parser": "{ }"}, "{k: x, y} a\n{k} b {other}", "", ["x, y a", "x, y b {other}"]),
        (
            {"common_parser": "{ }", "def_in_prompt": "False"},
            "{k:x}{l:z} a\n{k} b {l}",
            "",
            ["a", "x b z"],
        ),
        ({"common_parser": "< >"}, "<k:x> a\n<k> b", "", ["x a", "x b"]),
        ({}, "{k:x} a\n{k} b", "", ["{k:x} a", "{k} b"]),
    ],
)
def test_lines_are_parted_as_it_parts_them(
    settings: dict[str, str], prompt: str, base: str, texts: list[str]
) -> None:
    imported = _read(prompt, **settings)
    assert (imported.panel.base, texts_of(imported), boxes_of(imported)) == (base, texts, HALVES)
    assert imported.problems == ()


def test_rows_and_loras() -> None:
    imported = _read("a <lora:x:0.5>\nb", direction="Vertical", common_parser="< >")
    assert (texts_of(imported), boxes_of(imported)) == (["a", "b"], BANDS)
    assert imported.panel.elements[0].lora == (Lora("x", 0.5),)
    assert _told(imported) == ["Prompt"]


def test_blank_lines_count_since_its_third_version() -> None:
    counted = _read("a\n\nb", compatibility="True")
    assert boxes_of(counted) == [(0, 0, 0.3333, 1), (0.6667, 0, 1, 1)]
    assert _told(counted) == ["lines[1]"]
    assert boxes_of(_read("a\n\nb", compatibility=None)) == HALVES


def test_one_line_is_the_base() -> None:
    imported = _read("a meadow")
    assert (imported.panel.base, imported.panel.elements, _told(imported)) == ("a meadow", (), ["Prompt"])


@pytest.mark.parametrize(
    "rows",
    [
        [_WHOLE, *_HALVES],
        [["0.0", "1.0", "0.0", "1.0", "0.25"], *_HALVES],
        [["0.0:1.0", "0.0:1.0", "0.25"], ["0.0:0.5", "0.0:1.0", 1], ["0.5:1.0", "0:1", "1.0"]],
    ],
)
def test_a_row_over_the_canvas_is_the_base(rows: list[list[Any]]) -> None:
    imported = _boxes("a room\na\nb", rows)
    assert (imported.panel.base, texts_of(imported), boxes_of(imported)) == ("a room", ["a", "b"], HALVES)
    assert imported.settings == {"mode": "attention", "base_ratio": 0.2, "overlap": "blend"}
    assert {element.weight for element in imported.panel.elements} == {1.0}
    assert imported.problems == ()


def test_weights_are_shares() -> None:
    rows = [_WHOLE, [0, 0.5, 0, 1, 0.5], [0.5, 1, 0, 1, 1], [0, 1, 0.9, 1, 0]]
    elements = _boxes("a room\na\nb\nc", rows).panel.elements
    assert [element.weight for element in elements] == [1.0, 2.0, 0.0]
    assert [element.base_ratio for element in elements] == pytest.approx([1 / 3, 0.2, 1.0], abs=1e-5)


@pytest.mark.parametrize(
    ("prompt", "rows", "base", "texts", "told"),
    [
        ("a\nb\nc\nd", _HALVES, "c, d", ["a", "b"], ["forge_couple_mapping"]),
        ("a", _HALVES, "", ["a"], ["forge_couple_mapping"]),
        ("a\n\nb", _HALVES, "", ["a", "b"], []),
        ("a\nb", [_HALVES[0], [1, 2]], "b", ["a"], ["forge_couple_mapping[1]"]),
        ("a\nb", [_HALVES[0], [0, 1, 0, 1, True]], "b", ["a"], ["forge_couple_mapping[1]"]),
        ("a\nb", [_HALVES[0], ["nan:1", "0:1", "1"]], "b", ["a"], ["forge_couple_mapping[1]"]),
        ("a\nb", [_HALVES[0], "0:1"], "b", ["a"], ["forge_couple_mapping[1]"]),
        ("a\nb", [_HALVES[0], [0.5, 0.5, 0, 1, 1]], "", ["a"], ["forge_couple_mapping[1]"]),
        ("a\nb", [_HALVES[0], [0.5, 1.0, 0, 7, 1]], "", ["a", "b"], ["elements[1].box"]),
        ("a\nb", [_HALVES[0], [0.5, 1.0, 0, 1, -2]], "", ["a", "b"], ["forge_couple_mapping[1][4]"]),
        ("a\n", _HALVES, "", ["a"], ["lines[1]"]),
    ],
)
def test_what_does_not_fit_is_told(
    prompt: str, rows: list[Any], base: str, texts: list[str], told: list[str]
) -> None:
    imported = _boxes(prompt, rows)
    assert (imported.panel.base, texts_of(imported), _told(imported)) == (base, texts, told)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"mode": "Other"}, "forge_couple_mode"),
        ({"direction": ["x"]}, "forge_couple_direction"),
        ({"background": "First Line", "background_weight": "much"}, "forge_couple_background_weight"),
        ({"background": "First Line", "background_weight": float("nan")}, "forge_couple_background_weight"),
        ({"background": "First Line", "background_weight": "1e999"}, "forge_couple_background_weight"),
        ({"separator": 7}, "forge_couple_separator"),
        ({"common_parser": "( )"}, "forge_couple_common_parser"),
    ],
)
def test_odd_settings_are_told(settings: dict[str, Any], told: str) -> None:
    assert told in _told(_read("a\nb\nc", **settings))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"mode": "Mask"}, "mask mode"),
        ({"mode": "Advanced"}, "needs its mapping"),
        ({"mode": "Advanced", "mapping": "[[0, 1"}, "needs its mapping"),
        ({"mode": "Advanced", "mapping": "[" * 9000}, "needs its mapping"),
        ({"mode": "Advanced", "mapping": {}}, "needs its mapping"),
    ],
)
def test_what_cannot_be_read_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        _read("a\nb", **settings)


def test_a_picture_that_it_could_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match="without regions"):
        import_panel("a\nSteps: 20, Size: 512x512, forge_couple: ERROR, Version: f2")


def test_common_parts_cannot_blow_up_a_prompt() -> None:
    begin = time.monotonic()
    with pytest.raises(InputError, match="longer than"):
        _read("{k:" + "x" * 200_000 + "}" + "{k}" * 200_000, common_parser="{ }")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("args", "texts"),
    [
        ([True, False, "Advanced", "", None, None, None, [_WHOLE, *_HALVES]], ["x a", "x b"]),
        ([True, "Advanced", "", None, None, None, [_WHOLE, *_HALVES]], ["x a", "x b"]),
        ([True, True, "Basic", "", "Horizontal", "First Line", 0.5, None, "off"], ["{k:x} a", "{k} b"]),
    ],
)
def test_requests_to_the_api_of_all_versions(args: list[Any], texts: list[str]) -> None:
    request = {"prompt": "r\n{k:x} a\n{k} b", "alwayson_scripts": {"forge couple": {"args": args}}}
    imported = import_panel(json.dumps({**request, "width": 512, "height": 1024}))
    assert (imported.format, imported.panel.base, imported.panel.aspect) == ("forge_couple", "r", 0.5)
    assert (texts_of(imported), boxes_of(imported), imported.problems) == (texts, HALVES, ())


def _panel(*boxes: Box, base: str = "a room", **fields: Any) -> Panel:
    words = [f"thing {index}" for index in range(len(boxes))]
    return Panel(
        base=base,
        elements=tuple(
            Element(id=f"e{index}", description=word, box=box, **fields)
            for index, (word, box) in enumerate(zip(words, boxes, strict=True))
        ),
    )


_LEFT, _RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)


@given(strategies.panels(mask=None, colors=(), keypoints=(), lora=(), start=0.0, end=1.0, seed=None))
def test_what_is_written_is_read_as_the_same_layout(panel: Panel) -> None:
    assume(panel.elements and panel.base.strip())
    assume(all(min(element.box.width, element.box.height) > 0.001 for element in panel.elements))
    assume(not any(sign in text for text in _texts(panel) for sign in "<\x00\ud800"))
    # Elements that look the same are one when they are read.
    places = [(e.description.strip().lower(), round(e.box.x0, 3)) for e in panel.elements]
    assume(len(set(places)) == len(places))
    exported = forge_couple.write(panel, {"base_ratio": 0.4})
    back = import_panel(exported.text, "forge_couple")
    assert back.panel.base == " ".join(panel.base.split())
    assert back.panel.aspect == pytest.approx(panel.aspect, rel=0.05)
    assert texts_of(back) == [" ".join(element.description.split()) for element in panel.elements]
    for before, after in zip(panel.elements, back.panel.elements, strict=True):
        for side in ("x0", "y0", "x1", "y1"):
            assert getattr(after.box, side) == pytest.approx(getattr(before.box, side), abs=1e-4)


def _texts(panel: Panel) -> list[str]:
    return [panel.base, *(element.description for element in panel.elements)]


def test_what_both_have_is_kept() -> None:
    panel = Panel(
        base="a room",
        negative="fog",
        elements=(
            Element(id="e1", description="a", box=_LEFT, lora=(Lora("x", 0.5),), base_ratio=0.5),
            Element(id="e2", description="b", box=_RIGHT),
        ),
    )
    settings = {"base_ratio": 0.2, "overlap": "blend", "hires": {"enabled": False}}
    exported = forge_couple.write(panel, settings)
    assert exported.problems == ()
    back = import_panel(exported.text)
    ratios = [element.base_ratio for element in back.panel.elements]
    assert ratios == pytest.approx([0.5, 0.2], abs=1e-3)
    assert back.panel.elements[0].lora == (Lora("x", 0.5),)
    assert (back.panel.base, back.panel.negative) == ("a room", "fog")
    assert back.settings["hires"] == {"enabled": False}


def test_weights_are_kept_in_proportion_within_its_limit() -> None:
    panel = Panel(
        base="a room",
        elements=(
            Element(id="e1", description="a", box=_LEFT, weight=1.0, base_ratio=0.9),
            Element(id="e2", description="b", box=_RIGHT, weight=8.0),
        ),
    )
    exported = forge_couple.write(panel)
    assert [problem.path for problem in exported.problems] == ["elements[0].base_ratio"]
    mapping = json.loads(json.loads('"' + exported.text.split('_mapping: "')[1].split(']]"')[0] + ']]"'))
    assert [row[4] for row in mapping] == pytest.approx([0.15625, 0.625, 5.0], rel=1e-3)


@pytest.mark.parametrize(
    ("panel", "settings", "told"),
    [
        (_panel(_LEFT, _RIGHT), {"mode": "latent"}, "mode"),
        (_panel(Box(0, 0, 0.6, 1), _RIGHT), {}, "overlap"),
        (_panel(_LEFT, seed=7), {}, "elements[0].seed"),
        (_panel(_LEFT, base="Steps: 20"), {}, "base"),
        (_panel(_LEFT, lora=(Lora("a:b"),)), {}, "elements[0].lora"),
        (_panel(_LEFT), {"base_ratio": "x"}, "base_ratio"),
    ],
)
def test_losses_are_told(panel: Panel, settings: dict[str, Any], told: str) -> None:
    exported = forge_couple.write(panel, settings)
    assert told in [problem.path for problem in exported.problems]
    back = import_panel(exported.text)
    assert len(back.panel.elements) == len(panel.elements)
    assert back.panel.base.replace(" ", "") == panel.base.replace(" ", "")


def test_without_a_base_the_boxes_must_cover_the_canvas() -> None:
    covering = _panel(Box(0, 0, 1 / 3, 1), Box(1 / 3, 0, 1, 0.6), Box(0.3, 0.6, 1, 1), base="")
    back = import_panel(forge_couple.write(covering).text)
    assert (back.panel.base, len(back.panel.elements)) == ("", 3)
    for panel in (_panel(_LEFT, base=""), _panel(base="a"), _panel(_LEFT, _RIGHT, base="", weight=0.0)):
        with pytest.raises(InputError, match="give the panel a base"):
            forge_couple.write(panel)
