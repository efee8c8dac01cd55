"""The tab in a real browser: planning, drawing, reading parameters back, reloading."""

from __future__ import annotations

import json
from typing import Any

from tests.planner.fault_server import fault_server, reply_json
from tests.webui_live.host import Host, panel, request_of
from tests.webui_live.pages import (
    ACCEPT,
    EDITOR,
    PLAN,
    REJECT,
    SCRIPT,
    TOLD,
    generated,
    load,
    panel_text,
    switch_on,
    tell,
    type_in,
)

HARD = 'a "red", circle:\n\\ ünïcode 红色 <img src=x onerror="window.hacked = 1">'


def test_plan_then_generate(page: Any) -> None:
    page.fill("#txt2img_prompt textarea", "a red circle to the left of a blue square")
    switch_on(page)
    page.click(PLAN)
    page.wait_for_function(f"document.querySelector('{SCRIPT}_panel textarea').value.includes('blue')")
    planned = json.loads(panel_text(page))
    assert planned["aspect"] == 2
    page.wait_for_timeout(1000)
    found = request_of(generated(page))
    assert found is not None
    assert found["panel"] == planned


def test_a_change_in_words_is_proposed_accepted_and_undone(page: Any) -> None:
    switch_on(page)
    page.fill(f"{SCRIPT}_panel textarea", json.dumps(panel()))
    tell(page, "make the circle green and remove the square")
    assert json.loads(panel_text(page)) == panel()
    page.click(REJECT)
    page.wait_for_selector(f"{EDITOR} .ranni-proposal", state="hidden")
    tell(page, "make the circle green and remove the square")
    page.click(ACCEPT)
    page.wait_for_function(f"document.querySelector('{SCRIPT}_panel textarea').value.includes('green')")
    changed = json.loads(panel_text(page))
    assert [e["description"] for e in changed["elements"]] == ["a green circle"]
    page.click(f"{EDITOR} [data-tool=undo]")
    page.wait_for_function(f"document.querySelector('{SCRIPT}_panel textarea').value.includes('square')")
    assert json.loads(panel_text(page))["elements"] == panel()["elements"]


def test_an_instruction_that_is_not_understood_is_told(page: Any) -> None:
    switch_on(page)
    page.fill(f"{SCRIPT}_panel textarea", json.dumps(panel()))
    page.fill(TOLD, "<img src=x onerror=hacked=1> the zebra")
    page.press(TOLD, "Enter")
    page.wait_for_function(f"document.querySelector('{EDITOR} .ranni-report').innerText.includes('circle')")
    assert page.evaluate("window.hacked") is None
    assert json.loads(panel_text(page)) == panel()


def test_models_are_listed_in_the_settings(page: Any, host: Host) -> None:
    listed = reply_json({"data": [{"id": "small-model"}, {"id": "large-model"}]})
    with fault_server(models=listed) as server:
        host.post("/sdapi/v1/options", {"ranni_base_url": server.url})
        page.evaluate("document.querySelector('#refresh_ranni_model').click()")
        page.wait_for_timeout(2000)
        host.post("/sdapi/v1/options", {"ranni_base_url": ""})
    assert [request.path for request in server.requests] == ["/v1/models"]


def test_the_editor_and_the_text_are_one(page: Any) -> None:
    page.fill("#txt2img_prompt textarea", "plain background")
    switch_on(page)
    page.fill(f"{SCRIPT}_panel textarea", json.dumps(panel()))
    element = page.locator(f"{SCRIPT}_editor svg [aria-label*='a red circle']").first
    element.wait_for()
    element.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([selector, before]) =>"
        " JSON.parse(document.querySelector(selector).value).elements[0].box.x0 > before",
        arg=[f"{SCRIPT}_panel textarea", panel()["elements"][0]["box"]["x0"]],
    )
    moved = json.loads(page.input_value(f"{SCRIPT}_panel textarea"))
    assert moved["elements"][1] == panel()["elements"][1]
    page.wait_for_timeout(1000)
    found = request_of(generated(page))
    assert found is not None
    assert found["panel"]["elements"][0]["box"]["x0"] > 0.05


