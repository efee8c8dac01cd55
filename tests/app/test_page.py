"""The page in a real browser: from a prompt to pictures and back, several pages, mistakes, a login."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from lib_ranni.panel.writing import to_document
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.metadata import PARAMETERS, read_png
from tests.app.conftest import LOGIN
from tests.app.serving import App, Proxy

PROMPT = "a red circle to the left of a blue square"


def opened(window: Any, url: str) -> Any:
    page = window.new_page()
    page.set_default_timeout(20_000)
    page.goto(url)
    page.wait_for_selector(".ranni-editor .ranni-canvas")
    return page


def enter(page: Any, **values: Any) -> None:
    """Type into controls; numbers into the fields of sliders."""
    for name, value in values.items():
        kind = "input[type=number]" if isinstance(value, int) else "textarea, #app_{} input"
        page.fill(f"#app_{name} {kind.format(name)}", str(value))
        page.press(f"#app_{name} {kind.format(name)}", "Tab")


def told(page: Any, pattern: str) -> str:
    """Wait until the status reads like this."""
    page.wait_for_function(
        "p => new RegExp(p).test(document.querySelector('#app_status').innerText)", arg=pattern
    )
    return str(page.inner_text("#app_status"))


def draw(page: Any, **values: Any) -> str:
    enter(page, **values)
    page.click("#app_generate")
    return told(page, r"pictures? in|finished\.")


def names(page: Any, count: int) -> list[str]:
    """The files of the gallery, newest first, once there are so many."""
    page.wait_for_function("n => document.querySelectorAll('#app_gallery img').length === n", arg=count)
    found = page.eval_on_selector_all("#app_gallery img", "all => all.map(one => one.src)")
    return [Path(urlsplit(address).path).name for address in found]


def elsewhere(asked: list[str], proxy: Proxy) -> set[str]:
    """Of what a page asked for, what is not the app's."""
    return {url for url in asked if not url.startswith((proxy.url, "data:", "blob:"))}


def number(page: Any, name: str) -> int:
    return int(page.input_value(f"#app_{name} input[type=number]"))


def test_a_prompt_becomes_pictures_that_bring_everything_back(
    window: Any,
    proxy: Proxy,
    app: App,
    tmp_path: Path,
    checkpoint: Any,
) -> None:
    asked: list[str] = []
    window.once("page", lambda made: made.on("request", lambda request: asked.append(request.url)))
    page = opened(window, proxy.url)
    assert "2 pictures in" in draw(page, prompt=PROMPT, steps=3, batch=2)
    newest, older = names(page, 2)
    page.click("#app_gallery button:nth-of-type(2)")
    page.wait_for_selector(f'.app-file[download="{older}"]')
    assert page.locator("#app_gallery .selected").count() == 1
    with page.expect_download() as download:
        page.click(".app-file")
    file = tmp_path / "got.png"
    download.value.save_as(file)
    assert file.read_bytes() == (app.out / older).read_bytes()
    request = read_png(file)
    assert [e.description for e in request.panels[0].elements] == ["red circle", "blue square"]
    assert (request.steps, request.batch, request.prompt, request.model) == (3, 1, PROMPT, "")
    with Image.open(file) as picture:
        assert picture.text[PARAMETERS] == page.inner_text(".app-infotext")
        again = Engine(checkpoint).generate(request).images[0]
        assert np.abs(np.asarray(again, dtype=int) - np.asarray(picture, dtype=int)).max() <= 2
    enter(page, prompt="something else", steps=9, batch=4)
    page.click("#app_use")
    page.wait_for_function("p => document.querySelector('#app_prompt textarea').value === p", arg=PROMPT)
    assert (number(page, "steps"), number(page, "batch")) == (3, 1)
    assert number(page, "seed") == request.seed
    text = page.input_value("#script_app_ranni_panel textarea")
    assert json.loads(text) == to_document(request.panels[0])
    page.wait_for_function("document.querySelectorAll('.ranni-editor .ranni-list [data-id]').length === 2")
    draw(page)
    assert read_png(app.out / names(page, 3)[0]) == request
    assert names(page, 3)[1:] == [newest, older]
    # The mark did not move on to another picture, and a click on its place counts.
    assert page.locator("#app_gallery .selected").count() == 0
    page.click("#app_gallery button:nth-of-type(2)")
    page.wait_for_selector(f'.app-file[download="{newest}"]')
    assert elsewhere(asked, proxy) == set()


def test_cancel_ends_within_a_step_and_keeps_what_is_finished(window: Any, proxy: Proxy, app: App) -> None:
    page = opened(window, proxy.url)
    enter(page, prompt=PROMPT, steps=4, batch=16)
    assert page.is_disabled("#app_cancel")
    page.click("#app_generate")
    told(page, r"Picture [2-9] of 16 · step")
    assert page.is_disabled("#app_generate")
    page.click("#app_cancel")
    finished = int(re.search(r"Stopped; (\d+)", told(page, r"Stopped"))[1])  # type: ignore[index]
    assert 1 <= finished < 16
    assert len(names(page, finished)) == finished
    assert page.is_enabled("#app_generate")
    assert page.is_disabled("#app_cancel")


