"""The double of the host with the extension in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.guidance.conftest import LdmUNet
from tests.webui.fake_host import Host, installed


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    torch.manual_seed(1)
    return LdmUNet().eval().requires_grad_(False)


@pytest.fixture
def host(unet: nn.Module, tmp_path: Path) -> Iterator[Host]:
    with installed(Host(unet, tmp_path)) as found:
        from lib_ranni.webui import script

        script.register()
        found.fire("before_ui")
        yield found
