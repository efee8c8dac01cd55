"""A panel as seen through a window: what lies in a part of the canvas, in units of that part."""

from __future__ import annotations

from itertools import groupby

from PIL import Image

from lib_ranni.panel.geometry import intersect
from lib_ranni.panel.preview import mask_picture
from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Keypoint, Mask, Panel, with_fields

_MOST_MASK_PX = 1024


def through_window(panel: Panel, window: Box) -> Panel:
    """The panel cropped to `window`. Elements outside it are left out; the others keep their order."""
    if window == FULL_CANVAS:
        return panel
    elements = [_seen(element, window) for element in panel.elements]
    aspect = panel.aspect * window.width / window.height
    return with_fields(
        panel,
        elements=tuple(element for element in elements if element is not None),
        aspect=min(10.0, max(0.1, aspect)),
    )


def _seen(element: Element, window: Box) -> Element | None:
    part = intersect(element.box, window)
    if part is None:
        return None
    mask = None
    if element.mask is not None:
        mask = _cropped(element.mask, window)
        if mask is None:
            return None
    x0, x1 = (_inside(x, window.x0, window.width) for x in (part.x0, part.x1))
    y0, y1 = (_inside(y, window.y0, window.height) for y in (part.y0, part.y1))
    if x1 <= x0 or y1 <= y0:
        return None
    points = [
        Keypoint(
            point.name,
            _inside(point.x, window.x0, window.width),
            _inside(point.y, window.y0, window.height),
        )
        for point in element.keypoints
        if window.x0 <= point.x <= window.x1 and window.y0 <= point.y <= window.y1
    ]
    return with_fields(element, box=Box(x0, y0, x1, y1), mask=mask, keypoints=tuple(points))


def _inside(value: float, start: float, extent: float) -> float:
    """A coordinate of the canvas in units of the window, 0..1."""
    return min(1.0, max(0.0, (value - start) / extent))


def _cropped(mask: Mask, window: Box) -> Mask | None:
    """The window's part of a mask at its own fineness, or None where it covers nothing."""
    left, right = window.x0 * mask.width, window.x1 * mask.width
    top, bottom = window.y0 * mask.height, window.y1 * mask.height
    width = min(_MOST_MASK_PX, max(1, round(right - left)))
    height = min(_MOST_MASK_PX, max(1, round(bottom - top)))
    picture = mask_picture(mask).transform(
        (width, height), Image.Transform.EXTENT, (left, top, right, bottom), Image.Resampling.NEAREST
    )
    return mask_of(picture)


def mask_of(picture: Image.Image) -> Mask | None:
    """The mask of an 8-bit picture: what is brighter than the middle. None if nothing is."""
    runs: list[int] = []
    for on, pixels in groupby(picture.convert("L").tobytes(), key=lambda value: value > 127):
        if on and not runs:
            runs.append(0)
        runs.append(sum(1 for _ in pixels))
    return Mask(picture.width, picture.height, tuple(runs)) if any(runs[1::2]) else None
