"""The six unit operations as pictures must show them, in either host, said in words or done by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lib_ranni.evaluation.scoring import Detection, detect
from lib_ranni.evaluation.suite import element_name
from lib_ranni.guidance.edit_region import edit_region
from lib_ranni.panel import edits
from lib_ranni.panel.geometry import iou
from lib_ranni.panel.types import Box, Element, Panel

BEFORE = Panel(
    base="plain background",
    elements=(
        Element(id="e1", description="a red circle", box=Box(0.05, 0.3, 0.4, 0.65)),
        Element(id="e2", description="a blue square", box=Box(0.58, 0.35, 0.93, 0.7)),
    ),
)
LEAST_IOU = 0.3
"""As in the scorer's own accuracy: how well a thing fills the box in which it counts."""


class Operation(NamedTuple):
    """What is said to the built-in planner, and the same by hand."""

    words: str
    by_hand: Callable[[Panel], Panel]


OPERATIONS = {
    "add": Operation(
        "add a yellow star at the top",
        lambda panel: edits.add(panel, "a yellow star", Box(0.3, 0.02, 0.62, 0.3)),
    ),
    "remove": Operation("remove the square", lambda panel: edits.remove(panel, "e2")),
    "replace": Operation(
        "replace the square with a green star", lambda panel: edits.replace(panel, "e2", "a green star")
    ),
    "re-attribute": Operation(
        "make the circle green", lambda panel: edits.reattribute(panel, "e1", "a green circle")
    ),
    "resize": Operation("make the square smaller", lambda panel: edits.resize(panel, "e2", 0.65)),
    "move": Operation("move the circle to the bottom", lambda panel: edits.move(panel, "e1", by=(0.0, 0.3))),
}


def require_shown(panel: Panel, picture: Image.Image) -> dict[str, Detection]:
    """A picture must show a panel's things in their boxes and nothing else; what it shows, by name."""
    seen = {thing.name: thing for thing in detect(picture.convert("RGB"))}
    wanted = {str(element_name(element.description)): element.box for element in panel.elements}
    assert seen.keys() == wanted.keys()
    assert {name: iou(seen[name].box, box) >= LEAST_IOU for name, box in wanted.items()} == dict.fromkeys(
        wanted, True
    )
    return seen


def require_edited(operation: str, after: Panel, was: Image.Image, now: Image.Image) -> None:
    """`now` must show the panel `after`, and be `was` to the bit wherever the edit does not reach."""
    before_seen, seen = require_shown(BEFORE, was), require_shown(after, now)
    if operation == "resize":
        assert seen["blue square"].box.area < 0.85 * before_seen["blue square"].box.area
    region = edit_region(BEFORE, after, (now.height // 8, now.width // 8))
    kept: Any = (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    levels = np.abs(np.asarray(was.convert("RGB"), np.int16) - np.asarray(now.convert("RGB"), np.int16))
    assert 0.3 < kept.mean() < 1
    assert levels.max(2)[kept].max() == 0
    assert levels.max() > 20
