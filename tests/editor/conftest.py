"""The editor's pages, served on loopback and opened in Chromium."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """The repository's files under an address of this machine."""
    handler = functools.partial(_Handler, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=path, args=_QUIET)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def context(browser: Any) -> Iterator[Any]:
    made = browser.new_context(
        viewport={"width": 1100, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_page(context: Any, site: str) -> Iterator[Any]:
    yield from opened(context, f"{site}/tests/editor/page.html")


@pytest.fixture
def page(shared_page: Any) -> Iterator[Any]:
    """A new editor alone on a page; an error of the page fails the test."""
    shared_page.bring_to_front()
    shared_page.evaluate("renew()")
    yield shared_page
    assert shared_page.faults == []


@pytest.fixture
def host_page(context: Any, site: str) -> Iterator[Any]:
    """What the WebUI has of a tab, without a place for the editor."""
    yield from opened(context, f"{site}/tests/editor/host.html")


def opened(context: Any, url: str) -> Iterator[Any]:
    """A page with the editor's scripts loaded; an error in it fails the test."""
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.goto(url)
    page.wait_for_function("window.editor !== undefined || (window.uiUpdated && window.uiUpdated.length > 0)")
    yield page
    page.close()
    assert page.faults == []
