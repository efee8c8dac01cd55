"""The part of a page that looks into a LoRA file and converts it."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_ranni.errors import RanniError
from lib_ranni.lora.description import describe
from lib_ranni.service.host import Host
from lib_ranni.service.loras import Asked, check, convert


def build(host: Host, identify: Callable[[str], str]) -> None:
    """The accordion; `identify` makes a component's id of its name."""
    with gr.Accordion("Check a LoRA", open=False, elem_id=identify("lora_check")):
        with gr.Row():
            name = gr.Dropdown(
                list(host.loras()), label="LoRA", allow_custom_value=True, elem_id=identify("lora_name")
            )
            alpha = gr.Number(
                value=0,
                label="Alpha, where the file does not tell it (0: none)",
                elem_id=identify("lora_alpha"),
            )
        with gr.Row():
            look = gr.Button("Check", size="sm", elem_id=identify("lora_look"))
            write = gr.Button("Convert", size="sm", elem_id=identify("lora_convert"))
        report = gr.HTML(elem_id=identify("lora_report"))
    for component in (name, alpha, report):
        component.do_not_save_to_config = True
    acts: dict[str, Any] = {"api_name": False, "show_progress": "minimal"}
    look.click(_checking(host), inputs=[name, alpha], outputs=[name, report], **acts)
    write.click(_converting(host), inputs=[name, alpha], outputs=[name, report], **acts)


def _asked(name: str | None, alpha: float | None) -> Asked:
    return Asked((name or "").strip(), alpha or None)


def _checking(host: Host) -> Callable[[str | None, float | None], tuple[Any, str]]:
    def looked(name: str | None, alpha: float | None) -> tuple[Any, str]:
        try:
            host.list_loras()
            found = check(host, _asked(name, alpha))
            text = describe(found.report)
            if found.matched is not None:
                text += f"\n  the model that is loaded takes {found.matched} of them"
        except RanniError as error:
            text = str(error)
        return gr.update(choices=list(host.loras())), _shown(text)

    return looked


def _converting(host: Host) -> Callable[[str | None, float | None], tuple[Any, str]]:
    def converted(name: str | None, alpha: float | None) -> tuple[Any, str]:
        try:
            made = convert(host, _asked(name, alpha))
            written = [path for path in (made.path, *made.embeddings) if path]
            text = "\n".join(
                [
                    f"written: {', '.join(written)} ({made.modules} modules; "
                    f"largest deviation {made.verified.worst:.1e})",
                    *made.notes,
                ]
            )
        except RanniError as error:
            text = str(error)
        return gr.update(choices=list(host.loras())), _shown(text)

    return converted


def _shown(text: str) -> str:
    return f'<pre role="status" style="white-space: pre-wrap">{html.escape(text)}</pre>'
