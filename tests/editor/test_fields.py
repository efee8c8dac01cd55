"""The list, the fields, the document that comes and goes, and hostile texts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.editor.driving import click, drag, element, ids, load, selected, sides, tool, value

A = element("e1", (0.1, 0.1, 0.3, 0.3))
B = element("e2", (0.5, 0.5, 0.9, 0.9), weight=2.0)
C = element("e3", (0.2, 0.6, 0.4, 0.8))


def _field(page: Any, name: str, text: str) -> None:
    page.fill(f"[data-field={name}]", text)


def _fault(page: Any, name: str) -> str:
    return str(page.inner_text(f".ranni-field:has([data-field={name}]) .ranni-fault"))


def _first(page: Any) -> Any:
    return value(page)["elements"][0]


@pytest.fixture
def one(page: Any) -> Any:
    load(page, A, B, C)
    click(page, 0.2, 0.2)
    return page


def test_every_field_reaches_the_document(one: Any) -> None:
    for name, text in {
        "description": "a dog\n小狗",
        "negative": "cat",
        "weight": "1.5",
        "base_ratio": "0.25",
        "end": "0.8",
        "start": "0.1",
        "seed": "4294967295",
    }.items():
        _field(one, name, text)
    tool_of = ".ranni-items"
    one.click(f"{tool_of} [aria-label='Add a color']")
    one.evaluate(
        "() => { const c = document.querySelector('[data-field=color_0]'); c.value = '#ff8000';"
        " c.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    expected = {
        "id": "e1", "description": "a dog\n小狗", "negative": "cat", "weight": 1.5, "base_ratio": 0.25,
        "start": 0.1, "end": 0.8, "seed": 4294967295, "colors": ["#ff8000"], "box": A["box"],
    }  # fmt: skip
    assert _first(one) == expected
    one.click(f"{tool_of} [aria-label='Remove color 1']")
    for name, text in {
        "negative": "",
        "weight": "1",
        "base_ratio": "",
        "start": "0",
        "end": "1",
        "seed": "",
    }.items():
        _field(one, name, text)
    assert _first(one) == {"id": "e1", "description": "a dog\n小狗", "box": A["box"]}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("description", "  ", "must say what"),
        ("weight", "11", "0 to 10"),
        ("weight", "", "0 to 10"),
        ("start", "1", "before end"),
        ("base_ratio", "-1", "0 to 1"),
        ("seed", "1.5", "whole number"),
        ("x", "81", "0 to 80"),
        ("width", "0", "1 to 90"),
    ],
)
def test_what_is_wrong_is_said_and_not_kept(one: Any, name: str, text: str, said: str) -> None:
    before = one.input_value(f"[data-field={name}]")
    _field(one, name, text)
    assert said in _fault(one, name)
    assert _first(one) == A
    one.focus("#elsewhere")
    assert one.input_value(f"[data-field={name}]") == before
    assert _fault(one, name) == ""


def test_what_is_typed_stays_when_something_else_is_drawn_anew(one: Any) -> None:
    one.fill("[data-field=weight]", "")
    one.evaluate("editor.setAspect(640, 512)")
    one.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    assert one.input_value("[data-field=weight]") == ""
    assert "0 to 10" in _fault(one, "weight")
    one.press("[data-field=weight]", "3")
    assert _first(one)["weight"] == 3


def test_the_box_in_percent_and_in_pixels(one: Any) -> None:
    one.evaluate("editor.setAspect(1024, 512)")
    _field(one, "x", "50")
    _field(one, "height", "12.5")
    assert sides(one) == [0.5, 0.1, 0.7, 0.225]
    one.select_option("[data-field=unit]", "px")
    assert [one.input_value(f"[data-field={n}]") for n in ("x", "y", "width", "height")] == [
        "512",
        "51",
        "205",
        "64",
    ]
    _field(one, "y", "256")
    _field(one, "width", "512")
    assert sides(one) == [0.5, 0.5, 1, 0.625]
    one.press("[data-field=y]", "ArrowUp")
    one.press("[data-field=y]", "Shift+ArrowDown")
    assert sides(one)[1] == pytest.approx(247 / 512, abs=1e-5)
    assert value(one)["aspect"] == 2


def test_typing_is_one_step_and_goes_out_when_the_field_is_left(one: Any) -> None:
    one.focus("[data-field=negative]")
    one.keyboard.type("fog and rain")
    one.focus("#elsewhere")
    assert one.evaluate("changes.at(-1).elements[0].negative") == "fog and rain"
    tool(one, "undo")
    assert _first(one) == A
    assert one.input_value("[data-field=negative]") == ""


def test_several_elements_share_their_fields(one: Any) -> None:
    click(one, 0.7, 0.7, "Shift")
    assert one.get_attribute("[data-field=weight]", "placeholder") == "various"
    _field(one, "weight", "3")
    assert [e.get("weight") for e in value(one)["elements"]] == [3, 3, None]
    assert not one.is_visible("[data-field=x]")


def test_aligning_and_distributing(one: Any) -> None:
    click(one, 0.7, 0.7, "Shift")
    tool(one, "align_left")
    assert sides(one, "e2") == [0.1, 0.5, 0.5, 0.9]
    tool(one, "align_bottom")
    assert sides(one, "e1") == [0.1, 0.7, 0.3, 0.9]
    load(one, A, B, element("e3", (0.2, 0.45, 0.4, 0.55)))
    one.focus(".ranni-canvas")
    one.keyboard.press("Control+a")
    tool(one, "distribute_y")
    assert sides(one, "e3") == [0.2, 0.35, 0.4, 0.45]


def test_the_list_selects_reorders_locks_and_hides(page: Any) -> None:
    load(page, A, B, C)
    assert page.locator(".ranni-name").all_inner_texts() == ["thing e3", "thing e2", "thing e1"]
    row = "li[data-id=e2] "
    page.click(row + ".ranni-name")
    assert selected(page) == ["e2"]
    page.click("li[data-id=e1] .ranni-name", modifiers=["Shift"])
    assert selected(page) == ["e1", "e2"]
    page.click(row + "[data-tool=forward]")
    assert ids(page) == ["e1", "e3", "e2"]
    page.click(row + "[data-tool=lock]")
    assert value(page)["elements"][2]["locked"] is True
    click(page, 0.7, 0.7)
    assert page.is_disabled("[data-field=weight]")
    page.click(row + "[data-tool=lock]")
    document = value(page)
    page.click(row + "[data-tool=hide]")
    assert page.locator("g[data-id=e2]").count() == 0
    assert value(page) == document
    drag(page, (0.7, 0.65), (0.8, 0.75))
    assert ids(page) == ["e1", "e3", "e2", "e4"]
    page.click(row + "[data-tool=hide]")
    assert page.locator("g[data-id=e2]").count() == 1


def test_the_whole_picture_and_the_empty_canvas(page: Any) -> None:
    assert page.is_visible(".ranni-empty")
    assert page.evaluate("editor.value()") == {"version": 1, "elements": []}
    page.fill("[data-field=panel_base]", "a quiet room")
    page.fill("[data-field=panel_negative]", "people")
    assert value(page) == {
        "version": 1, "elements": [], "base": "a quiet room", "negative": "people",
        "provenance": {"edited": True},
    }  # fmt: skip
    load(page, A)
    assert not page.is_visible(".ranni-empty")


def test_a_document_comes_back_as_it_was(page: Any) -> None:
    document = {
        "version": 1,
        "elements": [A | {"newer": {"a": [None]}}],
        "base": "x",
        "aspect": 2.0,
        "later": 1,
    }
    assert page.evaluate("d => editor.load(d)", document) == []
    assert value(page) == document
    page.wait_for_timeout(250)
    assert page.evaluate("changes") == []
    tool(page, "undo")
    assert ids(page) == []
    tool(page, "redo")
    assert value(page) == document


def test_what_cannot_be_shown_is_left_alone(page: Any) -> None:
    load(page, A)
    for text, said in (("{", "not JSON"), ("[{}, {}]", "2 panels"), ("7", "JSON object")):
        page.evaluate("t => editor.load(t)", text)
        assert said in page.inner_text(".ranni-notice")
        click(page, 0.6, 0.6)
        drag(page, (0.5, 0.5), (0.8, 0.8))
        assert ids(page) == ["e1"]
    assert page.evaluate("changes") == []
    page.click(".ranni-restart")
    assert page.evaluate("changes.length") == 1
    assert not page.is_visible(".ranni-notice")
    load(page, A, {"description": "<i>no box</i>", "box": {"x0": "<b>"}})
    assert "elements[1].box" in page.inner_text(".ranni-notice")


HOSTILE = [
    "<img src=x onerror='window.hacked = 1'><script>window.hacked = 1</script>",
    "javascript:window.hacked=1",
    "\u202egnirts desrever \u05e9\u05dc\u05d5\u05dd مرحبا بالعالم",
    "x" * 10_000,
    "&lt;b&gt; {0} ${1} \x00 \u2028 \"quoted\" 'single'",
]


def test_hostile_texts_are_texts(page: Any) -> None:
    elements = [
        element(f"e{n}", (n / 10, 0.1, n / 10 + 0.2, 0.9), description=text) for n, text in enumerate(HOSTILE)
    ]
    strange = element(
        '"><img src=x onerror="window.hacked=1">', (0, 0, 0.1, 0.1), colors=["url(javascript:1)"]
    )
    load(page, *elements, strange, base=HOSTILE[0])
    for number, text in enumerate(HOSTILE):
        page.click(f"li[data-id=e{number}] .ranni-name")
        assert page.input_value("[data-field=description]") == text
    assert page.locator(".ranni-editor img, .ranni-editor script, .ranni-editor b").count() == 0
    assert page.evaluate("window.hacked") is None
    assert [e["description"] for e in value(page)["elements"]][: len(HOSTILE)] == HOSTILE
    assert all(len(name) < 300 for name in page.locator(".ranni-name").all_inner_texts())


def test_five_hundred_elements_can_be_edited(page: Any) -> None:
    many = [
        element(f"e{n}", (n % 25 / 25, n // 25 / 20, n % 25 / 25 + 0.03, n // 25 / 20 + 0.04))
        for n in range(500)
    ]
    load(page, *many)
    assert page.locator("[role=option]").count() == 500
    assert page.locator(".ranni-row").count() == 500
    tool(page, "snap")
    drag(page, (0.015, 0.02), (0.5, 0.5))
    assert sides(page, "e0") == pytest.approx([0.485, 0.48, 0.515, 0.52], abs=0.005)
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    assert ids(page) == []
    page.keyboard.press("Control+z")
    assert len(ids(page)) == 500


def test_the_language_changes_and_destroying_leaves_nothing(page: Any) -> None:
    load(page, A)
    page.evaluate("editor.setLanguage('zh_CN')")
    assert page.get_attribute("[data-tool=undo]", "aria-label") == "撤销 (Ctrl+Z)"
    assert "元素" in page.inner_text(".ranni-list h3")
    page.evaluate("editor.destroy()")
    assert page.inner_html("#place") == ""
    page.evaluate("text => navigator.clipboard.writeText(text)", json.dumps(A))
    page.keyboard.press("Control+v")
    assert page.inner_html("#place") == ""


def test_the_theme_and_the_wish_for_less_motion_are_followed(page: Any) -> None:
    style = "([of, what]) => getComputedStyle(document.querySelector(of))[what]"
    assert page.evaluate(style, [".ranni-tool", "transitionDuration"]) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(style, [".ranni-tool", "transitionDuration"]) == "0s"
    page.emulate_media(reduced_motion="no-preference")
    as_it_is = page.evaluate(style, [".ranni-editor", "color"])
    page.evaluate("document.body.classList.toggle('dark')")
    assert page.evaluate(style, [".ranni-editor", "color"]) != as_it_is
    page.evaluate("document.body.classList.toggle('dark')")
    page.evaluate("document.body.style.setProperty('--body-text-color', 'rgb(1, 2, 3)')")
    assert page.evaluate(style, [".ranni-editor", "color"]) == "rgb(1, 2, 3)"
    page.evaluate("document.body.style.removeProperty('--body-text-color')")


def test_every_button_with_an_icon_shows_it(page: Any) -> None:
    """What is drawn is a table beside the script: a name that is not in it would leave a button empty."""
    points = [{"name": "nose", "x": 0.2, "y": 0.2}]
    records = {"colors": ["#ff0000"], "keypoints": points, "lora": [{"name": "a", "weight": 1}]}
    load(page, element("e1", (0, 0, 0.5, 0.5), **records), element("e2", (0.5, 0.5, 1, 1), locked=True))
    page.click("li[data-id=e1] .ranni-name")
    page.click("li[data-id=e1] [data-tool=hide]")
    drawn = page.eval_on_selector_all(".ranni-icon path", "all => all.map(path => path.getAttribute('d'))")
    assert len(drawn) > 30
    assert all(drawn)
