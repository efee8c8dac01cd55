"""LoRAs in the real host that do not act are told of; they are checked, converted and filtered by block."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_ranni.lora.blocks import parse_blocks
from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.reading import read_lora
from tests.webui_live.grids import grid
from tests.webui_live.host import Drawn, Host, panel
from tests.webui_live.pages import SCRIPT, switch_on
from tests.webui_live.shapes_loras import SHAPES, pipeline, random_pairs

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="LoRAs must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
_START = "ranni-check"
_BLOCKS = "down*@0.5+mid"


@pytest.fixture(scope="module")
def names(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Files for the shapes checkpoint: whole, in part, of another layout, a misnamed pickle, and filtered."""
    models = Path(FOLDER) / "models"
    loras, checkpoint = models / "Lora", models / "Stable-diffusion" / f"{_START}.safetensors"
    pairs = random_pairs()
    source, _ = pipeline(pairs, tmp_path_factory.mktemp("lora"), {})
    found = {name: f"{_START}-{name}" for name in ("raw", "whole", "part", "pickle", "filtered")}
    place = {name: loras / f"{stem}.safetensors" for name, stem in found.items()}
    shutil.copy(source, place["raw"])
    lora = read_lora(source)
    convert_file(lora, Wish(out=place["whole"], replace=True))
    convert_file(lora, Wish(out=place["filtered"], blocks=parse_blocks("down*=0.5,mid"), replace=True))
    tensors = load_file(place["whole"])
    heads = sorted({key.partition(".")[0] for key in tensors if key.startswith("lora_unet_down")})
    renamed = {head: head.replace("lora_unet_", "lora_unet_x") for head in heads[:3]}
    split = {key: key.partition(".") for key in tensors}
    part = {f"{renamed.get(head, head)}.{rest}": tensors[key] for key, (head, _, rest) in split.items()}
    save_file(part, place["part"])
    torch.save(tensors, place["pickle"])
    shutil.copy(SHAPES / "shapes.safetensors", checkpoint)
    shutil.copy(SHAPES / "shapes.yaml", checkpoint.with_suffix(".yaml"))
    before = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    host.post("/sdapi/v1/refresh-checkpoints", {})
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": _START})
    host.post("/sdapi/v1/refresh-loras", {})
    yield found
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": before, "ranni_lora_check": True})
    for path in [*loras.glob(f"{_START}*"), *checkpoint.parent.glob(f"{_START}*")]:
        path.unlink()
    host.post("/sdapi/v1/refresh-loras", {})
    host.post("/sdapi/v1/refresh-checkpoints", {})


def _drawn(host: Host, prompt: str, **fields: Any) -> Drawn:
    return host.draw(prompt=f"a red circle {prompt}", steps=2, recorder={"latents": True}, **fields)


def _problem(drawn: Drawn) -> str:
    _, found, rest = drawn.infotexts[0].partition("Ranni LoRA problem: ")
    return rest if found else ""


@pytest.mark.parametrize(
    ("which", "told"),
    [
        (
            "raw",
            r"does nothing: the WebUI finds none of its \d+ modules \(diffusers, for shapes\); convert it",
        ),
        ("pickle", "does nothing, as the WebUI could not load it: it is a pickle that is named .safetensors"),
        ("part", r"only \d+ of \d+ modules act"),
    ],
)
def test_one_that_does_not_act_is_told(host: Host, names: dict[str, str], which: str, told: str) -> None:
    drawn = _drawn(host, f"<lora:{names[which]}:1>")
    assert re.search(f"LoRA {names[which]} {told}", _problem(drawn)), drawn.infotexts[0]
    both = _drawn(host, f"<lora:{names['whole']}:1> <lora:{names[which]}:1>", batch_size=2, n_iter=2)
    assert all(text.count(names[which] + " ") <= 2 for text in both.infotexts)
    assert names["whole"] + " " not in _problem(both)


def test_one_that_acts_is_not(host: Host, names: dict[str, str]) -> None:
    assert "LoRA problem" not in _drawn(host, f"<lora:{names['whole']}:1>").infotexts[0]
    assert "LoRA problem" not in _drawn(host, "<lora:there-is-none:1>").infotexts[0]


def test_an_elements_own_is_told_too(host: Host, names: dict[str, str]) -> None:
    request = {"panel": panel(f"a red circle <lora:{names['raw']}:1>"), "guidance": {"mode": "latent"}}
    drawn = host.draw(request=request, steps=1)
    assert f"LoRA {names['raw']} does nothing" in drawn.infotexts[0]


def test_it_can_be_switched_off(host: Host, names: dict[str, str]) -> None:
    off = {"ranni_lora_check": False}
    assert "LoRA problem" not in _drawn(host, f"<lora:{names['raw']}:1>", override_settings=off).infotexts[0]


def test_a_file_is_checked_and_converted(host: Host, names: dict[str, str]) -> None:
    checked = host.post("/ranni/v1/loras/check", {"name": names["raw"]}).json()
    total = checked["report"]["modules"]
    assert (checked["matched"], checked["report"]["format"], checked["report"]["family"]) == (
        0,
        "diffusers",
        "shapes",
    )
    assert "convert it" in " ".join(checked["report"]["warnings"])
    assert "/" not in checked["report"]["path"]
    made = host.post("/ranni/v1/loras/convert", {"name": names["raw"]})
    assert made.status_code == 200, made.text
    assert made.json()["path"] == f"{names['raw']}_webui.safetensors"
    again = host.post("/ranni/v1/loras/convert", {"name": names["raw"]})
    assert again.status_code == 409
    # It is in the list at once, and the loaded model takes all of it.
    name = f"{names['raw']}_webui"
    assert name in host.get("/ranni/v1/loras").json()["names"]
    assert host.post("/ranni/v1/loras/check", {"name": name}).json()["matched"] == total
    acts, whole = _drawn(host, f"<lora:{name}:1>"), _drawn(host, f"<lora:{names['whole']}:1>")
    assert np.array_equal(acts.latents, whole.latents)


