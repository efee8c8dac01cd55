"""Samples are made once for all tests of a file, each in a folder of its own."""

from __future__ import annotations

import pytest

from tests.lora.corpus import SAMPLES, Maker, Sample


@pytest.fixture(scope="session", params=SAMPLES, ids=lambda param: f"{param[0]}-{param[1].__name__}")
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    family, make = request.param
    return make(Maker(tmp_path_factory.mktemp(make.__name__), family))
