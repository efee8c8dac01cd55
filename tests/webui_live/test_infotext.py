"""Infotexts: what is in a PNG comes back out of it, through the host's own writing and reading."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from lib_ranni.panel.reading import read as read_panel
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.service.request import read
from tests.panel import strategies
from tests.webui_live.host import Host, panel

# No step is guided, so that the texts need not be encoded.
UNGUIDED = {"end": 0.0}
SMALL = {"steps": 1, "width": 64, "height": 64}


def _round_trip(host: Host, asked: Any) -> Any:
    """The request that PNG Info finds in a picture drawn with one."""
    drawn = host.draw(request=asked, **SMALL)
    found = host.post("/sdapi/v1/png-info", {"image": drawn.files[0]}).json()["parameters"]
    return json.loads(found["Ranni"])


@given(strategies.panels().filter(lambda asked: asked.elements))
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_panels_come_back_unchanged(host: Host, asked: Panel) -> None:
    request = {"panel": to_document(asked), "guidance": UNGUIDED}
    found = _round_trip(host, request)
    assert read_panel(found["panel"]).panel == asked
    assert read(found).request == read(request).request


@pytest.mark.parametrize("count", [1, 100, 300])
def test_many_elements_come_back(host: Host, count: int) -> None:
    hard = 'a "red", circle:\n\\ ünïcode 红色 <b>{}[]() 🜚 \u202e\ttab; a: b, c: d'
    element = panel(hard, hard)["elements"][0]
    asked = {"elements": [{**element, "id": f"e{n}", "description": f"{n} {hard}"} for n in range(count)]}
    found = _round_trip(host, {"panel": asked, "guidance": UNGUIDED})
    assert [e["description"] for e in found["panel"]["elements"]] == [
        e["description"] for e in asked["elements"]
    ]


def test_pictures_of_later_batches_carry_their_own_panels(host: Host) -> None:
    words = ["a red circle", "a blue square", "a green star", "a pink heart"]
    asked = {"panel": [panel(text) for text in words], "guidance": UNGUIDED}
    drawn = host.draw(request=asked, batch_size=2, n_iter=2, **SMALL)
    parsed = [host.post("/sdapi/v1/png-info", {"image": file}).json()["parameters"] for file in drawn.files]
    lefts = [json.loads(found["Ranni"])["panel"]["elements"][0]["description"] for found in parsed]
    assert lefts == words
