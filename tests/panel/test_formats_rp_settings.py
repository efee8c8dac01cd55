"""Regional Prompter's settings: base ratios, negatives, LoRAs, what is refused, API requests, and writing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import import_panel, regional_prompter
from lib_ranni.panel.types import Box, Element, Lora, Panel
from tests.panel import strategies
from tests.panel.regional_prompter import HALVES, boxes_of, from_prompt, texts_of
from tests.panel.test_formats_rpg import assert_same_boxes, grid_panels


@pytest.mark.parametrize(
    ("settings", "mixed", "own"),
    [
        ({"Base_Ratios": "0.3"}, 0.3, [None, None, None]),
        ({"Base_Ratios": "0.1,0.2;0.3,0.4"}, 0.1, [0.1, 0.2, 0.3]),
        ({"Base_Ratios": "0.1,0.2"}, 0.1, [0.1, 0.2, 0.1]),
        ({"Base_Ratios": "0.1;0.2"}, 0.1, [0.1, 0.1, 0.2]),
        ({"Base_Ratios": "0.5,0.5"}, 0.5, [None, None, None]),
    ],
)
def test_base_ratios_may_differ_by_region(
    settings: dict[str, str], mixed: float, own: list[float | None]
) -> None:
    imported = from_prompt("b ADDBASE r ADDCOL s ADDROW t", Ratios="1,1,1;1", **settings)
    assert imported.settings["base_ratio"] == mixed
    assert [element.base_ratio for element in imported.panel.elements] == own
    assert imported.problems == ()


def test_base_ratios_of_columns_have_the_separators_exchanged() -> None:
    imported = from_prompt(
        "b ADDBASE r ADDROW s ADDCOL t", Ratios="1;1;1,1", Matrix_submode="Rows", Base_Ratios="0.1;0.2,0.3"
    )
    assert [element.base_ratio for element in imported.panel.elements] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(("ratio", "read"), [("2", 1.0), ("x", 0.2), ("nan", 0.2)])
def test_base_ratios_that_are_none_are_told(ratio: str, read: float) -> None:
    imported = from_prompt("b ADDBASE r ADDCOL s", Ratios="1,1", Base_Ratios=ratio)
    assert imported.settings["base_ratio"] == read
    assert imported.problems[0].path == "RP Base Ratios"


def test_without_a_base_the_ratio_does_nothing() -> None:
    assert from_prompt("r BREAK s", Ratios="1,1", Base_Ratios="0.4").settings["base_ratio"] == 0.0


@pytest.mark.parametrize(
    ("prompt", "negative", "settings", "whole", "own"),
    [
        ("r BREAK s", "ugly", {}, "ugly", ["", ""]),
        ("r BREAK s", "x BREAK y", {}, "", ["x", "y"]),
        ("r BREAK s", " BREAK y", {}, "", ["", "y"]),
        ("b ADDBASE r ADDCOL s", "n BREAK x BREAK y", {}, "n", ["x", "y"]),
        ("b ADDBASE r ADDCOL s", " ADDBASE x ADDCOL y", {}, "", ["x", "y"]),
        ("r BREAK s", "c BREAK x BREAK y", {"Use_Ncommon": "True"}, "c", ["x", "y"]),
        ("r BREAK s", "c ADDCOMM n", {}, "c, n", ["", ""]),
        ("b ADDBASE r ADDCOL s", "c ADDCOMM n ADDBASE x ADDCOL y", {}, "c, n", ["x", "y"]),
    ],
)
def test_negative_prompts_are_parted_like_prompts(
    prompt: str, negative: str, settings: dict[str, str], whole: str, own: list[str]
) -> None:
    imported = from_prompt(prompt, negative, Ratios="1,1", **settings)
    assert imported.panel.negative == whole
    assert [element.negative for element in imported.panel.elements] == own
    assert imported.problems == ()


def test_a_negative_prompt_with_other_parts_is_for_the_whole_picture() -> None:
    imported = from_prompt("r BREAK s", "x, BREAK y BREAK z", Ratios="1,1")
    assert imported.panel.negative == "x, y, z"
    assert imported.problems[0].path == "Negative prompt"


@pytest.mark.parametrize(
    ("prompt", "words", "loras"),
    [
        ("<lora:zel:0.8> r, blue", "r, blue", (Lora("zel", 0.8),)),
        ("r, <lora:zel>, blue", "r, blue", (Lora("zel", 1.0),)),
        ("r <lora:a:1:0.5> <lora:b:te=1:unet=0.25>", "r", (Lora("a", 1.0), Lora("b", 1.0))),
        ("r <lora:a:0.5@0,1@5>", "r", (Lora("a", 0.5),)),
        ("r <lora:a:-.5>", "r", (Lora("a", -0.5),)),
        ("<lora:a:1>", "<lora:a:1>", ()),
    ],
)
def test_loras_of_a_region_become_its_own(prompt: str, words: str, loras: tuple[Lora, ...]) -> None:
    imported = from_prompt(f"{prompt} BREAK s", Ratios="1,1", Calc_Mode="Latent")
    assert (imported.panel.elements[0].description, imported.panel.elements[0].lora) == (words, loras)
    assert imported.problems == ()
    told = from_prompt(f"{prompt} BREAK s", Ratios="1,1", Calc_Mode="Attention").problems
    assert bool(told) == bool(loras)


@pytest.mark.parametrize(
    ("settings", "prompt", "message"),
    [
        ({"Divide_mode": "Mask"}, "a BREAK b", "mask is not part of the settings; draw the regions"),
        ({"Divide_mode": "Prompt"}, "a BREAK b", "place the things as boxes"),
        ({"Divide_mode": "Prompt-Ex"}, "a BREAK b", "place the things as boxes"),
        ({"Matrix_submode": "Random"}, "a BREAK b", "split by columns or rows"),
        ({}, "a BREAK b ADDP c", "place the things as boxes"),
        ({}, "", "nothing to draw"),
        ({"Ratios": ",".join("1" * 1500)}, " BREAK ".join("a" * 1500), "at most 1000"),
    ],
)
def test_what_is_no_grid_is_refused_with_a_way_out(
    settings: dict[str, str], prompt: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        from_prompt(prompt, **settings)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"Active": "False"}, "RP Active"),
        ({"Divide_mode": "Cubes"}, "RP Divide mode"),
        ({"Matrix_submode": "Diagonal"}, "RP Matrix submode"),
        ({"Calc_Mode": "Magic"}, "RP Calc Mode"),
        ({"Ratios": ["1,1"]}, "RP Ratios"),
        ({"Options": "Enabled only in Hires Fix"}, "RP Options"),
    ],
)
def test_odd_settings_are_told(settings: dict[str, Any], path: str) -> None:
    imported = from_prompt("a ADDCOL b", **{"Ratios": "1,1", **settings})
    assert path in [problem.path for problem in imported.problems]
    assert boxes_of(imported) == HALVES


def test_regions_may_be_off_in_the_hires_fix() -> None:
    imported = from_prompt("a BREAK b", Ratios="1,1", Options="Disabled in Hires Fix")
    assert imported.settings["hires"] == {"enabled": False}


def test_a_prompt_without_keywords_is_a_base_prompt() -> None:
    imported = from_prompt("a plain cat", "dog", Ratios="1,1")
    assert (imported.panel.base, imported.panel.elements, imported.panel.negative) == (
        "a plain cat",
        (),
        "dog",
    )
    assert "no keyword" in imported.problems[0].message


def _request(args: list[Any], **fields: Any) -> str:
    scripts = {"Regional Prompter": {"args": args}}
    return json.dumps(
        {"prompt": "a BREAK b", "width": 512, "height": 1024, "alwayson_scripts": scripts, **fields}
    )


_ARGS = [True, False, "Matrix", "Rows", "Mask", "Prompt", "1,3", "0.3", False, False, False, "Latent", False]


@pytest.mark.parametrize(
    "args",
    [
        _ARGS,
        [*_ARGS, "0", "0", "0.4", ""],
        [*_ARGS, "0", "0", "0.4", "", "0", "0", False],
        [*_ARGS[:12], ["debug"], "0", "0", "0.4", ""],
    ],
)
def test_requests_with_positional_arguments_are_read(args: list[Any]) -> None:
    imported = import_panel(_request(args, negative_prompt="n"))
    assert (imported.format, imported.problems) == ("regional_prompter", ())
    assert imported.settings == {"mode": "latent", "base_ratio": 0.0}
    assert (imported.panel.aspect, imported.panel.negative) == (0.5, "n")
    assert boxes_of(imported) == [(0, 0, 1, 0.25), (0, 0.25, 1, 1)]


def test_the_option_of_requests_that_leaves_and_alone() -> None:
    text = _request([*_ARGS[:12], True], prompt="a AND x BREAK b")
    assert texts_of(import_panel(text)) == ["a AND x", "b"]


def test_a_request_without_arguments_has_the_defaults() -> None:
    imported = import_panel(_request([]))
    assert boxes_of(imported) == HALVES
    assert imported.panel.aspect == 0.5


_text = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=3).map(" ".join)


@st.composite
def _rich_panels(draw: st.DrawFn) -> Panel:
    panel = draw(st.booleans().flatmap(lambda upright: grid_panels(upright=upright)))
    base = draw(st.just("") | _text)
    ratios = st.none() | st.sampled_from([0.0, 0.25, 0.75]) if base else st.none()
    elements = tuple(
        Element(
            id=e.id,
            description=e.description,
            box=e.box,
            negative=draw(st.just("") | _text),
            lora=tuple(draw(st.lists(st.builds(Lora, st.sampled_from("pq"), st.just(0.5)), max_size=1))),
            base_ratio=draw(ratios),
        )
        for e in panel.elements
    )
    aspect = draw(st.sampled_from([1.0, 1216 / 832, 832 / 1216, 1.5, 0.5625]))
    return Panel(base=base, negative=draw(st.just("") | _text), elements=elements, aspect=aspect)


@given(_rich_panels(), st.sampled_from(["attention", "latent"]), st.sampled_from([0.0, 0.2, 0.5]))
def test_what_is_written_is_read_as_the_same_panel(panel: Panel, mode: str, ratio: float) -> None:
    exported = regional_prompter.write(panel, {"mode": mode, "base_ratio": ratio})
    assert exported.problems == ()
    imported = import_panel(exported.text)
    back = imported.panel
    assert imported.format == "regional_prompter"
    assert {problem.path for problem in imported.problems} <= {"Prompt"}
    assert (back.base, back.negative) == (panel.base, panel.negative)
    assert back.aspect == pytest.approx(panel.aspect, rel=0.01)
    # A grid that fits both ways is written in rows, so the order may differ from the original.
    order = sorted(panel.elements, key=lambda e: (round(e.box.y0, 6), e.box.x0))
    found = sorted(back.elements, key=lambda e: (round(e.box.y0, 6), e.box.x0))
    for before, after in zip(order, found, strict=True):
        assert (after.description, after.negative, after.lora) == (
            before.description,
            before.negative,
            before.lora,
        )
        mix = ratio if before.base_ratio is None else before.base_ratio
        assert (imported.settings["base_ratio"] if after.base_ratio is None else after.base_ratio) == (
            mix if panel.base else 0.0
        )
    assert_same_boxes(Panel(elements=tuple(order)), Panel(elements=tuple(found)))
    assert imported.settings["mode"] == mode


def test_a_written_infotext_reads_as_people_know_it() -> None:
    panel = Panel(
        base="a park",
        elements=(
            Element(id="a", description="a red\ncat AND a dog", box=Box(0, 0, 0.25, 1)),
            Element(id="b", description="a bench", box=Box(0.25, 0, 1, 1), weight=2),
        ),
    )
    exported = regional_prompter.write(panel)
    first, last = exported.text.split("\n")
    assert first == "a park ADDBASE a red cat and a dog ADDCOL a bench"
    assert (
        'RP Matrix submode: Columns, RP Calc Mode: Attention, RP Ratios: "1,3", RP Base Ratios: 0.2' in last
    )
    assert {problem.path for problem in exported.problems} == {
        "elements[0].description",
        "elements[1].weight",
    }


def test_overlapping_boxes_are_refused() -> None:
    elements = tuple(Element(id=i, description=i, box=Box(0, 0, 0.6, 0.6)) for i in "ab")
    with pytest.raises(InputError, match="without gap or overlap"):
        regional_prompter.write(Panel(elements=elements))


_parameters = st.dictionaries(
    st.sampled_from(
        [
            *("Prompt", "Negative prompt", "Size", "Size-1", "Size-2", "RP Active", "RP Divide mode"),
            *("RP Matrix submode", "RP Ratios", "RP Base Ratios", "RP Use Base", "RP Use Common"),
            *("RP Calc Mode", "RP Options", "RP Flip", "RP Use Ncommon"),
        ]
    ),
    strategies.json_values
    | st.sampled_from(
        ["a BREAK b", "c ADDCOMM b ADDBASE a ADDCOL d ADDROW e", "1,2;3", "1", "Rows", True, 10**400]
    )
    | st.text("1,;. -e", max_size=9),
)


@given(_parameters)
def test_any_parameters_are_read_or_refused(parameters: dict[str, Any]) -> None:
    try:
        imported = regional_prompter.from_parameters(parameters)
    except InputError:
        return
    assert imported.settings["mode"] in ("attention", "latent")
    assert 0.0 <= imported.settings["base_ratio"] <= 1.0
    assert imported.panel.elements or imported.panel.base
