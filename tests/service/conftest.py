"""The routes on a plain server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lib_ranni.service.routes import mount
from tests.service.plain_host import PlainHost


@pytest.fixture
def host(tmp_path: Path) -> PlainHost:
    return PlainHost(tmp_path)


@pytest.fixture
def client(host: PlainHost) -> Iterator[TestClient]:
    app = FastAPI()
    mount(app, host)
    with TestClient(app, base_url="http://test/ranni/v1/") as opened:
        yield opened
