"""Between the page's controls and requests: what a page may send, and what a picture brings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from lib_ranni.errors import InputError, PanelError
from lib_ranni.panel.types import MAX_SEED, Panel
from lib_ranni.panel.writing import to_json
from lib_ranni.standalone.app.controls import NAMES, NONE, Controls, filled, order, read
from lib_ranni.standalone.metadata import single
from lib_ranni.standalone.requests import Request
from tests.standalone.drawing import two
from tests.standalone.test_requests import requests

MODEL = Path("model")


def _values(**changes: Any) -> list[Any]:
    usual = Controls(prompt="a cat", width=64, height=64)
    return [changes.get(name, getattr(usual, name)) for name in NAMES]


def _ordered(**changes: Any) -> Request:
    return order(read(_values(**changes)), MODEL, "").request


def test_numbers_may_come_as_browsers_write_them() -> None:
    request = _ordered(steps=7.0, seed="12", cfg=3, width=128.0, base_ratio="0.5")
    assert (request.steps, request.seed, request.cfg, request.width) == (7, 12, 3.0, 128)
    assert request.base_ratio == 0.5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": None}, "steps"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": 10**30}, "steps"),
        ({"cfg": float("nan")}, "cfg"),
        ({"base_ratio": 1.5}, "base_ratio"),
        ({"width": 100}, "the width cannot be 100"),
        ({"height": 0}, "the height cannot be 0"),
        ({"height": 10**9}, "the height"),
        ({"batch": 65}, "batch"),
        ({"seed": -2}, "the seed"),
        ({"seed": MAX_SEED + 1}, "the seed"),
        ({"mode": "both"}, "mode"),
        ({"sampler": "none"}, "sampler"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": "x" * 1_000_000}, "prompt"),
        ({"prompt": "half a pair \ud800"}, "prompt"),
        ({"prompt": "  "}, "nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _ordered(**changes)


@pytest.mark.parametrize("values", [[], _values()[:-1], [*_values(), 1]])
def test_a_page_with_other_controls_is_told_to_load_again(values: list[Any]) -> None:
    with pytest.raises(InputError, match="load the page again"):
        read(values)


def test_a_panel_is_followed_without_planning_and_a_wrong_one_is_refused() -> None:
    given_panel = order(read(_values(panel=to_json(two()), planner="builtin", prompt="")), MODEL, "")
    assert given_panel.panel == two()
    for text in ("{", "[]", '{"elements": 1}', "\ud800"):
        with pytest.raises(PanelError):
            _ordered(panel=text)


def test_what_plans() -> None:
    assert order(read(_values(planner="openai")), MODEL, "").planner == "openai"
    assert order(read(_values(planner=NONE)), MODEL, "").planner == ""
    assert order(read(_values(planner="builtin", mode="plain")), MODEL, "").planner == ""


def test_a_seed_of_minus_one_is_drawn() -> None:
    seeds = {_ordered(seed=-1).seed for _ in range(20)}
    assert len(seeds) > 10
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


@settings(max_examples=20)
@given(requests())
def test_a_pictures_request_comes_back_through_the_controls(drawn: Request) -> None:
    own = single(drawn, 0)
    controls = filled(own, "builtin", "shipped")
    if not (own.prompt.strip() or own.panels[0].elements):
        return
    again = order(controls, MODEL, own.model)
    assert again.request == Request(
        **{name: getattr(own, name) for name in Request.__struct_fields__ if name != "panels"},
        panels=own.panels if own.panels[0].elements else (Panel(),),
    )
    assert bool(again.panel) == bool(own.panels[0].elements)
    assert controls.model == (own.model or "shipped")
