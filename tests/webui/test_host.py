"""The WebUI as the routes and the gradio parts see it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.key import Key
from lib_ranni.service.host import Connection
from tests.webui.fake_host import Host, installed

SECRET = "sk-0123456789"
OTHER = Connection("", "http://10.0.0.1:8000/v1", "large")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.delenv("RANNI_API_KEY", raising=False)
    with installed(Host(None, tmp_path)) as made:
        yield made


def test_a_connection_is_kept_by_the_hosts_options(host: Host, tmp_path: Path) -> None:
    from lib_ranni.webui.host import WebUI

    ours = WebUI()
    assert ours.connection() == Connection("ollama", "", "")
    ours.save_connection(OTHER, SECRET)
    assert ours.connection() == OTHER
    assert (ours.server().url, ours.server().model, ours.server().key) == (
        OTHER.base_url,
        "large",
        Key(SECRET),
    )
    saved = (tmp_path / "config.json").read_text()
    assert OTHER.base_url in saved
    assert SECRET not in saved
    ours.save_connection(OTHER)
    assert ours.server().key == Key(SECRET), "without a key, the one that is there stays"
    ours.save_connection(OTHER, "")
    assert ours.server().key == Key("")


def test_values_that_are_not_saved_are_a_server_too(host: Host) -> None:
    from lib_ranni.webui.host import WebUI

    found = WebUI().server(OTHER, SECRET)
    assert (found.url, found.key) == (OTHER.base_url, Key(SECRET))
    assert WebUI().connection() == Connection("ollama", "", "")


def test_what_is_no_address_is_not_saved(host: Host) -> None:
    from lib_ranni.webui.host import WebUI

    with pytest.raises(InputError, match="no address"):
        WebUI().save_connection(Connection("", "nowhere"))
    assert WebUI().connection() == Connection("ollama", "", "")


def test_frozen_settings_keep_their_server(host: Host, tmp_path: Path) -> None:
    from lib_ranni.webui.host import WebUI

    host.shared.cmd_opts.freeze_settings = True
    for action in (lambda: WebUI().save_connection(OTHER, SECRET), lambda: WebUI().server(OTHER)):
        with pytest.raises(InputError, match="--freeze-settings"):
            action()
    assert WebUI().server(WebUI().connection()).url == "http://127.0.0.1:11434/v1"
    assert not (tmp_path / "ranni").exists()


def test_an_option_that_is_frozen_alone_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.webui.host import WebUI

    monkeypatch.setattr(type(host.shared.opts), "set", lambda *_: False)
    with pytest.raises(InputError, match="does not let this setting"):
        WebUI().save_connection(OTHER)


def test_tokens_are_counted_by_the_host(host: Host) -> None:
    from lib_ranni.webui.host import WebUI

    texts = ["a red apple <lora:ink:0.8>", "word " * 80]
    assert list(WebUI().count_tokens(texts)) == [(3, 75), (80, 150)]


def test_without_a_model_tokens_are_estimated(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    import modules.sd_hijack

    from lib_ranni.webui.host import WebUI

    monkeypatch.setattr(modules.sd_hijack.model_hijack, "get_prompt_lengths", lambda _: ("-", "-"))
    assert list(WebUI().count_tokens(["a red apple, 猫"])) == [(5, 75)]


def test_loras_are_those_of_the_hosts_extension(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.webui.host import WebUI

    assert WebUI().loras() == ()
    extension = ModuleType("networks")
    extension.__dict__.update(
        load_networks=None, loaded_networks=[], available_networks={"ink": 1, "Clay": 2}
    )
    monkeypatch.setitem(sys.modules, "networks", extension)
    assert WebUI().loras() == ("Clay", "ink")


@pytest.mark.parametrize(
    ("credentials", "cookie", "status"),
    [(("me", "right"), "", 200), (("me", "wrong"), "", 401), (None, "", 401), (None, "token", 200)],
)
def test_the_hosts_protection_is_ours(
    host: Host, credentials: tuple[str, str] | None, cookie: str, status: int
) -> None:
    from lib_ranni.webui import api

    host.shared.cmd_opts.api_auth = "me:right"
    app = FastAPI()
    app.auth, app.tokens = SimpleNamespace(), {"token": "me"}  # type: ignore[attr-defined]
    api.mount(None, app)
    client = TestClient(app, cookies={"access-token": cookie} if cookie else {})
    for path in ("version", "panels", "loras"):
        assert client.get(f"/ranni/v1/{path}", auth=credentials).status_code == status
    kept = client.post("/ranni/v1/panels/save", json={"name": "a", "panel": {}}, auth=credentials)
    assert kept.status_code == status
