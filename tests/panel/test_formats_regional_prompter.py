"""Regional Prompter's prompts: keywords and ratios, and the places where upstream goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import import_panel
from tests.panel.regional_prompter import BANDS, HALVES, Sides, boxes_of, from_prompt, texts_of

_INFOTEXT = """two friends in a park,
ADDCOMM mint dress, hair ribbon,
ADDCOL brown coat, (round glasses:1.2), smile,
Negative prompt: blurry, text
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 5, Size: 768x512, Model hash: 945c2bdaad,
Model: some_model, Denoising strength: 0.4, RP Active: True, RP Divide mode: Matrix,
RP Matrix submode: Horizontal, RP Mask submode: Mask, RP Prompt submode: Prompt, RP Calc Mode: Attention,
RP Ratios: "1,3", RP Base Ratios: 0.2, RP Use Base: False, RP Use Common: True, RP Use Ncommon: False,
RP Change AND: False, RP LoRA Neg Te Ratios: 0,
RP LoRA Stop Step: 0, RP Flip: False, TI hashes: "blurry_v1: d70463f8", Version: v1.6.0"""


def test_an_infotext_as_people_paste_it() -> None:
    imported = import_panel(_INFOTEXT)
    assert (imported.format, imported.problems) == ("regional_prompter", ())
    assert imported.settings == {"mode": "attention", "base_ratio": 0.0}
    assert imported.panel.aspect == 1.5
    assert imported.panel.negative == "blurry, text"
    assert texts_of(imported) == [
        "two friends in a park, mint dress, hair ribbon,",
        "two friends in a park, brown coat, (round glasses:1.2), smile,",
    ]
    assert boxes_of(imported) == [(0, 0, 0.25, 1), (0.25, 0, 1, 1)]


def test_an_infotext_of_one_region() -> None:
    text = (
        "1girl, solo BREAK\nNegative prompt: nsfw\nSteps: 20, Size: 640x960, RP Active: True, "
        "RP Divide mode: Matrix, RP Matrix submode: Horizontal, RP Calc Mode: Latent, RP Ratios: 1, "
        'RP Base Ratios: 0.2, RP Options: ["[", "\\"", "["], RP Use Base: False, Version: v1.4.0'
    )
    imported = import_panel(text)
    assert (texts_of(imported), boxes_of(imported)) == (["1girl, solo"], [(0, 0, 1, 1)])
    assert imported.settings == {"mode": "latent", "base_ratio": 0.0}
    assert imported.problems == ()


@pytest.mark.parametrize(
    ("prompt", "settings", "boxes"),
    [
        ("a BREAK b", {"Ratios": "1,1"}, HALVES),
        ("a BREAK b", {"Ratios": "1,1", "Matrix_submode": "Rows"}, BANDS),
        ("a BREAK b", {"Ratios": "1,1", "Matrix_submode": "Vertical"}, BANDS),
        ("a BREAK b", {"Ratios": "1,1", "Divide_mode": "Vertical"}, BANDS),
        ("a BREAK b", {"Ratios": "1,1", "Divide_mode": "Nope"}, HALVES),
        ("a BREAK b", {"Ratios": "1;1"}, BANDS),
        ("a BREAK b", {"Ratios": "1;1", "Flip": "True"}, HALVES),
        ("a ADDROW b", {"Ratios": "1,1"}, BANDS),
        ("a ADDCOL b", {"Ratios": "1,1", "Matrix_submode": "Rows"}, HALVES),
        ("a ADDCOL b", {}, HALVES),
        ("a AND b", {"Ratios": "1,1"}, HALVES),
        ("a ADDROW b ADDCOL c", {"Ratios": "1;1,1,1"}, [BANDS[0], (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)]),
        (
            "a BREAK b BREAK c",
            {"Ratios": "1;1;1,1", "Matrix_submode": "Rows"},
            [(0, 0, 0.5, 0.5), (0, 0.5, 0.5, 1), (0.5, 0, 1, 1)],
        ),
        (
            "a ADDROW b ADDCOL c",
            {"Ratios": "1;3;1,1", "Matrix_submode": "Rows"},
            [(0, 0, 0.5, 0.75), (0, 0.75, 0.5, 1), (0.5, 0, 1, 1)],
        ),
        (
            "a ADDCOL b ADDROW c",
            {"Ratios": "1,3,1;3"},
            [(0, 0, 0.75, 0.25), (0.75, 0, 1, 0.25), (0, 0.25, 1, 1)],
        ),
        (
            "a BREAK b BREAK c BREAK d BREAK e",
            {"Ratios": "1,2,1,1;2,4,6"},
            [
                *((0, 0, 0.5, 0.3333), (0.5, 0, 0.75, 0.3333), (0.75, 0, 1, 0.3333)),
                *((0, 0.3333, 0.4, 1), (0.4, 0.3333, 1, 1)),
            ],
        ),
    ],
)
def test_ratios_and_keywords_make_the_grid(prompt: str, settings: dict[str, str], boxes: list[Sides]) -> None:
    imported = from_prompt(prompt, **settings)
    assert boxes_of(imported) == boxes
    assert imported.problems == ()


@pytest.mark.parametrize(
    ("prompt", "settings", "texts", "boxes"),
    [
        # Upstream's own picture: two columns, the third text an inner BREAK that it then ignores.
        ("a BREAK b BREAK c", {"Ratios": "1,1"}, ["a", "b BREAK c"], HALVES),
        ("a BREAK b", {"Ratios": "1,2,4"}, ["a", "b"], [(0, 0, 0.3333, 1), (0.3333, 0, 1, 1)]),
        ("a BREAK b", {"Ratios": "1;1", "Matrix_submode": "Rows"}, ["a BREAK b"], [(0, 0, 1, 1)]),
        (
            "a BREAK b BREAK c",
            {"Ratios": "1,1,1;1,1,1"},
            ["a", "b", "c"],
            [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 1, 1)],
        ),
        (
            "a BREAK b BREAK c BREAK d BREAK e",
            {"Ratios": "1,2,1,1;2,4,6", "Matrix_submode": "Rows"},
            ["a", "b", "c", "d", "e"],
            [
                *((0, 0, 0.1111, 1), (0.1111, 0, 0.3333, 1), (0.3333, 0, 0.4444, 1)),
                *((0.4444, 0, 0.5556, 1), (0.5556, 0, 1, 1)),
            ],
        ),
        (
            "a ADDCOL b ADDCOL c",
            {"Ratios": "2,1"},
            ["a", "b", "c"],
            [(0, 0, 0.5, 1), (0.5, 0, 0.75, 1), (0.75, 0, 1, 1)],
        ),
        ("a BREAK b", {"Ratios": "1,x"}, ["a", "b"], HALVES),
        (
            "a ADDROW b ADDCOL c",
            {"Ratios": "1,3", "Matrix_submode": "Rows"},
            ["a", "b", "c"],
            [(0, 0, 0.25, 0.5), (0, 0.5, 0.25, 1), (0.25, 0, 1, 1)],
        ),
        (
            "a ADDROW b",
            {"Ratios": "1,2,1,1;2,4,6"},
            ["a", "b"],
            BANDS,
        ),
        ("a BREAK BREAK c", {"Ratios": "1,2,1"}, ["a", "c"], [(0, 0, 0.25, 1), (0.75, 0, 1, 1)]),
        ("a BREAK b", {}, ["a", "b"], HALVES),
    ],
)
def test_counts_that_do_not_fit_keep_every_text_and_upstreams_places(
    prompt: str, settings: dict[str, str], texts: list[str], boxes: list[Sides]
) -> None:
    imported = from_prompt(prompt, **settings)
    assert (texts_of(imported), boxes_of(imported)) == (texts, boxes)
    assert len(imported.problems) == 1


@pytest.mark.parametrize("ratios", ["0,1", "-1,2", "0,0", "1,0;1"])
def test_shares_of_nothing_are_errors(ratios: str) -> None:
    with pytest.raises(InputError, match="above 0"):
        from_prompt("a BREAK b", Ratios=ratios)


@pytest.mark.parametrize(
    ("prompt", "settings", "base", "texts"),
    [
        ("c ADDCOMM b ADDBASE r ADDCOL s", {}, "c, b", ["c, r", "c, s"]),
        # The other order, which upstream assigns wrongly.
        ("b ADDBASE c ADDCOMM r ADDCOL s", {}, "c, b", ["c, r", "c, s"]),
        ("c BREAK b BREAK r BREAK s", {"Use_Base": "True", "Use_Common": "True"}, "c, b", ["c, r", "c, s"]),
        ("c ADDCOMM b BREAK r BREAK s", {"Use_Base": "True"}, "c, b", ["c, r", "c, s"]),
        ("b BREAK r BREAK s", {"Use_Base": "True"}, "b", ["r", "s"]),
        ("c BREAK r BREAK s", {"Use_Common": "True"}, "c", ["c, r", "c, s"]),
        ("r BREAK s", {}, "", ["r", "s"]),
        ("c,\nADDCOMM r ADDCOL s", {}, "c,", ["c, r", "c, s"]),
        ("c ADDCOMM d ADDCOMM r ADDCOL s", {}, "c, d", ["c, d, r", "c, d, s"]),
        # Words that only contain a keyword.
        ("SAND and a GRAND piano BREAK BREAKFAST", {}, "", ["SAND and a GRAND piano", "BREAKFAST"]),
        ("r AND x BREAK s", {"Options": "disable convert 'AND' to 'BREAK', debug"}, "", ["r AND x", "s"]),
        ("r AND x BREAK s", {"Change_AND": "True"}, "", ["r AND x", "s"]),
        ("r BREAK x ADDCOL s", {}, "", ["r BREAK x", "s"]),
        ("r BREAK x ADDCOL s", {"Options": ["Use BREAK to change chunks"]}, "", ["r BREAK x", "s"]),
        ("r # old\nx BREAK s # note", {"Options": "Comment out `#`"}, "", ["r \nx", "s"]),
        ("c ADDCOMM r ADDCOL s", {"Options": "Flip prompts"}, "c", ["c, s", "c, r"]),
    ],
)
def test_keywords_part_common_text_base_and_regions(
    prompt: str, settings: dict[str, Any], base: str, texts: list[str]
) -> None:
    imported = from_prompt(prompt, Ratios="1,1", **settings)
    assert (imported.panel.base, texts_of(imported), boxes_of(imported)) == (base, texts, HALVES)
    assert imported.problems == ()


def test_a_value_in_damaged_quotes_is_read_without_them() -> None:
    imported = import_panel(
        'a BREAK b\nRP Active: True, RP Ratios: "1,3", RP Options: "flip \\q", RP Flip: "True"'
    )
    assert boxes_of(imported) == [(0, 0, 1, 0.25), (0, 0.25, 1, 1)]
