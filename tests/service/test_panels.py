"""Kept panels: names, files, and what a hostile one of either must not do."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from lib_ranni.errors import InputError, MissingError, TakenError
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.service.panels import PanelFolder, checked_name
from tests.service.plain_host import PlainHost

PANEL = Panel(elements=(Element(id="e1", description="a cat", box=Box(0, 0, 1, 1)),))
DOCUMENT = {
    "version": 1,
    "elements": [{"id": "e1", "description": "a cat", "box": {"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}}],
}

BAD_NAMES = [
    *(
        "",
        " ",
        ".",
        "..",
        "../../x",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "C:x",
        ".hidden",
        "dot.",
        "blank ",
        " blank",
    ),
    *(
        "nul\0",
        "line\nbreak",
        "\x1b[2J",
        "turn\u202exe",
        "half\ud800",
        "con",
        "NUL.txt",
        "com1",
        "LPT¹",
        "a*",
        "a|b",
        "<b>",
    ),
    *("x" * 81, "\U0001f600" * 61),
]
GOOD_NAMES = [
    "x",
    "fruit",
    "two words",
    "x" * 80,
    "猫" * 80,
    "a.b",
    "console",
    "naïve — 2x1",
    "قطة",
    "👩‍🎨",
]


@pytest.fixture
def kept(tmp_path: Path) -> PanelFolder:
    return PanelFolder(tmp_path / "panels")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_is_no_name_is_refused(kept: PanelFolder, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        kept.save(name, PANEL)
    assert [*tmp_path.rglob("*")] == []
    kept.save("fine", PANEL)
    with pytest.raises(InputError, match="name"):
        kept.rename("fine", name)
    for action in (kept.read, kept.delete, lambda found: kept.rename(found, "b")):
        with pytest.raises(MissingError):
            action(name)
    assert kept.names() == ["fine"]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_of_any_language(kept: PanelFolder, name: str) -> None:
    assert kept.save(name, PANEL) == name
    assert kept.names() == [name]
    assert kept.read(name).panel == PANEL
    assert kept.rename(name, "other") == "other"
    kept.delete("other")
    assert kept.names() == []


@given(name=st.text(max_size=90))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    try:
        found = checked_name(name)
    except InputError:
        return
    assert Path(found + ".json").name == found + ".json"
    assert found.encode().isascii() or found == found.strip()
    assert not {"/", "\\", "\0", ":"} & set(found)


def test_a_name_is_the_same_however_its_accents_are_written(kept: PanelFolder) -> None:
    assert kept.save("cafe\u0301", PANEL) == "café"
    with pytest.raises(TakenError):
        kept.save("café", PANEL)
    assert kept.read("cafe\u0301").panel == PANEL


def test_names_are_sorted_as_people_do(kept: PanelFolder) -> None:
    for name in ("b", "C", "a", "B2"):
        kept.save(name, PANEL)
    assert kept.names() == ["a", "b", "B2", "C"]


def test_nothing_is_replaced_unasked(kept: PanelFolder, tmp_path: Path) -> None:
    kept.save("a", PANEL)
    kept.save("b", Panel(base="b"))
    with pytest.raises(TakenError, match="a"):
        kept.save("a", Panel())
    with pytest.raises(TakenError):
        kept.rename("b", "a")
    assert kept.read("a").panel == PANEL
    kept.save("a", Panel(base="other"), replace=True)
    assert kept.read("a").panel.base == "other"
    assert kept.rename("a", "a") == "a"
    assert sorted(path.name for path in (tmp_path / "panels").iterdir()) == ["a.json", "b.json"]


def test_a_save_that_fails_leaves_the_old_file(
    kept: PanelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save("a", PANEL)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        kept.save("a", Panel(), replace=True)
    assert kept.read("a").panel == PANEL
    assert [path.name for path in (tmp_path / "panels").iterdir()] == ["a.json"]


def test_files_of_the_users_own_are_mended(kept: PanelFolder, tmp_path: Path) -> None:
    folder = tmp_path / "panels"
    folder.mkdir()
    (folder / "mine.json").write_text('{"elements": [{"label": "cat", "box": [0, 0, 1, 7]}]}')
    (folder / "broken.json").write_text("{")
    (folder / "huge.json").write_bytes(b" " * (8 * 2**20 + 1))
    (folder / "notes.txt").write_text("{}")
    (folder / "folder.json").mkdir()
    assert kept.names() == ["broken", "huge", "mine"]
    found = kept.read("mine")
    assert (found.panel.elements[0].description, bool(found.problems)) == ("cat", True)
    with pytest.raises(InputError, match="not JSON"):
        kept.read("broken")
    with pytest.raises(InputError, match="larger than 8 MiB"):
        kept.read("huge")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_lead_out_are_not_followed(kept: PanelFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(DOCUMENT))
    folder = tmp_path / "panels"
    folder.mkdir()
    (folder / "link.json").symlink_to(secret)
    (folder / "loop.json").symlink_to(folder / "loop.json")
    assert kept.names() == []
    with pytest.raises(MissingError):
        kept.read("link")
    with pytest.raises(TakenError):
        kept.save("link", Panel())
    kept.save("link", Panel(base="ours"), replace=True)
    assert json.loads(secret.read_text()) == DOCUMENT
    assert kept.read("link").panel.base == "ours"


def test_over_http(client: TestClient, host: PlainHost) -> None:
    assert client.post("panels/save", json={"name": "猫", "panel": DOCUMENT}).json() == {"name": "猫"}
    assert client.get("panels").json() == {"names": ["猫"]}
    assert client.post("panels/load", json={"name": "猫"}).json() == {"panel": DOCUMENT, "problems": []}
    taken = client.post("panels/save", json={"name": "猫", "panel": {}})
    assert (taken.status_code, "“猫”" in taken.json()["error"]) == (409, True)
    assert client.post("panels/save", json={"name": "猫", "panel": {}, "replace": True}).status_code == 200
    assert client.post("panels/rename", json={"name": "猫", "to": "cat"}).json() == {"name": "cat"}
    client.post("panels/save", json={"name": "dog", "panel": {}})
    assert client.post("panels/rename", json={"name": "dog", "to": "cat"}).status_code == 409
    assert client.post("panels/rename", json={"name": "bird", "to": "fish"}).status_code == 404
    assert client.post("panels/delete", json={"name": "cat"}).json() == {}
    assert client.post("panels/delete", json={"name": "cat"}).status_code == 404
    assert [path.name for path in host.panels.iterdir()] == ["dog.json"]


@pytest.mark.parametrize("name", ["../../x", "nul\0", "half\ud800", 7, None])
def test_hostile_names_over_http(client: TestClient, host: PlainHost, tmp_path: Path, name: object) -> None:
    client.post("panels/save", json={"name": "fine", "panel": {}})
    (tmp_path / "x.json").write_text("{}")
    header = {"Content-Type": "application/json"}
    for route, body in {
        "panels/load": {"name": name},
        "panels/save": {"name": name, "panel": {}, "replace": True},
        "panels/rename": {"name": "fine", "to": name},
        "panels/delete": {"name": name},
    }.items():
        answer = client.post(route, content=json.dumps(body), headers=header)
        assert 400 <= answer.status_code < 500
        assert answer.json()["error"]
    assert [path.name for path in host.panels.iterdir()] == ["fine.json"]
    assert (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
@pytest.mark.parametrize("route", ["panels/save", "panels/rename", "panels/delete"])
def test_what_a_foreign_page_can_send_changes_nothing(
    client: TestClient, host: PlainHost, route: str, kind: str
) -> None:
    PanelFolder(host.panels).save("a", PANEL)
    body = json.dumps({"name": "a", "to": "b", "panel": {}, "replace": True})
    answer = client.post(route, content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert PanelFolder(host.panels).read("a").panel == PANEL
