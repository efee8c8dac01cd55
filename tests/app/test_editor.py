"""The editor's own tests in the app's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.serving import App
from tests.editor.elsewhere import bind, editor_tests

globals().update(editor_tests())


@pytest.fixture(scope="module")
def _shared(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    app = App(tmp_path_factory.mktemp("editing"))
    context = browser.new_context(
        viewport={"width": 1280, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(app.url)
    page.wait_for_selector("#script_app_ranni_editor .ranni-editor")
    bind(page, "app")
    yield page
    context.close()
    assert app.stop() == 0, app.said


@pytest.fixture
def page(_shared: Any) -> Iterator[Any]:
    """A new editor in the app; an error of the page fails the test."""
    _shared.bring_to_front()
    _shared.evaluate("renew()")
    yield _shared
    assert _shared.faults == []