def test_pages_take_turns_and_keep_apart(window: Any, proxy: Proxy, app: App) -> None:
    first, second = opened(window, proxy.url), opened(window, proxy.url)
    enter(first, prompt="a red circle", steps=150, batch=16)
    first.click("#app_generate")
    told(first, r"step [1-9]")
    enter(second, prompt="a blue square", steps=2)
    second.click("#app_generate")
    told(second, r"Waiting: 1 drawing before")
    # A page that leaves makes room as Cancel does.
    first.close()
    told(second, r"1 picture in")
    assert [read_png(app.out / name).prompt for name in names(second, 1)] == ["a blue square"]
    second.click("#app_use_seed")
    second.wait_for_function("document.querySelector('#app_seed input').value !== '-1'")


def test_mistakes_are_told_and_the_page_goes_on(window: Any, proxy: Proxy, app: App, tmp_path: Path) -> None:
    page = opened(window, proxy.url)
    page.click("#app_generate")
    assert "write a prompt" in told(page, "nothing to draw")
    nowhere = "/nowhere/<img src=x onerror=alert(1)>.safetensors"
    enter(page, prompt="a red circle", steps=2)
    page.click("#app_settings button:has-text('Model')")
    enter(page, model=nowhere)
    page.click("#app_load")
    page.wait_for_selector(f"#app_about [role=alert]:has-text('there is no checkpoint at {nowhere}')")
    page.click("#app_generate")
    assert nowhere in told(page, "there is no checkpoint")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    enter(page, model=str(broken))
    page.click("#app_load")
    page.wait_for_selector("#app_about [role=alert]:has-text('download it again')")
    enter(page, model="")
    page.click("#script_app_ranni_json .label-wrap")
    page.fill("#script_app_ranni_panel textarea", '{"version": 1, "elements": 3}')
    page.click("#app_generate")
    assert "elements" in told(page, "the panel cannot be used")
    page.fill("#script_app_ranni_panel textarea", "")
    assert "1 picture in" in draw(page)
    assert page.locator("#app_status img, #app_about img").count() == 0


def test_the_editor_plans_through_the_routes_and_fits_a_narrow_page(
    window: Any, proxy: Proxy, app: App
) -> None:
    page = opened(window, proxy.url)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    enter(page, prompt=PROMPT, width=256, steps=2)
    page.wait_for_function("document.querySelector('.ranni-page').getBoundingClientRect().width > 0")
    rect = page.locator(".ranni-page").bounding_box()
    assert rect["width"] == pytest.approx(2 * rect["height"], rel=0.02)
    page.click(".ranni-editor button:has-text('Plan with')")
    page.wait_for_function("document.querySelectorAll('.ranni-editor .ranni-list [data-id]').length === 2")
    page.keyboard.press("Control+Enter")
    told(page, r"1 picture in")
    drawn = read_png(app.out / names(page, 1)[0])
    assert (drawn.width, drawn.panels[0].elements[1].description) == (256, "blue square")


def test_without_a_login_nothing_is_served_and_other_sites_cannot_act(
    stranger: Any, proxy: Proxy, app: App
) -> None:
    page = stranger.new_page()
    for path in ("ranni/v1/version", "ranni/v1/panels", "ranni/javascript/ranni.mjs", "config"):
        assert page.request.get(proxy.url + path).status == 401, path
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(proxy.url)
    for password in ("wrong", LOGIN[1]):
        page.fill("label:has-text('username') :is(input, textarea)", LOGIN[0])
        page.fill("input[type=password]", password)
        page.click("button:has-text('Login')")
        page.wait_for_selector("text=Incorrect" if password == "wrong" else ".ranni-editor")
    page.wait_for_selector(".ranni-editor .ranni-canvas")
    assert page.request.get(proxy.url + "ranni/v1/version").status == 200
    # The files of the folder in which the app was started are nobody's business.
    (app.out / "note.txt").write_text("private")
    assert page.request.get(f"{proxy.url}file={app.out / 'note.txt'}").status == 403
    kept = {"name": "mine", "panel": {"version": 1, "elements": []}}
    other = {"Origin": "https://elsewhere.example"}
    assert page.request.post(proxy.url + "ranni/v1/panels/save", headers=other, data=kept).status == 403
    assert page.request.post(proxy.url + "ranni/v1/panels/save", data=kept).status == 200
    assert [path.stem for path in app.panels.iterdir()] == ["mine"]
    assert elsewhere(asked, proxy) == set()


def test_edit_here_goes_on_from_a_picture_and_keeps_the_rest(window: Any, proxy: Proxy, app: App) -> None:
    page, area = opened(window, proxy.url), "#script_app_ranni_panel textarea"
    draw(page, prompt=PROMPT, steps=2)
    (first,) = names(page, 1)
    enter(page, prompt="words since")
    page.click("[data-text=edit_here]")
    page.wait_for_function("area => document.querySelector(area).value.includes('square')", arg=area)
    page.wait_for_function("document.querySelector('#app_keep input').checked")
    assert page.input_value("#app_prompt textarea") == PROMPT
    before = read_png(app.out / first)
    assert number(page, "seed") == before.seed
    document = json.loads(page.input_value(area))
    document["elements"][1]["description"] = "green star"
    page.click("#script_app_ranni_json > .label-wrap")
    page.fill(area, json.dumps(document))
    page.wait_for_timeout(500)
    draw(page)
    second = names(page, 2)[0]
    after = read_png(app.out / second)
    assert (after.before, after.panels[0].elements[1].description) == (before, "green star")
    with Image.open(app.out / first) as one, Image.open(app.out / second) as other:
        levels = np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max(2)
    box = before.panels[0].elements[0].box
    assert levels[:, : int(box.x0 * one.width)].max() == 0
    assert levels.max() > 10
