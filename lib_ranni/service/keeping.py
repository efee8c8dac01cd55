"""The controls of memory edits, which the WebUI's tab and the app share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_ranni.guidance.edit_region import FEATHER, MARGIN

_MOST_SHOWN = 16
"""Cells that the sliders reach; more can be asked for through the API."""


def build(identify: Callable[[str], str]) -> tuple[Any, Any, Any]:
    """The switch, and margin and feather in latent cells; `identify` makes a component's id of its name."""
    with gr.Row(elem_id=identify("keeping")):
        keep = gr.Checkbox(False, label="Keep the rest (edit the last picture)", elem_id=identify("keep"))
        margin = gr.Slider(
            0, _MOST_SHOWN, value=MARGIN, step=1, label="Edit margin", elem_id=identify("edit_margin")
        )
        feather = gr.Slider(
            0, _MOST_SHOWN, value=FEATHER, step=1, label="Edit feather", elem_id=identify("edit_feather")
        )
    return keep, margin, feather
