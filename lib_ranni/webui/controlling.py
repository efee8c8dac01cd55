"""Panel control of a job: what the request says of it, made for each model that draws a pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from lib_ranni.errors import ModelError
from lib_ranni.guidance.panel_session import Control
from lib_ranni.panel.types import Element, Panel
from lib_ranni.service.request import Settings
from lib_ranni.webui.batch_texts import BatchTexts
from lib_ranni.webui.conditioners import conditioner
from lib_ranni.webui.encoding import span_of
from lib_ranni.webui.labels import Labeled, Wanted, columns, first_part, labeled
from lib_ranni.webui.panel_mode import PanelMode
from lib_ranni.webui.passes import MakeControl, OnError

_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"\s*:\s*[-+]?(\d+\.?\d*|\.\d+)\s*$")


def extended(prompt: str, postfix: str) -> str:
    """A prompt whose first part, the one the panel stands in for, ends in the postfix."""
    found = _AND.search(prompt)
    first, rest = (prompt[: found.start()], prompt[found.start() :]) if found else (prompt, "")
    weight = _WEIGHT.search(first) if found else None
    words, tail = (first[: weight.start()], first[weight.start() :]) if weight else (first.rstrip(), "")
    space = " " if rest and not tail else ""
    return f"{words}, {postfix}{tail}{space}{rest}" if words.strip() else f"{postfix}{tail}{space}{rest}"


def absent(settings: Settings, model: Any) -> ModelError | None:
    """Why a model has no panel control, if it has none."""
    try:
        conditioner(settings.control.conditioner, model)
    except ModelError as error:
        return error
    return None


def wanted(
    settings: Settings,
    panels: Sequence[Panel],
    elements: Sequence[tuple[Element, ...]],
    prompts: Sequence[str],
    negatives: Sequence[str],
) -> list[Wanted]:
    """The pictures of a batch. The canvas is called by the postfix, or by what is the base's text here."""
    found = []
    for panel, own, prompt, negative in zip(panels, elements, prompts, negatives, strict=True):
        base = panel.base or ("" if settings.mode == "panel" else first_part(prompt))
        found.append(Wanted(own, settings.control.postfix or base, prompt, negative))
    return found


def maker(
    p: Any, settings: Settings, pictures: Sequence[Wanted], warn: Callable[[str], None]
) -> MakeControl | None:
    """What makes panel control for a model; None where it was not asked for."""
    if not settings.control_scale:
        return None
    asked, masks = settings.control, settings.mode == "panel"
    control = Control(settings.control_scale, asked.start, asked.stop, asked.local_mask)

    def make(model: Any, texts: BatchTexts, on_error: OnError) -> PanelMode:
        found = conditioner(asked.conditioner, model)
        known = labeled(pictures, span_of(p))
        if masks and asked.local_mask:
            _warn_of_unheard(known, warn)
        return PanelMode(model, found, texts, known, control, masks=masks, on_error=on_error)

    return make


def _warn_of_unheard(pictures: Sequence[Labeled], warn: Callable[[str], None]) -> None:
    words = {
        label for picture in pictures for label in picture.labels if not columns(picture.prompt.at(0), label)
    }
    if words:
        warn(f"the prompt does not say {', '.join(sorted(words))}: these labels have no local mask")
