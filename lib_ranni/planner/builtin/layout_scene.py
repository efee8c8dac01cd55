"""Sky, floor and what stands in the background: behind everything, and allowed to be covered."""

from __future__ import annotations

from lib_ranni.planner.builtin.layout_rects import Rect
from lib_ranni.planner.builtin.layout_sizes import listed
from lib_ranni.planner.builtin.story import Story, Thing

HORIZON = 0.6
"""Where the ground begins, as a share of the height."""

_SKY = 0.4
_HALF = 0.5
_FAR = (0.04, 0.62)


def find_backdrops(story: Story) -> list[int]:
    """The things that lie behind everything: strips first, then what is said to be in the background."""
    ordered = {n for _, row in story.rows for n in row}
    for link in story.links:
        agrees = link.kind == "above" and _agrees(story, link.subject, link.target)
        if link.kind in {"left", "above", "between"} and not agrees:
            ordered |= {link.subject, link.target}
            ordered |= {link.other} if link.other is not None else set()
    strips = [n for n, t in enumerate(story.things) if is_strip(t) and n not in ordered]
    far = [
        n
        for n, t in enumerate(story.things)
        if t.spot is not None and t.spot.behind and n not in strips and not _ordered(story, n)
    ]
    return strips + far


def is_strip(thing: Thing) -> bool:
    """Whether a thing spans the picture's width, such as a lawn. The sun does not."""
    return bool(thing.strip) and thing.count == 1 and not listed("celestial", thing.head)


def _agrees(story: Story, upper: int, lower: int) -> bool:
    """Whether "above" says of a strip what it is anyway."""
    top, bottom = story.things[upper], story.things[lower]
    return top.strip == "top" or bottom.strip == "bottom"


def _ordered(story: Story, index: int) -> bool:
    in_row = any(index in row for _, row in story.rows)
    return in_row or any(
        link.kind in {"left", "above", "between", "next"} and index in {link.subject, link.target, link.other}
        for link in story.links
    )


def content_range(story: Story, backs: list[int]) -> tuple[float, float]:
    """(top, bottom) of the part of the canvas that is left for what has to stay clear of the strips."""
    top, bottom = 0.0, 1.0
    strips = {n for n in backs if is_strip(story.things[n])}
    for link in story.links:
        if link.kind != "above":
            continue
        if link.target in strips and story.things[link.target].strip == "bottom":
            bottom = HORIZON
        if link.subject in strips and story.things[link.subject].strip == "top":
            top = _SKY
    return top, bottom


def backdrop_rects(story: Story, backs: list[int], alone: bool) -> dict[int, Rect]:
    """Places of the backdrops in shares of the canvas. `alone`: there is nothing else in the picture."""
    strips = [n for n in backs if is_strip(story.things[n])]
    top = [n for n in strips if story.things[n].strip == "top"]
    bottom = [n for n in strips if story.things[n].strip == "bottom"]
    far = [n for n in backs if n not in strips]
    found = _stacked(top, 0.0, _HALF if alone and not far else _SKY)
    found |= _stacked(bottom, _HALF if alone and not far else HORIZON, 1.0)
    for slot, index in enumerate(sorted(far, key=lambda n: _side(story.things[n]))):
        width = 1 / len(far)
        margin = 0.04 if len(far) > 1 else 0.12
        x0, x1 = slot * width + margin * width, (slot + 1) * width - margin * width
        if len(far) == 1 and _side(story.things[index]) != 0.5:
            x0, x1 = (0.03, 0.5) if _side(story.things[index]) < 0.5 else (0.5, 0.97)
        found[index] = Rect(x0, _FAR[0], x1, _FAR[1])
    return found


def _side(thing: Thing) -> float:
    return 0.5 if thing.spot is None or thing.spot.x is None else thing.spot.x


def _stacked(strips: list[int], start: float, end: float) -> dict[int, Rect]:
    height = (end - start) / max(1, len(strips))
    return {n: Rect(0.0, start + i * height, 1.0, start + (i + 1) * height) for i, n in enumerate(strips)}
