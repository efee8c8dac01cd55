"""A key that is used, and that its server echoes wherever it can, is found nowhere afterwards."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lib_ranni.errors import InputError, PlannerError
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.llm.cache import ReplyCache
from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.planner import LanguagePlanner
from lib_ranni.planner.llm.servers import PRESETS, Server, server_named
from lib_ranni.planner.planners import Settings, make_planner
from lib_ranni.planner.protocol import Done, EditRequest, Event, Failed, PlanRequest, finish, never
from lib_ranni.standalone.planning import add_planner_arguments, planner_from
from tests.planner.fault_server import Connection, FaultServer, Play, event, fault_server, reply, stream

SECRET = "sk-proj-0123456789abcdefghijklmnopqrstuv"
HELLO = Chat((Message("user", "hello"),))
_WINDOW = 12


def assert_hidden(*texts: str | bytes) -> None:
    """No twelve signs of the key in a row are in any of these."""
    parts = [SECRET[n : n + _WINDOW] for n in range(len(SECRET) - _WINDOW + 1)]
    for text in texts:
        read = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        assert [part for part in parts if part in read] == []


def shown_by(value: Any, seen: set[int] | None = None) -> Iterator[str]:
    """What an object and all that it holds show of themselves; what a key holds is its own."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    yield from (repr(value), str(value), f"{value}")
    if isinstance(value, Key):
        return
    if isinstance(value, BaseException):
        yield "".join(traceback.TracebackException.from_exception(value, capture_locals=True).format())
        inner: list[Any] = [value.__cause__, value.__context__, *value.args]
    elif isinstance(value, dict):
        inner = [*value, *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = list(value)
    else:
        names = [*getattr(value, "__dict__", {}), *getattr(value, "__struct_fields__", ())]
        inner = [getattr(value, name) for name in names]
    for part in inner:
        yield from shown_by(part, seen)


def test_what_is_shown_is_seen() -> None:
    for value in ({"a": [SECRET]}, Chat((Message("user", f"x{SECRET[5:25]}"),)), ValueError(SECRET)):
        with pytest.raises(AssertionError):
            assert_hidden(*shown_by(value))


def answer(connection: Connection, status: str, kind: str, body: bytes) -> None:
    """A response with the key in its status line and in headers."""
    shown = connection.request.headers["authorization"]
    lines = [f"HTTP/1.1 {status} {shown}", f"Content-Type: {kind}", f"X: {shown}", f"Set-Cookie: {shown}"]
    connection.send("\r\n".join([*lines, "", ""]).encode() + body)


def good(connection: Connection) -> None:
    """A panel with the key in every text of it, in small pieces."""
    shown = connection.request.headers["authorization"]
    elements = [
        {"id": f"e{n}", "description": f"red ball {shown}", "box": [300 * n, 400, 300 * n + 200, 600]}
        for n in range(2)
    ]
    text = json.dumps({"base": f"a lawn {shown}", "negative": SECRET, "elements": elements})
    events = b"".join(event(text[n : n + 7]) for n in range(0, len(text), 7))
    answer(connection, "200", "text/event-stream", events)


def listed(connection: Connection) -> None:
    """A list of models, one of which is the key; the planner takes the first."""
    answer(connection, "200", "application/json", json.dumps({"data": [{"id": SECRET}]}).encode())


def refused(connection: Connection) -> None:
    body = json.dumps({"error": {"message": f"no rights for {SECRET}", SECRET: SECRET}}).encode()
    answer(connection, "401", "application/json", body)


def broken(connection: Connection) -> None:
    """The key as a piece of the text, then as what is no JSON."""
    answer(connection, "200", "text/event-stream", event(SECRET) + f"data: {SECRET}\n\n".encode())


@pytest.fixture(autouse=True)
def _nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every logger there is tells everything, and none of it is the key."""
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    for record in caplog.get_records("call"):
        assert_hidden(record.getMessage(), str(record.args), str(vars(record)), record.exc_text or "")
        if record.exc_info and record.exc_info[1] is not None:
            assert_hidden(*shown_by(record.exc_info[1]))


def planner_of(server: FaultServer, folder: Path, *, falls_back: bool) -> tuple[Settings, LanguagePlanner]:
    settings = Settings(
        server=Server(server.url, key=Key(SECRET), retries=0, read_timeout=5.0),
        cache=folder,
        falls_back=falls_back,
    )
    planner = make_planner("openai", settings)
    assert isinstance(planner, LanguagePlanner)
    return settings, planner


@pytest.mark.parametrize("falls_back", [True, False])
@pytest.mark.parametrize("play", [good, refused, broken])
def test_it_is_nowhere_after_planning(
    play: Play, falls_back: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompt = PlanRequest("two red balls on a lawn", seed=3)
    with fault_server(play, models=listed) as server:
        settings, planner = planner_of(server, tmp_path, falls_back=falls_back)
        events: list[Event] = [*planner.plan(prompt), *planner.plan(prompt)]
        panel = next((e.panel for e in events if isinstance(e, Done)), Panel())
        events += planner.edit(EditRequest(panel, "make the balls blue"))
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {SECRET}"}
    assert any(record.name == "httpx" for record in caplog.get_records("call"))
    assert sum(isinstance(e, (Done, Failed)) for e in events) == 3
    if play is good:
        assert panel.base == "a lawn Bearer ***"
        assert panel.provenance.model == "***"
        assert list(tmp_path.iterdir())
    assert_hidden(*shown_by([settings, planner, *events]))
    assert_hidden(*(msgspec.json.encode(e) for e in events), msgspec.json.encode(to_document(panel)))
    for path in tmp_path.rglob("*"):
        assert_hidden(path.name, path.read_bytes())


def outcome(ask: Callable[[], object]) -> object:
    """What comes of it, in a frame that holds nothing else."""
    try:
        return ask()
    except PlannerError as error:
        return error


@pytest.mark.parametrize(("play", "errors"), [(good, 0), (refused, 2), (broken, 1)])
def test_it_is_nowhere_after_asking(play: Play, errors: int) -> None:
    with fault_server(play, models=refused if play is refused else listed) as server:
        model = OpenAIBackend(Server(server.url, "m", Key(SECRET), retries=0))
        told = [outcome(model.models), outcome(lambda: list(model.stream(HELLO, never)))]
    assert sum(isinstance(what, PlannerError) for what in told) == errors
    assert_hidden(*shown_by([model, *told]))


def test_it_cannot_be_written_down() -> None:
    server = Server("http://127.0.0.1:1/v1", key=Key(SECRET))
    writers = (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, json.dumps, pickle.dumps)
    for value in (server.key, server, Settings(server=server), OpenAIBackend(server)):
        for write in writers:
            with pytest.raises(TypeError) as caught:
                write(value)
            assert_hidden(*shown_by(caught.value))
        assert_hidden(*shown_by(value))
    with pytest.raises(TypeError):
        copy.deepcopy(server)


def test_a_key_that_is_none_is_not_quoted() -> None:
    with pytest.raises(InputError) as caught:
        Key(f"{SECRET}\n{SECRET}")
    assert_hidden("".join(traceback.format_exception(caught.value)))
    with pytest.raises(InputError) as caught:
        Server(f"http://user:{SECRET}@127.0.0.1/v1")
    assert_hidden("".join(traceback.format_exception(caught.value)).replace(SECRET + '@127.0.0.1/v1")', ""))


class TestOtherAddresses:
    """A key is shown to the server that it is for, and to no other."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("is_chat", [True, False])
    def test_where_its_server_sends_us(self, status: int, is_chat: bool, tmp_path: Path) -> None:
        with fault_server(stream("stolen")) as other:
            away = reply(b"", f"{status} Elsewhere", Location=f"{other.url}/chat/completions")
            with fault_server(away, models=listed if is_chat else away) as server:
                _, planner = planner_of(server, tmp_path, falls_back=True)
                done = finish(planner.plan(PlanRequest("a red ball")))
            assert other.accepted == 0
        assert f"sends us on to {other.url}" in done.report.fallback

    @pytest.mark.parametrize("name", sorted(PRESETS))
    @pytest.mark.parametrize("is_key_given", [True, False])
    def test_a_known_server_at_another_address(
        self, name: str, is_key_given: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Variables of known servers are for their own addresses; RANNI_API_KEY is for whatever is named."""
        for preset in PRESETS.values():
            monkeypatch.setenv(preset.key_variable, SECRET)
        monkeypatch.setenv("RANNI_API_KEY", "a key for my own" if is_key_given else "")
        parser = ArgumentParser()
        add_planner_arguments(parser)
        with fault_server(good_without_key) as server:
            args = parser.parse_args(["--planner", "openai", "--server", name, "--base-url", server.url])
            assert finish(planner_from(args).plan(PlanRequest("a red ball"))).report.fallback == ""
        assert server.requests
        for request in server.requests:
            expected = "Bearer a key for my own" if is_key_given else None
            assert request.headers.get("authorization") == expected
            assert_hidden(str(request))

    @pytest.mark.parametrize(
        "url",
        [
            "http://api.openai.com/v1",
            "https://api.openai.com:8443/v1",
            "https://api.openai.com.example.org/v1",
            "https://api.openai.com/v1/../../v2",
            "https://example.org/https://api.openai.com/v1",
        ],
    )
    def test_addresses_that_look_alike(self, url: str) -> None:
        environment = {"OPENAI_API_KEY": SECRET}
        assert server_named("openai", environment=environment).key
        assert not server_named("openai", base_url=url, environment=environment).key
        assert not server_named("", base_url=url, environment=environment).key


def good_without_key(connection: Connection) -> None:
    element = {"id": "e1", "description": "red ball", "box": [300, 300, 700, 700]}
    stream(json.dumps({"base": "", "negative": "", "elements": [element]}))(connection)


def test_what_is_kept_for_one_server_is_not_told_to_another(tmp_path: Path) -> None:
    """Replies in the cache belong to an address as well."""
    with fault_server(stream("a")) as one, fault_server(stream("b")) as two:
        first, second = (OpenAIBackend(Server(s.url, "m", Key(SECRET))) for s in (one, two))
        cache = ReplyCache(tmp_path)
        cache.put(first, HELLO, "kept")
        assert cache.get(first, HELLO) == "kept"
        assert cache.get(second, HELLO) is None
