"""The planner that asks a language model, checks what it says, asks again, and at last helps itself.

A reply becomes a panel or an exact complaint; the panel is held against the prompt; what is wrong goes back
to the model, a bounded number of times. When nothing usable comes, the built-in planner steps in and the
report says why: whoever asks for a plan gets one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from typing import Literal

import msgspec
from msgspec import Struct

from lib_ranni.errors import InputError, PlannerError
from lib_ranni.panel.diff import diff, sentences
from lib_ranni.panel.types import MAX_SEED, MAX_TEXT, Panel, Provenance, with_fields
from lib_ranni.planner.llm.agreement import disagreements
from lib_ranni.planner.llm.backend import Backend, Chat, Message
from lib_ranni.planner.llm.cache import ReplyCache
from lib_ranni.planner.llm.editing import merged
from lib_ranni.planner.llm.manner import USUAL, Manner
from lib_ranni.planner.llm.partial import PartialReply
from lib_ranni.planner.llm.prompts import Prompts
from lib_ranni.planner.llm.reply import ASK, ReplyError, read_reply
from lib_ranni.planner.llm.schema import reply_schema, to_reply
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    Planner,
    PlanRequest,
    Report,
    never,
)

_ASK_FOR_REGIONS = "end with the two lines 'Final split ratio: ...' and 'Regional Prompt: ... BREAK ...'"
_MOST_SENT_BACK = 4000
"""Characters of its own bad reply that a model sees again."""

_NEXT_TURN = re.compile(
    r"\n[ #]{0,4}(?:User|Human|用户)[ ]?[:：]|<\|im_(?:start|end)\|>|<\|eot_id\|>|\[/?INST\]"
)
_LONGEST_TURN = 16

_log = logging.getLogger(__name__)


class _Outcome(Struct, frozen=True):
    """What one reply came to: a panel, and what is still wrong."""

    panel: Panel
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


Judge = Callable[[str, tuple[str, ...]], _Outcome]
"""A whole reply, and the answers that it was shown as examples -> what it comes to."""


class LanguagePlanner:
    """Plans and edits with a `Backend`. Without a `fallback`, a plan that cannot be made fails."""

    def __init__(
        self,
        backend: Backend,
        *,
        manner: Manner = USUAL,
        prompts: Prompts | None = None,
        cache: ReplyCache | None = None,
        fallback: Planner | None = None,
    ) -> None:
        self.name = backend.name
        self._backend = backend
        self._manner = manner
        self._prompts = prompts or Prompts()
        self._cache = cache
        self._fallback = fallback

    def plan(self, request: PlanRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Plan a prompt. Elements come as the model closes them, and may still change."""
        purpose: Literal["plan", "regions"] = "plan" if self._manner.style == "panel" else "regions"

        def chat() -> Chat:
            shape = Fraction(request.aspect).limit_denominator(20)
            fields = {"prompt": request.prompt, "canvas": f"{shape.numerator}:{shape.denominator}"}
            messages = self._prompts.messages(purpose, request.prompt, fields, request.picture)
            return self._chat(messages, request.seed, structured=purpose == "plan")

        def judge(reply: str, examples: tuple[str, ...]) -> _Outcome:
            try:
                reading = read_reply(reply, request.aspect, examples)
            except ReplyError as error:
                if purpose == "plan":
                    raise
                raise ReplyError(str(error).replace(ASK, _ASK_FOR_REGIONS)) from None
            model, prompt = _model_name(self._backend.model), request.prompt[:MAX_TEXT]
            origin = Provenance(planner=self.name, model=model, prompt=prompt, seed=request.seed)
            panel = with_fields(reading.panel, provenance=origin, aspect=request.aspect)
            return _Outcome(panel, reading.repairs, (), disagreements(request.prompt, panel))

        instead = None if self._fallback is None else self._fallback.plan(request, cancelled)
        inquiry = _Inquiry(self._backend, self._cache, request.aspect, cancelled)
        return self._run(chat, judge, request.prompt, instead, inquiry)

    def edit(self, request: EditRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Change a panel as told. Locked elements stay as they are, bit for bit."""
        before = request.panel

        def chat() -> Chat:
            fields = {"panel": to_reply(before), "instruction": request.instruction}
            messages = self._prompts.messages("edit", request.instruction, fields)
            return self._chat(messages, request.seed, structured=True)

        def judge(reply: str, examples: tuple[str, ...]) -> _Outcome:
            reading = read_reply(reply, before.aspect, examples)
            panel, remarks = merged(before, reading.panel)
            changes = tuple(sentences(diff(before, panel)))
            if not changes and not remarks:
                raise ReplyError("nothing was changed; do what the instruction says")
            return _Outcome(panel, reading.repairs, (*changes, *remarks))

        instead = None if self._fallback is None else self._fallback.edit(request, cancelled)
        inquiry = _Inquiry(self._backend, self._cache, before.aspect, cancelled)
        return self._run(chat, judge, request.instruction, instead, inquiry)

    def _chat(self, messages: tuple[Message, ...], seed: int | None, *, structured: bool) -> Chat:
        schema = reply_schema() if structured else None
        return Chat(messages, schema, seed, self._manner.temperature, self._manner.max_tokens)

    def _run(
        self,
        chat: Callable[[], Chat],
        judge: Judge,
        words: str,
        instead: Iterator[Event] | None,
        inquiry: _Inquiry,
    ) -> Iterator[Event]:
        """Ask, judge, ask again; end with `Done` or `Failed`, whatever happens."""
        try:
            best = yield from self._best(inquiry, chat(), judge, words)
        except (PlannerError, InputError) as error:
            best, reason = None, str(error)
        except Exception as error:
            _log.warning("the planner failed", exc_info=error)
            best, reason = None, f"{type(error).__name__}: {error}; please report this"
        if inquiry.cancelled():
            yield Failed("planning was cancelled", cancelled=True)
        elif best is None:
            yield from _fallen_back(instead or iter(()), reason, inquiry.asked)
        else:
            notes = (*best.notes, *(f"still wrong: {fault}" for fault in best.faults))
            report = Report((), notes, best.repairs, inquiry.asked, cached=not inquiry.asked)
            yield Done(best.panel, report)

    def _best(
        self, inquiry: _Inquiry, first: Chat, judge: Judge, words: str
    ) -> Generator[Event, None, _Outcome | None]:
        """The first outcome without faults, else the one with the fewest; None when cancelled.

        Raises `PlannerError` with the last complaint when no reply was a panel.
        """
        best: _Outcome | None = None
        error, chat = ReplyError("the model was not asked"), first
        examples = tuple(message.text for message in first.messages if message.role == "assistant")
        for tries in range(1, self._manner.asks_again + 2):
            try:
                reply = yield from inquiry.reply(chat)
            except PlannerError as problem:
                if best is None:
                    raise
                note = f"asking again failed: {problem}"
                return msgspec.structs.replace(best, notes=(*best.notes, note))
            if reply is None:
                return None
            try:
                outcome = judge(reply, examples)
                complaint = "; ".join(outcome.faults)
                if best is None or len(outcome.faults) < len(best.faults):
                    best = outcome
            except ReplyError as problem:
                error, complaint = problem, str(problem)
            if not complaint:
                inquiry.keep(first, reply)
                return best
            chat = self._again(first, reply, complaint, words, tries)
        if best is None:
            raise error
        return best

    def _again(self, first: Chat, reply: str, complaint: str, words: str, tries: int) -> Chat:
        """The first chat, the bad reply, and what is wrong with it, asked a little more freely."""
        # Asked in the same way, a small model answers the same.
        seed = None if first.seed is None else (first.seed + tries) % (MAX_SEED + 1)
        temperature = max(first.temperature, min(1.0, first.temperature + 0.3 * tries))
        correction = self._prompts.messages("again", words, {"problem": complaint})
        answer = Message("assistant", reply[:_MOST_SENT_BACK] or "(nothing)")
        messages = (*first.messages, answer, *correction)
        return msgspec.structs.replace(first, messages=messages, seed=seed, temperature=temperature)


class _Inquiry:
    """The model's replies in one run, for a canvas of this aspect, and how often it was asked."""

    def __init__(
        self, backend: Backend, cache: ReplyCache | None, aspect: float, cancelled: Cancelled
    ) -> None:
        self.asked = 0
        self.cancelled = cancelled
        self._backend = backend
        self._cache = cache
        self._aspect = aspect

    def reply(self, chat: Chat) -> Generator[Event, None, str | None]:
        """The reply to a chat, from the cache or as it arrives; None when cancelled."""
        kept = None if self._cache is None else self._cache.get(self._backend, chat)
        if kept is not None:
            return kept
        self.asked += 1
        partial, reply = PartialReply(self._aspect), ""
        for text in self._backend.stream(chat, self.cancelled):
            begin = max(0, len(reply) - _LONGEST_TURN)
            reply += text
            yield Delta(text)
            for element in partial.feed(text):
                yield ElementReady(element)
            if turn := _NEXT_TURN.search(reply, begin):
                # A model without a chat template goes on to speak for the user.
                reply = reply[: turn.start()]
                break
        return None if self.cancelled() else reply

    def keep(self, chat: Chat, reply: str) -> None:
        """Remember a reply that was good."""
        if self._cache is not None and self.asked:
            self._cache.put(self._backend, chat, reply)


def _model_name(model: str) -> str:
    """A model's name for a panel: of a path on the server's disk only the last part."""
    is_path = model.startswith(("/", "\\\\")) or model[1:3] in (":\\", ":/")
    return (re.split(r"[/\\]", model)[-1] if is_path else model)[:MAX_TEXT]


def _fallen_back(events: Iterator[Event], reason: str, asked: int) -> Iterator[Event]:
    """The events of the planner that steps in, whose report says why; `Failed` when there is none."""
    for event in events:
        if isinstance(event, Done):
            report = msgspec.structs.replace(event.report, fallback=reason, asked=asked)
            event = Done(event.panel, report)
        elif isinstance(event, Failed):
            event = Failed(f"{reason}; and {event.message}", event.cancelled)
        yield event
        if isinstance(event, (Done, Failed)):
            return
    yield Failed(reason)