def test_controls_reach_the_picture(page: Any) -> None:
    switch_on(page)
    page.fill(f"{SCRIPT}_panel textarea", json.dumps(panel()))
    page.check(f"{SCRIPT}_mode input[value=latent]")
    type_in(page, f"{SCRIPT}_base_ratio input[type=number]", "0.4")
    page.wait_for_timeout(1000)
    found = request_of(generated(page))
    assert found is not None
    assert found["guidance"] == {"mode": "latent", "base_ratio": 0.4}
    assert [e["id"] for e in found["panel"]["elements"]] == ["e1", "e2"]


def test_a_wrong_panel_is_named_and_drawn_plain(page: Any) -> None:
    switch_on(page)
    page.fill(f"{SCRIPT}_panel textarea", '{"elements": [{"description": "<img src=x onerror=hacked=1>"}]}')
    page.wait_for_selector(f"{SCRIPT}_status li")
    assert "panel.elements[0].box" in "panel." + page.inner_text(f"{SCRIPT}_status li")
    text = generated(page)
    assert request_of(text) is None
    assert "Ranni" in page.inner_text("#html_log_txt2img")
    assert page.evaluate("window.hacked") is None


def test_parameters_that_are_read_back_draw_the_same(page: Any, host: Host) -> None:
    control = {"scale": 0.0, "start": 950.0, "stop": 123.0, "postfix": "oil, paint", "local_mask": False}
    asked = {
        "panel": {**panel(HARD, negative="fog"), "base": "a room"},
        "guidance": {
            "mode": "latent",
            "base_ratio": 0.35,
            "feather": 0.1,
            "layout_noise": 1.5,
            "attention_bias": 0.25,
            "hires": {"base_ratio": 0.5},
            "control": control,
        },
    }
    drawn = host.draw(request=asked, steps=1, width=128, height=64)
    page.fill("#txt2img_prompt textarea", drawn.infotexts[0])
    page.click("#paste")
    page.wait_for_function(f"document.querySelector('{SCRIPT}_panel textarea').value.includes('circle')")
    page.wait_for_timeout(1500)
    assert page.is_checked(f"{SCRIPT}_enabled-visible-checkbox")
    assert request_of(generated(page)) == drawn.request
    assert page.evaluate("window.hacked") is None


def test_reading_parameters_without_a_panel_switches_it_off(page: Any, host: Host) -> None:
    switch_on(page)
    page.fill("#txt2img_prompt textarea", host.draw(steps=1).infotexts[0])
    page.click("#paste")
    page.wait_for_function(f"!document.querySelector('{SCRIPT}_enabled-visible-checkbox').checked")
    assert request_of(generated(page)) is None


def test_reload_ui_leaves_one_of_each(page: Any, host: Host) -> None:
    before = host.get("/sdapi/v1/scripts").json()
    page.evaluate("document.querySelector('#settings_restart_gradio').click()")
    # A request in the moment between the host's start and that of its API would bring the host down.
    page.goto("about:blank")
    page.wait_for_timeout(15_000)
    assert host.get("/sdapi/v1/scripts").json() == before
    axes = next(s for s in host.get("/sdapi/v1/script-info").json() if s["name"] == "x/y/z plot")["args"][0]
    ours = [label for label in axes["choices"] if "Ranni" in label]
    assert len(ours) == len(set(ours)) == 27
    first, second = (host.draw(request={"panel": panel()}) for _ in range(2))
    assert (first.pixels == second.pixels).all()
    assert first.infotexts[0].count("Ranni: ") == 1
    load(page, host)
    assert len(page.query_selector_all(f"{SCRIPT}_panel")) == 1
