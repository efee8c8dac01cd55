"""The tests of the editor, to be run in the page of a host."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from tests.editor import test_fields, test_keyboard, test_keypoints, test_lists, test_pointer

_MODULES = (test_pointer, test_keyboard, test_fields, test_lists, test_keypoints)
_OF_THE_TEST_PAGE = {"context", "site", "led_page", "led_site", "shared_page"}
"""Fixtures that open further pages, whatever the host."""

_ALONE = {
    "test_without_a_server_nothing_is_counted",
    "test_the_language_changes_and_destroying_leaves_nothing",
    "test_a_drag_draws_anew_only_what_moves",
}
"""What no host's page can show."""

# `renew` and `changes` are what tests/editor/page.html has for them; `asked` is not: prompts are the host's.
_BIND = """
async (tab) => {
    for (const other of ["txt2img", "img2img", "app"]) {
        const its = document.querySelector(`#script_${other}_ranni_editor`);
        if (other === tab || !its) continue;
        its.ranniEditor?.destroy();
        its.remove();
    }
    const place = document.querySelector(`#script_${tab}_ranni_editor`);
    const text = document.querySelector(`#script_${tab}_ranni_panel textarea`);
    const there = async (was) => {
        while (!place.ranniEditor || place.ranniEditor === was || !place.querySelector(".ranni-editor"))
            await new Promise((go) => setTimeout(go, 20));
        window.editor = place.ranniEditor;
    };
    window.renew = async () => {
        document.querySelector("#elsewhere").value = "";
        const was = place.ranniEditor;
        window.quiet = true;
        text.value = "";
        text.dispatchEvent(new Event("input", { bubbles: true }));
        was.destroy();
        await there(was);
        place.scrollIntoView({ block: "start" });
        // Pressing a button of the toolbar then scrolls no more.
        window.scrollBy(0, -60);
        window.quiet = false;
        window.changes = [];
    };
    text.addEventListener("input", () => {
        if (!window.quiet)
            window.changes.push(text.value ? JSON.parse(text.value) : { version: 1, elements: [] });
    });
    const area = document.createElement("textarea");
    area.id = "elsewhere";
    // Always in sight, so that typing there does not scroll the page.
    area.style = "position: fixed; right: 0; bottom: 0; width: 60px; height: 30px; z-index: 9";
    document.body.append(area);
    await there();
    const parts = performance.getEntriesByType("resource").map((one) => one.name);
    const { LANGUAGES, loadTexts } = await import(parts.find((name) => name.endsWith("/ranni/strings.mjs")));
    await Promise.all(LANGUAGES.map(loadTexts));
}
"""


def bind(page: Any, tab: str) -> None:
    """Make a host's page answer to these tests: only this tab's editor is left, 1000 by 1000 pixels."""
    for side in ("width", "height"):
        selector = f"#{tab}_{side} input[type=number]"
        page.fill(selector, "1000")
        page.dispatch_event(selector, "change")
        page.press(selector, "Tab")
    page.evaluate(_BIND, tab)


def editor_tests() -> dict[str, Any]:
    """Name -> test or fixture, for a module that has a `page` of its own."""
    found: dict[str, Any] = {}
    missing = set(_OF_THE_TEST_PAGE)
    for module in _MODULES:
        for name, value in vars(module).items():
            if name in _ALONE or not _is_of(module, name, value):
                continue
            if missing & set(inspect.signature(_function(value)).parameters):
                missing.add(name)
                continue
            assert name not in found, f"two tests are called {name}"
            found[name] = value
    return found


def _is_of(module: ModuleType, name: str, value: Any) -> bool:
    function = _function(value)
    if not inspect.isfunction(function) or function.__module__ != module.__name__:
        return False
    return name.startswith("test_") or function is not value


def _function(value: Any) -> Any:
    """What a fixture calls; a test itself."""
    return getattr(value, "_fixture_function", value)
