"""Options of the host's settings page, from tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr
from modules import shared


class Option(NamedTuple):
    """An option as the page shows it, and its key in an infotext where it has one."""

    label: str
    component: Any
    arguments: Any
    remark: str = ""
    infotext: str | None = None


TEXT: tuple[Any, dict[str, Any]] = (gr.Textbox, {})
TICK: tuple[Any, dict[str, Any]] = (gr.Checkbox, {})
"""Component and arguments, as those that the functions below give."""


def between(low: float, high: float, step: float) -> tuple[Any, dict[str, Any]]:
    """A slider."""
    return gr.Slider, {"minimum": low, "maximum": high, "step": step}


def among(names: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """A choice."""
    return gr.Dropdown, {"choices": list(names)}


def add(name: str, usual: Any, option: Option, section: tuple[str, str], **more: Any) -> None:
    """Add an option under the host's name for it; `more` goes to the host as it is."""
    label, component, arguments, remark, infotext = option
    made = shared.OptionInfo(usual, label, component, arguments, section=section, infotext=infotext, **more)
    shared.opts.add_option(name, made.info(remark) if remark else made)
