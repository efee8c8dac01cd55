"""The planner that needs no model: it reads the prompt by rule and lays the picture out itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from lib_ranni.errors import EditError
from lib_ranni.panel.color_words import COLORS
from lib_ranni.panel.diff import diff, sentences
from lib_ranni.panel.operations import apply
from lib_ranni.panel.types import MAX_COLORS, MAX_TEXT, Element, Panel, Provenance, clamped_box
from lib_ranni.planner.builtin.chinese import read_chinese
from lib_ranni.planner.builtin.editing import read_edit
from lib_ranni.planner.builtin.english import read_english
from lib_ranni.planner.builtin.layout import Layout, lay_out
from lib_ranni.planner.builtin.story import Story, Thing
from lib_ranni.planner.language import is_chinese
from lib_ranni.planner.protocol import (
    Cancelled,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    Report,
    never,
)

EMPTY_BASE = ""
"""The base prompt when every word of the prompt has become part of an element."""

_log = logging.getLogger(__name__)


class BuiltinPlanner:
    """Plans without a model, in English and Chinese, in a few milliseconds."""

    name = "builtin"

    def plan(self, request: PlanRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Plan a prompt; the last event is `Done`, or `Failed` for an error of ours."""
        try:
            panel, report = _plan(request)
        except Exception as error:
            _log.warning("the built-in planner failed on %r", request.prompt[:200], exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            yield Failed(f"the built-in planner failed ({reason}); reword the prompt and report this, please")
            return
        for element in panel.elements:
            yield ElementReady(element)
        yield Done(panel, report)

    def edit(self, request: EditRequest, cancelled: Cancelled = never) -> Iterator[Event]:
        """Change a panel as told; the last event is `Done`, whose notes say what changed, or `Failed`."""
        try:
            edit = read_edit(request.panel, request.instruction)
            panel = apply(request.panel, edit.operations)
        except EditError as error:
            yield Failed(str(error))
            return
        except Exception as error:
            _log.warning("the built-in planner failed on %r", request.instruction[:200], exc_info=error)
            reason = f"{type(error).__name__}: {error}"
            yield Failed(
                f"the built-in planner failed ({reason}); reword the instruction and report this, please"
            )
            return
        notes = (*sentences(diff(request.panel, panel)), *edit.notes)
        yield Done(panel, Report(notes=notes))


def read_prompt(prompt: str) -> Story:
    """What a prompt says, in whichever of the languages it is written."""
    return read_chinese(prompt) if is_chinese(prompt) else read_english(prompt)


def _plan(request: PlanRequest) -> tuple[Panel, Report]:
    # Half a surrogate pair cannot be written as JSON.
    prompt = (
        request.prompt[:MAX_TEXT].encode("utf-16", "surrogatepass").decode("utf-16", "replace")[:MAX_TEXT]
    )
    aspect = min(10.0, max(0.1, request.aspect))
    story = read_prompt(prompt)
    layout = lay_out(story, aspect)
    elements = _elements(story, layout)
    unread = [*story.unread, *(story.things[n].text for n in layout.left_out)]
    notes = list(layout.notes)
    if len(request.prompt) > MAX_TEXT:
        notes.append(f"only the first {MAX_TEXT} characters of the prompt were read")
    if layout.left_out:
        notes.append(f"{len(layout.left_out)} more things than can be placed stay in the base prompt")
    panel = Panel(
        base=_base(prompt, story, bool(unread), bool(elements)),
        negative=", ".join(story.negatives)[:MAX_TEXT],
        elements=elements,
        aspect=aspect,
        provenance=Provenance(
            planner=BuiltinPlanner.name, prompt=prompt, seed=request.seed, unread=tuple(unread)
        ),
    )
    return panel, Report(tuple(unread), tuple(notes))


def _base(prompt: str, story: Story, unread: bool, elements: bool) -> str:
    """Style and scene if the rest is in the elements, the whole prompt if anything would be lost."""
    if unread or not (elements or story.scene or story.negatives):
        return prompt.strip()
    return ", ".join(story.scene)[:MAX_TEXT] or EMPTY_BASE


def _elements(story: Story, layout: Layout) -> tuple[Element, ...]:
    elements: list[Element] = []
    for placed in layout.placed:
        thing = story.things[placed.thing]
        box = clamped_box(*placed.rect)
        description = " ".join(thing.text.split())
        if box is None or not description:
            continue
        elements.append(
            Element(
                id=f"e{len(elements) + 1}",
                description=description[:MAX_TEXT],
                box=box,
                negative=", ".join(thing.negatives)[:MAX_TEXT],
                colors=_colors(thing),
            )
        )
    return tuple(elements)


def _colors(thing: Thing) -> tuple[str, ...]:
    known = [COLORS[name] for name in thing.colors if name in COLORS]
    return tuple(dict.fromkeys(known))[:MAX_COLORS]
