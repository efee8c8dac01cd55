"""Fields that are lists: colors, LoRAs; a mask; what is told about an element and its text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.editor.driving import click, element, load, tool, value

COUNT = ".ranni-field:has([data-field=description]) .ranni-aside"
COUNTED = "([of, text]) => document.querySelector(of).textContent === text"
A = element("e1", (0.1, 0.1, 0.3, 0.3))
MASK = {"width": 2, "height": 1, "runs": [1, 1]}


def _first(page: Any) -> Any:
    return value(page)["elements"][0]


def _fault(page: Any, name: str) -> str:
    return str(page.inner_text(f".ranni-{name} > .ranni-fault"))


@pytest.fixture
def row(page: Any) -> Any:
    load(page, A)
    click(page, 0.2, 0.2)
    return page


@pytest.mark.parametrize(
    ("text", "color"),
    [("tomato", "#ff6347"), ("#F80", "#ff8800"), ("gray", "#808080"), ("rgb(1 2 3)", "#010203")],
)
def test_a_color_is_added_by_name_or_code(row: Any, text: str, color: str) -> None:
    row.fill("[data-field=add_color]", text)
    row.press("[data-field=add_color]", "Enter")
    assert _first(row)["colors"] == [color]
    assert row.input_value("[data-field=color_0]") == row.input_value("[data-field=color_name_0]") == color


def test_a_name_that_is_being_typed_stays_when_something_else_is_drawn_anew(row: Any) -> None:
    row.click("[aria-label='Add a color']")
    row.fill("[data-field=color_name_0]", "na")
    row.evaluate("editor.setAspect(640, 512)")
    row.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    row.type("[data-field=color_name_0]", "vy")
    row.press("[data-field=color_name_0]", "Enter")
    assert _first(row)["colors"] == ["#000080"]
    row.fill("[data-field=color_name_0]", "blurple")
    row.press("[data-field=color_name_0]", "Enter")
    row.wait_for_function("document.querySelector('[data-field=color_name_0]').value === '#000080'")


def test_a_color_is_changed_by_name_and_nonsense_is_told(row: Any) -> None:
    row.evaluate("editor.setLanguage('zh_CN')")
    row.click("[aria-label=添加颜色]")
    row.fill("[data-field=color_name_0]", "藏青色")
    row.press("[data-field=color_name_0]", "Tab")
    assert _first(row)["colors"] == ["#000080"]
    row.evaluate("editor.setLanguage('en')")
    for wrong in ("blurple", "transparent", "url(x)", "#12"):
        row.fill("[data-field=color_name_0]", wrong)
        row.press("[data-field=color_name_0]", "Tab")
        assert "#rrggbb" in _fault(row, "colors")
        assert row.input_value("[data-field=color_name_0]") == "#000080"
    row.fill("[data-field=add_color]", "blurple")
    row.press("[data-field=add_color]", "Enter")
    assert row.input_value("[data-field=add_color]") == "blurple"
    assert _first(row)["colors"] == ["#000080"]
    for _ in range(4):
        row.fill("[data-field=add_color]", "red")
        row.press("[data-field=add_color]", "Enter")
    assert _fault(row, "colors") == ""
    assert not row.is_visible("[data-field=add_color]")
    row.click("[aria-label='Remove color 1']")
    assert _first(row)["colors"] == ["#ff0000"] * 4
    assert row.evaluate("document.activeElement.ariaLabel") == "Add a color"


def test_loras_are_listed_weighted_and_removed(led_page: Any) -> None:
    page = led_page
    load(page, A)
    click(page, 0.2, 0.2)
    page.focus("[data-field=add_lora_one]")
    page.wait_for_function("document.querySelectorAll('.ranni-lora option').length === 2")
    assert page.eval_on_selector_all(".ranni-lora option", "all => all.map(o => o.value)") == ["Clay", "ink"]
    page.keyboard.type("ink")
    page.keyboard.press("Enter")
    page.fill("[data-field=add_lora_one]", "<b>mine</b>")
    page.click("[aria-label='Add a LoRA']")
    page.fill("[data-field=weight_0]", "-0.5")
    assert _first(page)["lora"] == [{"name": "ink", "weight": -0.5}, {"name": "<b>mine</b>", "weight": 1}]
    page.fill("[data-field=weight_0]", "11")
    assert "-10 to 10" in _fault(page, "lora")
    page.fill("[data-field=lora_one_1]", "")
    page.press("[data-field=lora_one_1]", "Tab")
    assert page.input_value("[data-field=lora_one_1]") == "<b>mine</b>"
    assert page.input_value("[data-field=weight_0]") == "-0.5"
    page.press("[data-field=weight_0]", "ArrowUp")
    assert _first(page)["lora"][0]["weight"] == pytest.approx(-0.45)
    page.click("[aria-label='Remove LoRA 1']")
    assert _first(page)["lora"] == [{"name": "<b>mine</b>", "weight": 1}]
    page.click("[aria-label='Remove LoRA 1']")
    assert "lora" not in _first(page)
    tool(page, "undo")
    assert page.input_value("[data-field=lora_one_0]") == "<b>mine</b>"


def test_what_a_lora_has_besides_survives_and_several_share_them(page: Any) -> None:
    load(page, A | {"lora": [{"name": "a", "later": 1}]}, element("e2", (0.5, 0.5, 0.9, 0.9)))
    click(page, 0.2, 0.2)
    click(page, 0.7, 0.7, "Shift")
    page.fill("[data-field=weight_0]", "2")
    assert [e["lora"] for e in value(page)["elements"]] == [[{"name": "a", "later": 1, "weight": 2}]] * 2


def test_a_mask_is_told_and_removed_unless_it_is_locked(page: Any) -> None:
    load(page, A | {"mask": MASK, "locked": True})
    click(page, 0.2, 0.2)
    assert page.is_visible("text=Mask of 2 × 1")
    assert page.is_disabled("text=Remove the mask")
    assert page.is_disabled("[data-field=add_color]")
    page.click("li[data-id=e1] [data-tool=lock]")
    page.focus("text=Remove the mask")
    page.keyboard.press("Enter")
    assert "mask" not in _first(page)
    assert not page.is_visible("text=Mask of")
    assert page.evaluate("document.activeElement.dataset.id") == "e1"
    tool(page, "undo")
    assert _first(page)["mask"] == MASK


def test_tokens_are_counted_once_for_what_is_typed(led_page: Any) -> None:
    page = led_page
    asked: list[Any] = []
    page.on(
        "request", lambda request: "tokens" in request.url and asked.append(request.post_data_json["texts"])
    )
    load(page, A, A | {"id": "e2", "description": "a dog, big"})
    click(page, 0.2, 0.2)
    page.wait_for_function(COUNTED, arg=[COUNT, "4/75"])
    page.focus("[data-field=description]")
    page.keyboard.press("End")
    page.keyboard.type(" and a cat")
    page.wait_for_function(COUNTED, arg=[COUNT, "7/75"])
    assert asked == [["thing e1", "a dog, big"], ["a dog, big and a cat"]]


def test_without_a_server_nothing_is_counted(row: Any) -> None:
    row.wait_for_timeout(450)
    assert row.inner_text(COUNT) == ""


def _warned(page: Any) -> list[str]:
    return list(page.locator(".ranni-warnings li").all_inner_texts())


def test_what_an_element_will_not_get_is_told_and_marked(led_page: Any) -> None:
    page = led_page
    page.evaluate("asked.prompt = 'two red Apples on a table'")
    page.route("**/tokens", lambda route: route.fulfill(json={"counts": [[80, 75]] * 3}))
    load(
        page,
        element("e1", (0, 0, 1, 1), description="a dark room"),
        element("e2", (0.1, 0.1, 0.2, 0.5), description="a hat on a head"),
        element("e3", (0.1, 0.1, 0.5, 0.4), description="a shiny <b>apple</b>, of gold"),
        base="in a room",
    )
    page.evaluate("editor.setAspect(500, 500)")
    click(page, 0.15, 0.45)
    page.wait_for_function("document.querySelectorAll('.ranni-warnings li').length === 4")
    assert [word.split(":")[0] for word in _warned(page)] == [
        "50 × 200 px is little",
        "“hat” is not in the prompt, nor in the base",
        "“a shiny <b>apple</b>, of gold” lies in front of 75% of it",
        "80 tokens, but there is room for 75; the rest is not read",
    ]
    assert page.get_attribute("li[data-id=e2] .ranni-mark", "title") == "\n".join(_warned(page))
    page.evaluate("() => { asked.prompt += ', a HAT'; editor.setAspect(1000, 1000); }")
    page.fill("[data-field=x]", "60")
    assert _warned(page) == ["80 tokens, but there is room for 75; the rest is not read"]
    page.evaluate("() => { asked.prompt += ', a room'; editor.load({elements: []}); }")
    assert page.locator(".ranni-mark").count() == 0


def test_an_empty_prompt_is_not_told_of_every_word(row: Any) -> None:
    assert _warned(row) == []
    row.fill("[data-field=width]", "6")
    assert _warned(row) == ["60 × 200 px is little: attention hardly tells places apart below 64 px"]
