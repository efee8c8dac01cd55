"""Planners made of the host's settings: what the settings mean, keys, and interrupts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.key import Key
from tests.planner.fault_server import fault_server, reply_json
from tests.webui.fake_host import Host, installed

SECRET = "sk-0123456789"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    with installed(Host(None, tmp_path)) as made:
        yield made


def set_options(host: Host, **options: Any) -> None:
    host.shared.opts.__dict__.update({f"ranni_{name}": value for name, value in options.items()})


def test_settings_reach_the_planner(host: Host) -> None:
    from lib_ranni.webui import planning

    set_options(
        host, base_url="http://10.0.0.1:8000/v1/", model="m", asks_again=4, temperature=1, style="regions"
    )
    server = planning.server()
    assert (server.url, server.model, server.key) == ("http://10.0.0.1:8000/v1", "m", Key(""))
    made = planning.planner("openai")
    assert made._manner.asks_again == 4
    assert made._manner.temperature == 1
    assert made._manner.style == "regions"


def test_a_planner_is_kept_while_the_settings_stay(host: Host) -> None:
    from lib_ranni.webui import planning

    first = planning.planner("openai")
    assert planning.planner("openai") is first
    set_options(host, model="other")
    assert planning.planner("openai") is not first


@pytest.mark.parametrize(("name", "value"), [("asks_again", "many"), ("temperature", None), ("server", 7)])
def test_settings_of_a_wrong_kind_are_the_usual_ones(host: Host, name: str, value: Any) -> None:
    from lib_ranni.webui import settings

    set_options(host, **{name: value})
    assert settings.planning() == settings.PlanningOptions()


def test_whole_numbers_may_come_as_fractions(host: Host) -> None:
    from lib_ranni.webui import settings

    set_options(host, max_tokens=512.0, temperature=1, asks_again=1.5)
    assert settings.planning() == settings.PlanningOptions(max_tokens=512, temperature=1.0)


@pytest.mark.parametrize("name", ["local", "ranni"])
def test_a_local_model_needs_its_folder(host: Host, name: str) -> None:
    from lib_ranni.webui import planning

    set_options(host, box_lora="x.pth")
    with pytest.raises(InputError, match="in which folder"):
        planning.planner(name)


def test_a_saved_key_goes_to_its_address_only(host: Host, tmp_path: Path) -> None:
    from lib_ranni.webui import folders, planning

    set_options(host, base_url="http://one/v1")
    folders.keys().save(planning.server().url, SECRET)
    assert planning.server().key == Key(SECRET)
    set_options(host, base_url="http://two/v1")
    assert planning.server().key == Key("")
    assert SECRET in (tmp_path / "ranni" / "keys.json").read_text()


def test_the_environments_key_is_for_its_server(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.webui import planning

    monkeypatch.setenv("DEEPSEEK_API_KEY", SECRET)
    assert planning.server().key == Key("")
    set_options(host, server="deepseek")
    assert planning.server().key == Key(SECRET)
    set_options(host, server="deepseek", base_url="http://elsewhere/v1")
    assert planning.server().key == Key("")


def test_models_are_listed_for_the_settings(host: Host) -> None:
    from lib_ranni.webui import planning, settings

    with fault_server(models=reply_json({"data": [{"id": "small"}, {"id": "large"}]})) as server:
        set_options(host, base_url=server.url)
        planning.list_models()
    assert settings._model_choices()["choices"] == ["", "small", "large"]


def test_an_interrupt_counts_from_the_start_of_planning(host: Host) -> None:
    from lib_ranni.webui import planning

    state = host.shared.state
    state.job_count, state.interrupted = 0, True
    stopped = planning.interrupted()
    assert not stopped()
    state.interrupted = True
    assert stopped()
    state.job_count = 1
    assert not planning.interrupted()(), "a job that is being interrupted does not stop a plan that begins"


def test_models_of_this_process_make_room_for_pictures(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.planner.local import model
    from lib_ranni.webui import planning

    calls = []
    monkeypatch.setattr(model, "offload_all", lambda wait: calls.append(wait))
    planning.make_room()
    assert calls == [1.0]
