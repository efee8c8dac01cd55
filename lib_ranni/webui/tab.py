"""The extension's part of the txt2img and img2img tabs.

The host gets two inputs: the accordion's switch and one hidden JSON text. The visible controls write
into that text in the browser, so that a click on Generate never outruns them.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
import msgspec
from modules import shared
from modules.ui_components import InputAccordion

from lib_ranni.panel.problems import Problem
from lib_ranni.panel.reading import read as read_panel
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json as panel_to_json
from lib_ranni.planner.planners import NAMES
from lib_ranni.service import connection, lora_check, prior_part
from lib_ranni.service.request import Planning, Request, to_json
from lib_ranni.service.request import read as read_request
from lib_ranni.webui import controls
from lib_ranni.webui.host import WebUI
from lib_ranni.webui.prior_estimation import PriorSource

KEY = "Ranni"
"""The name under which an infotext holds the request."""

_USUAL = NAMES[0]


class Made(NamedTuple):
    """What a tab gives the host: the script's two inputs, and how an infotext fills the components."""

    inputs: list[Any]
    infotext_fields: list[tuple[Any, Callable[[dict[str, Any]], Any]]]


def build(script: Any, is_img2img: bool) -> Made:
    """The accordion of one tab. The host calls this several times and throws some away: nothing is kept."""
    identify = script.elem_id
    with InputAccordion(False, label="Ranni", elem_id=identify("enabled")) as enabled:
        planner = gr.Radio(["none", *NAMES], value=_USUAL, label="Planner", elem_id=identify("planner"))
        # The script in javascript/ makes the editor in here; the text below is what it edits.
        gr.HTML(elem_id=identify("editor"))
        status = gr.HTML(elem_id=identify("status"))
        settings = [
            *controls.following(identify, is_img2img),
            *controls.panel_control(identify, is_img2img),
            *controls.memory(identify),
        ]
        connection.build(WebUI(), identify)
        if not is_img2img:
            queued = not getattr(shared.cmd_opts, "no_gradio_queue", False)
            prior_part.build(PriorSource(), identify, streams=queued)
        lora_check.build(WebUI(), identify)
        with gr.Accordion("Panel as JSON", open=False, elem_id=identify("json")):
            panel = gr.Textbox(
                label="Panel (JSON)",
                lines=8,
                max_lines=16,
                placeholder="Press Plan, or paste a panel. Empty: each prompt is planned as it is drawn.",
                elem_id=identify("panel"),
            )
        usual = to_json(Request(planner=Planning(name=_USUAL)))
        request = gr.Textbox(usual, visible=False, elem_id=identify("request"))
    for unsaved in (panel, request):
        unsaved.do_not_save_to_config = True
    shown, compose = [panel, planner, *(one.component for one in settings)], controls.composing(settings)
    for component in shown:
        component.change(fn=None, _js=compose, inputs=shown, outputs=[request], show_progress=False)
    panel.change(_look, inputs=[panel], outputs=[status], show_progress=False)
    fields = _fields(
        [(panel, lambda r: _panel_text(r.panels)), (planner, lambda r: r.planner.name or "none")]
    )
    fields += _fields([(one.component, one.read) for one in settings])
    pasted = [(enabled, lambda params: KEY in params), (request, lambda params: params.get(KEY, ""))]
    return Made([enabled, request], [*pasted, *fields])


def _look(text: str) -> str:
    """What is wrong with a panel's text."""
    return _listed(read_panel(text).problems) if text.strip() else ""


def _listed(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(f'{p.path}: {p.message}')}</li>" for p in problems[:20])
    return f"<p>This panel is not used until it is mended:</p><ul>{items}</ul>"


def _fields(readers: list[tuple[Any, Callable[[Request], Any]]]) -> list[tuple[Any, Any]]:
    """How components are filled from an infotext; without our key they stay as they are."""

    def value(read: Callable[[Request], Any]) -> Callable[[dict[str, Any]], Any]:
        return lambda params: read(read_request(params[KEY]).request) if KEY in params else gr.update()

    return [(component, value(read)) for component, read in readers]


def _panel_text(panels: tuple[Panel, ...]) -> str:
    if len(panels) == 1:
        return panel_to_json(panels[0], indent=2)
    documents = [msgspec.json.decode(panel_to_json(panel)) for panel in panels]
    return json.dumps(documents, ensure_ascii=False, indent=2) if documents else ""
