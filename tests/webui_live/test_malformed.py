"""Requests that are wrong: refused over the API with the place of the fault, drawn plain in the tab."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest

from lib_ranni.service.request import read
from tests.panel.mutations import damaged
from tests.webui_live.host import Host, panel
from tests.webui_live.tab import Tab

WHOLE = {
    "version": 1,
    "enabled": True,
    "panel": {**panel(negative="a square", colors=["#ff0000"], weight=1.5, feather=0.1), "base": "a room"},
    "guidance": {
        "mode": "attention",
        "base_ratio": 0.2,
        "overlap": "front",
        "start": 0.1,
        "end": 0.9,
        "hires": {"enabled": True, "base_ratio": None, "end": 1.0},
    },
    "planner": {"name": "builtin", "seed": 3},
}
BY_HAND: list[Any] = [
    [],
    7,
    "{",
    "[" * 100_000,
    {"panel": "x" * 10_000_000},
    {"panel": {"elements": [{"id": "a", "description": "x" * 10_000_000, "box": [0, 0, 1, 1]}]}},
    {"panel": {"elements": [{"box": {"x0": 0, "y0": 0, "x1": 1, "y1": 1}}] * 20_000}},
    {"planner": {"name": "../../../etc/passwd"}},
    {"planner": {"name": "builtin", "seed": -1}},
    {"guidance": {"mode": "<script>alert(1)</script>"}},
    {"guidance": {"base_ratio": float("nan")}},
    {"guidance": {"base_ratio": float("inf")}},
    {"<img src=x onerror=alert(1)>": 1},
    {"panel": {"elements": [{"description": "<img src=x onerror=alert(1)>", "box": "<b>"}]}},
]


def _malformed(count: int) -> list[Any]:
    """Requests that the contract of `request.read` calls wrong, as they arrive after JSON."""
    found, seed = list(BY_HAND), 0
    while len(found) < count:
        value = damaged(WHOLE, Random(seed))
        seed += 1
        try:
            value = json.loads(json.dumps(value))
        except (ValueError, RecursionError):
            continue
        if read(value).problems:
            found.append(value)
    return found


MALFORMED = _malformed(300)
FAST = {"steps": 1, "width": 64, "height": 64}


def test_over_the_api_each_is_refused_with_a_path(host: Host) -> None:
    for value in MALFORMED:
        answer = host.generation(request=[value] if isinstance(value, list) else value, **FAST)
        assert 400 <= answer.status_code < 500, (answer.status_code, str(value)[:300])
        faults = answer.json()["detail"]
        assert faults
        for fault in faults:
            assert fault["loc"][:2] == ["alwayson_scripts", "Ranni"], str(value)[:300]
            assert fault["msg"]
    assert host.draw(**FAST).request is None


def test_typed_into_the_tab_each_warns_and_draws_plain(host: Host) -> None:
    tab = Tab(host)
    fast = {"txt2img_steps": 1, "txt2img_width": 64, "txt2img_height": 64, "txt2img_seed": 1}
    plain = tab.generate(**fast)
    assert not plain.log.strip() or "Ranni" not in plain.log
    for value in MALFORMED:
        text = value if isinstance(value, str) else json.dumps(value)
        enabled = {"script_txt2img_ranni_enabled-checkbox": True, "script_txt2img_ranni_request": text}
        shown = tab.generate(**fast, **enabled)
        assert np.array_equal(shown.picture, plain.picture), text[:300]
        assert "Ranni: " in shown.log, text[:300]
        assert "<img" not in shown.log
        assert "<script" not in shown.log
        assert "Ranni" not in shown.infotext


@pytest.mark.parametrize("name", ["../../config", "..\\x", "/etc/passwd", "<b>", "CON", "x" * 5000])
def test_names_of_kept_panels_are_not_paths(host: Host, name: str) -> None:
    axes = next(s for s in host.get("/sdapi/v1/script-info").json() if s["name"] == "x/y/z plot")["args"][0]
    kept = axes["choices"].index("[Ranni] Kept panel")
    rest = [0, "", [], 0, "", [], True, True, False, False, False, False, False, 0, True]
    answer = host.generation(
        request={"panel": panel()}, script_name="x/y/z plot", script_args=[kept, name, [name], *rest], **FAST
    )
    # The host turns every complaint of an axis into a 500 that quotes it.
    assert "is none of" in json.dumps(answer.json())
    assert "root:" not in answer.text
