"""From an empty page to a picture that was changed by a word: what a user does, in Chromium."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from tests.webui_live.host import Host, pixels
from tests.webui_live.pages import ACCEPT, EDITOR, PLAN, generated, panel_text, switch_on, tell, type_in
from tests.webui_live.test_guidance import BLUE, GREEN, RED, share


def drawn(page: Any, host: Host) -> np.ndarray:
    """Press Generate; the picture that the gallery then shows."""
    generated(page)
    source = page.get_attribute("#txt2img_gallery img >> nth=0", "src")
    answer = host.get("/file=" + source.rpartition("/file=")[2].partition("?")[0])
    return pixels(Image.open(io.BytesIO(answer.content)))


def box_of(page: Any, word: str) -> tuple[float, float, float, float]:
    """Where the element of a word is, as the tab would send it."""
    elements = json.loads(panel_text(page))["elements"]
    box = next(element["box"] for element in elements if word in element["description"])
    return box["x0"], box["y0"], box["x1"], box["y1"]


def inner(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The middle of a box, which what is drawn in it covers."""
    x0, y0, x1, y1 = box
    across, down = (x1 - x0) / 4, (y1 - y0) / 4
    return x0 + across, y0 + down, x1 - across, y1 - down


def test_plan_move_generate_tell_accept_generate(page: Any, host: Host) -> None:
    for name, value in (("steps", 15), ("width", 128), ("height", 128), ("cfg_scale", 4)):
        type_in(page, f"#txt2img_{name} input[type=number]", str(value))
    page.fill("#txt2img_prompt textarea", "a red circle to the left of a blue square")
    switch_on(page)
    page.click(PLAN)
    page.wait_for_function(
        "selector => document.querySelector(selector).value.includes('blue')",
        arg="#script_txt2img_ranni_panel textarea",
    )
    before = box_of(page, "circle")
    canvas = page.locator(f"{EDITOR} .ranni-page").bounding_box()
    x, y = (before[0] + before[2]) / 2, (before[1] + before[3]) / 2
    start = canvas["x"] + x * canvas["width"], canvas["y"] + y * canvas["height"]
    page.mouse.move(*start)
    page.mouse.down()
    for part in (0.4, 1.0):
        page.mouse.move(start[0], start[1] - part * 0.2 * canvas["height"])
    page.mouse.up()
    page.wait_for_timeout(800)
    circle, square = box_of(page, "circle"), box_of(page, "square")
    assert circle[1] < before[1] - 0.1
    first = drawn(page, host)
    assert share(first, RED, inner(circle)) > 0.5
    assert share(first, BLUE, inner(square)) > 0.5
    tell(page, "make the square green")
    page.click(ACCEPT)
    page.wait_for_function(
        "selector => document.querySelector(selector).value.includes('green')",
        arg="#script_txt2img_ranni_panel textarea",
    )
    page.wait_for_timeout(800)
    assert box_of(page, "circle") == circle
    second = drawn(page, host)
    assert share(second, RED, inner(circle)) > 0.5
    assert share(second, GREEN, inner(square)) > 0.5
    assert share(second, BLUE, inner(square)) < 0.1
