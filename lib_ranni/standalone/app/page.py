"""The page: prompt and editor first, pictures beside them, settings below the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from lib_ranni.panel.types import MAX_SEED
from lib_ranni.planner.planners import NAMES as PLANNERS
from lib_ranni.service import connection, keeping
from lib_ranni.service.host import Host
from lib_ranni.standalone.app import shown
from lib_ranni.standalone.app.controls import MIN_SIDE, NAMES, NONE, Controls
from lib_ranni.standalone.app.handlers import MODEL_SETS, Handlers
from lib_ranni.standalone.app.models import about
from lib_ranni.standalone.app.scripts import style
from lib_ranni.standalone.app.studio import Studio
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.schedulers import SAMPLERS

TITLE = "Ranni"
MOST_AT_ONCE = 64
"""Pages whose drawings may wait at the same time; further ones wait for a place to wait."""

_MOST_SHOWN_PX = 2048
_MOST_PICTURES = 16
_STYLE = Path(__file__).with_name("page.css")
_SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_SYSTEM_MONO = ("ui-monospace", "Consolas", "Menlo", "monospace")

# Runs in the browser when the page is there. The address is the page's own: a proxy may show it anywhere.
_BEGIN = """
async () => {
    document.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
        event.preventDefault();
        document.getElementById("app_generate")?.click();
    });
    await import(new URL("ranni/javascript/ranni.mjs", new URL(".", location.href)).href);
}
"""

Parts = dict[str, Any]
"""The components by the names of the controls, and some more."""


def build(studio: Studio, host: Host, checkpoint: Checkpoint, planner: str) -> gr.Blocks:
    """The page as it begins: with the values that suit `checkpoint`, and this planner chosen."""
    usual = studio.usual(planner, checkpoint)
    theme = gr.themes.Default(
        primary_hue="indigo", secondary_hue="indigo", font=_SYSTEM_FONTS, font_mono=_SYSTEM_MONO
    ).set(
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_500",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )
    css = style() + _STYLE.read_text(encoding="utf-8")
    with gr.Blocks(title=TITLE, theme=theme, css=css, analytics_enabled=False) as page:
        parts: Parts = {"session": gr.State()}
        _prompts(parts)
        with gr.Row(elem_id="app_work"):
            with gr.Column(elem_id="app_left", scale=5, min_width=300):
                _editor(parts, host, usual)
            with gr.Column(elem_id="app_right", scale=3, min_width=300):
                with gr.Column(elem_id="app_pictures", min_width=300):
                    _pictures(parts)
                with gr.Column(elem_id="app_settings", min_width=300), gr.Tabs():
                    _settings(parts, usual)
                    _model(parts, checkpoint, usual)
        _wire(parts, Handlers(studio, _copying(parts["gallery"])))
        page.load(fn=None, _js=_BEGIN)
    return page.queue(concurrency_count=MOST_AT_ONCE, api_open=False)


def _prompts(parts: Parts) -> None:
    with gr.Row(elem_id="app_top"):
        with gr.Column(scale=5, min_width=300):
            parts["prompt"] = gr.Textbox(
                label="Prompt",
                lines=2,
                max_lines=6,
                placeholder="a red circle to the left of a blue square",
                elem_id="app_prompt",
            )
            parts["negative"] = gr.Textbox(
                label="Negative prompt",
                lines=1,
                max_lines=4,
                placeholder="what the pictures must not show",
                elem_id="app_neg_prompt",
            )
        with gr.Column(scale=3, min_width=300, elem_id="app_act"):
            with gr.Row(elem_id="app_buttons"):
                parts["generate"] = gr.Button("Generate", variant="primary", elem_id="app_generate")
                parts["cancel"] = gr.Button("Cancel", interactive=False, elem_id="app_cancel")
            parts["status"] = gr.HTML(shown.status(), elem_id="app_status")


def _editor(parts: Parts, host: Host, usual: Controls) -> None:
    parts["planner"] = gr.Radio(
        [NONE, *PLANNERS], value=usual.planner, label="Planner", elem_id="script_app_ranni_planner"
    )
    gr.HTML(elem_id="script_app_ranni_editor")
    made = keeping.build(lambda name: f"app_{name}")
    parts.update(zip(("keep", "edit_margin", "edit_feather"), made, strict=True))
    with gr.Accordion("Panel as JSON", open=False, elem_id="script_app_ranni_json"):
        parts["panel"] = gr.Textbox(
            label="Panel (JSON)",
            lines=8,
            max_lines=16,
            placeholder="Plan, draw boxes, or paste a panel. Empty: the prompt is planned as it is drawn.",
            elem_id="script_app_ranni_panel",
        )
    connection.build(host, lambda name: f"script_app_ranni_{name}")


def _pictures(parts: Parts) -> None:
    parts["picture"] = gr.HTML(shown.picture(None), elem_id="app_chosen")
    # Newest first. A click shows a picture above; Gradio's own preview would not follow new ones.
    parts["gallery"] = gr.Gallery(
        label="Pictures",
        show_label=False,
        elem_id="app_gallery",
        columns=6,
        height=118,
        object_fit="contain",
        allow_preview=False,
        show_share_button=False,
        show_download_button=False,
    )
    with gr.Row(elem_id="app_again"):
        parts["use"] = gr.Button("Use these settings", size="sm", interactive=False, elem_id="app_use")
        parts["use_seed"] = gr.Button("Use its seed", size="sm", interactive=False, elem_id="app_use_seed")


def _settings(parts: Parts, usual: Controls) -> None:
    with gr.Tab("Picture"):
        with gr.Row():
            for name in ("width", "height"):
                value = getattr(usual, name)
                most = max(_MOST_SHOWN_PX, value)
                parts[name] = gr.Slider(
                    MIN_SIDE, most, value=value, step=8, label=name.capitalize(), elem_id=f"app_{name}"
                )
        with gr.Row():
            parts["steps"] = gr.Slider(1, 150, value=usual.steps, step=1, label="Steps", elem_id="app_steps")
            parts["cfg"] = gr.Slider(1, 30, value=usual.cfg, step=0.5, label="CFG scale", elem_id="app_cfg")
        with gr.Row():
            parts["sampler"] = gr.Dropdown(
                list(SAMPLERS), value=usual.sampler, label="Sampler", elem_id="app_sampler"
            )
            parts["batch"] = gr.Slider(
                1, _MOST_PICTURES, value=usual.batch, step=1, label="Pictures", elem_id="app_batch"
            )
        with gr.Row(elem_id="app_seed_row"):
            parts["seed"] = gr.Number(
                value=usual.seed,
                precision=0,
                minimum=-1,
                maximum=MAX_SEED,
                label="Seed (-1: any)",
                elem_id="app_seed",
            )
            parts["any_seed"] = gr.Button("Any", size="sm", min_width=60, elem_id="app_any_seed")
    with gr.Tab("Guidance"):
        with gr.Row():
            parts["mode"] = _radio("mode", "Mode", ("attention", "latent", "plain"), usual)
        with gr.Row():
            parts["base_ratio"] = _share("base_ratio", "Base ratio", usual)
            parts["feather"] = _share("feather", "Feather", usual, most=0.5)
        with gr.Row():
            parts["start"] = _share("start", "Start", usual)
            parts["end"] = _share("end", "End", usual)
        parts["overlap"] = _radio("overlap", "Where elements overlap", ("front", "blend"), usual)


def _radio(name: str, label: str, choices: tuple[str, ...], usual: Controls) -> Any:
    return gr.Radio(list(choices), value=getattr(usual, name), label=label, elem_id=f"app_{name}")


def _share(name: str, label: str, usual: Controls, most: float = 1.0) -> Any:
    return gr.Slider(0.0, most, value=getattr(usual, name), step=0.01, label=label, elem_id=f"app_{name}")


def _model(parts: Parts, checkpoint: Checkpoint, usual: Controls) -> None:
    with gr.Tab("Model"):
        with gr.Row(elem_id="app_model_row"):
            parts["model"] = gr.Textbox(
                usual.model,
                label="Checkpoint file or diffusers folder",
                max_lines=1,
                placeholder="empty: the one that the app began with",
                elem_id="app_model",
            )
            parts["load"] = gr.Button("Load", size="sm", min_width=60, elem_id="app_load")
        parts["about"] = gr.HTML(shown.status(about(checkpoint)), elem_id="app_about")


def _copying(gallery: Any) -> Any:
    """Files are shown from Gradio's folder: what it keeps there has a name that nobody guesses."""
    return lambda path: "file=" + quote(gallery.make_temp_copy_if_needed(str(path)))


def _wire(parts: Parts, handlers: Handlers) -> None:
    controls = [parts[name] for name in NAMES]
    session = parts["session"]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_name": False}
    at_once: dict[str, Any] = {**quiet, "queue": False}
    pictures = [parts[name] for name in ("picture", "gallery", "use", "use_seed")]
    parts["generate"].click(
        handlers.generate,
        inputs=[session, *controls],
        outputs=[session, parts["status"], parts["generate"], parts["cancel"], *pictures],
        **quiet,
    )
    parts["cancel"].click(handlers.cancel, inputs=[session], outputs=None, **at_once)
    parts["gallery"].select(handlers.choose, inputs=[session], outputs=[session, parts["picture"]], **at_once)
    parts["use"].click(handlers.use, inputs=[session, parts["planner"]], outputs=controls, **at_once)
    parts["use_seed"].click(handlers.use_seed, inputs=[session], outputs=[parts["seed"]], **at_once)
    parts["any_seed"].click(fn=None, _js="() => -1", inputs=None, outputs=[parts["seed"]], **quiet)
    filled = [parts[name] for name in MODEL_SETS]
    parts["load"].click(handlers.load, inputs=[parts["model"]], outputs=[parts["about"], *filled], **quiet)
