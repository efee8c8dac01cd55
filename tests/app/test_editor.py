"""The editor's own tests in the app's page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.serving import App
from tests.editor.elsewhere import bind, editor_tests

globals().update(editor_tests())


@pytest.fixture(scope="module")
def plain_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    app = App(tmp_path_factory.mktemp("editing"))
    yield app
    assert app.stop() == 0, app.said


@pytest.fixture(scope="module")
def _shared(browser: Any, plain_app: App) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(plain_app.url)
    page.wait_for_selector("#script_app_ranni_editor .ranni-editor")
    # Ctrl+Enter is pressed in one of the tests; pictures of this size take long.
    page.evaluate("document.querySelector('#app_generate').remove()")
    bind(page, "app")
    yield page
    context.close()


@pytest.fixture
def page(_shared: Any) -> Iterator[Any]:
    """A new editor in the app; an error of the page fails the test."""
    _shared.bring_to_front()
    _shared.evaluate("renew()")
    yield _shared
    assert _shared.faults == []


def _tab_to(page: Any, selector: str, key: str = "Tab") -> None:
    """Press Tab until this has the focus, as somebody without a mouse does."""
    for _ in range(60):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"Tab never comes to {selector}")


def test_plan_edit_and_generate_without_a_mouse(browser: Any, plain_app: App) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(plain_app.url)
    page.wait_for_selector("#script_app_ranni_editor .ranni-editor")
    _tab_to(page, "#app_prompt textarea")
    page.keyboard.type("a red circle to the left of a blue square")
    _tab_to(page, ".ranni-main .ranni-bar > .ranni-go")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ranni-canvas [data-id=e2]")
    before = _panel(page)["elements"]
    _tab_to(page, ".ranni-canvas [data-id=e1]")
    page.keyboard.press("Shift+ArrowDown")
    _tab_to(page, ".ranni-bar > input")
    page.keyboard.type("make the square green")
    page.keyboard.press("Enter")
    page.wait_for_selector(".ranni-proposal")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "selector => document.querySelector(selector).value.includes('green')",
        arg="#script_app_ranni_panel textarea",
    )
    after = _panel(page)["elements"]
    assert after[0]["box"]["y0"] == pytest.approx(before[0]["box"]["y0"] + 0.05, abs=1e-4)
    assert after[1]["description"] == "green square"
    _tab_to(page, "#app_generate", "Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#app_gallery img")
    page.close()


def test_it_ends_while_a_picture_is_drawn(browser: Any, plain_app: App) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(plain_app.url)
    page.fill("#app_prompt textarea", "a red circle")
    page.fill("#app_steps input[type=number]", "150")
    page.press("#app_steps input[type=number]", "Tab")
    page.click("#app_generate")
    page.wait_for_selector("#app_status:has-text('150')")
    assert plain_app.stop() == 0, plain_app.said
    page.close()


def _panel(page: Any) -> Any:
    page.wait_for_timeout(400)
    return json.loads(page.input_value("#script_app_ranni_panel textarea"))
