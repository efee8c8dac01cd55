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
from modules.ui_components import FormRow, InputAccordion

from lib_ranni.panel.problems import Problem
from lib_ranni.panel.reading import read as read_panel
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json as panel_to_json
from lib_ranni.planner.planners import NAMES
from lib_ranni.service import connection, prior_part
from lib_ranni.service.request import MODES, OVERLAPS, Planning, Request, Settings, to_json
from lib_ranni.service.request import read as read_request
from lib_ranni.webui.host import WebUI
from lib_ranni.webui.prior_estimation import PriorSource

KEY = "Ranni"
"""The name under which an infotext holds the request."""

_USUAL = NAMES[0]

# Runs in the browser: the values of the controls, in their order, to the hidden JSON text.
_COMPOSE = """
(panel, planner, mode, ratio, feather, overlap, start, end, hires, hiresRatio, hiresEnd) => {
    let read = null;
    if (panel.trim()) { try { read = JSON.parse(panel); } catch (error) { read = panel; } }
    const second = { enabled: hires, base_ratio: hiresRatio < 0 ? null : hiresRatio, end: hiresEnd };
    const guidance = { mode, base_ratio: ratio, feather, overlap, start, end, hires: second };
    const request = { version: 1, guidance };
    if (read !== null) { request.panel = read; }
    else if (planner !== "none") { request.planner = { name: planner }; }
    return [JSON.stringify(request)];
}
"""


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
        settings = _settings(identify, is_img2img)
        connection.build(WebUI(), identify)
        if not is_img2img:
            queued = not getattr(shared.cmd_opts, "no_gradio_queue", False)
            prior_part.build(PriorSource(), identify, streams=queued)
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
    controls = [panel, planner, *settings]
    for unsaved in (panel, request):
        unsaved.do_not_save_to_config = True
    for control in controls:
        control.change(fn=None, _js=_COMPOSE, inputs=controls, outputs=[request], show_progress=False)
    panel.change(_look, inputs=[panel], outputs=[status], show_progress=False)
    return Made([enabled, request], _fields(enabled, request, controls))


def _settings(identify: Callable[[str], str], is_img2img: bool) -> list[Any]:
    """The controls of how the panel is followed, in the order in which the browser composes them."""
    usual = Settings()
    with FormRow():
        mode = gr.Radio(list(MODES), value=usual.mode, label="Mode", elem_id=identify("mode"))
        overlap = gr.Radio(
            list(OVERLAPS), value=usual.overlap, label="Where elements overlap", elem_id=identify("overlap")
        )
    with FormRow():
        ratio = _slider(identify, "Base ratio", usual.base_ratio)
        feather = _slider(identify, "Feather", usual.feather, high=0.5)
    with FormRow():
        start = _slider(identify, "Start", usual.start)
        end = _slider(identify, "End", usual.end)
    with FormRow(visible=not is_img2img):
        hires = gr.Checkbox(True, label="Guide the hires pass", elem_id=identify("hires"))
        hires_ratio = _slider(identify, "Hires base ratio (-1: the same)", -1.0, low=-1.0)
        hires_end = _slider(identify, "Hires end", usual.hires.end)
    return [mode, ratio, feather, overlap, start, end, hires, hires_ratio, hires_end]


def _slider(
    identify: Callable[[str], str], label: str, value: float, low: float = 0.0, high: float = 1.0
) -> Any:
    name = label.split(" (")[0].lower().replace(" ", "_")
    return gr.Slider(low, high, value=value, step=0.01, label=label, elem_id=identify(name))


def _look(text: str) -> str:
    """What is wrong with a panel's text."""
    return _listed(read_panel(text).problems) if text.strip() else ""


def _listed(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(f'{p.path}: {p.message}')}</li>" for p in problems[:20])
    return f"<p>This panel is not used until it is mended:</p><ul>{items}</ul>"


def _fields(enabled: Any, request: Any, controls: list[Any]) -> list[tuple[Any, Any]]:
    """How the components are filled from an infotext; without our key the extension is switched off."""

    def pasted(params: dict[str, Any]) -> Request:
        return read_request(params.get(KEY)).request

    def value(read: Callable[[Request], Any]) -> Callable[[dict[str, Any]], Any]:
        return lambda params: read(pasted(params)) if KEY in params else gr.update()

    readers: list[Callable[[Request], Any]] = [
        lambda r: _panel_text(r.panels),
        lambda r: r.planner.name or "none",
        lambda r: r.guidance.mode,
        lambda r: r.guidance.base_ratio,
        lambda r: r.guidance.feather,
        lambda r: r.guidance.overlap,
        lambda r: r.guidance.start,
        lambda r: r.guidance.end,
        lambda r: r.guidance.hires.enabled,
        lambda r: -1.0 if r.guidance.hires.base_ratio is None else r.guidance.hires.base_ratio,
        lambda r: r.guidance.hires.end,
    ]
    fields = [(enabled, lambda params: KEY in params), (request, lambda params: params.get(KEY, ""))]
    return [*fields, *((c, value(read)) for c, read in zip(controls, readers, strict=True))]


def _panel_text(panels: tuple[Panel, ...]) -> str:
    if len(panels) == 1:
        return panel_to_json(panels[0], indent=2)
    documents = [msgspec.json.decode(panel_to_json(panel)) for panel in panels]
    return json.dumps(documents, ensure_ascii=False, indent=2) if documents else ""
