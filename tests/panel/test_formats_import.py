"""The door to all formats: finding out which one, refusing what is none, and input made to hurt."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_ranni.errors import InputError, PanelError
from lib_ranni.panel.formats import FORMATS, MAX_BYTES, Imported, export_panel, import_panel
from lib_ranni.panel.reading import check
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_document, to_json
from tests.panel import strategies

_SAMPLES = {
    "panel": to_json(Panel(base="b", elements=(Element(id="e1", description="a", box=Box(0, 0, 1, 1)),))),
    "omost": (
        "```python\ncanvas = Canvas()\ncanvas.set_global_description(description='A shore', "
        "detailed_descriptions=['sand'], tags='sea', HTML_web_color_name='skyblue')\n"
        "canvas.add_local_description(location='on the left', offset='no offset', "
        "area='a small square area', distance_to_viewer=5.0, description='A boat', "
        "detailed_descriptions=[\"wood\"], tags='boat', "
        "atmosphere='calm', style='photo', quality_meta='sharp', HTML_web_color_name='navy')\n```"
    ),
    "rpg": "Caption: two\nFinal split ratio: 1,1,1;2\nRegional Prompt: a BREAK b BREAK c",
    "tiled_diffusion": (
        "photo, day\nNegative prompt: n\nSteps: 20, Size: 512x768, "
        'Tiled Diffusion: {"Method": "MultiDiffusion", '
        '"Region control": {"Region 1": {"enable": true, "x": 0.1, "y": 0.2, "w": 0.3, "h": 0.4, '
        '"prompt": "r, <lora:x:0.5>", "neg_prompt": "", "blend_mode": "Foreground", "feather_ratio": 0.2, '
        '"seed": 3}}}, Version: v1.10.1'
    ),
    "forge_couple": (
        "c, {k:x}\na {k}\nb\nNegative prompt: n\nSteps: 20, Size: 512x768, forge_couple: True, "
        "forge_couple_mode: Advanced, forge_couple_separator: \\n, forge_couple_common_parser: { }, "
        'forge_couple_mapping: "[[0.0, 1.0, 0.0, 1.0, 0.3], [0.0, 0.5, 0.0, 1.0, 1.0], [0.5, 1, 0, 0.8, 2]]"'
    ),
    "regional_prompter": (
        "c ADDCOMM b ADDBASE r <lora:x:0.5> ADDCOL s ADDROW t\nNegative prompt: n BREAK x BREAK y BREAK z\n"
        'Steps: 20, Size: 512x768, RP Active: True, RP Divide mode: Matrix, RP Ratios: "1,1,1;2", '
        'RP Base Ratios: "0.1,0.2;0.3", RP Options: "debug,debug2", RP Flip: False'
    ),
    "layout_json": "Objects: [('a', [64, 128, 256, 128]), ('b', [0, 384, 512, 128])]\nBackground prompt: sky",
    "ranni": "(black dog,[192,384,384,768]),(white cat,[576,576,192,384])",
}
_JSON_SAMPLES = (
    '{"prompt": "a BREAK b", "alwayson_scripts": {"Regional Prompter": {"args": [true, false, "Matrix"]}}}',
    '{"bbox_controls": [{"enable": true, "x": 0.1, "y": 0.2, "w": 0.3, "h": 0.4, "prompt": "a"}]}',
    '[{"rect": [0, 90, 0, 90], "prefixes": ["s"]}, {"rect": [9, 45, 0, 90], "prefixes": ["s", "t"]}]',
    '{"prompt": "p", "phrases": ["a"], "locations": [[0.1, 0.1, 0.4, 0.5]], "width": 512, "height": 768}',
)


def test_there_is_a_sample_of_every_format() -> None:
    assert set(_SAMPLES) == set(FORMATS)
    assert all(item.name == name and item.title for name, item in FORMATS.items())


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_found_out_and_may_be_named(name: str) -> None:
    found = import_panel(_SAMPLES[name])
    assert found.format == name
    assert found.panel.elements
    assert found == import_panel(_SAMPLES[name], name)
    assert found == import_panel("\ufeff" + _SAMPLES[name].replace("\n", "\r\n"), None)
    assert found == import_panel(_SAMPLES[name].encode())


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_imported_is_a_flawless_panel(name: str) -> None:
    panel = import_panel(_SAMPLES[name]).panel
    assert check(to_document(panel)) == panel


@pytest.mark.parametrize("text", ["hello there", "a cat and a dog", "1234", "canvas", "{oops", "(a dog, 3)"])
def test_a_text_of_no_format_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        import_panel(text)


def test_the_refusal_names_the_formats() -> None:
    with pytest.raises(InputError, match="regional_prompter, layout_json, ranni"):
        import_panel("hello there")
    with pytest.raises(InputError, match="choose one of panel, omost"):
        import_panel("hello", "svg")
    with pytest.raises(InputError, match="choose one of panel, rpg"):
        export_panel(Panel(), "omost")


@pytest.mark.parametrize("text", ["", " \n\t", "\ufeff", b"", b"\xff\xfe\x00"])
def test_nothing_and_no_text_are_refused(text: str | bytes) -> None:
    with pytest.raises(InputError, match=r"nothing to import|not UTF-8"):
        import_panel(text)


@pytest.mark.parametrize("text", [None, 7, ["a"], {"elements": []}])
def test_only_text_is_imported(text: Any) -> None:
    with pytest.raises(InputError, match="imported from text"):
        import_panel(text)


@pytest.mark.parametrize("text", ["x" * (MAX_BYTES + 1), "猫" * (MAX_BYTES // 2), b"x" * (MAX_BYTES + 1)])
def test_longer_texts_are_not_looked_at(text: str | bytes) -> None:
    with pytest.raises(InputError, match="too long; at most 1,048,576 bytes"):
        import_panel(text)


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert import_panel("(d\ud800g,[9,9,9,9])").panel.elements[0].description == "d\ufffdg"


def test_our_own_documents_are_mended_or_refused() -> None:
    mended = import_panel(
        '{"version": 1, "elements": [{"description": "a", "box": {"x0": 0, "y0": 0, "x1": 2, "y1": 1}}]}'
    )
    assert mended.problems[0].path == "elements[0].box"
    with pytest.raises(PanelError):
        import_panel("[]", "panel")


@given(strategies.panels())
def test_our_own_document_loses_nothing(panel: Panel) -> None:
    exported = export_panel(panel, "panel")
    assert exported.problems == ()
    assert import_panel(exported.text, "panel").panel == panel


@pytest.mark.parametrize("name", [name for name, item in FORMATS.items() if item.write])
def test_every_writer_can_write_a_grid(name: str) -> None:
    panel = import_panel(_SAMPLES["rpg"]).panel
    exported = export_panel(panel, name, {"mode": "latent"})
    assert exported.format == name
    back = import_panel(exported.text)
    assert back.format == name
    assert [element.description for element in back.panel.elements] == ["a", "b", "c"]


def _survives(text: str | bytes, name: str | None) -> Imported | None:
    """What importing gives, a flawless panel; None where it refuses. Any other error is a failure."""
    try:
        found = import_panel(text, name)
    except InputError:
        return None
    assert check(to_document(found.panel)) == found.panel
    assert all(problem.message and problem.repair for problem in found.problems)
    return found


_names = st.sampled_from([None, *FORMATS])


@given(st.text() | st.binary(), _names)
@example("=Canvas().add_local_description(", "omost")
def test_any_text_is_read_or_refused(text: str | bytes, name: str | None) -> None:
    found = _survives(text, name)
    assert found is None or found.format in FORMATS


_SIGNS = st.text("()[]{}<>'\"\\,;:.#=-+*/%0123456789 \n\tabBREAKNDCOLW：，；", max_size=60)


@given(st.sampled_from([*_SAMPLES.values(), *_JSON_SAMPLES]), st.data(), _names)
def test_damaged_layouts_are_read_or_refused(sample: str, data: st.DataObject, name: str | None) -> None:
    text = sample
    for _ in range(data.draw(st.integers(1, 3))):
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        text = text[:begin] + data.draw(st.sampled_from(["", text[begin:end] * 2]) | _SIGNS) + text[end:]
    found = _survives(text, name)
    assert found is None or found.format in FORMATS


def test_seeded_damage_to_every_sample() -> None:
    random = Random(5)
    samples = [*_SAMPLES.values(), *_JSON_SAMPLES]
    odd = [
        "nan",
        "1e999",
        "-1",
        "9" * 5000,
        "\x00",
        "\ud800",
        "[",
        "]",
        ")",
        "'",
        '"',
        "#",
        "BREAK",
        "ADDCOL",
        ";",
        "\\",
    ]
    read = 0
    for _ in range(1500):
        text = random.choice(samples)
        for _ in range(random.randint(1, 4)):
            at, to = sorted(random.choices(range(len(text) + 1), k=2))
            part = random.choice([*odd, "", text[at:to], text[:at]])
            text = text[:at] + part + text[min(len(text), at + random.choice((0, 1, to - at))) :]
            text = text[:20_000]
        read += _survives(text, random.choice([None, *FORMATS])) is not None
    assert read > 100


@pytest.mark.parametrize(
    "part",
    [
        *(
            "(",
            "[",
            "{",
            " ",
            "a BREAK ",
            "a ADDCOMM ",
            "a ADDROW b ADDCOL ",
            "split ratio: 1,",
            "regional prompt: ",
        ),
        *(
            "(a,[1,1,1,1])",
            ",[",
            "x.add_local_description(",
            "x.add_local_description(#",
            "x.add_local_description('",
        ),
        *(
            'a: "',
            "\nSteps: 20, ",
            "\nSteps: 20, Tiled Diffusion: {'",
            "forge_couple: True\n{k:x}{k}",
            "<lora:a:1> BREAK ",
            "('a',[1,2,3,4]),",
            '{"a":',
            "-",
            "'a' ",
            "```json\n",
            "1,",
            "\\",
        ),
    ],
)
def test_a_full_size_text_of_one_thing_costs_seconds_at_most(part: str) -> None:
    text = (part * (MAX_BYTES // len(part)))[:MAX_BYTES]
    begin = time.monotonic()
    for name in (None, *FORMATS):
        _survives(text, name)
    assert time.monotonic() - begin < 20
