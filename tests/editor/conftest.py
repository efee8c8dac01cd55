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

from tests.editor.serving import Led, LedHost, served

ROOT = Path(__file__).resolve().parents[2]


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
def host_page(context: Any, led_site: tuple[LedHost, str]) -> Iterator[Any]:
    """What the WebUI has of a tab, without a place for the editor."""
    yield from opened(context, f"{led_site[1]}/tests/editor/host.html")


@pytest.fixture(scope="session")
def led_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LedHost, str]]:
    """The routes, and the repository's files, under another address of this machine."""
    host = LedHost(tmp_path_factory.mktemp("host"))
    with served(host) as url:
        yield host, url


@pytest.fixture(scope="module")
def shared_led_page(context: Any, led_site: tuple[LedHost, str]) -> Iterator[Any]:
    for page in opened(context, f"{led_site[1]}/tests/editor/page.html?server"):
        page.host = led_site[0]
        yield page


@pytest.fixture
def led_page(shared_led_page: Any) -> Iterator[Any]:
    """A new editor with a server: no panels are kept, and `host.led` waits to be told what to say."""
    page = shared_led_page
    page.host.led = Led()
    shutil.rmtree(page.host.panels, ignore_errors=True)
    page.bring_to_front()
    page.evaluate("renew()")
    yield page
    page.evaluate("editor.destroy()")
    page.unroute_all()
    # A refusal is what some tests are about.
    assert [fault for fault in page.faults if "Failed to load resource" not in fault] == []
    page.faults.clear()


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
