"""Planning in the tab: a prompt planned, a panel changed as told, and the change kept or taken back."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gradio as gr
from modules.ui_components import FormRow
from PIL import Image

from lib_ranni.errors import RanniError
from lib_ranni.panel.preview import render
from lib_ranni.panel.reading import load
from lib_ranni.panel.types import Element, Panel
from lib_ranni.panel.writing import to_json
from lib_ranni.planner.protocol import Cancelled, Done, EditRequest, ElementReady, Event, Failed, Report
from lib_ranni.webui import keys
from lib_ranni.webui.planning import PLANNERS, interrupted, planner, request, server

PREVIEW_PX = 384
USUAL = PLANNERS[0]
_MOST_UNDONE = 50

# These run in the browser. The last input becomes a name for the page, which the server does not know
# otherwise; the sliders of width and height may be made after this script.
_NAMED = """
(...values) => [...values.slice(0, -1), window.ranniPage ??= Math.random().toString(36).slice(2)]
"""
_NAMED_WITH_ASPECT = """
(prompt, planner, unused, panel, past, page) => {
    const side = (name) => Number(gradioApp().querySelector(`#TAB_${name} input[type=number]`)?.value);
    const aspect = side("width") / side("height");
    return [prompt, planner, Number.isFinite(aspect) && aspect > 0 ? aspect : 1, panel, past,
        window.ranniPage ??= Math.random().toString(36).slice(2)];
}
"""

_running: dict[str, threading.Event] = {}
"""Page -> what its Cancel button sets, while it plans."""


class Shown(NamedTuple):
    """The components that planning fills."""

    panel: Any
    preview: Any
    status: Any


def build(identify: Callable[[str], str], shown: Shown, chosen: Any, prompt: Any | None, tab: str) -> None:
    """The buttons; `chosen` is the planner's dropdown, `prompt` the tab's own prompt box if there is one."""
    past = gr.State([])
    page = gr.Textbox(visible=False)
    with FormRow():
        plan_button = gr.Button("Plan the prompt", elem_id=identify("plan"))
        cancel = gr.Button("Cancel planning", elem_id=identify("cancel"))
    told = gr.Textbox(
        label="Change the panel",
        placeholder="move the cat to the left, make the second apple green, ...",
        elem_id=identify("instruction"),
    )
    proposal = gr.Textbox(visible=False, elem_id=identify("proposal"))
    for unsaved in (told, page, proposal):
        unsaved.do_not_save_to_config = True
    with FormRow():
        edit = gr.Button("Propose the change", elem_id=identify("edit"))
        accept = gr.Button("Accept", elem_id=identify("accept"))
        reject = gr.Button("Reject", elem_id=identify("reject"))
        undo = gr.Button("Undo", elem_id=identify("undo"))
    outputs = [shown.panel, shown.preview, shown.status, past]
    if prompt is not None:
        aspect = gr.Number(1.0, visible=False)
        plan_button.click(
            _plan,
            _js=_NAMED_WITH_ASPECT.replace("TAB", tab),
            inputs=[prompt, chosen, aspect, shown.panel, past, page],
            outputs=outputs,
            show_progress=False,
        )
    cancel.click(_cancel, _js=_NAMED, inputs=[page], show_progress=False)
    edit.click(
        _edit,
        _js=_NAMED,
        inputs=[shown.panel, chosen, told, page],
        outputs=[proposal, shown.preview, shown.status],
        show_progress=False,
    )
    accept.click(
        _accept, inputs=[proposal, shown.panel, past], outputs=[proposal, *outputs], show_progress=False
    )
    reject.click(
        _reject, inputs=[shown.panel], outputs=[proposal, shown.preview, shown.status], show_progress=False
    )
    undo.click(_undo, inputs=[past], outputs=outputs, show_progress=False)
    _build_key(identify, shown.status)


def _build_key(identify: Callable[[str], str], status: Any) -> None:
    """A key goes to the server once, and never comes back."""
    with gr.Accordion("Key of the language model's server", open=False):
        key = gr.Textbox(
            show_label=False,
            type="password",
            placeholder="it is kept on this machine and not shown again",
            elem_id=identify("key"),
        )
        key.do_not_save_to_config = True
        save = gr.Button("Save the key", elem_id=identify("save_key"))
    save.click(_save_key, inputs=[key], outputs=[key, status], show_progress=False)


def _plan(
    prompt: str, name: str, aspect: float, panel: str, past: list[str], page: str
) -> Iterator[tuple[Any, ...]]:
    """The panel of the prompt as text; its elements are drawn as they come."""
    name = USUAL if name == "none" else name
    elements: dict[str, Element] = {}
    for event in _followed(page, lambda stop: planner(name).plan(request(prompt, aspect, None), stop)):
        if isinstance(event, ElementReady):
            # A model that is asked again begins anew, with the same ids.
            elements[event.element.id] = event.element
            sketch = Panel(elements=tuple(elements.values()), aspect=min(10.0, max(0.1, aspect)))
            yield gr.update(), _drawn(sketch), f"<p>{len(elements)} ...</p>", past
        elif isinstance(event, Done):
            yield to_json(event.panel, indent=2), _drawn(event.panel), said(event.report), _with(past, panel)
        elif isinstance(event, Failed):
            yield gr.update(), gr.update(), _paragraph(event.message), past


def _edit(panel: str, name: str, told: str, page: str) -> Iterator[tuple[Any, ...]]:
    """The changed panel as a proposal, and what would change."""
    name = USUAL if name == "none" else name

    def run(stop: Cancelled) -> Iterator[Event]:
        return planner(name).edit(EditRequest(load(panel), told), stop)

    for event in _followed(page, run):
        if isinstance(event, Done):
            yield to_json(event.panel, indent=2), _drawn(event.panel), said(event.report)
        elif isinstance(event, Failed):
            yield "", gr.update(), _paragraph(event.message)


def _accept(proposal: str, panel: str, past: list[str]) -> tuple[Any, ...]:
    if not proposal:
        return "", gr.update(), gr.update(), _paragraph("there is no proposal; propose a change first"), past
    return "", proposal, _drawn(load(proposal)), "", _with(past, panel)


def _reject(panel: str) -> tuple[Any, ...]:
    return "", _drawn(load(panel)) if panel.strip() else None, ""


def _undo(past: list[str]) -> tuple[Any, ...]:
    if not past:
        return gr.update(), gr.update(), _paragraph("there is nothing to undo"), past
    return past[-1], gr.update(), "", past[:-1]


def _with(past: list[str], panel: str) -> list[str]:
    return [*past, panel][-_MOST_UNDONE:]


def _followed(page: str, run: Callable[[Cancelled], Iterator[Event]]) -> Iterator[Event]:
    """The events of a planner, until the page's Cancel button or the host's Interrupt ends it."""
    stop, stopped = threading.Event(), interrupted()
    _running[page] = stop
    try:
        yield from run(lambda: stop.is_set() or stopped())
    except RanniError as error:
        yield Failed(str(error))
    finally:
        if _running.get(page) is stop:
            del _running[page]


def _cancel(page: str) -> None:
    stop = _running.get(page)
    if stop is not None:
        stop.set()


def _save_key(key: str) -> tuple[str, str]:
    try:
        url = server().url
        keys.save(url, key)
    except RanniError as error:
        return "", _paragraph(str(error))
    return "", _paragraph(f"the key for {url} is {'kept' if key.strip() else 'forgotten'}")


def _drawn(panel: Panel) -> Image.Image:
    return render(panel, PREVIEW_PX)


def said(report: Report) -> str:
    """What a report says, as a list."""
    lines = [f"planned without the model: {report.fallback}"] if report.fallback else []
    lines += [*report.notes, *(f"mended: {repair}" for repair in report.repairs)]
    lines += [f"left to the prompt: {words}" for words in report.unread]
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"
