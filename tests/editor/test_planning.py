"""Planning and changing by words in the editor, over the real routes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.planner.protocol import Failed
from tests.editor.driving import click, drag, element, ids, load, sides, tool, value

A = element("e1", (0.1, 0.1, 0.3, 0.3))
LOCKED = element("e2", (0.6, 0.6, 0.9, 0.9), locked=True)
BAR = ".ranni-main > .ranni-bar:first-child"
STATUS = f"{BAR} [role=status]"
FIELD = "input[aria-label^='Say what to change']"
PROPOSAL = ".ranni-proposal"
HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>javascript:alert(1) \u202eשלום'
)


def thing(element_id: str, description: str, *at: float, **fields: Any) -> Element:
    return Element(id=element_id, description=description, box=Box(*at), **fields)


APPLE = thing("e7", "a red apple", 0.05, 0.4, 0.45, 0.9)
PEAR = thing("e8", "a green pear", 0.55, 0.3, 0.95, 0.9)


def says(page: Any, text: str, selector: str = STATUS) -> None:
    page.wait_for_function(
        "([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[selector, text]
    )


def marks(page: Any, count: int) -> None:
    page.wait_for_function("n => document.querySelectorAll('.ranni-ghosts rect').length === n", arg=count)


def kinds(page: Any) -> list[str]:
    found = page.eval_on_selector_all(".ranni-ghosts rect", "all => all.map(r => r.classList[1].slice(6))")
    return list(found)


def words(page: Any) -> list[str]:
    found = page.eval_on_selector_all(f"{PROPOSAL} li", "all => all.map(li => li.textContent)")
    return [word.replace("\u2068", "").replace("\u2069", "") for word in found]


def plan(page: Any, planner: str = "openai") -> None:
    page.evaluate("name => { asked.planner = name; }", planner)
    page.click(f"{BAR} .ranni-go")


def tell(page: Any, text: str, planner: str = "openai") -> None:
    page.evaluate("name => { asked.planner = name; }", planner)
    page.fill(FIELD, text)
    page.press(FIELD, "Enter")


def steps(page: Any) -> int:
    """How many steps can be undone; undoes them."""
    count = 0
    while page.get_attribute("[data-tool=undo]", "aria-disabled") is None:
        tool(page, "undo")
        count += 1
    return count


def offered(page: Any, *after: Element, **fields: Any) -> None:
    """A proposal of the model, made on the panel that is shown."""
    page.host.led.ends(Panel(elements=after, **fields))
    tell(page, "change it")
    page.wait_for_selector(PROPOSAL)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_plan_is_one_step(led_page: Any, by: str) -> None:
    load(led_page, A)
    # Without a choice the built-in planner plans.
    if by == "mouse":
        led_page.click("text=Plan with builtin")
    else:
        led_page.focus(f"{BAR} .ranni-go")
        led_page.keyboard.press("Enter")
    says(led_page, "Elements: 2")
    assert [e["description"] for e in value(led_page)["elements"]] == ["red apple", "green pear"]
    assert led_page.evaluate("changes.map(panel => panel.elements.length)") == [2]
    tool(led_page, "undo")
    assert ids(led_page) == ["e1"]
    assert steps(led_page) == 1


def test_elements_are_sketched_as_they_come(led_page: Any) -> None:
    load(led_page, A)
    before = value(led_page)
    plan(led_page)
    led_page.host.led.shows(APPLE)
    marks(led_page, 1)
    # It may still change; then it is the same one.
    led_page.host.led.shows(thing("e7", "an apple", 0.0, 0.0, 0.5, 0.5), PEAR)
    marks(led_page, 2)
    says(led_page, "s · Elements: 2", BAR)
    assert led_page.locator(".ranni-ghosts text").all_text_contents() == ["an apple", "a green pear"]
    page_box = led_page.locator(".ranni-page").bounding_box()
    rect = led_page.locator(".ranni-ghosts rect").first.bounding_box()
    assert rect["width"] == pytest.approx(page_box["width"] / 2, abs=6)
    assert (value(led_page), led_page.evaluate("changes")) == (before, [])
    assert led_page.get_attribute("[data-tool=redo]", "aria-disabled") == "true"
    led_page.host.led.ends(Panel(elements=(APPLE, PEAR)))
    says(led_page, "Elements: 2")
    marks(led_page, 0)
    assert ids(led_page) == ["e7", "e8"]
    assert led_page.locator(f"{BAR} button:visible").all_inner_texts() == ["Plan with openai", "Panels"]


def test_the_report_is_told_and_goes_when_dismissed(led_page: Any) -> None:
    plan(led_page)
    report = {
        "fallback": "no server",
        "notes": ("one",),
        "repairs": ("quotes",),
        "unread": ("very", "quickly"),
    }
    led_page.host.led.ends(Panel(elements=(APPLE,)), **report)
    led_page.wait_for_selector(".ranni-report li")
    assert led_page.locator(".ranni-report li").all_inner_texts() == [
        "Planned without the model: no server", "one", "Mended: quotes", "Nothing stands for: very, quickly",
    ]  # fmt: skip
    assert led_page.get_attribute(".ranni-report", "aria-live") == "polite"
    led_page.focus("text=Dismiss")
    led_page.keyboard.press("Enter")
    assert not led_page.is_visible(".ranni-report li")


@pytest.mark.parametrize("by", ["mouse", "keyboard", "Escape"])
@pytest.mark.parametrize("route", ["plan", "edit"])
def test_cancelled_the_canvas_is_as_it_was(led_page: Any, by: str, route: str) -> None:
    load(led_page, A)
    before = value(led_page)
    if route == "plan":
        plan(led_page)
        led_page.host.led.shows(APPLE)
        marks(led_page, 1)
    else:
        tell(led_page, "make it red")
        led_page.wait_for_selector("text=Cancel")
        assert led_page.input_value(FIELD) == ""
    if by == "Escape":
        led_page.keyboard.press("Escape")
    elif by == "mouse":
        led_page.click("text=Cancel")
    else:
        led_page.focus("text=Cancel")
        led_page.keyboard.press("Enter")
    says(led_page, "Cancelled.")
    marks(led_page, 0)
    assert led_page.host.led.left.wait(5)
    assert (value(led_page), led_page.evaluate("changes")) == (before, [])
    assert led_page.locator(".ranni-sketched").count() == 0
    assert led_page.evaluate("document.querySelector('.ranni-main').contains(document.activeElement)")
    assert led_page.input_value(FIELD) == ("" if route == "plan" else "make it red")


def test_a_planner_that_fails_is_heard(led_page: Any) -> None:
    load(led_page, A)
    plan(led_page)
    led_page.host.led.shows(APPLE)
    marks(led_page, 1)
    led_page.host.led.says(Failed("the model is not there; start it"))
    says(led_page, "the model is not there; start it", ".ranni-report")
    marks(led_page, 0)
    assert ids(led_page) == ["e1"]
    assert steps(led_page) == 1


PAGE = "<html>Please log in</html>"
CUT = f"event: element\ndata: {json.dumps(A)}\n\nevent: done\ndata: "


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "does not answer"),
        ({"status": 401, "body": "{}"}, "log in again"),
        ({"status": 500, "content_type": "text/html", "body": PAGE}, "status 500"),
        ({"status": 200, "content_type": "text/html", "body": PAGE}, "status 200"),
        ({"status": 502, "json": {"error": "no model", "problems": []}}, "no model"),
        ({"status": 200, "content_type": "text/event-stream", "body": CUT}, "broke off"),
        (
            {"status": 200, "content_type": "text/event-stream",
             "body": 'event: done\ndata: {"panel":[],"report":{}}\n\n'},
            "cannot be read",
        ),
    ],
)  # fmt: skip
def test_servers_in_trouble(led_page: Any, answer: dict[str, Any] | None, said: str) -> None:
    load(led_page, A)
    led_page.route("**/plan", lambda route: route.fulfill(**answer) if answer else route.abort())
    plan(led_page)
    says(led_page, said, ".ranni-report")
    assert ids(led_page) == ["e1"]
    assert led_page.locator(".ranni-ghosts rect").count() == 0


def test_locked_elements_stay_and_only_then_is_the_panel_sent(led_page: Any) -> None:
    sent: list[Any] = []
    led_page.on(
        "request", lambda request: sent.append(request.post_data_json) if "plan" in request.url else None
    )
    load(led_page, A, LOCKED)
    plan(led_page, "builtin")
    says(led_page, "Elements: 3")
    assert {"e2"} < set(ids(led_page))
    assert sides(led_page, "e2") == [0.6, 0.6, 0.9, 0.9]
    assert [e["id"] for e in sent[0]["panel"]["elements"]] == ["e1", "e2"]
    load(led_page, A)
    plan(led_page, "builtin")
    says(led_page, "Elements: 2")
    assert "panel" not in sent[1]
    assert (sent[1]["aspect"], sent[1]["prompt"]) == (1, "a red apple to the left of a green pear")


def test_a_plan_for_a_panel_that_has_changed_since_is_only_offered(led_page: Any) -> None:
    load(led_page, A, LOCKED)
    plan(led_page)
    led_page.host.led.shows(APPLE)
    marks(led_page, 1)
    drag(led_page, (0.2, 0.2), (0.4, 0.4))
    led_page.host.led.ends(Panel(elements=(APPLE,)))
    led_page.wait_for_selector(PROPOSAL)
    assert sides(led_page) == [0.3, 0.3, 0.5, 0.5]
    assert words(led_page) == ["Removed: thing e1", "Added: a red apple"]
    led_page.click("text=Accept")
    assert ids(led_page) == ["e7", "e2"]
    tool(led_page, "undo")
    assert sides(led_page) == [0.3, 0.3, 0.5, 0.5]
    # The text as it was given, and the movement.
    assert steps(led_page) == 2


def test_what_is_locked_while_a_plan_is_made_stays_in_it(led_page: Any) -> None:
    load(led_page, A)
    plan(led_page)
    led_page.host.led.shows(APPLE)
    marks(led_page, 1)
    led_page.click(".ranni-row [data-tool=lock]")
    led_page.host.led.ends(Panel(elements=(APPLE,)))
    led_page.wait_for_selector(PROPOSAL)
    assert words(led_page) == ["Added: a red apple", "Changed the order from back to front."][:1]
    led_page.keyboard.press("Escape")


def test_a_plan_waits_for_what_is_being_dragged(led_page: Any) -> None:
    load(led_page, A)
    plan(led_page)
    led_page.host.led.shows(APPLE)
    marks(led_page, 1)
    drag(led_page, (0.2, 0.2), (0.4, 0.4), drop=False)
    led_page.host.led.ends(Panel(elements=(APPLE,)))
    led_page.wait_for_timeout(300)
    assert not led_page.is_visible(PROPOSAL)
    led_page.mouse.up()
    led_page.wait_for_selector(PROPOSAL)
    assert sides(led_page) == [0.3, 0.3, 0.5, 0.5]


def test_a_change_in_words_by_keyboard_alone(led_page: Any) -> None:
    load(led_page, element("e1", (0.1, 0.1, 0.3, 0.3)) | {"description": "a red apple"})
    tell(led_page, "make the apple green", "builtin")
    led_page.wait_for_selector(PROPOSAL)
    says(led_page, "Proposed changes: 2")
    assert words(led_page) == ["Changed: a red apple → a green apple", "a green apple, Colors: – → #00a000"]
    # The planner's own words for the same are not needed.
    assert led_page.locator(".ranni-report li").count() == 0
    assert value(led_page)["elements"][0]["description"] == "a red apple"
    assert led_page.evaluate("changes") == []
    led_page.keyboard.press("Enter")
    assert value(led_page)["elements"][0]["description"] == "a green apple"
    assert not led_page.is_visible(PROPOSAL)
    assert len(led_page.evaluate("changes")) == 1
    tool(led_page, "undo")
    assert value(led_page)["elements"][0]["description"] == "a red apple"
    tell(led_page, "把e1移到右边", "builtin")
    led_page.wait_for_selector(PROPOSAL)
    assert words(led_page)[0].startswith("Moved: a red apple, → ")
    led_page.keyboard.press("Escape")
    says(led_page, "Rejected")
    assert sides(led_page) == [0.1, 0.1, 0.3, 0.3]
    green, right = "make the apple green", "把e1移到右边"
    keys = ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown")
    for key, expected in zip(keys, (right, green, green, right, ""), strict=True):
        led_page.press(FIELD, key)
        assert led_page.input_value(FIELD) == expected


def test_an_input_method_and_the_host_keep_their_enter(led_page: Any) -> None:
    load(led_page, A)
    led_page.fill(FIELD, "ni hao")
    led_page.eval_on_selector(
        FIELD,
        "field => field.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))",
    )
    led_page.press(FIELD, "Control+Enter")
    assert led_page.input_value(FIELD) == "ni hao"
    assert led_page.host.led.asked == []


CHANGED = (
    thing("e2", "a cat", 0.6, 0.6, 0.9, 0.9),
    thing("e3", "thing e3", 0.1, 0.1, 0.5, 0.2),
    thing("e4", "thing e4", 0.5, 0.4, 0.7, 0.5, weight=2.0, negative="blur"),
    thing("e9", "a dog", 0.0, 0.0, 0.2, 0.2),
)


def _four(page: Any) -> None:
    load(page, A, element("e2", (0.6, 0.6, 0.9, 0.9)), element("e3", (0.1, 0.1, 0.2, 0.2)),
         element("e4", (0.4, 0.4, 0.6, 0.5)), base="a lawn")  # fmt: skip


def test_a_proposal_is_shown_on_the_canvas_and_in_words(led_page: Any) -> None:
    _four(led_page)
    offered(led_page, *CHANGED, base="a beach")
    assert kinds(led_page) == ["gone", "changed", "old", "placed", "old", "placed", "added"]
    expected = [
        "Removed: thing e1", "Changed: thing e2 → a cat", "Resized: thing e3, 10% × 10% → 40% × 10%",
        "Moved: thing e4, → 10%", "thing e4, Weight: 1 → 2", "thing e4, Negative: – → blur", "Added: a dog",
        "Whole picture, Base prompt: background and style: a lawn → a beach",
    ]  # fmt: skip
    assert sorted(words(led_page)) == sorted(expected)
    box = led_page.locator(".ranni-ghosts .ranni-added").bounding_box()
    page_box = led_page.locator(".ranni-page").bounding_box()
    assert (box["x"], box["y"]) == pytest.approx((page_box["x"], page_box["y"]), abs=4)
    led_page.evaluate("editor.setLanguage('zh_CN')")
    assert "移除：thing e1" in words(led_page)
    assert "更改：thing e2 → a cat" in words(led_page)
    led_page.evaluate("editor.setLanguage('en')")
    led_page.click("text=Reject")
    assert kinds(led_page) == []
    assert ids(led_page) == ["e1", "e2", "e3", "e4"]


def test_what_is_accepted_is_one_step_and_what_is_unchanged_is_the_same(led_page: Any) -> None:
    _four(led_page)
    offered(led_page, *CHANGED, base="a beach")
    led_page.click("text=Accept")
    assert ids(led_page) == ["e2", "e3", "e4", "e9"]
    assert value(led_page)["base"] == "a beach"
    assert steps(led_page) == 2
    offered(led_page, *CHANGED)
    led_page.focus(".ranni-canvas")
    led_page.keyboard.press("Enter")
    assert ids(led_page) == ["e2", "e3", "e4", "e9"]


def test_an_answer_that_changes_nothing_says_so(led_page: Any) -> None:
    load(
        led_page,
        {"id": "e7", "description": APPLE.description, "box": {"y1": 0.9, "x1": 0.45, "y0": 0.4, "x0": 0.05}},
    )
    led_page.host.led.ends(Panel(elements=(APPLE,)))
    tell(led_page, "leave it")
    says(led_page, "Nothing would change.")
    assert not led_page.is_visible(PROPOSAL)


@pytest.mark.parametrize("when", ["shown", "awaited"])
def test_a_change_by_hand_withdraws_what_was_proposed(led_page: Any, when: str) -> None:
    load(led_page, A)
    if when == "shown":
        offered(led_page, APPLE)
    else:
        tell(led_page, "change it")
        led_page.wait_for_selector("text=Cancel")
    click(led_page, 0.2, 0.2)
    if when == "shown":
        assert led_page.is_visible(PROPOSAL)  # Selecting changes nothing.
    led_page.keyboard.press("ArrowRight")
    led_page.host.led.ends(Panel(elements=(APPLE,)))
    says(led_page, "withdrawn")
    assert not led_page.is_visible(PROPOSAL)
    assert kinds(led_page) == []
    assert sides(led_page) == [0.105, 0.1, 0.305, 0.3]


def test_keys_that_belong_to_others_neither_accept_nor_reject(led_page: Any) -> None:
    load(led_page, A)
    offered(led_page, APPLE)
    led_page.focus("[data-field=panel_base]")
    led_page.keyboard.press("Escape")
    assert led_page.is_visible(PROPOSAL)
    led_page.fill(FIELD, "another")
    led_page.keyboard.press("Escape")
    assert led_page.is_visible(PROPOSAL)
    led_page.focus("[data-tool=grid]")
    led_page.keyboard.press("Enter")
    assert led_page.get_attribute("[data-tool=grid]", "aria-pressed") == "true"
    assert led_page.is_visible(PROPOSAL)


def test_hostile_texts_are_only_shown(led_page: Any) -> None:
    long = HOSTILE + "x" * (10_000 - len(HOSTILE))
    load(led_page, A)
    plan(led_page)
    bad = thing("e5", long, 0.1, 0.1, 0.9, 0.9)
    led_page.host.led.shows(bad)
    marks(led_page, 1)
    led_page.host.led.ends(
        Panel(elements=(bad,)), notes=(HOSTILE, "y" * 10_000), fallback=HOSTILE, unread=(HOSTILE,)
    )
    led_page.wait_for_selector(".ranni-report li")
    offered(
        led_page,
        thing("e5", HOSTILE, 0.1, 0.1, 0.9, 0.9),
        thing("e6", long, 0.1, 0.1, 0.2, 0.2),
        base=HOSTILE,
    )
    assert any(HOSTILE[:40] in word for word in words(led_page))
    assert led_page.evaluate("window.hacked") is None
    assert led_page.locator(".ranni-editor :is(img, script, iframe, a)").count() == 0
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    wide, room = led_page.evaluate(widths)
    assert wide <= room


def test_without_a_prompt_nothing_is_asked(led_page: Any) -> None:
    led_page.evaluate("asked.prompt = ' '")
    plan(led_page)
    says(led_page, "Write a prompt first", ".ranni-report")
    assert led_page.host.led.asked == []


def test_one_run_at_a_time(led_page: Any) -> None:
    load(led_page, A)
    plan(led_page)
    led_page.wait_for_selector("text=Cancel")
    tell(led_page, "make it red")
    led_page.press(f"{BAR} .ranni-go", "Enter")
    led_page.host.led.ends(Panel(elements=(APPLE,)))
    says(led_page, "Elements: 1")
    assert len(led_page.host.led.asked) == 1
    assert led_page.input_value(FIELD) == "make it red"


def test_the_planner_that_is_chosen_is_named(led_page: Any) -> None:
    led_page.evaluate("asked.planner = 'local'")
    led_page.fill("#elsewhere", "x")
    led_page.press("#elsewhere", "Tab")
    assert led_page.is_visible("text=Plan with local")


def test_without_a_server_there_is_no_planning(led_page: Any) -> None:
    led_page.evaluate("renew({service: null})")
    assert led_page.locator("text=Plan with").is_hidden()
    assert led_page.locator(FIELD).is_hidden()
    assert led_page.is_visible("text=Panels")


def test_the_editor_goes_while_a_plan_is_made(led_page: Any) -> None:
    plan(led_page)
    led_page.host.led.shows(APPLE)
    marks(led_page, 1)
    led_page.evaluate("renew()")
    assert led_page.host.led.left.wait(5)
    assert led_page.evaluate("changes") == []


def test_everything_is_reached_by_tab(led_page: Any) -> None:
    load(led_page, A)
    offered(led_page, APPLE)
    led_page.focus(f"{BAR} .ranni-go")
    seen = []
    for _ in range(40):
        led_page.keyboard.press("Tab")
        seen.append(
            led_page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel")
        )
    for name in ("Panels", "Send", "Accept (Enter)", "Reject (Esc)"):
        assert name in seen, json.dumps(seen, ensure_ascii=False)
    assert any(str(name).startswith("Say what to change") for name in seen)
