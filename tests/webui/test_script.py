"""The always-on script: what it reads, refuses, plans and records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_document
from tests.webui.fake_host import Host, installed

PANEL = to_document(Panel(elements=(Element(id="e1", description="red circle", box=Box(0, 0, 0.5, 1)),)))
BAD = {"elements": [{"description": "x", "box": {"x0": 0, "y0": 0, "x1": 9, "y1": 1}}]}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with installed(Host(nn.Identity(), tmp_path)) as found:
        yield found


def processed(*args: Any, **fields: Any) -> Any:
    """A processing object after `process`."""
    from lib_ranni.webui import script

    comments: list[str] = []
    p = SimpleNamespace(
        all_prompts=["two red apples"],
        width=512,
        height=512,
        prompts=[],
        batch_size=1,
        iteration=0,
        extra_generation_params={},
        comments=comments,
        comment=comments.append,
        is_api=False,
        sampler_name="Euler",
        scheduler="Automatic",
        steps=20,
        cfg_scale=7.0,
        init=lambda *_: "init",
    )
    p.__dict__.update(fields)
    script.RanniScript().process(p, *args)
    return p


def recorded(p: Any) -> Any:
    """What the infotexts of the job's pictures say, or what they all say."""
    found = p.extra_generation_params["Ranni"]
    if isinstance(found, str):
        return json.loads(found)
    return [json.loads(found(p=p, index=n, all_prompts=p.all_prompts)) for n in range(len(p.all_prompts))]


def test_a_panel_is_recorded(host: Host) -> None:
    p = processed(True, {"panel": PANEL, "guidance": {"mode": "latent"}})
    assert recorded(p) == {"version": 1, "panel": PANEL, "guidance": {"mode": "latent"}}
    assert p.comments == []


@pytest.mark.parametrize("args", [(False, {"panel": PANEL}), (False, {"panel": BAD}), (True, ""), (), ({},)])
def test_idle_it_leaves_no_trace(host: Host, args: tuple[Any, ...]) -> None:
    from lib_ranni.webui import job

    p = processed(*args, extra_generation_params={"Ranni": "of an earlier cell of a grid"})
    assert p.extra_generation_params == {}
    assert p.comments == []
    assert job.of(p) is None


def test_a_bad_panel_warns_in_the_tab(host: Host) -> None:
    p = processed(True, {"panel": BAD})
    assert p.init() == "init"
    assert len(p.comments) == 1
    assert "panel.elements[0].box: needs 0 <= x0" in p.comments[0]
    assert p.extra_generation_params == {}


def test_a_bad_panel_is_refused_in_the_api(host: Host) -> None:
    from fastapi import HTTPException

    p = processed({"panel": BAD}, is_api=True)
    with pytest.raises(HTTPException) as refusal:
        p.init(p.all_prompts, [1], [1])
    assert refusal.value.status_code == 422
    assert refusal.value.detail[0]["loc"] == ["alwayson_scripts", "Ranni", "panel.elements[0].box"]


def test_each_prompt_is_planned(host: Host) -> None:
    prompts = ["two red apples", "a blue cup", "two red apples"]
    planned = recorded(processed({"planner": {"name": "builtin"}}, all_prompts=prompts))
    counts = [len(request["panel"]["elements"]) for request in planned]
    assert counts == [2, 1, 2]
    assert planned[0]["panel"]["provenance"]["prompt"] == "two red apples"


def test_a_second_batch_is_recorded_by_its_own_panels(host: Host) -> None:
    prompts = ["two red apples", "a blue cup", "a cat", "three dogs"]
    p = processed({"planner": {"name": "builtin"}}, all_prompts=prompts, batch_size=2, iteration=1)
    p.prompts = prompts[2:]
    # The host numbers the pictures of a batch from 0 and hands over the batch's prompts.
    texts = [
        p.extra_generation_params["Ranni"](p=p, index=n, all_prompts=p.prompts, key="Ranni") for n in (0, 1)
    ]
    assert [len(json.loads(text)["panel"]["elements"]) for text in texts] == [1, 3]


def test_one_prompt_is_planned_once(host: Host) -> None:
    planned = recorded(processed({"planner": {"name": "builtin"}}, all_prompts=["a cup"] * 4))
    assert [element["description"] for element in planned["panel"]["elements"]] == ["cup"]


