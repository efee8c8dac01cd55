"""The extension's one JSON value: what is read, what is refused, and that it survives an infotext."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.guidance.edit_region import MOST_CELLS
from lib_ranni.guidance.weights import Overlap
from lib_ranni.panel.types import MAX_SEED, Panel
from lib_ranni.service.request import (
    MODES,
    OVERLAPS,
    GuidedMode,
    Hires,
    Keep,
    PanelControl,
    Planning,
    Request,
    Settings,
    read,
    read_arguments,
    to_json,
)
from tests.panel.strategies import panels

PANEL = {"elements": [{"description": "a red circle", "box": {"x0": 0, "y0": 0, "x1": 0.5, "y1": 1}}]}
ratios = st.floats(0, 1)
cells = st.integers(0, MOST_CELLS)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    mode: GuidedMode = draw(st.sampled_from(MODES))
    overlap: Overlap = draw(st.sampled_from(OVERLAPS))
    hires = Hires(enabled=draw(st.booleans()), base_ratio=draw(st.none() | ratios), end=draw(ratios))
    control = PanelControl(
        scale=draw(st.none() | st.floats(0, 5)),
        start=draw(st.floats(500, 1000)),
        stop=draw(st.floats(0, 499)),
        postfix=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
        local_mask=draw(st.booleans()),
        conditioner=draw(st.text("abcxyz/", max_size=8)),
    )
    return Request(
        enabled=draw(st.booleans()),
        panels=tuple(draw(st.lists(panels(), max_size=3))),
        guidance=Settings(
            mode=mode,
            base_ratio=draw(ratios),
            feather=draw(st.floats(0, 0.5)),
            overlap=overlap,
            start=draw(ratios),
            end=draw(ratios),
            layout_noise=draw(st.floats(0, 10)),
            attention_bias=draw(ratios),
            hires=hires,
            control=control,
        ),
        planner=Planning(
            name=draw(st.text("abcxyz", max_size=8)), seed=draw(st.none() | st.integers(0, MAX_SEED))
        ),
        memory=Keep(enabled=draw(st.booleans()), margin=draw(cells), feather=draw(cells)),
    )


@given(requests())
def test_a_request_comes_back_from_its_json(request: Request) -> None:
    reading = read(to_json(request))
    assert reading.problems == ()
    assert reading.request == request


def test_defaults_are_not_written() -> None:
    assert json.loads(to_json(Request())) == {"version": 1}
    # Numbers of a page are equal to the defaults, not the same objects.
    spelled_out: dict[str, Any] = {
        "guidance": {
            "mode": "attention",
            "base_ratio": float("0.2"),
            "feather": 0,
            "start": float("0"),
            "end": 1,
            "hires": {"enabled": True, "base_ratio": None, "end": float("1.0")},
            "control": {
                "scale": None,
                "start": 1000,
                "stop": float("600"),
                "postfix": "",
                "local_mask": True,
            },
        }
    }
    assert json.loads(to_json(read(spelled_out).request)) == {"version": 1}
    spelled_out["guidance"]["hires"]["end"] = 0.5
    assert json.loads(to_json(read(spelled_out).request)) == {
        "version": 1,
        "guidance": {"hires": {"end": 0.5}},
    }
    assert "\n" not in to_json(Request(panels=(Panel(base="two\nlines"),)))


@pytest.mark.parametrize(
    ("guidance", "scale"),
    [
        ({}, 0.0),
        ({"mode": "latent"}, 0.0),
        ({"mode": "panel"}, 0.6),
        ({"mode": "panel", "control": {"scale": 0}}, 0.0),
        ({"mode": "attention", "control": {"scale": 1.5}}, 1.5),
    ],
)
def test_panel_control_is_on_where_it_was_asked_for(guidance: Any, scale: float) -> None:
    assert read({"panel": PANEL, "guidance": guidance}).request.guidance.control_scale == scale


@pytest.mark.parametrize("nothing", [None, "", {}])
def test_nothing_is_a_request_to_do_nothing(nothing: Any) -> None:
    reading = read(nothing)
    assert reading.problems == ()
    assert reading.request.is_idle


@pytest.mark.parametrize(
    ("request_", "idle"),
    [
        (Request(), True),
        (Request(panels=(Panel(base="sky"),)), True),
        (Request(planner=Planning(name="builtin")), False),
        (Request(planner=Planning(name="builtin"), enabled=False), True),
    ],
)
def test_what_is_idle(request_: Request, idle: bool) -> None:
    assert request_.is_idle is idle


@pytest.mark.parametrize(
    ("args", "enabled"),
    [
        (({"panel": PANEL},), True),
        (({"panel": PANEL, "enabled": False},), False),
        ((True, {"panel": PANEL}), True),
        ((False, {"panel": PANEL}), False),
        ((None, {"panel": PANEL}), True),
        ((True, {"panel": PANEL, "enabled": False}), False),
        ((True, json.dumps({"panel": PANEL})), True),
        ((True, ""), False),
        ((True,), False),
        ((), False),
    ],
)
def test_arguments_of_the_tab_and_of_the_api(args: tuple[Any, ...], enabled: bool) -> None:
    reading = read_arguments(args)
    assert reading.problems == ()
    assert reading.request.enabled is enabled
    if enabled:
        assert reading.request.panels[0].elements[0].description == "a red circle"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("{", ""),
        ("[1]", ""),
        (7, ""),
        ([PANEL], ""),
        ({"panle": PANEL}, "panle"),
        ({"\u202e\x1b[31m": 1}, "['\\u202e\\x1b[31m']"),
        ({"guidance": {"\n": 1}}, "guidance['\\n']"),
        ({"version": 2}, "version"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"panel": 7}, "panel"),
        ({"panel": {"elements": 7}}, "panel.elements"),
        ({"panel": [PANEL, {"base": 3}]}, "panel[1].base"),
        ({"guidance": []}, "guidance"),
        ({"guidance": {"mode": "magic"}}, "guidance.mode"),
        ({"guidance": {"mode": ["latent"]}}, "guidance.mode"),
        ({"guidance": {"base_ratio": 2}}, "guidance.base_ratio"),
        ({"guidance": {"base_ratio": float("nan")}}, "guidance.base_ratio"),
        ({"guidance": {"feather": "wide"}}, "guidance.feather"),
        ({"guidance": {"overlap": None}}, "guidance.overlap"),
        ({"guidance": {"strength": 1}}, "guidance.strength"),
        ({"guidance": {"hires": {"base_ratio": -1}}}, "guidance.hires.base_ratio"),
        ({"guidance": {"hires": {"end": []}}}, "guidance.hires.end"),
        ({"guidance": {"control": 1}}, "guidance.control"),
        ({"guidance": {"control": {"scale": 6}}}, "guidance.control.scale"),
        ({"guidance": {"control": {"scale": "much"}}}, "guidance.control.scale"),
        ({"guidance": {"control": {"start": 1001}}}, "guidance.control.start"),
        ({"guidance": {"control": {"start": 600}}}, "guidance.control.stop"),
        ({"guidance": {"control": {"stop": -1}}}, "guidance.control.stop"),
        ({"guidance": {"control": {"postfix": None}}}, "guidance.control.postfix"),
        ({"guidance": {"control": {"local_mask": "perhaps"}}}, "guidance.control.local_mask"),
        ({"guidance": {"control": {"conditioner": "x" * 201}}}, "guidance.control.conditioner"),
        ({"guidance": {"control": {"strength": 1}}}, "guidance.control.strength"),
        ({"planner": {"name": 3}}, "planner.name"),
        ({"planner": {"seed": -1}}, "planner.seed"),
        ({"planner": "builtin"}, "planner"),
    ],
)
def test_each_fault_is_named_by_its_path(value: Any, path: str) -> None:
    assert [problem.path for problem in read(value).problems] == [path]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["panel", "guidance"]), inner)
        ),
    )
)
def test_anything_is_read_without_an_exception(value: Any) -> None:
    reading = read(value)
    assert read(to_json(reading.request)).problems == ()


def test_a_key_to_memory_is_read_and_never_written() -> None:
    reading = read({"memory": {"key": "mine", "margin": 3.0}})
    assert reading.problems == ()
    assert reading.request.memory == Keep(enabled=True, margin=3, key="mine")
    assert not reading.request.is_idle
    assert json.loads(to_json(reading.request)) == {
        "version": 1,
        "memory": {"enabled": True, "margin": 3},
    }
    off = read({"memory": {"key": "mine", "enabled": False}})
    assert (off.request.is_idle, off.problems) == (True, ())


@pytest.mark.parametrize(
    ("memory", "path"),
    [
        ({"margin": -1}, "memory.margin"),
        ({"feather": 65}, "memory.feather"),
        ({"margin": "2"}, "memory.margin"),
        ({"enabled": 2}, "memory.enabled"),
        ({"key": 5}, "memory.key"),
        ({"key": "k" * 201}, "memory.key"),
        ({"keys": "mine"}, "memory.keys"),
        ([], "memory"),
    ],
)
def test_faults_of_memory_are_told_with_their_path(memory: Any, path: str) -> None:
    reading = read({"panel": PANEL, "memory": memory})
    assert [problem.path for problem in reading.problems] == [path]
    assert (reading.request.memory.margin, reading.request.memory.feather) == (1, 1)
