"""LoRA files over HTTP and by a page: looked into, and converted beside their source."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from starlette.testclient import TestClient

from lib_ranni.lora.reading import read_lora
from lib_ranni.service import lora_check
from tests.lora.corpus import Maker, attention_processors, diffusers_pipeline, peft_bare
from tests.service.plain_host import PlainHost
from tests.service.pressing import Part


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A pipeline's file, of which the WebUI knows no name."""
    made = diffusers_pipeline(Maker(tmp_path, "sd1")).path
    return made.rename(tmp_path / "raw.safetensors")


@pytest.fixture
def part(host: PlainHost) -> Part:
    return Part(host, lora_check.build)


def test_a_file_is_looked_into(client: TestClient, raw: Path) -> None:
    checked = client.post("loras/check", json={"name": "raw"}).json()
    report = checked["report"]
    assert (report["format"], report["family"], report["loads"]) == ("diffusers", "sd1", 0)
    assert report["path"] == "raw.safetensors"
    assert report["ranks"] == {"4": report["modules"]}
    assert any("matches zero modules" in warning for warning in report["warnings"])
    assert (checked["matched"], checked["asks_alpha"]) == (3, False)


def test_what_the_host_could_not_open_is_not_shown_to_it(
    client: TestClient, host: PlainHost, tmp_path: Path
) -> None:
    torch.save({"unet.up_blocks.0.attentions.0.proj_in.lora_A.weight": torch.ones(2, 80)}, tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / "x.safetensors")
    assert client.post("loras/check", json={"name": "x"}).json()["matched"] == 0


def test_it_is_converted_beside_its_source_and_never_over_another(
    client: TestClient, host: PlainHost, raw: Path
) -> None:
    before = raw.read_bytes()
    done = client.post("loras/convert", json={"name": "raw"})
    assert done.status_code == 200
    assert (done.json()["path"], host.listed) == ("raw_webui.safetensors", 1)
    written = raw.with_name("raw_webui.safetensors")
    assert read_lora(written).format == "kohya"
    written.write_bytes(b"mine")
    again = client.post("loras/convert", json={"name": "raw"})
    assert (again.status_code, written.read_bytes(), raw.read_bytes()) == (409, b"mine", before)
    assert "delete it first" in again.json()["error"]


def test_blocks_and_what_the_file_does_not_tell(client: TestClient, tmp_path: Path) -> None:
    folder = peft_bare(Maker(tmp_path, "sd1")).path
    (folder / "adapter_model.safetensors").rename(tmp_path / "bare.safetensors")
    assert client.post("loras/check", json={"name": "bare"}).json()["asks_alpha"]
    assert "give --alpha" in client.post("loras/convert", json={"name": "bare"}).json()["error"]
    done = client.post("loras/convert", json={"name": "bare", "alpha": 8, "blocks": "down*"})
    assert done.status_code == 200
    with safe_open(tmp_path / "bare_webui.safetensors", "pt") as file:
        names = {key.partition(".")[0] for key in file.keys()}  # noqa: SIM118 - this is no dict
        alphas = {float(file.get_tensor(key)) for key in file.keys() if key.endswith("alpha")}  # noqa: SIM118
    assert all(name.startswith("lora_unet_down") for name in names)
    assert alphas == {8.0}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "nope"}, 404),
        ({"name": "../raw"}, 404),
        ({"name": 3}, 422),
        ({}, 422),
        ({"name": "raw", "family": "sd9"}, 422),
        ({"name": "raw", "alpha": -1}, 422),
        ({"name": "raw", "alpha": "x"}, 422),
        ({"name": "raw", "blocks": 3}, 422),
    ],
)
@pytest.mark.parametrize("route", ["check", "convert"])
def test_what_is_refused(client: TestClient, raw: Path, route: str, body: Any, status: int) -> None:
    assert client.post(f"loras/{route}", json=body).status_code == status
    assert [path.name for path in raw.parent.glob("*.safetensors")] == ["raw.safetensors"]


def test_files_are_written_for_nobody_from_outside(client: TestClient, host: PlainHost, raw: Path) -> None:
    kind = {"Content-Type": "text/plain"}
    assert client.post("loras/convert", content='{"name": "raw"}', headers=kind).status_code == 415
    host.is_open = True
    refused = client.post("loras/convert", json={"name": "raw"})
    assert (refused.status_code, "lib-ranni lora convert" in refused.json()["error"]) == (422, True)
    assert client.post("loras/check", json={"name": "raw"}).status_code == 200
    assert [path.name for path in raw.parent.glob("*.safetensors")] == ["raw.safetensors"]


def said(text: str) -> str:
    """What the part shows; nothing of a file is taken for markup."""
    start, _, rest = text.partition(">")
    assert start.startswith('<pre role="status"')
    assert rest.count("<") == 1
    return html.unescape(rest.removesuffix("</pre>"))


def test_the_page_checks_and_converts(part: Part, host: PlainHost, raw: Path) -> None:
    names, text = part.press("lora_look", "raw", 0)
    assert names["choices"] == ["Clay", "ink"]
    assert "diffusers in safetensors" in said(text)
    assert "the model that is loaded takes 3 of them" in said(text)
    _, text = part.press("lora_convert", "raw", 0)
    assert "written: raw_webui.safetensors (" in said(text)
    assert "there is raw_webui.safetensors already" in said(part.press("lora_convert", "raw", 0)[1])
    assert "there is no LoRA '<b>'" in said(part.press("lora_look", "<b>", 0)[1])
    assert "there is no LoRA ''" in said(part.press("lora_look", None, None)[1])


def test_the_page_gives_an_alpha(part: Part, tmp_path: Path) -> None:
    folder = peft_bare(Maker(tmp_path, "sd1")).path
    (folder / "adapter_model.safetensors").rename(tmp_path / "bare.safetensors")
    assert "give --alpha" in said(part.press("lora_convert", "bare", 0)[1])
    assert "written: bare_webui.safetensors" in said(part.press("lora_convert", "bare", 8)[1])


def test_names_in_a_file_are_texts(part: Part, tmp_path: Path) -> None:
    sample = attention_processors(Maker(tmp_path, "sd1"))
    with safe_open(sample.path, "pt") as file:
        held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - this is no dict
    marked = {"trained_words": "<img src=x onerror=alert(1)>"}
    save_file(held, tmp_path / "marked.safetensors", marked)
    assert "trained with: <img src=x onerror=alert(1)>" in said(part.press("lora_look", "marked", 0)[1])
