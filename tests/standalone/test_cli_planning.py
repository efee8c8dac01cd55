"""The command line with a language model; its server is scripted, on a real socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_ranni.standalone.cli import BAD_INPUT, DONE, main
from tests.planner.fault_server import fault_server, refuse, stream

REPLY = json.dumps(
    {
        "base": "",
        "negative": "",
        "elements": [
            {"id": "e1", "description": "red cat", "box": [100, 300, 400, 900]},
            {"id": "e2", "description": "blue dog", "box": [600, 300, 900, 900]},
        ],
    }
)
PROMPT = "a red cat to the left of a blue dog"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANNI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def run(url: str, *words: str) -> int:
    return main([*words, "--planner", "openai", "--base-url", url, "--llm", "parrot"])


def test_plan_streams_to_standard_error_and_prints_the_panel(capsys: Any) -> None:
    with fault_server(stream(REPLY[:40], REPLY[40:])) as server:
        assert run(server.url, "plan", PROMPT, "--stream", "--json", "--temperature", "0.5") == DONE
    printed = capsys.readouterr()
    assert [e["description"] for e in json.loads(printed.out)["elements"]] == ["red cat", "blue dog"]
    assert REPLY in printed.err
    assert server.chats[0]["model"] == "parrot"
    assert server.chats[0]["temperature"] == 0.5


def test_a_server_that_fails_is_told_or_ends_it(capsys: Any) -> None:
    with fault_server(refuse("401 Unauthorized", "no key")) as server:
        assert run(server.url, "plan", PROMPT, "--json") == DONE
        assert "planned without the model" in capsys.readouterr().err
        assert run(server.url, "plan", PROMPT, "--json", "--no-fallback") == BAD_INPUT
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "refuses the key" in printed.err


def test_the_key_comes_from_the_environment(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANNI_API_KEY", "sk-0123456789")
    with fault_server(refuse("401 Unauthorized", "sk-0123456789 is wrong")) as server:
        run(server.url, "plan", PROMPT, "--stream")
    assert server.requests[0].headers["authorization"] == "Bearer sk-0123456789"
    printed = capsys.readouterr()
    assert "sk-0123456789" not in printed.out + printed.err


def test_edit_as_told(capsys: Any, tmp_path: Path) -> None:
    path = tmp_path / "panel.json"
    path.write_text(json.dumps({"elements": [
        {"id": "e1", "description": "red cat", "box": {"x0": 0.1, "y0": 0.3, "x1": 0.4, "y1": 0.9}},
    ]}), "utf-8")  # fmt: skip
    with fault_server(stream(REPLY)) as server:
        assert run(server.url, "edit", str(path), "--tell", "add a blue dog", "--json") == DONE
    answer = json.loads(capsys.readouterr().out)
    assert [e["description"] for e in answer["panel"]["elements"]] == ["red cat", "blue dog"]
    assert main(["edit", str(path), "--tell", "make the cat black", "--json"]) == DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["panel"]["elements"][0]["description"] == "black cat"
    assert main(["edit", str(path), "--tell", "remove the zebra"]) == BAD_INPUT
    assert "zebra" in capsys.readouterr().err


def test_eval_tells_how_plans_came_about(capsys: Any, tmp_path: Path) -> None:
    rows = [
        {"tag": "position", "prompt": PROMPT, "include": [
            {"class": "dog", "count": 1}, {"class": "cat", "count": 1, "position": ["left of", 0]}]},
        {"tag": "counting", "prompt": "two cats", "include": [{"class": "cat", "count": 2}]},
    ]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    words = ["eval", "--suite", "planner", "--geneval", str(path), "--out", str(tmp_path / "out")]
    with fault_server(stream(REPLY), stream("no"), stream("no"), stream("no")) as server:
        assert run(server.url, *words, "--json") == DONE
    planning = json.loads(capsys.readouterr().out)["modes"]["openai"]["planning"]
    assert (planning["valid"], planning["fell_back"], planning["asked"]) == (0.5, 0.5, 2.0)
    assert planning["positions"] == 1.0
    assert planning["first_element_seconds"] > 0
    assert "fell back" in (tmp_path / "out" / "planner.txt").read_text("utf-8")


def test_a_planner_without_its_files_is_bad_input(capsys: Any) -> None:
    assert main(["plan", PROMPT, "--planner", "local"]) == BAD_INPUT
    assert "in which folder" in capsys.readouterr().err
    assert main(["plan", PROMPT, "--planner", "openai", "--base-url", "ftp://x"]) == BAD_INPUT
    assert "no address of a server" in capsys.readouterr().err
