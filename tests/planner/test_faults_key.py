"""The key goes to its server, and what the server echoes of it is shown nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import never
from tests.planner.asking import HELLO, SECRET, asked, assert_nothing_left, backend, fault
from tests.planner.fault_server import (
    STREAM,
    Connection,
    Play,
    completion,
    fault_server,
    raw,
    refuse,
    reply,
    reply_json,
    stream,
)


@pytest.fixture(autouse=True)
def _nothing_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert_nothing_left(caplog)


@pytest.fixture(autouse=True)
def _nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "asyncio", "lib_ranni"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    records = caplog.get_records("call")
    assert records
    for record in records:
        assert SECRET[:12] not in f"{record.getMessage()} {record.args} {record.exc_text}"


def test_it_is_sent() -> None:
    with fault_server(stream("a")) as server:
        model = backend(server.url)
        assert "".join(model.stream(HELLO, never)) == "a"
        assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
        assert SECRET[:12] not in f"{model!r} {model.server!r} {model.identity}"


def test_none_is_sent_where_there_is_none() -> None:
    with fault_server(stream("a")) as server:
        assert "".join(OpenAIBackend(Server(server.url, model="m")).stream(HELLO, never)) == "a"
        assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("status", ["400 x", "401 x", "404 x", "429 x", "500 x", "307 x"])
def test_an_error_that_echoes_it(status: str) -> None:
    def play(connection: Connection) -> None:
        shown = connection.request.headers["authorization"]
        refuse(status, f"bad header {shown}!", Location=f"http://127.0.0.1/{shown}")(connection)

    with fault_server(play) as server:
        assert "***" in fault(server, retries=1)


@pytest.mark.parametrize("before", range(250, 305, 6))
def test_an_error_that_is_cut_where_it_stands(before: int) -> None:
    with fault_server(refuse("418 Teapot", "." * before + SECRET + "." * 100)) as server:
        fault(server)


def test_an_error_that_is_no_json() -> None:
    with fault_server(reply(f"denied: {SECRET}".encode(), "403 x", "text/plain")) as server:
        assert "denied: ***" in fault(server)
    with fault_server(reply(b"x", kind=f"text/{SECRET}")) as server:
        assert "text/***" in fault(server)


def test_a_reply_that_echoes_it() -> None:
    with fault_server(stream("it is ", SECRET, "!")) as server:
        assert asked(server) == "it is ***!"
    with fault_server(stream("it is ", *SECRET, "!")) as server:
        assert asked(server) == "it is ***!"
    with fault_server(completion(f"it is {SECRET}")) as server:
        assert asked(server) == "it is ***"


def test_models_that_echo_it() -> None:
    with fault_server(stream("a"), models=reply_json({"data": [{"id": SECRET}]})) as server:
        assert backend(server.url).models() == ("***",)


def test_it_does_not_follow_a_redirect() -> None:
    with fault_server(stream("stolen")) as other:
        redirect = reply(b"", "307 Temporary Redirect", Location=f"{other.url}/chat/completions")
        with fault_server(redirect) as server:
            assert f"sends us on to {other.url}" in fault(server, retries=2)
        assert other.accepted == 0


def test_a_redirect_to_itself_ends() -> None:
    with fault_server(reply(b"", "308 x", Location="/v1/chat/completions")) as server:
        assert "sends us on to" in fault(server, retries=2)
        assert len(server.chats) == 1


CORNERS: dict[str, tuple[Play, str]] = {
    "the status line": (raw(f"HTTP/1.1 401 no {SECRET}\r\nContent-Length: 0\r\n\r\n".encode()), "401"),
    "a line that is no header": (
        raw(b"HTTP/1.1 200 OK\r\n" + b"x" * 235 + b" " + SECRET.encode() + b"\r\n\r\n"),
        "does not speak HTTP",
    ),
    "a long redirect": (reply(b"", "307 x", Location=f"/{'a' * 270}{SECRET}{'a' * 50_000}"), "sends us on"),
    "a long content type": (reply(b"x", kind=f"text/{'y' * 270}{SECRET}{'y' * 50_000}"), "answers with"),
    "behind an escape": (
        reply(f'{{"error": {{"message": "{"." * 270}\\u0073{SECRET[1:]}"}}}}'.encode(), "418 x"),
        "refuses the request",
    ),
    "behind an escape in the stream": (
        raw(STREAM, f'data: {{"error": "{"." * 270}\\u0073{SECRET[1:]}"}}\n\n'.encode()),
        "reports an error",
    ),
}


@pytest.mark.parametrize("name", CORNERS)
def test_where_else_a_server_may_put_it(name: str) -> None:
    play, words = CORNERS[name]
    with fault_server(play) as server:
        message = fault(server)
    assert words in message
    assert len(message) < 500


def test_the_model_that_is_looked_up() -> None:
    models = reply(f'{{"data": [{{"id": "\\u0073{SECRET[1:]}"}}]}}'.encode())
    with fault_server(stream("a"), models=models) as server:
        model = backend(server.url, model="")
        assert "".join(model.stream(HELLO, never)) == "a"
        assert model.model == "***"


def test_names_that_end_as_the_key_begins() -> None:
    """They are names, not pieces of one text."""
    names = ("llamas", "gpt", "o1-sk", "sk-test")
    with fault_server(stream("a"), models=reply_json({"data": [{"id": name} for name in names]})) as server:
        assert backend(server.url).models() == names


@pytest.mark.parametrize("key", ["test", "none", "1234", "ollama"])
def test_a_word_in_place_of_a_key_tears_up_nothing(key: str) -> None:
    names = ("llama3:latest", "ollama-none-1234")
    models = reply_json({"created": 12345, "data": [{"id": name} for name in names]})
    with fault_server(stream("the latest"), models=models) as server:
        assert backend(server.url, key=Key(key)).models() == names
        assert asked(server, key=Key(key)) == "the latest"
