"""Planning with a language model in the running WebUI; the model's server is scripted, on a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.planner.fault_server import FaultServer, Play, fault_server, refuse, stream
from tests.webui_live.host import Host, panel

REPLY = json.dumps(
    {
        "base": "a table",
        "negative": "",
        "elements": [
            {"id": "e1", "description": "red cat", "box": [100, 300, 400, 900]},
            {"id": "e2", "description": "blue dog", "box": [600, 300, 900, 900]},
        ],
    }
)
PIECES = [REPLY[start : start + 16] for start in range(0, len(REPLY), 16)]
PROMPT = "a red cat and a blue dog"
USUAL = {"ranni_server": "ollama", "ranni_base_url": "", "ranni_model": "", "ranni_caches": True}


@pytest.fixture
def server(host: Host) -> Iterator[Any]:
    """Plays replies to the WebUI: `server(play, ...)` starts one and points the settings at it."""
    opened = []

    def start(*plays: Play) -> FaultServer:
        context = fault_server(*plays)
        running = context.__enter__()
        opened.append(context)
        set_options(host, ranni_base_url=running.url, ranni_model="parrot", ranni_caches=False)
        return running

    yield start
    set_options(host, **USUAL)
    for context in opened:
        context.__exit__(None, None, None)


def set_options(host: Host, **options: Any) -> None:
    assert host.post("/sdapi/v1/options", options).status_code == 200


def plan(host: Host, **fields: Any) -> httpx.Response:
    return host.post("/ranni/v1/plan", {"prompt": PROMPT, "planner": "openai", **fields})


def events(response: httpx.Response) -> list[tuple[str, Any]]:
    found = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n", 1)
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_plan_at_once(host: Host, server: Any) -> None:
    played = server(stream(*PIECES))
    answer = plan(host, seed=3)
    assert answer.status_code == 200
    body = answer.json()
    assert [e["description"] for e in body["panel"]["elements"]] == ["red cat", "blue dog"]
    assert body["panel"]["provenance"]["model"] == "parrot"
    assert body["report"]["asked"] == 1
    assert played.chats[0]["seed"] == 3


def test_plan_as_a_stream(host: Host, server: Any) -> None:
    server(stream(*PIECES))
    found = events(plan(host, stream=True))
    names = [name for name, _ in found]
    assert names[-1] == "done"
    assert names.count("element") == 2
    assert names.index("element") < names.index("done") - 2
    assert "".join(data["text"] for name, data in found if name == "delta") == REPLY


def test_a_server_with_a_fault_is_named_and_the_builtin_planner_helps(host: Host, server: Any) -> None:
    server(refuse("401 Unauthorized", "no such key"))
    body = plan(host).json()
    assert "refuses the key" in body["report"]["fallback"]
    assert [e["description"] for e in body["panel"]["elements"]] == ["red cat", "blue dog"]


def test_planning_and_drawing_do_not_wait_for_each_other(host: Host, server: Any) -> None:
    server(stream(*PIECES, pause=0.3))
    ended: dict[str, float] = {}
    drawing = {"prompt": "a red circle", "steps": 3, "width": 64, "height": 64}

    def planned() -> None:
        assert plan(host).json()["report"]["asked"] == 1
        ended["plan"] = time.monotonic()

    thread = threading.Thread(target=planned)
    thread.start()
    time.sleep(0.5)
    host.draw(**drawing)
    ended["short picture"] = time.monotonic()
    thread.join()
    assert ended["short picture"] < ended["plan"]
    server(stream(*PIECES))
    long = threading.Thread(
        target=lambda: host.draw(**{**drawing, "steps": 150, "width": 256, "height": 256})
    )
    long.start()
    time.sleep(0.5)
    assert plan(host).json()["report"]["asked"] == 1
    assert long.is_alive()
    long.join()


@pytest.mark.parametrize("streamed", [False, True])
def test_interrupt_cancels_planning(host: Host, server: Any, streamed: bool) -> None:
    played = server(stream(*PIECES, pause=2.0))
    threading.Timer(1.0, host.post, ("/sdapi/v1/interrupt", {})).start()
    begin = time.monotonic()
    answer = plan(host, stream=streamed)
    assert time.monotonic() - begin < 2.5
    assert "planning was cancelled" in answer.text
    assert answer.status_code == (200 if streamed else 502)
    assert len(played.chats) == 1
    host.draw(steps=1, width=64, height=64)


def test_a_caller_who_leaves_cancels_planning(host: Host, server: Any) -> None:
    played = server(stream(*PIECES, pause=1.0))
    body = {"prompt": PROMPT, "planner": "openai", "stream": True}
    with httpx.stream("POST", f"{host.url}/ranni/v1/plan", json=body, timeout=10) as answer:
        next(answer.iter_bytes())
    end = time.monotonic() + 3.0
    while not played.gone and time.monotonic() < end:
        time.sleep(0.05)
    assert played.gone == 1


def test_edit_in_words(host: Host, server: Any) -> None:
    moved = json.loads(REPLY)
    del moved["elements"][1]
    server(stream(json.dumps(moved)))
    before = {"elements": [{**e, "locked": n == 1} for n, e in enumerate(panel()["elements"])]}
    body = {"panel": before, "instruction": "only the cat", "planner": "openai"}
    answer = host.post("/ranni/v1/edit", body).json()
    assert [e["description"] for e in answer["panel"]["elements"]] == ["red cat", "a blue square"]
    assert any("locked" in note for note in answer["report"]["notes"])
    assert answer["changes"]


@pytest.mark.parametrize(("noun", "told"), [("circle", "make the circle bigger"), ("圆", "把圆放大")])
def test_edit_in_words_without_a_model(host: Host, noun: str, told: str) -> None:
    before = json.loads(json.dumps(panel()).replace("circle", noun))
    answer = host.post("/ranni/v1/edit", {"panel": before, "instruction": told}).json()
    first, second = (element["box"] for element in answer["panel"]["elements"])
    small = before["elements"][0]["box"]
    assert first["x1"] - first["x0"] > small["x1"] - small["x0"]
    assert second == before["elements"][1]["box"]
    refused = host.post("/ranni/v1/edit", {"panel": before, "instruction": "make the zebra bigger"})
    assert refused.status_code == 502
    assert "zebra" in refused.text


def test_each_picture_may_be_planned_by_a_model(host: Host, server: Any) -> None:
    played = server(stream(REPLY))
    drawn = host.draw(request={"planner": {"name": "openai"}}, prompt=PROMPT)
    assert drawn.request is not None
    assert [e["description"] for e in drawn.request["panel"]["elements"]] == ["red cat", "blue dog"]
    assert drawn.request["panel"]["provenance"]["planner"] == "openai"
    assert len(played.chats) == 1


def test_a_key_is_shown_to_its_server_and_to_nobody_else(host: Host, server: Any) -> None:
    from tests.webui_live.tab import Tab

    secret = "sk-live-0123456789abcdef"
    played = server(stream(REPLY), refuse("403 Forbidden", f"bad key {secret}"), stream(f"{secret} {REPLY}"))
    connection = {"server": "own address", "base_url": played.url, "model": "parrot"}
    shown = Tab(host).press("save_connection", **connection, key=secret)
    assert "saved: parrot at" in json.dumps(shown)
    try:
        texts = [json.dumps(shown), plan(host).text, plan(host).text, plan(host, stream=True).text]
        drawn = host.draw(request={"planner": {"name": "openai"}}, prompt=PROMPT)
        texts += [*drawn.infotexts, *drawn.files]
        texts += [host.get(path).text for path in ("/config", "/sdapi/v1/options", "/ranni/v1/version")]
    finally:
        forgotten = Tab(host).press("forget_key")
    assert "is forgotten" in json.dumps(forgotten)
    assert played.requests[0].headers.get("authorization") == f"Bearer {secret}"
    assert [n for n, text in enumerate(texts) if secret in text] == []
