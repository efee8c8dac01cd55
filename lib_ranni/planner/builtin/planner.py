"""The planner that needs no model: it reads the prompt by rule and lays the picture out itself."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

from lib_ranni.panel.types import MAX_COLORS, MAX_TEXT, Element, Panel, Provenance, clamped_box
from lib_ranni.planner.builtin.chinese import read_chinese
from lib_ranni.planner.builtin.english import read_english
from lib_ranni.planner.builtin.layout import Layout, lay_out
from lib_ranni.planner.builtin.story import Story, Thing
from lib_ranni.planner.protocol import (
    Cancelled,
    Done,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    Report,
    never,
)

EMPTY_BASE = ""
"""The base prompt when every word of the prompt has become part of an element."""

COLORS = {
    "red": "#ff0000",
    "orange": "#ff8000",
    "yellow": "#ffff00",
    "green": "#00a000",
    "blue": "#0000ff",
    "purple": "#800080",
    "pink": "#ffc0cb",
    "brown": "#8b4513",
    "black": "#000000",
    "white": "#ffffff",
    "gray": "#808080",
    "grey": "#808080",
    "cyan": "#00ffff",
    "magenta": "#ff00ff",
    "violet": "#8f00ff",
    "turquoise": "#40e0d0",
    "teal": "#008080",
    "navy": "#000080",
    "maroon": "#800000",
    "beige": "#f5f5dc",
    "tan": "#d2b48c",
    "gold": "#ffd700",
    "golden": "#ffd700",
    "silver": "#c0c0c0",
    "bronze": "#cd7f32",
    "copper": "#b87333",
    "ivory": "#fffff0",
    "cream": "#fffdd0",
    "crimson": "#dc143c",
    "scarlet": "#ff2400",
    "indigo": "#4b0082",
    "lavender": "#e6e6fa",
    "lilac": "#c8a2c8",
    "olive": "#808000",
    "lime": "#bfff00",
    "coral": "#ff7f50",
    "peach": "#ffdab9",
    "salmon": "#fa8072",
    "khaki": "#f0e68c",
    "burgundy": "#800020",
    "mustard": "#ffdb58",
    "aqua": "#00ffff",
    "azure": "#007fff",
    "amber": "#ffbf00",
    "charcoal": "#36454f",
    "blond": "#faf0be",
    "blonde": "#faf0be",
}
"""What a color word looks like."""

_HAN = re.compile(r"[㐀-鿿豈-﫿]")
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


def read_prompt(prompt: str) -> Story:
    """What a prompt says, in whichever of the languages it is written."""
    return read_chinese(prompt) if _HAN.search(prompt) else read_english(prompt)


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
