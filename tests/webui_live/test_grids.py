"""Axes of the X/Y/Z plot in the real host: prompts of a set, and blocks of LoRAs."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui_live.grids import grid
from tests.webui_live.host import Host, pixels

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="a prompt file must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
)
_NAME = "ranni-live-prompts"
_ROWS = [
    "a red circle",
    "a (blue) square, and a <lora:none:1> star",
    "a green star AND a cross",
    "a [dog|cat]",
]


@pytest.fixture(scope="module")
def prompts() -> Iterator[str]:
    """A table of PartiPrompts' shape in the usual folder."""
    path = Path(FOLDER) / "models" / "Ranni" / "prompts" / f"{_NAME}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{text}\tAnimals\tBasic\t" for text in _ROWS] + ["\xff\tAnimals", "a house\tFood\tBasic\t"]
    path.write_bytes("\n".join(["Prompt\tCategory\tChallenge\tNote", *lines]).encode("latin-1"))
    yield _NAME
    path.unlink()


def _answered(host: Host, expression: str, **fields: Any) -> dict[str, Any]:
    answer = grid(host, ("[Ranni] Prompt set", expression), ("Steps", "1,2"), width=64, height=64, **fields)
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()


def _pictures(body: dict[str, Any]) -> list[np.ndarray]:
    return [pixels(Image.open(io.BytesIO(base64.b64decode(image)))) for image in body["images"]]


def test_a_grid_over_a_prompt_set_is_labeled_and_reproducible(host: Host, prompts: str) -> None:
    expression = f"{prompts}:Category=Animals;n=4"
    body = _answered(host, expression)
    info = json.loads(body["info"])
    cells = [text.splitlines()[0] for text in info["infotexts"][1:]]
    literal = [
        "a red circle",
        "a \\(blue\\) square, and a < lora:none:1> star",
        "a green star and a cross",
        "a \\[dog|cat\\]",
    ]
    assert cells == literal * 2
    assert f"X Type: [Ranni] Prompt set, X Values: {expression}" in info["infotexts"][0].replace('"', "")
    first = _pictures(body)
    assert len(first) == 9
    plain = np.full_like(first[0][:40, 100:], 255)
    assert np.abs(first[0][:40, 100:] - plain).max() > 100, "labels stand above the cells"
    for one, two in zip(first, _pictures(_answered(host, expression)), strict=True):
        assert np.array_equal(one, two)
    # Every cell is the picture that its own prompt draws.
    drawn = host.draw(prompt=cells[3], steps=1, width=64, height=64)
    assert np.array_equal(drawn.pixels, first[4])


def test_the_jobs_own_prompt_may_say_where_it_goes(host: Host, prompts: str) -> None:
    body = _answered(host, f"{prompts}:n=1;seed=3, {prompts}:id=1", prompt="a photo of {prompt}, on a table")
    cells = [text.splitlines()[0] for text in json.loads(body["info"])["infotexts"][1:]]
    assert len(cells) == 4
    assert cells[1] == "a photo of a red circle, on a table"


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("../../../config", "there is no prompt set"),
        ("", "write an expression such as"),
        (f"{_NAME}:Category=Cats", "Category is, among others"),
    ],
)
def test_what_gives_no_prompts_is_an_error(host: Host, prompts: str, expression: str, complaint: str) -> None:
    answer = grid(host, ("[Ranni] Prompt set", expression), width=64, height=64, steps=1)
    assert answer.status_code == 500
    assert complaint in answer.text


def test_nobody_moves_the_folder_over_the_api(host: Host) -> None:
    before = host.get("/sdapi/v1/options").json()["ranni_prompt_sets"]
    host.post("/sdapi/v1/options", {"ranni_prompt_sets": "/etc"})
    assert host.get("/sdapi/v1/options").json()["ranni_prompt_sets"] == before
