"""What the tests of drawing share: small requests, and an engine that shows its final latents."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from PIL import Image
from torch import Tensor

from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Panel
from lib_ranni.standalone.engine import Engine, OnStep
from lib_ranni.standalone.requests import Request

LEFT, RIGHT = Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0)


class Recorder(Engine):
    """An engine that remembers the latents (pictures, 4, h, w) it decoded last."""

    latents: Tensor

    def _decode(self, latents: Tensor, name: str) -> tuple[Image.Image, ...]:
        self.latents = latents
        return super()._decode(latents, name)

    def latents_of(self, request: Request, on_step: OnStep | None = None) -> Tensor:
        self.generate(request, on_step)
        return self.latents


def element(number: int, description: str, box: Box = FULL_CANVAS, **fields: Any) -> Element:
    return Element(id=f"e{number}", description=description, box=box, **fields)


def two() -> Panel:
    return Panel(
        base="a red circle and a blue square",
        elements=(element(1, "a red circle", LEFT), element(2, "a blue square", RIGHT)),
    )


def request(*panels: Panel, **fields: Any) -> Request:
    """A small request; one panel, or one for each picture."""
    settings = {"steps": 4, "cfg": 3.0, "width": 64, "height": 64, "seed": 11, "batch": max(1, len(panels))}
    return Request(panels=panels or (two(),), **{**settings, **fields})


def changed(given: Request, **fields: Any) -> Request:
    return msgspec.structs.replace(given, **fields)


def difference(first: Image.Image, second: Image.Image) -> int:
    """Largest difference of a channel of a pixel, in 0..255."""
    a, b = (np.asarray(picture, dtype=np.int16) for picture in (first, second))
    return int(np.abs(a - b).max())