def test_what_is_no_lora_of_the_hosts_is_refused(host: Host, names: dict[str, str]) -> None:
    for route in ("check", "convert"):
        for name in ("../../config.json", "/etc/passwd", "nope"):
            assert host.post(f"/ranni/v1/loras/{route}", {"name": name}).status_code == 404
        assert host.post(f"/ranni/v1/loras/{route}", {"name": 3}).status_code == 422
        wrong = host.post(f"/ranni/v1/loras/{route}", {"name": names["raw"], "family": "sd9"})
        assert wrong.status_code == 422


def test_blocks_of_a_tag_are_those_of_a_converted_file(host: Host, names: dict[str, str]) -> None:
    plain = _drawn(host, "")
    whole = _drawn(host, f"<lora:{names['whole']}:0.8>")
    in_file = _drawn(host, f"<lora:{names['filtered']}:0.8>")
    tag = f"<lora:{names['whole']}:0.8:blocks={_BLOCKS}>"
    by_tag = _drawn(host, tag)
    assert np.abs(by_tag.latents - in_file.latents).max() < 1e-5 * max(
        1.0, float(np.abs(in_file.latents).max())
    )
    assert np.abs(by_tag.latents - whole.latents).max() > 1e-3
    assert np.abs(by_tag.latents - plain.latents).max() > 1e-3
    assert tag in by_tag.infotexts[0]
    # The network itself stays as it is.
    assert np.array_equal(_drawn(host, f"<lora:{names['whole']}:0.8>").latents, whole.latents)
    assert np.array_equal(_drawn(host, "").latents, plain.latents)


def test_the_text_encoder_is_a_block(host: Host, names: dict[str, str]) -> None:
    """The host keeps texts that are encoded; another filter is another text."""
    only = [
        _drawn(host, f"<lora:{names['whole']}:1:blocks={blocks}>") for blocks in ("unet", "text", "unet+text")
    ]
    assert np.abs(only[0].latents - only[1].latents).max() > 1e-3
    assert np.array_equal(only[2].latents, _drawn(host, f"<lora:{names['whole']}:1>").latents)


def test_elements_loras_leave_the_prompts_blocks_as_they_are(host: Host, names: dict[str, str]) -> None:
    request = {"panel": panel(f"a red circle <lora:{names['raw']}:1>"), "guidance": {"mode": "latent"}}
    prompt = f"<lora:{names['whole']}:1:blocks={_BLOCKS}>"
    # That of the element does nothing, but the host loads the others anew with it.
    alone = _drawn(host, prompt, request={"panel": panel(), "guidance": {"mode": "latent"}})
    beside = _drawn(host, prompt, request=request)
    scale = max(1.0, float(np.abs(alone.latents).max()))
    assert np.abs(alone.latents - beside.latents).max() < 1e-4 * scale


def test_blocks_are_an_axis(host: Host, names: dict[str, str]) -> None:
    prompt = f"a red circle <lora:{names['whole']}:1>"
    values = f'all, {_BLOCKS}, "down*=0.5,mid", {names["whole"]}:up*, other:up*'
    fields = {"steps": 2, "recorder": {"latents": True}, "prompt": prompt}
    refused = grid(host, ("[Ranni] LoRA blocks", values), **fields)
    assert refused.status_code == 500
    assert "no <lora:other> to filter" in refused.text
    answer = grid(host, ("[Ranni] LoRA blocks", values.rpartition(",")[0]), **fields)
    texts = json.loads(answer.json()["info"])["infotexts"][1:]
    assert len(texts) == 4
    tags = ["", f":blocks={_BLOCKS}", ":blocks=down*@0.5,mid", ":blocks=up*"]
    assert [text.splitlines()[0] for text in texts] == [
        f"a red circle <lora:{names['whole']}:1{tag}>" for tag in tags
    ]
    cells = [Drawn([], [text], []).latents[0] for text in texts]
    assert np.array_equal(cells[0], _drawn(host, f"<lora:{names['whole']}:1>").latents[0])
    assert np.array_equal(cells[1], cells[2])
    assert np.abs(cells[1] - cells[3]).max() > 1e-3


def test_blocks_that_are_none_are_told(host: Host, names: dict[str, str]) -> None:
    whole = _drawn(host, f"<lora:{names['whole']}:1>")
    wrong = _drawn(host, f"<lora:{names['whole']}:1:blocks=(x)>")
    assert np.array_equal(wrong.latents, whole.latents)
    assert f"all blocks of {names['whole']} act" in _problem(wrong)
    none = _drawn(host, f"<lora:{names['whole']}:1:blocks=te2>")
    assert f"{names['whole']} does nothing: it has no module in the blocks te2" in _problem(none)


def test_the_tab_checks_a_file(page: Any, names: dict[str, str]) -> None:
    switch_on(page)
    page.click(f"{SCRIPT}_lora_check > .label-wrap")
    page.fill(f"{SCRIPT}_lora_name input", names["raw"])
    page.press(f"{SCRIPT}_lora_name input", "Enter")
    page.click(f"{SCRIPT}_lora_look")
    page.wait_for_selector(f"{SCRIPT}_lora_report pre")
    told = page.inner_text(f"{SCRIPT}_lora_report pre")
    assert "diffusers in safetensors" in told
    assert "the model that is loaded takes 0 of them" in told
