"""Ranni's own planner: one model with two LoRAs, asked first for the things, then for their boxes.

Feng et al., "Ranni: Taming Text-to-Image Diffusion for Accurate Instruction Following", CVPR 2024. Prompts
and settings are those of its release; its model has no turn for colors, key points or edits.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from lib_ranni.errors import PlannerError, RanniError
from lib_ranni.panel.types import MAX_TEXT, Panel, Provenance, Seed
from lib_ranni.planner.llm.backend import Backend, Chat, Message
from lib_ranni.planner.local import box_answer
from lib_ranni.planner.local.box_answer import BoxAnswer
from lib_ranni.planner.local.element_answer import read_elements
from lib_ranni.planner.local.model import AdaptedBackend, LocalBackend
from lib_ranni.planner.local.prompt_files import read_prompts
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    Report,
    never,
)

TEMPERATURE = 1.0
MAX_TOKENS = 1024
"""Settings of both turns; top-k 50 and top-p 0.95 are those of `LocalBackend`."""

_AGAIN = "plan again with another seed, or choose another planner"
_log = logging.getLogger(__name__)


class _CancelledError(Exception):
    """The caller has lost interest."""


class RanniPlanner:
    """Plans in two turns. `elements` and `boxes` are the model with the LoRA of each turn.

    `prompts` is a folder with texts to ask with, see `lib_ranni.planner.local.prompt_files`.
    """

    name = "ranni"

    def __init__(self, elements: Backend, boxes: Backend, prompts: Path | None = None) -> None:
        self.elements = elements
        self.boxes = boxes
        self.prompts = prompts

    @classmethod
    def from_files(
        cls,
        model: str | Path,
        element_lora: str | Path | None,
        box_lora: str | Path,
        prompts: Path | None = None,
        **settings: Any,
    ) -> RanniPlanner:
        """The planner on Llama 2 in the folder `model`; `settings` are those of `LocalBackend`.

        Without an `element_lora` the bare model names the elements. Nothing is read yet.
        """
        bare = LocalBackend(model, template="llama2", **settings)
        elements = bare if element_lora is None else AdaptedBackend(bare, element_lora)
        return cls(elements, AdaptedBackend(bare, box_lora), prompts)

    def plan(self, request: PlanRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Plan a prompt; each element is told as soon as its box is read."""
        try:
            yield from self._plan(request, cancelled)
        except _CancelledError:
            yield Failed("planning was cancelled", cancelled=True)
        except RanniError as error:
            yield Failed(str(error))
        except Exception as error:
            # The stream never raises: that is the promise of a planner.
            _log.warning("Ranni's planner failed on %r", request.prompt[:200], exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            yield Failed(f"Ranni's planner failed ({reason}); choose another planner and report this, please")

    def edit(self, request: EditRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Refuse: the released model was not tuned to edit."""
        yield Failed("Ranni's model has no turn for edits; choose a planner for servers or the built-in one")

    def _plan(self, request: PlanRequest, cancelled: Cancelled) -> Iterator[Event]:
        prompt = _caption(request)
        texts = read_prompts(self.prompts)
        answer = yield from _asked(
            self.elements, texts.element_system, texts.ask_elements(prompt), request.seed, cancelled
        )
        found = read_elements(answer)
        if not found.labels:
            raise PlannerError(f"the model named no element for this prompt; {_AGAIN}")
        reader = BoxAnswer(found.labels)
        question = texts.ask_boxes(prompt, box_answer.joined(found.labels))
        for piece in _pieces(self.boxes, texts.box_system, question, request.seed, cancelled):
            yield Delta(piece)
            yield from map(ElementReady, reader.add(piece))
        yield from map(ElementReady, reader.finish())
        if not reader.elements:
            raise PlannerError(f"there is no box like (a cat,[384,384,200,300]) in the answer; {_AGAIN}")
        notes = [texts.note, *self._lora_notes(), *found.notes, *reader.notes]
        if len(request.prompt) > MAX_TEXT:
            notes.append(f"only the first {MAX_TEXT} characters of the prompt were read")
        if request.aspect != 1:
            notes.append("Ranni plans on a square; its boxes were stretched to the canvas")
        provenance = Provenance(
            planner=self.name, model=self.boxes.model[:MAX_TEXT], prompt=prompt, seed=request.seed
        )
        panel = Panel(
            base=prompt,
            elements=tuple(reader.elements),
            aspect=min(10.0, max(0.1, request.aspect)),
            provenance=provenance,
        )
        yield Done(panel, Report(notes=tuple(filter(None, notes)), repairs=tuple(reader.repairs), asked=2))

    def _lora_notes(self) -> Iterator[str]:
        for backend in (self.elements, self.boxes):
            if isinstance(backend, AdaptedBackend):
                yield from backend.notes


def _caption(request: PlanRequest) -> str:
    if request.picture is not None:
        raise PlannerError("Ranni's model cannot see pictures; plan from words, or choose another planner")
    # Half a surrogate pair can neither be asked nor be written as JSON.
    prompt = request.prompt[:MAX_TEXT].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    prompt = prompt[:MAX_TEXT].strip()
    if not prompt:
        raise PlannerError("there is nothing to plan; write a prompt")
    return prompt


def _asked(
    backend: Backend, system: str, user: str, seed: Seed | None, cancelled: Cancelled
) -> Generator[Event, None, str]:
    """Tell the reply as it arrives, and return all of it."""
    pieces = []
    for piece in _pieces(backend, system, user, seed, cancelled):
        pieces.append(piece)
        yield Delta(piece)
    return "".join(pieces)


def _pieces(
    backend: Backend, system: str, user: str, seed: Seed | None, cancelled: Cancelled
) -> Iterator[str]:
    """The reply in pieces, as far as it is read; raises `_CancelledError` when the caller cancels."""
    messages = (Message("system", system), Message("user", user))
    chat = Chat(messages, seed=seed, temperature=TEMPERATURE, max_tokens=MAX_TOKENS)
    room = box_answer.MAX_ANSWER
    if cancelled():
        raise _CancelledError
    for piece in backend.stream(chat, cancelled):
        if cancelled():
            raise _CancelledError
        yield piece[:room]
        room -= len(piece)
        if room <= 0:
            break
    if cancelled():
        raise _CancelledError
