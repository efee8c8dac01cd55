"""A caller who has lost interest gets away within a second in every phase; the connection goes with it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import never
from tests.planner.asking import HELLO, SECRET, assert_nothing_left, backend, endless_pings, soon
from tests.planner.fault_server import STREAM, black_hole, event, fault_server, raw, refuse, stream


@pytest.fixture(autouse=True)
def _nothing_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert_nothing_left(caplog)


def cancelled(url: str, retries: int = 0) -> list[str]:
    """The pieces that come within 0.4 s, after which the caller has lost interest."""
    patient = Server(url, "first", Key(SECRET), 20.0, 20.0, 20.0, retries, longest_pause=20.0)
    begin = time.monotonic()
    read = list(OpenAIBackend(patient).stream(HELLO, lambda: time.monotonic() > begin + 0.4))
    assert time.monotonic() - begin < 1.4
    return read


def test_while_connecting() -> None:
    with black_hole() as url:
        assert cancelled(url) == []


def test_while_waiting_for_the_first_byte() -> None:
    with fault_server(raw(20.0)) as server:
        assert cancelled(server.url) == []
        soon(lambda: server.gone == 1)


def test_in_the_middle() -> None:
    with fault_server(raw(STREAM, event("a"), event("b"), 20.0)) as server:
        assert cancelled(server.url) == ["a", "b"]
        soon(lambda: server.gone == 1)


def test_in_a_flood() -> None:
    with fault_server(endless_pings) as server:
        assert cancelled(server.url) == []
        soon(lambda: server.gone == 1)


def test_between_two_tries() -> None:
    with fault_server(refuse("503 x", "busy", Retry_After="15")) as server:
        assert cancelled(server.url, retries=3) == []
        assert len(server.chats) == 1


def test_a_reader_who_stops_reading() -> None:
    with fault_server(raw(STREAM, event("a"), 20.0)) as server:
        pieces = backend(server.url, read_timeout=20.0).stream(HELLO, never)
        assert next(pieces) == "a"
        pieces.close()  # type: ignore[attr-defined]
        soon(lambda: server.gone == 1)


def test_before_the_beginning() -> None:
    with fault_server(stream("a")) as server:
        assert list(backend(server.url).stream(HELLO, lambda: True)) == []