def test_an_unknown_planner(host: Host) -> None:
    from fastapi import HTTPException

    p = processed({"planner": {"name": "../oracle"}}, is_api=True)
    with pytest.raises(HTTPException, match="422"):
        p.init()
    p = processed({"planner": {"name": "oracle"}})
    assert "choose one of builtin, " in p.comments[0]


def test_a_copy_of_the_processing_object_is_not_guided(host: Host) -> None:
    from lib_ranni.webui import job

    p = processed({"panel": PANEL})
    nested = SimpleNamespace(**p.__dict__)
    assert job.of(p) is not None
    assert job.of(nested) is None


def test_cells_of_a_grid_change_the_request(host: Host, tmp_path: Path) -> None:
    from lib_ranni.webui import xyz

    kept = tmp_path / "ranni" / "panels" / "two cups.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"elements": [{"description": "cup", "box": PANEL["elements"][0]["box"]}]}))
    options: list[Any] = []
    grid = SimpleNamespace(
        axis_options=options,
        AxisOption=lambda label, type, apply, **rest: SimpleNamespace(
            label=label, type=type, apply=apply, **rest
        ),
    )
    script_class = type("Grid", (), {"__module__": "xyz_grid.py"})
    import modules.scripts

    modules.scripts.scripts_data.append(SimpleNamespace(script_class=script_class, module=grid))
    xyz.add_axes()
    xyz.add_axes()
    axes = {option.label: option for option in options}
    assert len(axes) == len(options) == 27
    values = {"Mode": "latent", "Base ratio": 0.5, "Element weight": 0.5, "Kept panel": "two cups"}
    values |= {"Control scale": 0.5, "Control start": 900.0, "Control stop": 0.0, "Postfix": "4k"}
    values |= {"Local mask": "False", "Conditioner": "from the checkpoint"}
    cell = SimpleNamespace()
    shared = cell.__dict__.setdefault("_ranni_axes", {})
    for name, value in values.items():
        axes[f"[Ranni] {name}"].confirm(cell, [value])
        axes[f"[Ranni] {name}"].apply(cell, value, [value])
    assert shared == {}
    request = recorded(processed({"panel": PANEL}, _ranni_axes=cell._ranni_axes))
    control = {"scale": 0.5, "start": 900.0, "stop": 0.0, "postfix": "4k", "local_mask": False}
    assert request["guidance"] == {"mode": "latent", "base_ratio": 0.5, "control": control}
    assert request["panel"]["elements"][0]["description"] == "cup"
    assert request["panel"]["elements"][0]["weight"] == 0.5
    assert axes["[Ranni] Kept panel"].choices() == ["two cups"]


def test_a_cell_whose_control_would_stop_before_it_starts_is_told(host: Host) -> None:
    p = processed({"panel": PANEL}, _ranni_axes={"Control stop": 700.0, "Control start": 700.0})
    assert "Control stop is 700, where control starts at 700" in p.comments[0]
    assert p.extra_generation_params == {}


@pytest.mark.parametrize(
    ("axis", "value", "complaint"),
    [
        ("Mode", "magic", "none of attention, latent"),
        ("Base ratio", 1.5, "not in 0..1"),
        ("Plan seed", -1, "not in 0..4294967295"),
        ("Control scale", 5.1, "not in 0..5"),
        ("Control stop", 1001, "not in 0..1000"),
        ("Local mask", "perhaps", "none of True, False"),
        ("Conditioner", "nope", "none of from the checkpoint"),
        ("Kept panel", "../../config", "none of none"),
    ],
)
def test_an_axis_checks_its_values(host: Host, axis: str, value: Any, complaint: str) -> None:
    from lib_ranni.webui import xyz

    found = next(a for a in xyz._AXES if a.name == axis)
    with pytest.raises(RuntimeError, match=complaint):
        xyz._confirm(found)(None, [value])


