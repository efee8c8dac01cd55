"""The editor's own tests in the tabs of the running WebUI, light and dark, wide and narrow.

With RANNI_SCREENSHOTS set to a folder, what each test leaves behind is kept there as a picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editor.elsewhere import bind, editor_tests
from tests.webui_live.host import Host
from tests.webui_live.pages import load, switch_on

globals().update(editor_tests())

_KEPT = os.environ.get("RANNI_SCREENSHOTS", "")
_PLACES = [
    (tab, theme, width)
    for tab in ("txt2img", "img2img")
    for theme in ("light", "dark")
    for width in (1920, 1280, 400)
]


@pytest.fixture(scope="module", params=_PLACES, ids=lambda place: "-".join(map(str, place)))
def _shared(request: pytest.FixtureRequest, browser: Any, host: Host) -> Iterator[Any]:
    tab, theme, width = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.faults = []
    # The host's own page throws this whenever a number is typed into a slider, with or without us.
    theirs = "Cannot read properties of undefined (reading 'props')"
    page.on("pageerror", lambda error: theirs in str(error) or page.faults.append(str(error)))
    load(page, host, theme)
    if tab == "img2img":
        page.click("#tabs > .tab-nav button:has-text('img2img')")
    switch_on(page, tab)
    bind(page, tab)
    yield page
    context.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, _shared: Any) -> Iterator[Any]:
    """A new editor in the tab; an error of the page fails the test."""
    _shared.evaluate("renew()")
    yield _shared
    if _KEPT:
        Path(_KEPT).mkdir(parents=True, exist_ok=True)
        _shared.screenshot(path=f"{_KEPT}/{request.node.name.replace('/', '_')[:120]}.png")
    assert _shared.faults == []
