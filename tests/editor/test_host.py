"""The editor in what the WebUI has of a tab: mounted late, bound both ways, mounted again."""

from __future__ import annotations

import json
from typing import Any

from tests.editor.driving import drag, element

A = element("e1", (0.1, 0.1, 0.3, 0.3))
GUIDANCE = {"mode": "latent", "feather": 0.25, "later": 1}
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


def _picture(page: Any, place: str, name: str, width: int, height: int) -> None:
    page.evaluate(
        "([place, name, width, height]) => { const image = document.createElement('img');"
        " image.src = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='${width}'"
        " height='${height}'><desc>${name}</desc></svg>`;"
        " document.querySelector(place).replaceChildren(image); }",
        [place, name, width, height],
    )


def _shows(page: Any, name: str) -> None:
    page.wait_for_function(
        "name => document.querySelector('.ranni-canvas image').getAttribute('href')?.includes(name)",
        arg=f">{name}<",
    )


def test_results_and_the_picture_that_is_painted_over_come_under_the_boxes(host_page: Any) -> None:
    _add_place(host_page)
    for place in ("txt2img_image", "txt2img_gallery"):
        host_page.evaluate("id => app.append(Object.assign(document.createElement('div'), { id }))", place)
    _picture(host_page, "#txt2img_image", "input", 64, 64)
    _shows(host_page, "input")
    host_page.evaluate("txt2img_gallery.innerHTML = '<div class=livePreview></div><p></p><p></p>'")
    _picture(host_page, ".livePreview", "preview", 64, 64)
    host_page.wait_for_timeout(400)
    _shows(host_page, "input")
    _picture(host_page, "#txt2img_gallery p", "sheet", 128, 64)
    _picture(host_page, "#txt2img_gallery p + p", "result", 64, 64)
    _shows(host_page, "result")
    host_page.evaluate("txt2img_gallery.replaceChildren()")
    host_page.wait_for_timeout(400)
    _shows(host_page, "result")
    host_page.evaluate("localStorage.clear()")


def test_the_prompt_the_planner_and_what_a_file_says_are_the_tabs(host_page: Any) -> None:
    host_page.evaluate(
        "() => { app.insertAdjacentHTML('beforeend', `<div id=txt2img_prompt><textarea></textarea></div>"
        "<div id=txt2img_neg_prompt><textarea>blurry</textarea></div><div id=script_txt2img_ranni_planner>"
        "<input type=radio value=none><input type=radio value=builtin checked></div>"
        "<div id=script_txt2img_ranni_mode>"
        "<input type=radio name=m value=attention checked><input type=radio name=m value=latent></div>"
        "<div id=script_txt2img_ranni_feather><input type=number value=0><input type=range></div>`); }"
    )
    _set_silently(host_page, json.dumps({"elements": [A]}))
    _add_place(host_page)
    _rows(host_page, 1)
    host_page.fill("#txt2img_prompt textarea", "a cat")
    host_page.wait_for_selector(".ranni-mark[title*='e1']")
    host_page.fill("#txt2img_prompt textarea", "an E1")
    host_page.wait_for_selector(".ranni-mark", state="hidden")
    assert "builtin" in host_page.inner_text(".ranni-go >> nth=0")
    answer = {
        "panel": {"elements": [A, A]},
        "problems": [],
        "prompt": "a dog",
        "negative": "fog",
        "guidance": GUIDANCE,
    }
    host_page.route("**/ranni/v1/open", lambda route: route.fulfill(json=answer))
    host_page.fill("#txt2img_prompt textarea", "")
    _drop(host_page)
    host_page.wait_for_function("document.querySelector('#txt2img_prompt textarea').value === 'a dog'")
    assert host_page.input_value("#txt2img_neg_prompt textarea") == "blurry"
    assert host_page.is_checked("[value=latent]")
    assert host_page.input_value("#script_txt2img_ranni_feather input >> nth=0") == "0.25"


def test_edit_here_brings_back_what_a_result_was_drawn_with(host_page: Any) -> None:
    host_page.evaluate(
        "() => app.insertAdjacentHTML('beforeend', `<div id=txt2img_gallery></div>"
        "<div id=txt2img_prompt><textarea>words since</textarea></div>"
        "<div id=txt2img_neg_prompt><textarea>fog since</textarea></div>"
        "<div id=txt2img_seed><input type=number value=-1></div>"
        "<div id=script_txt2img_ranni_keep><input type=checkbox></div>`)"
    )
    _add_place(host_page)
    assert not host_page.is_visible("[data-text=edit_here]")
    _picture(host_page, "#txt2img_gallery", "result", 64, 64)
    _shows(host_page, "result")
    asked = []
    answer = {"panel": {"elements": [A]}, "problems": [], "prompt": "a dog", "negative": None, "seed": 7}

    def fulfill(route: Any) -> None:
        asked.append(route.request.post_data)
        route.fulfill(json={**answer, "guidance": GUIDANCE})

    host_page.route("**/ranni/v1/open", fulfill)
    for _ in range(2):  # what is on stays on
        host_page.fill("#txt2img_seed input", "-1")
        host_page.click("[data-text=edit_here]")
        _rows(host_page, 1)
        host_page.wait_for_function("document.querySelector('#txt2img_seed input').value === '7'")
        assert host_page.is_checked("#script_txt2img_ranni_keep input")
    assert [">result<" in data for data in asked] == [True, True]
    assert host_page.input_value("#txt2img_prompt textarea") == "a dog"
    assert host_page.input_value("#txt2img_neg_prompt textarea") == ""
    host_page.unroute("**/ranni/v1/open")
    host_page.route("**/ranni/v1/open", lambda route: route.fulfill(body="<html>", content_type="text/html"))
    host_page.click("[data-text=edit_here]")
    host_page.wait_for_selector(".ranni-notice:has-text('200')")
    _rows(host_page, 1)


def _drop(page: Any) -> None:
    page.evaluate(
        "() => { const data = new DataTransfer(); data.items.add(new File(['x'], 'x.png'));"
        " const place = document.querySelector('.ranni-stage');"
        " for (const type of ['dragenter', 'dragover', 'drop']) place.dispatchEvent("
        "new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true})); }"
    )
