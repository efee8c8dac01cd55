"""One app for all tests: with a login, and shown by a proxy under a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lib_ranni.standalone.app.models import Models
from lib_ranni.standalone.checkpoint import Checkpoint
from tests.app.serving import App, Proxy

LOGIN = ("ann", "s:ecret 🔑")


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = App(tmp_path_factory.mktemp("app"), "--auth", ":".join(LOGIN), "--root-path", "/a/sub/")
    yield made
    # Ctrl+C is how an app ends; open pages and unfinished pictures do not keep it.
    assert made.stop() == 0, made.said


@pytest.fixture(scope="session")
def proxy(app: App) -> Iterator[Proxy]:
    made = Proxy(app.port, "/a/sub")
    yield made
    made.shutdown()
    made.server_close()
    assert [path for path in made.asked if not path.startswith("/a/sub/")] == []


@pytest.fixture
def stranger(browser: Any) -> Iterator[Any]:
    """A browser without a login. A page's errors fail the test."""
    opened = _context(browser)
    yield opened
    opened.close()
    assert opened.faults == []


@pytest.fixture(scope="session")
def _known(browser: Any, proxy: Proxy) -> Iterator[Any]:
    opened = _context(browser)
    form = {"username": LOGIN[0], "password": LOGIN[1]}
    assert opened.request.post(proxy.url + "login", form=form).status == 200
    yield opened
    opened.close()


@pytest.fixture
def window(_known: Any) -> Iterator[Any]:
    """A browser that has logged in, and keeps the files of the page from one test to the next."""
    yield _known
    for page in _known.pages:
        page.close()
    assert _known.faults == []


def _context(browser: Any) -> Any:
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    opened.faults = []
    # Gradio's own page throws this whenever a number is typed into a slider.
    theirs = "Cannot read properties of undefined (reading 'props')"
    opened.on("weberror", lambda e: None if theirs in str(e.error) else opened.faults.append(str(e.error)))
    return opened


@pytest.fixture(scope="session")
def models() -> Models:
    """The shipped checkpoint, loaded once."""
    made = Models(device="cpu")
    made.engine(made.first)
    return made


@pytest.fixture(scope="session")
def checkpoint(models: Models) -> Checkpoint:
    return models.engine(models.first).checkpoint
