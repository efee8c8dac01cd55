"""From a language model's reply to a panel, whatever else it wrote. Nothing of a reply is ever run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lib_ranni.errors import InputError, PlannerError
from lib_ranni.panel.formats import layout_json, omost, ranni, rpg
from lib_ranni.panel.formats.boxes import quad
from lib_ranni.panel.formats.conversion import Imported, one_line
from lib_ranni.panel.problems import Problem, shown
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import PANEL_VERSION, Panel, with_fields
from lib_ranni.planner.llm.json_text import Found
from lib_ranni.planner.llm.reply_boxes import document_box, scale_of
from lib_ranni.planner.llm.reply_lines import plan_in_lines
from lib_ranni.planner.llm.reply_plan import Plan, Search
from lib_ranni.planner.llm.thoughts import spoken

MAX_REPLY = 2**19
"""A longer reply is looked at from its end, then from its beginning, so many characters each."""

_BLANKS = " \t\r\n\ufeff\u200b\u200c\u200d\u2060"
_MOST_REPAIRS = 30
_MOST_ESCAPED = 3
ASK = 'answer with one JSON object of "base", "negative" and "elements", each with "description" and "box"'
"""What a `ReplyError` tells the model to do."""
_REFUSAL = re.compile(
    r"\b(?:i(?:'|’)?m sorry|i am sorry|i apologi[sz]e|i can(?:'|’|no)?t|i am (?:not able|unable)|as an ai|"
    r"i(?:'|’)m (?:not able|unable)|against (?:my|our) (?:guidelines|policy))\b|抱歉|对不起|无法|不能",
    re.IGNORECASE,
)
_HTML = re.compile(r"\s*(?:<!doctype\s+html|<html|<head|<\?xml)", re.IGNORECASE)
_TITLE = re.compile(r"<title>([^<]{1,120})", re.IGNORECASE)


class ReplyError(PlannerError):
    """A reply is no plan. The message can be quoted to the model as well as shown to the user."""


class ReplyReading(Struct, frozen=True):
    """The panel of a reply and, one sentence each, what was mended on the way."""

    panel: Panel
    repairs: tuple[str, ...] = ()


def read_reply(text: str, aspect: float = 1.0, examples: Sequence[str] = ()) -> ReplyReading:
    """The last usable plan of a reply, with boxes in 0..1 of a canvas of this aspect (width / height).

    `examples` are replies that the model was shown; one that repeats them is no plan. Raises `ReplyError`.
    """
    aspect = min(10.0, max(0.1, aspect))
    if len(text) <= MAX_REPLY:
        return _read(text, aspect, examples)
    note = f"the reply has {len(text):,} characters, of which {MAX_REPLY:,} were read"
    try:
        reading = _read(text[-MAX_REPLY:], aspect, examples)
    except ReplyError:
        reading = _read(text[:MAX_REPLY], aspect, examples)
    return ReplyReading(reading.panel, (note, *reading.repairs))


def _read(text: str, aspect: float, examples: Sequence[str]) -> ReplyReading:
    said, thought = spoken(text)
    try:
        return _read_spoken(said, aspect, examples)
    except ReplyError:
        if not said.strip(_BLANKS) and not thought.strip() and text.strip(_BLANKS):
            raise ReplyError(f"there is nothing behind the thoughts of the reply; {ASK}") from None
        if not thought.strip():
            raise
    reading = _read_spoken(thought, aspect, examples)
    return ReplyReading(reading.panel, ("the plan stood in a thought that does not end", *reading.repairs))


def _read_spoken(text: str, aspect: float, examples: Sequence[str]) -> ReplyReading:
    if not text.strip(_BLANKS):
        raise ReplyError(f"the reply is empty; {ASK}")
    if _HTML.match(text):
        title = _TITLE.search(text)
        named = f" ({one_line(title[1])!a})" if title else ""
        raise ReplyError(f"the reply is a web page{named}, not a plan; check the address of the server")
    foreign = _Foreign(text)
    if (reading := foreign.read((omost,), aspect)) is not None:
        return reading
    search = Search()
    shown_before = {_sight(plan) for example in examples for plan, _ in Search().plans(example)}
    plan, found = _last_plan(text, search, shown_before)
    for _ in range(_MOST_ESCAPED):
        if (plan is not None and plan.usable) or '\\"' not in text:
            break
        # JSON as a text of JSON, with or without the quotes around it.
        text = text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        plan, found = _last_plan(text, search, shown_before)
    if plan is not None and plan.usable:
        pairs = _pairs(text, found) if found is not None else ""
        return _Foreign(pairs).read((layout_json,), aspect) or _panel(plan, aspect)
    if (reading := foreign.read((rpg, ranni), aspect)) is not None:
        return reading
    if plan is None and not search.seen:
        lines = plan_in_lines(text)
        if lines.entries:
            return _panel(lines, aspect)
    raise ReplyError(foreign.fault or _reason(text, plan, search))


class _Foreign:
    """A text in a format of other planners; `fault` is why it could not be read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.fault = ""

    def read(self, formats: Sequence[Any], aspect: float) -> ReplyReading | None:
        """The panel if the text is of one of these formats and can be read."""
        for item in formats:
            if not item.detects(self._text):
                continue
            try:
                imported: Imported = item.read(self._text)
            except InputError as error:
                self.fault = f"the plan in this reply cannot be used: {error}"
                continue
            return ReplyReading(with_fields(imported.panel, aspect=aspect), _sentences(imported.problems))
        return None


