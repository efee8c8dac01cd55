"""The part of a page that says which language model is asked, in a real gradio app."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lib_ranni.planner.llm.key import Key
from lib_ranni.service import connection
from lib_ranni.service.host import Connection
from tests.planner.fault_server import (
    FaultServer,
    completion,
    fault_server,
    refuse,
    reply_json,
    stream,
    unused_port,
)
from tests.service.plain_host import PlainHost
from tests.service.pressing import Part

SECRET = "sk-live-0123456789abcdef"


@pytest.fixture
def part(host: PlainHost) -> Part:
    return Part(host, connection.build)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server(stream("", "y", "es")) as running:
        yield running


def said(text: str) -> str:
    """What a status line shows."""
    assert text.startswith('<p role="status">')
    assert text.count("<") == 2
    return html.unescape(text.removeprefix('<p role="status">').removesuffix("</p>"))


def test_the_page_opens_with_what_is_set_now(part: Part, host: PlainHost) -> None:
    assert part.loaded() == {"part_server": "ollama", "part_base_url": "", "part_model": ""}
    host.save_connection(Connection("", "http://10.0.0.1:8000/v1", "large"))
    assert part.loaded() == {
        "part_server": connection.OWN,
        "part_base_url": "http://10.0.0.1:8000/v1",
        "part_model": "large",
    }


def test_saving(part: Part, host: PlainHost) -> None:
    shown, status = part.press(
        "save_connection", connection.OWN, " http://10.0.0.1:8000/v1/ ", "large", SECRET
    )
    assert shown == ""
    assert said(status) == "saved: large at http://10.0.0.1:8000/v1"
    assert host.connection() == Connection("", "http://10.0.0.1:8000/v1/", "large")
    assert host.server().key == Key(SECRET)
    part.press("save_connection", connection.OWN, "http://10.0.0.1:8000/v1", "larger", "")
    assert (host.server().model, host.server().key) == ("larger", Key(SECRET)), "the key that is there stays"
    part.press("save_connection", "ollama", "", None, "")
    assert host.connection() == Connection("ollama", "", "")
    assert host.server().key == Key("")
    assert host.keys.key_for("http://10.0.0.1:8000/v1") == SECRET


def test_forgetting_the_key_changes_nothing_else(part: Part, host: PlainHost) -> None:
    host.save_connection(Connection("", "http://10.0.0.1:8000/v1", "large"), SECRET)
    _, status = part.press("forget_key")
    assert said(status) == "the key for http://10.0.0.1:8000/v1 is forgotten"
    assert host.keys.key_for("http://10.0.0.1:8000/v1") == ""
    assert host.connection() == Connection("", "http://10.0.0.1:8000/v1", "large")


def test_what_cannot_be_saved_is_told(part: Part, host: PlainHost) -> None:
    for server, address, key in (
        (connection.OWN, "", ""),
        (connection.OWN, "file:///etc/passwd", ""),
        (connection.OWN, "http://me:secret@host/v1", ""),
        ("<b>magic</b>", "", ""),
        ("ollama", "", "sk-\n\u2022"),
    ):
        _, status = part.press("save_connection", server, address, "m", key)
        assert len(said(status)) > 20
    assert host.connection() == Connection("ollama", "", "")


def test_a_server_that_answers(part: Part, host: PlainHost, server: FaultServer) -> None:
    choices, status = part.press("test_connection", connection.OWN, server.url, "", SECRET)
    told = rf"first at {re.escape(server.url)} begins to answer after \d+\.\d s; it has 2 models"
    assert re.fullmatch(told, said(status))
    assert choices["choices"] == ["first", "second"]
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {SECRET}"] * 2
    assert server.chats[0]["max_tokens"] <= 256
    assert host.connection() == Connection("ollama", "", ""), "nothing is saved by a test"
    assert host.keys.key_for(server.url) == ""


def test_the_kept_key_goes_to_its_own_server_only(part: Part, host: PlainHost, server: FaultServer) -> None:
    host.keys.save(server.url, SECRET)
    with fault_server(stream("yes")) as other:
        part.press("test_connection", connection.OWN, server.url, "m", "")
        part.press("test_connection", connection.OWN, other.url, "m", "")
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in other.requests[0].headers


def test_a_server_that_lists_no_models(part: Part) -> None:
    with fault_server(stream("yes"), models=reply_json({"detail": "Not Found"}, "404 Not Found")) as server:
        choices, status = part.press("test_connection", connection.OWN, server.url, "small", "")
        assert "begins to answer" in said(status)
        assert said(status).endswith("it does not list its models")
        assert choices["choices"] == ["small"]
        _, status = part.press("test_connection", connection.OWN, server.url, "", "")
        assert "begins to answer" not in said(status)


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (refuse("401 Unauthorized", "<script>alert(1)</script>"), "refuses the key"),
        (refuse("404 Not Found", "model <img src=x onerror=hacked=1> not found"), "model"),
        (completion(""), "wrote nothing"),
    ],
)
def test_a_server_that_refuses(part: Part, play: Any, reason: str) -> None:
    with fault_server(play) as server:
        _, status = part.press("test_connection", connection.OWN, server.url, "m", SECRET)
    assert reason in said(status)


def test_a_server_that_is_not_there(part: Part) -> None:
    address = f"http://127.0.0.1:{unused_port()}/v1"
    _, status = part.press("test_connection", connection.OWN, address, "", "")
    assert f"there is no server at {address}" in said(status)


def test_names_of_models_are_texts(part: Part) -> None:
    hostile = reply_json({"data": [{"id": "<img src=x onerror=hacked=1>"}]})
    with fault_server(stream("yes"), models=hostile) as server:
        _, status = part.press("test_connection", connection.OWN, server.url, "", "")
    assert "<img" in said(status)


def test_the_key_is_never_sent_back(part: Part, host: PlainHost, server: FaultServer) -> None:
    part.press("save_connection", connection.OWN, server.url, "m", SECRET)
    part.press("test_connection", connection.OWN, server.url, "m", SECRET)
    part.press("save_connection", connection.OWN, "nowhere", "m", SECRET)
    with fault_server(refuse("403 Forbidden", f"bad key {SECRET}")) as other:
        part.press("test_connection", connection.OWN, other.url, "m", SECRET)
    part.loaded()
    assert host.server().key == Key(SECRET)
    assert [text for text in part.texts if SECRET in text] == []
