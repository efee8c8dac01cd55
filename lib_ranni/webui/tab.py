"""The extension's part of the txt2img and img2img tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
from modules.ui_components import InputAccordion


class Made(NamedTuple):
    """What a tab gives the host: the script's two inputs, and how an infotext fills them."""

    inputs: list[Any]
    infotext_fields: list[tuple[Any, Callable[[dict[str, Any]], Any]]]


def build(script: Any) -> Made:
    """The accordion of one tab. Called several times by the host, so it keeps nothing."""
    with InputAccordion(False, label="Ranni", elem_id=script.elem_id("enabled")) as enabled:
        value = gr.Textbox(
            value="",
            label="Panel and settings (JSON)",
            lines=6,
            elem_id=script.elem_id("request"),
        )
        value.do_not_save_to_config = True

    def pasted(params: dict[str, Any]) -> Any:
        return params.get("Ranni", "")

    return Made([enabled, value], [(enabled, lambda params: "Ranni" in params), (value, pasted)])
