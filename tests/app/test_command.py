"""`lib-ranni app` as a command, and the app as a host: what is refused at the start, addresses, keys."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.servers import server_named
from lib_ranni.planner.planners import Settings
from lib_ranni.service.host import Connection
from lib_ranni.standalone import cli
from lib_ranni.standalone.app.address import Address, listening
from lib_ranni.standalone.app.host import AppHost
from lib_ranni.standalone.app.models import Models
from lib_ranni.standalone.checkpoint import Checkpoint

KEY = "sk-0123456789abcdef"


def _host(folder: Path, monkeypatch: pytest.MonkeyPatch, *, fixed: bool = False) -> AppHost:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    for name in ("RANNI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(server=server_named("ollama", model="small"))
    return AppHost(settings, Connection("ollama", "", "small"), Models(), folder / "panels", fixed=fixed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nowhere.safetensors"], "there is no checkpoint at nowhere.safetensors"),
        (["--auth", "ann"], "USER:PASSWORD"),
        (["--auth", ":secret"], "USER:PASSWORD"),
        (["--auth", "ann:"], "USER:PASSWORD"),
        (["--host", "ä..b"], "the app cannot listen at ä..b:7870"),
        (["--host", "203.0.113.7"], "the app cannot listen at 203.0.113.7:7870"),
        (["--port", "70000"], "70000 is not in 0..65535"),
        (["--base-url", "nonsense"], "no address of a server"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_served(
    words: Sequence[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    assert cli.main(["app", *words]) == cli.BAD_INPUT
    out, err = capfd.readouterr()
    assert said in err.strip().splitlines()[-1]
    assert out == ""


def test_a_port_that_is_taken_is_said() -> None:
    with listening(Address(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port} .* give another --port"):
            listening(Address(port=port))


@pytest.mark.parametrize(
    ("host", "is_loopback", "reachable"),
    [
        ("127.0.0.1", True, "127.0.0.1"),
        ("localhost", True, "localhost"),
        ("::1", True, "[::1]"),
        ("0.0.0.0", False, "127.0.0.1"),
        ("::", False, "[::1]"),
        ("", False, "127.0.0.1"),
        ("192.0.2.1", False, "192.0.2.1"),
    ],
)
def test_addresses(host: str, is_loopback: bool, reachable: str) -> None:
    address = Address(host)
    assert (address.is_loopback, address.reachable) == (is_loopback, reachable)


def test_it_listens_on_ipv6() -> None:
    try:
        bound = listening(Address("::1", 0))
    except InputError:
        pytest.skip("this machine has no IPv6")
    with bound:
        assert bound.family == socket.AF_INET6


def test_a_saved_connection_is_asked_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = _host(tmp_path, monkeypatch)
    before = host.planner("openai")
    assert host.planner("openai") is before
    host.save_connection(Connection("", "http://127.0.0.1:8091/v1", "other"), KEY)
    assert host.connection().model == "other"
    assert host.server().url == "http://127.0.0.1:8091/v1"
    assert host.server().key.header == {"Authorization": f"Bearer {KEY}"}
    assert host.planner("openai") is not before
    # The key is for that address alone, and outlives the app.
    assert not host.server(Connection("lm-studio")).key
    assert not host.server(Connection("", "http://127.0.0.1:8092/v1")).key
    again = _host(tmp_path, monkeypatch)
    assert again.server(Connection("", "http://127.0.0.1:8091/v1")).key
    host.save_connection(host.connection(), "")
    assert not host.server().key


def test_strangers_may_not_change_whom_the_key_is_shown_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = _host(tmp_path, monkeypatch, fixed=True)
    elsewhere = Connection("", "http://elsewhere.example/v1")
    for act in (lambda: host.server(elsewhere), lambda: host.save_connection(elsewhere, KEY)):
        with pytest.raises(InputError, match="--auth"):
            act()
    assert host.server(host.connection()).url == host.server().url
    assert not (tmp_path / "lib-ranni" / "keys.json").exists()


def test_tokens_are_counted_by_the_model_and_estimated_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint
) -> None:
    host = _host(tmp_path, monkeypatch)
    texts = ["", "a red circle", "word " * 80]
    estimated = host.count_tokens(texts)
    monkeypatch.setattr(Models, "checkpoint", checkpoint)
    counted = host.count_tokens(texts)
    assert list(counted) == [(0, 75), (3, 75), (80, 150)]
    assert [room for _, room in estimated] == [75, 75, 150]