def _last_plan(
    text: str, search: Search, shown_before: set[tuple[Any, ...]]
) -> tuple[Plan | None, Found | None]:
    """The last plan with elements, else the last that says there are none, else the last attempt."""
    best: tuple[Plan | None, Found | None] = (None, None)
    rank = 0
    for plan, found in search.plans(text):
        if plan.usable and _sight(plan) in shown_before:
            search.seen.add("example")
            continue
        own = 2 if plan.entries else int(plan.usable)
        if own >= rank:
            best, rank = (plan, found), own
    return best


def _sight(plan: Plan) -> tuple[Any, ...]:
    return tuple((entry.fields["description"], entry.box.numbers) for entry in plan.entries)


def _pairs(text: str, found: Found) -> str:
    """A list of captions with four numbers each, as LLM-grounded diffusion asks for it, in JSON.

    Behind it are the lines that may name background and negative. Empty for any other value.
    """
    if not isinstance(found.value, list) or not all(isinstance(item, list) for item in found.value):
        return ""
    pairs = [item for item in found.value if len(item) == 2 and quad(item[1]) is not None]
    return f"{json.dumps(pairs)}\n{text[found.end : found.end + 2000]}"


def _panel(plan: Plan, aspect: float) -> ReplyReading:
    scale = scale_of([entry.box for entry in plan.entries], aspect, plan.size, whole=not plan.cut)
    cut = "the reply is cut off; its complete elements were kept" if plan.cut else ""
    kinds = ", ".join(dict.fromkeys(plan.mends))
    mended = f"its JSON was mended ({kinds})" if kinds else ""
    repairs = list(filter(None, (cut, plan.note, mended, scale.note)))
    repairs += [f"{fault}; it was left out" for fault in plan.faults]
    elements = []
    for entry in plan.entries:
        box = document_box(entry.box, scale)
        if box is None:
            repairs.append(f"the box of {shown(entry.fields['description'])} is a point; it was left out")
        else:
            elements.append({**entry.fields, "box": box})
    document = {"base": plan.base, "negative": plan.negative, "aspect": aspect, "elements": elements}
    reading = repair({"version": PANEL_VERSION, **document})
    repairs += _sentences(reading.problems)
    if reading.panel is None or (plan.entries and not reading.panel.elements):
        raise ReplyError(f"no element of the reply can be placed: {'; '.join(repairs[:3])}; {ASK}")
    if len(repairs) > _MOST_REPAIRS:
        repairs[_MOST_REPAIRS:] = [f"and {len(repairs) - _MOST_REPAIRS} more mends"]
    return ReplyReading(reading.panel, tuple(repairs))


def _sentences(problems: Sequence[Problem]) -> tuple[str, ...]:
    return tuple(map(str, problems))


def _reason(text: str, plan: Plan | None, search: Search) -> str:
    """What the reply is instead of a plan, and what to do."""
    if plan is not None and plan.faults:
        return f"no element of the reply can be used: {'; '.join(plan.faults[:3])}; {ASK}"
    if "cut" in search.seen or (plan is not None and plan.cut):
        return f"the reply is cut off before its first element is complete; {ASK}"
    if "example" in search.seen:
        return f"the reply repeats the example; {ASK} for the prompt itself"
    if "schema" in search.seen:
        return f"the reply repeats the schema instead of filling it in; {ASK}"
    if "error" in search.seen:
        return f"the reply is an error of the server: {search.said or 'without a message'}"
    start = one_line(text[:200])[:80]
    if _REFUSAL.search(text[:400]):
        return f"the model declined ({start!r}); reword the prompt, or {ASK}"
    if plan is not None:
        return f"the plan has neither elements nor a base; {ASK}"
    return f"the reply has no plan in it, it begins {start!r}; {ASK}"