@pytest.mark.parametrize("name", ["../config", "nope", "", "a/b"])
def test_a_panel_outside_the_folder_is_not_read(host: Host, tmp_path: Path, name: str) -> None:
    from lib_ranni.errors import InputError
    from lib_ranni.webui import folders

    (tmp_path / "ranni" / "panels").mkdir(parents=True)
    (tmp_path / "ranni" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no kept panel"):
        folders.panels().read(name)


REGIONAL_PROMPTER = {
    "Prompt": "a table ADDCOMM\nred apple BREAK\ngreen pear",
    "Negative prompt": "fog",
    "Size-1": "512",
    "Size-2": "512",
    "RP Active": "True",
    "RP Divide mode": "Matrix",
    "RP Matrix submode": "Columns",
    "RP Calc Mode": "Latent",
    "RP Ratios": "1,1",
    "RP Base Ratios": "0.2",
    "RP Use Base": "False",
    "RP Use Common": "True",
}


def test_a_picture_of_regional_prompter_pastes_as_a_panel(host: Host) -> None:
    from lib_ranni.webui import script

    script.register()
    host.fire("before_ui")
    params = dict(REGIONAL_PROMPTER)
    host.callbacks["infotext_pasted"][0]("", params)
    request = json.loads(params["Ranni"])
    found = [element["description"] for element in request["panel"]["elements"]]
    assert ["apple" in found[0], "pear" in found[1]] == [True, True]
    assert request["guidance"]["mode"] == "latent"
    assert "BREAK" not in params["Prompt"]


def test_with_regional_prompter_there_its_pictures_are_left_to_it(host: Host) -> None:
    import modules.scripts

    from lib_ranni.webui import script

    script.register()
    host.fire("before_ui")
    theirs = SimpleNamespace(title=lambda: "Regional Prompter")
    modules.scripts.scripts_txt2img.alwayson_scripts.append(theirs)
    params = dict(REGIONAL_PROMPTER)
    host.callbacks["infotext_pasted"][0]("", params)
    assert params == REGIONAL_PROMPTER


@pytest.mark.parametrize("guides", [False, True])
def test_what_is_drawn_within_a_picture_is_left_alone(
    host: Host, monkeypatch: pytest.MonkeyPatch, guides: bool
) -> None:
    def process_images_inner(within: Any) -> Any:
        return within()

    asked = (True, {"panel": PANEL})
    outer = process_images_inner(lambda: processed(*asked))
    assert "Ranni" in outer.extra_generation_params
    monkeypatch.setattr(host.shared.opts, "ranni_nested", guides, raising=False)
    inner = process_images_inner(lambda: process_images_inner(lambda: processed(*asked)))
    assert ("Ranni" in inner.extra_generation_params) is guides


class DynamicPrompts:
    """The part of that extension's script that others can see."""

    args_from, args_to = 1, 3

    def title(self) -> str:
        return "Dynamic Prompts v2.17.1"


def varied(enabled: bool, description: str, images: int = 8, **fields: Any) -> Any:
    element = {**PANEL["elements"][0], "description": description}
    asked = {"panel": {"elements": [element, {**element, "id": "e2"}]}}
    return processed(
        True,
        asked,
        all_prompts=["x"] * images,
        all_seeds=[100 + n for n in range(images)],
        scripts=SimpleNamespace(alwayson_scripts=[DynamicPrompts()]),
        script_args=[None, enabled, False],
        **fields,
    )


def chosen(p: Any) -> list[list[str]]:
    found = recorded(p)
    requests = found if isinstance(found, list) else [found]
    return [[element["description"] for element in r["panel"]["elements"]] for r in requests]


def test_variants_are_chosen_for_each_picture_and_element(host: Host) -> None:
    p = varied(True, "a {red|green|blue} circle")
    assert p.comments == []
    pictures = chosen(p)
    assert len(pictures) == 8
    assert {text for texts in pictures for text in texts} == {
        f"a {c} circle" for c in ("red", "green", "blue")
    }
    assert any(first != second for first, second in pictures)
    assert pictures == chosen(varied(True, "a {red|green|blue} circle"))


def test_the_hosts_own_notation_survives_expansion(host: Host) -> None:
    text = "a [(red:1.2):blue:0.5] circle, <lora:ink:0.8> \\(bold\\) BREAK x"
    assert chosen(varied(True, text)) == [[text, text]]


def test_variants_stay_where_dynamic_prompts_is_off(host: Host) -> None:
    assert chosen(varied(False, "a {red|blue} circle")) == [["a {red|blue} circle"] * 2]


def test_variants_that_cannot_be_read_stay(host: Host) -> None:
    p = varied(True, "a {red|blue circle")
    assert chosen(p) == [["a {red|blue circle"] * 2]
    assert "left as they are" in p.comments[0]
