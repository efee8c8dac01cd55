"""Asking a scripted server over a backend that soon gives up, and what must hold after every fault."""

from __future__ import annotations

import gc
import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import never
from tests.planner.fault_server import STREAM, Connection, FaultServer

SECRET = "sk-test-0123456789abcdefghijklmnopqrstuv"
HELLO = Chat((Message("user", "hello"),))


def assert_nothing_left(caplog: pytest.LogCaptureFixture) -> None:
    """After a test no thread of ours runs on, and no event loop complains of what it had to drop."""
    soon(lambda: not any(thread.name == "ranni-planner" for thread in threading.enumerate()))
    gc.collect(1)
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.WARNING] == []


def soon(condition: Callable[[], bool]) -> None:
    """Wait up to two seconds for it to hold."""
    end = time.monotonic() + 2
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def backend(url: str, **settings: Any) -> OpenAIBackend:
    """One that soon gives up, and does not try again, unless the settings of its server say otherwise."""
    # A busy machine may take a while to accept a connection; that is no fault of the server's.
    times = {"connect_timeout": 10.0, "read_timeout": 0.5, "total_timeout": 5.0, "longest_pause": 1.5}
    known = {"key": Key(SECRET), "model": "first", "retries": 0, **times, **settings}
    return OpenAIBackend(Server(url, **known))


def asked(server: FaultServer, chat: Chat = HELLO, **settings: Any) -> str:
    """The reply of the model."""
    return "".join(backend(server.url, **settings).stream(chat, never))


def fault(server: FaultServer, chat: Chat = HELLO, **settings: Any) -> str:
    """The message of the error that asking raises, which does not show the key."""
    with pytest.raises(PlannerError) as caught:
        asked(server, chat, **settings)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert SECRET[:12] not in shown
    assert caught.value.__context__ is None
    return str(caught.value)


def endless_pings(connection: Connection) -> None:
    """A stream that is alive, and says nothing."""
    connection.send(STREAM)
    while True:
        connection.send(b": ping\n\n")
        connection.pause(0.1)
