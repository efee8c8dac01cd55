"""Tiled Diffusion's boxes: its files, infotexts of new and old versions, requests; and written back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import Imported, import_panel, tiled_diffusion
from lib_ranni.panel.types import Box, Element, Lora, Panel
from tests.panel import strategies
from tests.panel.regional_prompter import boxes_of, texts_of

_FRONT = {
    **{"enable": True, "x": 0.1, "y": 0.2, "w": 0.3, "h": 0.4},
    **{"prompt": 'a cat, it\'s "red": so', "neg_prompt": "dog"},
    **{"blend_mode": "Foreground", "feather_ratio": 0.2, "seed": 7},
}
_BACK = {
    **{"enable": True, "x": 0.0, "y": 0.5, "w": 1.0, "h": 0.5},
    **{"prompt": "grass <lora:g:0.5>", "neg_prompt": ""},
    **{"blend_mode": "Background", "feather_ratio": 0.2, "seed": -1},
}
_INFO = {
    **{"Method": "MultiDiffusion", "Tile tile width": 96, "Tile Overlap": 48},
    "Region control": {"Region 1": _FRONT, "Region 3": _BACK},
}


def _read(*boxes: Any) -> Imported:
    return tiled_diffusion.read(json.dumps({"bbox_controls": boxes}))


def _infotext(value: str) -> str:
    return (
        "photo, day <lora:m:1>,\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, Seed: 1, Size: 1024x512, "
        f'Tiled Diffusion: {value}, Hashes: {{"model": "1a"}}, Version: v1.10.1'
    )


def _as_in_python(info: dict[str, Any]) -> str:
    """As the WebUI wrote objects before its version 1.5: text of Python with quotes around."""
    return '"' + str(info).replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("value", [json.dumps(_INFO, ensure_ascii=False), _as_in_python(_INFO)])
def test_a_picture_with_regions(value: str) -> None:
    imported = import_panel(_infotext(value))
    assert (imported.format, imported.problems) == ("tiled_diffusion", ())
    panel = imported.panel
    assert (panel.base, panel.negative, panel.aspect) == ("photo, day <lora:m:1>,", "bad", 2.0)
    # Foreground covers background, and each has the prompt of the picture before its own.
    assert texts_of(imported) == ["photo, day, grass", 'photo, day, a cat, it\'s "red": so']
    assert boxes_of(imported) == [(0, 0.5, 1, 1), (0.1, 0.2, 0.4, 0.6)]
    grass, cat = panel.elements
    assert (grass.lora, grass.seed, grass.negative) == ((Lora("g", 0.5),), None, "")
    assert (cat.lora, cat.seed, cat.negative) == ((), 7, "dog")
    # The box is 0.6 by 0.4 of the shorter side, half of it times 0.2 is soft.
    settings = {"mode": "latent", "base_ratio": 0.0, "overlap": "front", "feather": 0.04}
    assert imported.settings == settings


def test_a_file_of_boxes() -> None:
    imported = import_panel(json.dumps({"bbox_controls": [_FRONT, _BACK]}, indent=2))
    assert imported.format == "tiled_diffusion"
    assert texts_of(imported) == ["grass", 'a cat, it\'s "red": so']
    assert (imported.panel.base, imported.problems) == ("", ())


def test_a_request_to_the_api() -> None:
    tiles = (1024, 1024, 96, 96, 48, 4, "None", 2, False, 10, 1, 1, 64, False)
    head = [True, "MultiDiffusion", False, True, *tiles]
    unused = [False, 0.4, 0.4, 0.2, 0.2, "", "", "Background", 0.2, -1]
    off = [False, 0.4, 0.4, 0.2, 0.2, "a dog"]
    args = [*head, True, True, False, *_FRONT.values(), *_BACK.values(), *unused, *off]
    request = {"prompt": "photo", "width": 512, "height": 1024, "alwayson_scripts": {}}
    request["alwayson_scripts"] = {"Tiled Diffusion": {"args": args}}
    imported = import_panel(json.dumps(request))
    assert (imported.format, imported.panel.aspect) == ("tiled_diffusion", 0.5)
    # What stands in the back is averaged with the prompt that is drawn behind it.
    assert [element.base_ratio for element in imported.panel.elements] == [0.5, None]
    assert [problem.path for problem in imported.problems] == ["args[51]"]
    args[18] = False
    assert not tiled_diffusion.detects(json.dumps(request))


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ({"enable": False}, "switched off"),
        ({"x": None}, "four numbers"),
        ({"x": "0.5"}, "four numbers"),
        ({"w": True}, "four numbers"),
        ({"h": 1e300}, "four numbers"),
        ({"w": 0}, "no extent"),
        ({"h": -1}, "no extent"),
        ({"x": 1.5}, "no extent"),
        ({"prompt": " "}, "no prompt"),
        ({"prompt": None}, "no prompt"),
    ],
)
def test_what_was_not_drawn_is_left_out_and_told(box: dict[str, Any], fault: str) -> None:
    imported = _read(_FRONT, {**_BACK, **box})
    assert len(imported.panel.elements) == 1
    (problem,) = imported.problems
    assert problem.path == "bbox_controls[1]"
    assert fault in problem.message


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ({"blend_mode": "Middle"}, "bbox_controls[0].blend_mode"),
        ({"blend_mode": ["Foreground"]}, "bbox_controls[0].blend_mode"),
        ({"feather_ratio": "wide"}, "bbox_controls[0].feather_ratio"),
        ({"feather_ratio": 9}, "bbox_controls[0].feather_ratio"),
        ({"prompt": ["a"]}, "bbox_controls[0].prompt"),
        ({"neg_prompt": 7}, "bbox_controls[0].neg_prompt"),
        ({"seed": 1e300}, "elements[0].seed"),
        ({"seed": 2**70}, "elements[0].seed"),
        ({"seed": "x"}, "elements[0].seed"),
    ],
)
def test_odd_values_are_told(box: dict[str, Any], told: str) -> None:
    imported = _read({**_FRONT, **box}, {**_FRONT, "prompt": "b"})
    assert told in [problem.path for problem in imported.problems]


def test_what_sticks_out_is_not_drawn() -> None:
    imported = _read({**_FRONT, "x": 0.7, "w": 0.3001, "y": -0.1})
    assert boxes_of(imported) == [(0.7, 0, 1, 0.3)]
    assert imported.problems == ()


def test_what_our_guidance_does_otherwise_is_told() -> None:
    wide = {**_FRONT, "prompt": "b", "x": 0.0, "w": 0.9, "h": 0.8}
    imported = _read(_FRONT, wide, _BACK)
    assert [problem.path for problem in imported.problems] == ["blend_mode", "feather_ratio"]
    assert imported.settings["feather"] == 0.03
    assert _read(_BACK).settings == {"mode": "latent", "base_ratio": 0.0, "overlap": "blend"}


@pytest.mark.parametrize(
    "text",
    [
        *('{"bbox_controls": []}', '{"bbox_controls": {}}', '{"bbox_controls": [7, null, [], "x"]}', "{}"),
        _infotext('{"Method": "MultiDiffusion"}'),
        _infotext('{"Region control": {}}'),
        _infotext('{"Region control": [1]}'),
        _infotext('{"Region control": {"Region 1": '),
        _infotext("{'Region control': open('x')}"),
        _infotext('{"Region control": ' + '{"a":' * 5000),
        _infotext("True"),
    ],
)
def test_what_has_no_boxes_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        tiled_diffusion.read(text)


def test_more_boxes_than_a_panel_holds_are_left_out_and_told() -> None:
    imported = _read(*({**_BACK, "prompt": f"t{n}", "x": n / 2000} for n in range(1200)))
    assert len(imported.panel.elements) == 1000
    assert "1200 boxes" in imported.problems[0].message


@given(strategies.panels(mask=None, colors=(), keypoints=(), lora=()))
def test_what_is_written_is_read_as_the_same_boxes(panel: Panel) -> None:
    assume(panel.elements)
    assume(not any("<" in element.description for element in panel.elements))
    assume(len({element.description.strip().lower() for element in panel.elements}) == len(panel.elements))
    imported = import_panel(tiled_diffusion.write(panel, {"feather": 0.05}).text)
    assert imported.format == "tiled_diffusion"
    # Those that stand behind others come first.
    back = {element.description: element for element in imported.panel.elements}
    assert len(imported.panel.elements) == len(panel.elements)
    for before in panel.elements:
        after = back[before.description]
        assert (after.negative, after.seed) == (before.negative, before.seed)
        assert _sides(after) == pytest.approx(_sides(before), abs=3e-4)


def _sides(element: Element) -> tuple[float, ...]:
    box = element.box
    return box.x0, box.y0, box.x1, box.y1


def _panel(*boxes: Box, **fields: Any) -> Panel:
    elements = (Element(id=f"e{n}", description=f"t{n}", box=box, **fields) for n, box in enumerate(boxes))
    return Panel(elements=tuple(elements))


def test_what_covers_and_what_is_covered_are_its_two_types() -> None:
    panel = _panel(Box(0.2, 0.2, 0.8, 0.8), Box(0, 0, 0.1, 0.1), Box(0.5, 0.5, 1, 1))
    exported = tiled_diffusion.write(panel, {"feather": 0.1})
    assert exported.problems == ()
    kinds = [box["blend_mode"] for box in json.loads(exported.text)["bbox_controls"]]
    assert kinds == ["Background", "Foreground", "Foreground"]
    back = import_panel(exported.text)
    assert (back.settings["overlap"], texts_of(back)) == ("front", ["t0", "t1", "t2"])
    blended = tiled_diffusion.write(panel, {"overlap": "blend"})
    assert '"Background"' not in blended.text
    stacked = _panel(*(Box(0, 0, side, 1) for side in (0.9, 0.6, 0.3)))
    assert [problem.path for problem in tiled_diffusion.write(stacked).problems] == ["overlap"]


def test_seeds_and_loras_are_kept() -> None:
    panel = _panel(Box(0, 0, 0.5, 0.5), seed=0, lora=(Lora("a", -0.5), Lora("b")), negative="fog")
    back = import_panel(tiled_diffusion.write(panel).text).panel.elements[0]
    assert (back.seed, back.lora, back.negative, back.description) == (
        *(0, (Lora("a", -0.5), Lora("b"))),
        *("fog", "t0"),
    )


def test_it_has_room_for_few() -> None:
    boxes = [Box(n / 20, 0, (n + 1) / 20, 1) for n in range(17)]
    problems = tiled_diffusion.write(_panel(*boxes[:9])).problems
    assert [(problem.path, problem.repair[-21:]) for problem in problems] == [
        ("elements", "with --md-max-regions 9"[-21:])
    ]
    for count in (0, 17):
        with pytest.raises(InputError, match=f"1 to 16 regions, not {count}"):
            tiled_diffusion.write(_panel(*boxes[:count]))
