"""The routes over HTTP, on a host of real planners."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, HTTPException
from PIL import Image
from starlette.testclient import TestClient

from lib_ranni.service.answers import MAX_COUNTED
from lib_ranni.service.host import Connection
from lib_ranni.service.routes import MAX_BODY, PREFIX, mount
from tests.planner.fault_server import fault_server, stream
from tests.service.plain_host import PlainHost

LEFT = {"x0": 0.05, "y0": 0.3, "x1": 0.45, "y1": 0.7}
PANEL = {"version": 1, "elements": [{"id": "e1", "description": "a red circle", "box": LEFT}]}
KEPT = {"id": "k", "description": "a red circle", "box": LEFT, "locked": True, "negative": "fog"}
REPLY = json.dumps(
    {
        "base": "a table",
        "negative": "",
        "elements": [
            {"id": "k", "description": "red circle", "box": [100, 300, 400, 900]},
            {"id": "e2", "description": "blue dog", "box": [600, 300, 900, 900]},
        ],
    }
)
EVERY_ROUTE = {
    *(
        "version",
        "schema",
        "panels",
        "loras",
        "plan",
        "edit",
        "validate",
        "import",
        "export",
        "preview",
        "masks",
    ),
    *("tokens", "open", "panels/load", "panels/save", "panels/rename", "panels/delete"),
}


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n", 1)
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_what_there_is(client: TestClient) -> None:
    version = client.get("version").json()
    assert version["planners"] == ["builtin", "openai", "local", "ranni"]
    assert version["modes"] == ["attention", "latent"]
    assert "regional_prompter" in version["formats"]
    assert "Element" in client.get("schema").json()["$defs"]
    assert client.get("loras").json() == {"names": ["Clay", "ink"]}
    assert client.get("panels").json() == {"names": []}


def test_planning_editing_and_showing(client: TestClient) -> None:
    planned = client.post("plan", json={"prompt": "two red apples"}).json()
    assert len(planned["panel"]["elements"]) == 2
    moved = {"panel": planned["panel"], "operations": [{"op": "move", "id": "e1", "by": [0, 0.1]}]}
    assert "Moved" in client.post("edit", json=moved).json()["changes"][0]
    told = client.post("edit", json={"panel": PANEL, "instruction": "make the circle green"}).json()
    assert told["panel"]["elements"][0]["description"] == "a green circle"
    preview = client.post("preview", json={"panel": PANEL, "size": 200})
    assert Image.open(io.BytesIO(preview.content)).size == (200, 200)
    masks = client.post("masks", json={"panel": PANEL, "width": 16, "height": 8})
    assert masks.headers["X-Ranni-Maps"] == "2"
    assert Image.open(io.BytesIO(masks.content)).size == (16, 16)
    text = client.post("export", json={"panel": PANEL, "format": "panel"}).json()["text"]
    assert client.post("import", json={"text": text}).json()["panel"] == PANEL
    checked = client.post("validate", json={"panel": {"elements": 7}}).json()
    assert (checked["valid"], checked["problems"][0]["path"]) == (False, "panel.elements")


def test_locked_elements_stay_in_a_new_plan(client: TestClient) -> None:
    body = {"prompt": "a red circle and a blue square", "panel": {"elements": [KEPT]}}
    found = client.post("plan", json=body).json()["panel"]
    assert next(e for e in found["elements"] if e["id"] == "k") == KEPT
    assert sorted(e["description"] for e in found["elements"]) == ["a red circle", "blue square"]
    free = {"prompt": body["prompt"], "panel": {"elements": [{**KEPT, "locked": False}]}}
    again = client.post("plan", json=free).json()["panel"]
    assert again == client.post("plan", json={"prompt": body["prompt"]}).json()["panel"]
    assert client.post("plan", json={**body, "panel": None}).status_code == 200


def test_locked_elements_stay_in_a_streamed_plan(client: TestClient, host: PlainHost) -> None:
    with fault_server(stream(REPLY[:80], REPLY[80:])) as server:
        host.save_connection(Connection("", server.url, "parrot"))
        asked = {"prompt": "a red circle and a blue dog", "planner": "openai", "stream": True}
        answer = client.post("plan", json={**asked, "panel": {"elements": [KEPT]}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    assert found[-1][0] == "done"
    named = [(e["id"], e["description"]) for e in found[-1][1]["panel"]["elements"]]
    assert sorted(named) == [("e2", "blue dog"), ("k", "a red circle")]
    assert [data["id"] for name, data in found if name == "element"] == ["k", "e2"], (
        "as the planner says them"
    )
    assert "".join(data["text"] for name, data in found if name == "delta") == REPLY


def test_the_hosts_interrupt_ends_a_plan(client: TestClient, host: PlainHost) -> None:
    with fault_server(stream(REPLY, pause=5.0)) as server:
        host.save_connection(Connection("", server.url, "parrot"))
        host.stop.set()
        answer = client.post("plan", json={"prompt": "a cat", "planner": "openai", "stream": True})
    assert events(answer.text)[-1][1]["cancelled"] is True


def test_a_planner_without_its_server_is_told(client: TestClient, host: PlainHost) -> None:
    host.save_connection(Connection("", "http://127.0.0.1:1/v1", "parrot"))
    answer = client.post("plan", json={"prompt": "a cat", "planner": "openai"})
    assert answer.status_code == 502
    assert "there is no server at" in answer.json()["error"]


def test_tokens_are_counted(client: TestClient) -> None:
    texts = ["", "a red circle", "word " * 80]
    assert client.post("tokens", json={"texts": texts}).json() == {"counts": [[0, 75], [3, 75], [80, 150]]}


@pytest.mark.parametrize(
    ("route", "data", "status"),
    [
        ("plan", b"{", 400),
        ("plan", b"[]", 422),
        ("plan", b"[" * 5000, 400),
        ("plan", b'{"prompt": NaN}', 400),
        ("plan", b'{"prompt": "\xff"}', 400),
        ("plan", b'{"prompt": "' + b"x" * MAX_BODY + b'"}', 413),
        ("plan", b'{"prompt": "x", "planner": "../secret"}', 422),
        ("plan", b'{"prompt": "x", "aspect": 1e300}', 422),
        ("plan", b'{"prompt": "x", "panel": {"elements": 3}}', 422),
        ("plan", b'{"prompt": "x", "panel": 3, "stream": true}', 422),
        ("plan", b'{"prompt": "x", "picture": "bm8="}', 422),
        ("edit", b'{"panel": {}, "operations": [{"op": "fly"}]}', 422),
        ("edit", b'{"panel": {}, "operations": [{"op": "remove", "id": "e9"}]}', 422),
        ("edit", b'{"panel": {}, "instruction": 7}', 422),
        ("validate", b"{}", 422),
        ("import", b'{"text": 7}', 422),
        ("import", b'{"text": "x", "format": ["ranni"]}', 422),
        ("export", b'{"panel": {}, "format": "rpg", "guidance": []}', 422),
        ("preview", b'{"panel": {}, "size": 100000}', 422),
        ("preview", b'{"panel": {"elements": 3}}', 422),
        ("masks", b'{"panel": {}, "width": 0}', 422),
        ("masks", b'{"panel": {}, "guidance": {"overlap": "magic"}}', 422),
        ("tokens", b"{}", 422),
        ("tokens", b'{"texts": "a cat"}', 422),
        ("tokens", b'{"texts": [7]}', 422),
        ("tokens", b'{"texts": ["' + b"x" * 10_001 + b'"]}', 422),
        ("tokens", b'{"texts": [' + b'"",' * MAX_COUNTED + b'""]}', 422),
        ("panels/load", b'{"name": 7}', 422),
        ("panels/load", b'{"name": "nope"}', 404),
        ("panels/save", b'{"name": "a"}', 422),
        ("panels/save", b'{"name": "a", "panel": {"elements": 3}}', 422),
        ("panels/save", b'{"name": "a", "panel": {}, "replace": "maybe"}', 422),
        ("panels/delete", b"{}", 422),
    ],
)
def test_bad_bodies_are_4xx(
    client: TestClient, host: PlainHost, route: str, data: bytes, status: int
) -> None:
    answer = client.post(route, content=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]
    assert isinstance(answer.json()["problems"], list)
    assert not host.panels.exists()


def test_every_route_is_guarded(tmp_path: Path) -> None:
    def refuse() -> None:
        raise HTTPException(401, "log in")

    app = FastAPI()
    before = {route.path for route in app.routes}
    mount(app, PlainHost(tmp_path), [Depends(refuse)])
    ours = [route for route in app.routes if route.path not in before]
    assert {route.path.removeprefix(f"{PREFIX}/") for route in ours} == EVERY_ROUTE
    client = TestClient(app)
    for route in ours:
        for method in route.methods:
            assert client.request(method, route.path, content=b"{}").status_code == 401


def test_mounting_again_adds_nothing(tmp_path: Path) -> None:
    app = FastAPI()
    mount(app, PlainHost(tmp_path))
    before = len(app.routes)
    mount(app, PlainHost(tmp_path))
    assert len(app.routes) == before


def test_the_documentation_has_every_route(client: TestClient) -> None:
    found = client.get("/openapi.json").json()["paths"]
    assert {path.removeprefix(f"{PREFIX}/") for path in found} == EVERY_ROUTE
