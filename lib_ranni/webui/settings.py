"""The extension's page of the host's settings."""

from __future__ import annotations

from typing import Any

import gradio as gr
from modules import shared

_SECTION = ("ranni", "Ranni")

_MOST_ROWS = "ranni_latent_rows"
_INFOTEXT = "ranni_infotext"
_NESTED = "ranni_nested"


def add_options() -> None:
    """Called by the host when it makes its settings."""
    rows = shared.OptionInfo(
        0,
        "Latent mode: regions in one call of the UNet",
        gr.Slider,
        {"minimum": 0, "maximum": 64, "step": 1},
        section=_SECTION,
    ).info("0: as many as there are, or one a picture where the host does not batch; fewer save memory")
    shared.opts.add_option(_MOST_ROWS, rows)
    infotext = shared.OptionInfo(True, "Write panel and settings into the infotext", section=_SECTION)
    shared.opts.add_option(_INFOTEXT, infotext.info("without them a picture cannot be made again"))
    nested = shared.OptionInfo(False, "Guide pictures that are drawn within a picture", section=_SECTION)
    shared.opts.add_option(_NESTED, nested.info("such as the faces that ADetailer draws anew"))


def _value(name: str, default: Any) -> Any:
    """A setting; before the host has made its page, the default."""
    return getattr(shared.opts, name, default)


def most_rows(images: int, wanted: int) -> int:
    """Rows of our own that go through the UNet at once, at least 1."""
    chosen = int(_value(_MOST_ROWS, 0))
    if chosen > 0:
        return chosen
    return max(1, wanted if shared.opts.batch_cond_uncond else images)


def writes_infotext() -> bool:
    """Whether pictures carry what they were made of."""
    return bool(_value(_INFOTEXT, True))


def guides_nested() -> bool:
    """Whether a picture that an extension draws while another is processed follows the panel too."""
    return bool(_value(_NESTED, False))
