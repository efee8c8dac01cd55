"""The tab's visible controls: each sets one field of the request."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import gradio as gr
from modules.ui_common import create_refresh_button
from modules.ui_components import FormRow

from lib_ranni.guidance.layout_noise import MOST_STRENGTH
from lib_ranni.service import keeping
from lib_ranni.service.request import (
    MAX_CONTROL,
    MAX_TIMESTEP,
    MODES,
    OVERLAPS,
    OWN_CONDITIONER,
    PanelControl,
    Request,
    Settings,
)
from lib_ranni.webui import conditioners

Identify = Callable[[str], str]
"""A control's name to its id in the page."""

# Runs in the browser: the values of the controls, in their order, to the hidden JSON text.
_COMPOSE = """
(panel, planner, ...values) => {
    const request = { version: 1 };
    PLACES.forEach(([path, blank, meaning], index) => {
        const names = path.split("."), last = names.pop();
        const place = names.reduce((within, name) => (within[name] ??= {}), request);
        const value = values[index], isBlank = blank < 0 ? value < 0 : value === blank;
        place[last] = isBlank ? meaning : value;
    });
    if (panel.trim()) { try { request.panel = JSON.parse(panel); } catch (error) { request.panel = panel; } }
    else if (planner !== "none") { request.planner = { name: planner }; }
    if (request.memory.enabled) {
        // Whoever knows it has the pictures. It lives as long as this tab of the browser, reloads included.
        const secret = () => crypto.getRandomValues(new Uint32Array(4)).join("-");
        let key = String(performance.timeOrigin);
        try { key = sessionStorage.ranni_key ??= secret(); } catch (error) { /* nothing may be kept */ }
        request.memory.key = key;
    }
    return [JSON.stringify(request)];
}
"""


class Control(NamedTuple):
    """A component and the field of a request, such as `guidance.mode`, that it sets.

    Where it says `blank`, for which any negative number stands for the others, the field is `meaning`.
    """

    component: Any
    path: str
    blank: Any = None
    meaning: Any = None

    def read(self, request: Request) -> Any:
        """What the component shows of a request."""
        value = attrgetter(self.path)(request)
        return self.blank if self.blank is not None and value == self.meaning else value


def composing(controls: Sequence[Control]) -> str:
    """JavaScript from the values of panel, planner and these controls to the request's JSON."""
    return _COMPOSE.replace("PLACES", json.dumps([control[1:] for control in controls]))


def following(identify: Identify, is_img2img: bool) -> list[Control]:
    """How the panel is followed."""
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
    return [
        Control(mode, "guidance.mode"),
        Control(ratio, "guidance.base_ratio"),
        Control(feather, "guidance.feather"),
        Control(overlap, "guidance.overlap"),
        Control(start, "guidance.start"),
        Control(end, "guidance.end"),
        Control(hires, "guidance.hires.enabled"),
        Control(hires_ratio, "guidance.hires.base_ratio", -1),
        Control(hires_end, "guidance.hires.end"),
    ]


def panel_control(identify: Identify, is_img2img: bool) -> list[Control]:
    """Panel control, learned and without weights."""
    usual = PanelControl()
    with gr.Accordion("Panel control", open=False, elem_id=identify("control")):
        with FormRow():
            scale = _slider(identify, "Control scale (-1: 0.6 in mode panel only)", -1.0, -1.0, MAX_CONTROL)
            start = _slider(identify, "Control start (timestep)", usual.start, high=MAX_TIMESTEP, step=1)
            stop = _slider(identify, "Control stop (timestep)", usual.stop, high=MAX_TIMESTEP, step=1)
        with FormRow():
            postfix = gr.Textbox(
                label="Postfix",
                placeholder="Label of the whole canvas, such as the style; in mode panel it ends the prompt",
                elem_id=identify("postfix"),
            )
            conditioner = gr.Dropdown(
                conditioners.choices(),
                value=OWN_CONDITIONER,
                label="Panel conditioner",
                elem_id=identify("conditioner"),
            )
            create_refresh_button(
                conditioner,
                lambda: None,
                lambda: {"choices": conditioners.choices()},
                identify("refresh_conditioners"),
            )
        mask = gr.Checkbox(usual.local_mask, label="Local mask (mode panel)", elem_id=identify("local_mask"))
        with FormRow(visible=not is_img2img):
            noise = _slider(identify, "Layout noise", Settings().layout_noise, high=MOST_STRENGTH)
        with FormRow():
            bias = _slider(identify, "Attention bias", Settings().attention_bias)
    return [
        Control(scale, "guidance.control.scale", -1),
        Control(start, "guidance.control.start"),
        Control(stop, "guidance.control.stop"),
        Control(postfix, "guidance.control.postfix"),
        Control(conditioner, "guidance.control.conditioner", OWN_CONDITIONER, ""),
        Control(mask, "guidance.control.local_mask"),
        Control(noise, "guidance.layout_noise"),
        Control(bias, "guidance.attention_bias"),
    ]


def memory(identify: Identify) -> list[Control]:
    """What of the last picture is kept."""
    keep, margin, feather = keeping.build(identify)
    return [
        Control(keep, "memory.enabled"),
        Control(margin, "memory.margin"),
        Control(feather, "memory.feather"),
    ]


def _slider(
    identify: Identify,
    label: str,
    value: float,
    low: float = 0.0,
    high: float = 1.0,
    step: float = 0.01,
) -> Any:
    name = label.split(" (")[0].lower().replace(" ", "_")
    return gr.Slider(low, high, value=value, step=step, label=label, elem_id=identify(name))
