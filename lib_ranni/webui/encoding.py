"""Element texts through the host's own prompt parser and text encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from modules import devices, prompt_parser, shared

from lib_ranni.guidance.texts import Text

CHUNK = 77
"""Columns of a text are a multiple of this."""

T = TypeVar("T")
U = TypeVar("U")


class Timeline(Generic[T]):
    """What may change on the way, as in `[a cat:a dog:0.5]`: (last step, what holds till then) in order."""

    def __init__(self, entries: Sequence[tuple[int, T]]) -> None:
        self._entries = tuple(entries)

    @property
    def entries(self) -> tuple[T, ...]:
        """All that it goes through."""
        return tuple(entry for _, entry in self._entries)

    def map(self, change: Callable[[T], U]) -> Timeline[U]:
        """The same with other entries."""
        return Timeline([(end, change(entry)) for end, entry in self._entries])

    def at(self, step: int) -> T:
        """What holds at a model call; past all ends the first one, which is what the host takes."""
        return next((entry for end, entry in self._entries if step <= end), self._entries[0][1])


class Span(NamedTuple):
    """Model calls of the first pass, those of the hires pass (None outside it), and the picture's pixels."""

    steps: int
    hires_steps: int | None
    width: int
    height: int


def span_of(p: Any) -> Span:
    """How the host counts the steps of the pass that is about to begin (`Processing.setup_conds`)."""
    total = p.sampler.config.total_steps
    first = getattr(p, "firstpass_steps", None) or total(p.steps)
    if not getattr(p, "is_hr_pass", False):
        return Span(first, None, p.width, p.height)
    return Span(first, total(p.hr_second_pass_steps or p.steps), p.hr_upscale_to_x, p.hr_upscale_to_y)


def encode(texts: Sequence[str], span: Span, *, negative: bool) -> list[Timeline[Text]]:
    """Encode texts in one go, with the host's emphasis, schedules, BREAK, embeddings and clip skip."""
    if not texts:
        return []
    prompts = prompt_parser.SdConditioning(
        list(texts), is_negative_prompt=negative, width=span.width, height=span.height
    )
    old_style = shared.opts.use_old_scheduling
    with torch.no_grad(), devices.autocast():
        schedules = prompt_parser.get_learned_conditioning(
            shared.sd_model, prompts, span.steps, span.hires_steps, old_style
        )
    return [Timeline([(entry.end_at_step, _text(entry.cond)) for entry in entries]) for entries in schedules]


def _text(cond: Any) -> Text:
    """SD 1 and 2 give a tensor (L, D), SDXL a dict with the pooled vector beside it."""
    if isinstance(cond, dict):
        return Text(cond["crossattn"], cond.get("vector"))
    return Text(cond)
