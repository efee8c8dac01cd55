"""Live tests talk to a WebUI that runs with `--api`, this extension and the shapes checkpoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.webui_live.host import Host
from tests.webui_live.pages import load

URL = os.environ.get("RANNI_WEBUI_URL", "")

# What override_settings leave behind for the life of the host when its config.json lacks them.
_DEFAULTS: dict[str, Any] = {
    "batch_cond_uncond": True,
    "pad_cond_uncond": False,
    "pad_cond_uncond_v0": False,
    "skip_early_cond": 0.0,
    "s_min_uncond_all": False,
    "live_previews_enable": False,
    "sgm_noise_multiplier": False,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if URL:
        return
    skip = pytest.mark.skip(reason="no WebUI: set RANNI_WEBUI_URL to one that runs with --api")
    for item in items:
        if "webui_live" in item.nodeid:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    found = Host(URL)
    assert found.get("/ranni/v1/version").status_code == 200, f"{URL} runs without this extension"
    yield found
    found.close()


@pytest.fixture
def recorder(host: Host) -> None:
    """Skips where the WebUI runs without what the tests have of their own inside it."""
    if "ranni recorder" not in host.get("/sdapi/v1/scripts").json()["txt2img"]:
        pytest.skip("link tests/webui_live/recorder into the WebUI's extensions folder and restart it")


@pytest.fixture(autouse=True)
def _settings(host: Host) -> None:
    host.post("/sdapi/v1/options", _DEFAULTS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as running:
        yield running.chromium.launch(executable_path=path, args=quiet)


@pytest.fixture
def page(browser: Any, host: Host) -> Iterator[Any]:
    """The host's page, just loaded; faults of any script on it fail the test."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1400})
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("response", lambda found: found.status >= 500 and faults.append(found.url))
    # The host's own page throws this whenever a number is typed into a slider, with or without us.
    theirs = "Cannot read properties of undefined (reading 'props')"
    load(opened, host)
    yield opened
    opened.close()
    assert [fault for fault in faults if fault != theirs] == []
