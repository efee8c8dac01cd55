"""The editor in what the WebUI has of a tab: mounted late, bound both ways, mounted again."""

from __future__ import annotations

import json
from typing import Any

from tests.editor.driving import drag, element

A = element("e1", (0.1, 0.1, 0.3, 0.3))
AREA = "#script_txt2img_ranni_panel textarea"


def _add_place(page: Any) -> None:
    page.evaluate(
        "() => { const place = document.createElement('div'); place.id = 'script_txt2img_ranni_editor';"
        " document.getElementById('app').append(place); uiUpdated.forEach(call => call()); }"
    )
    page.wait_for_selector(".ranni-editor")


def _set_silently(page: Any, text: str) -> None:
    """As the server does it: no event."""
    page.eval_on_selector(AREA, "(area, text) => { area.value = text; }", text)


def _rows(page: Any, count: int) -> None:
    page.wait_for_function("n => document.querySelectorAll('.ranni-row').length === n", arg=count)


def test_without_a_place_nothing_happens(host_page: Any) -> None:
    host_page.wait_for_timeout(400)
    assert host_page.locator(".ranni-editor").count() == 0
    assert host_page.evaluate("uiLoaded.length + uiUpdated.length") == 2


def test_the_text_and_the_canvas_follow_each_other(host_page: Any) -> None:
    _set_silently(host_page, json.dumps({"elements": [A], "newer": 1}))
    _add_place(host_page)
    _rows(host_page, 1)
    assert host_page.evaluate("inputs") == []
    drag(host_page, (0.5, 0.5), (0.8, 0.9))
    host_page.keyboard.type("a dog")
    host_page.focus("#txt2img_width input")
    document = json.loads(host_page.input_value(AREA))
    assert [e["description"] for e in document["elements"]] == ["thing e1", "a dog"]
    assert document["newer"] == 1
    host_page.wait_for_timeout(700)
    assert host_page.evaluate("inputs.at(-1)") == host_page.input_value(AREA)
    told = host_page.evaluate("inputs.length")
    _set_silently(host_page, json.dumps({"elements": [A]}))
    _rows(host_page, 1)
    _set_silently(host_page, "")
    _rows(host_page, 0)
    host_page.wait_for_timeout(500)
    assert host_page.evaluate("inputs.length") == told
    # What was set in one go, what was typed, what was drawn; then what there was at first.
    for _ in range(3):
        host_page.click("[data-tool=undo]")
    host_page.focus("#txt2img_width input")
    assert json.loads(host_page.input_value(AREA)) == {"version": 1, "elements": [A], "newer": 1}
    host_page.click("[data-tool=undo]")
    host_page.focus("#txt2img_width input")
    assert host_page.input_value(AREA) == ""
    host_page.fill(AREA, json.dumps({"elements": [A, A | {"id": "e2"}]}))
    _rows(host_page, 2)


def test_a_text_that_is_no_panel_is_not_touched(host_page: Any) -> None:
    _add_place(host_page)
    host_page.fill(AREA, "{ half")
    host_page.wait_for_selector(".ranni-notice")
    drag(host_page, (0.2, 0.2), (0.5, 0.5))
    assert host_page.input_value(AREA) == "{ half"


def test_the_size_and_the_language_are_followed(host_page: Any) -> None:
    _add_place(host_page)
    ratio = (
        "r => { const b = document.querySelector('.ranni-page').getBBox();"
        " return Math.abs(b.width / b.height - r) < 0.01; }"
    )
    host_page.wait_for_function(ratio, arg=1)
    host_page.eval_on_selector("#txt2img_width input", "input => { input.value = 1024; }")
    host_page.wait_for_function(ratio, arg=2)
    host_page.fill("#txt2img_height input", "2048")
    host_page.wait_for_function(ratio, arg=0.5)
    host_page.fill("#txt2img_height input", "0")
    host_page.evaluate("opts.localization = 'zh_CN'")
    host_page.wait_for_selector("[aria-label='面板编辑器']")
    host_page.wait_for_function(ratio, arg=0.5)


def test_the_interface_is_made_anew(host_page: Any) -> None:
    _set_silently(host_page, json.dumps({"elements": [A]}))
    _add_place(host_page)
    _rows(host_page, 1)
    host_page.evaluate("document.getElementById('script_txt2img_ranni_editor').remove()")
    host_page.wait_for_timeout(500)
    _add_place(host_page)
    _rows(host_page, 1)
    host_page.evaluate("document.getElementById('script_txt2img_ranni_editor').replaceChildren()")
    host_page.wait_for_selector(".ranni-editor")
    _rows(host_page, 1)
    drag(host_page, (0.5, 0.5), (0.8, 0.9))
    host_page.focus("#txt2img_width input")
    assert len(json.loads(host_page.input_value(AREA))["elements"]) == 2
    host_page.reload()
    host_page.wait_for_function("uiUpdated.length === 1")
    _add_place(host_page)
    assert host_page.locator(".ranni-editor").count() == 1
