"""A picture of a panel: its boxes, labeled, on a blank canvas or over another picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

from PIL import Image, ImageDraw

from lib_ranni.panel.fonts import text_picture
from lib_ranni.panel.types import Box, Element, Mask, Panel

Rgb = tuple[int, int, int]
Pixels = tuple[int, int, int, int]
"""Left, top, right, bottom."""

_PAPER: Rgb = (246, 246, 248)
_INK: Rgb = (28, 28, 34)


def element_color(index: int) -> Rgb:
    """The color that stands for the element at `index`: far from its neighbors', never too light."""
    hue = (0.58 + index * 0.6180339887) % 1.0
    r, g, b = colorsys.hls_to_rgb(hue, 0.42, 0.72)
    return round(r * 255), round(g * 255), round(b * 255)


def canvas_size(panel: Panel, longest_px: int) -> tuple[int, int]:
    """(width, height) in pixels for the panel's aspect, the longer side being `longest_px`."""
    if panel.aspect >= 1:
        return longest_px, max(1, round(longest_px / panel.aspect))
    return max(1, round(longest_px * panel.aspect)), longest_px


def render(panel: Panel, longest_px: int = 512, *, background: Image.Image | None = None) -> Image.Image:
    """Draw the panel, back to front, `longest_px` (>= 16) on its longer side."""
    size = canvas_size(panel, max(16, longest_px))
    if background is None:
        picture = Image.new("RGB", size, _PAPER)
    else:
        picture = background.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    for index, element in enumerate(panel.elements):
        _fill(picture, element, _tint(element, index), over_picture=background is not None)
    line = max(1, round(min(size) / 160))
    draw = ImageDraw.Draw(picture)
    for index, element in enumerate(panel.elements):
        draw.rectangle(_pixels(element.box, size), outline=element_color(index), width=line)
    taken: list[Pixels] = []
    for index, element in enumerate(panel.elements):
        text = f"{index + 1} {element.description}"
        taken.append(_label(picture, text, element.box, element_color(index), taken))
    if not panel.elements:
        _note(picture, panel.base or "empty panel")
    return picture


def _pixels(box: Box, size: tuple[int, int]) -> Pixels:
    width, height = size
    x0, y0 = round(box.x0 * (width - 1)), round(box.y0 * (height - 1))
    return x0, y0, max(x0, round(box.x1 * (width - 1))), max(y0, round(box.y1 * (height - 1)))


def mask_picture(mask: Mask) -> Image.Image:
    """The mask as a black-and-white 8-bit picture."""
    data = bytearray()
    for number, run in enumerate(mask.runs):
        data += (b"\xff" if number % 2 else b"\x00") * run
    return Image.frombytes("L", (mask.width, mask.height), bytes(data))


def _tint(element: Element, index: int) -> Rgb:
    """What the inside is tinted with: the thing's own color where the panel says it."""
    if not element.colors:
        return element_color(index)
    r, g, b = bytes.fromhex(element.colors[0].removeprefix("#"))
    return r, g, b


def _fill(picture: Image.Image, element: Element, color: Rgb, *, over_picture: bool) -> None:
    strength = 56 if over_picture else 84
    if element.mask is not None:
        alpha = mask_picture(element.mask).resize(picture.size).point(lambda v: v * strength // 255)
        picture.paste(Image.new("RGB", picture.size, color), (0, 0), alpha)
        return
    x0, y0, x1, y1 = _pixels(element.box, picture.size)
    tint = Image.new("RGB", (x1 - x0 + 1, y1 - y0 + 1), color)
    picture.paste(tint, (x0, y0), Image.new("L", tint.size, strength))


def _label(picture: Image.Image, text: str, box: Box, color: Rgb, taken: Sequence[Pixels]) -> Pixels:
    """A filled tag in the box's upper left corner, or below the tags there, shortened until it fits."""
    x0, y0, _, _ = _pixels(box, picture.size)
    size = max(9, round(min(picture.size) / 24))
    pad = max(2, size // 4)
    # A tag that would leave the canvas is pushed back onto it, so there is always room for some text.
    room = max(picture.width - x0, round(0.4 * picture.width)) - 2 * pad
    # No canvas has room for more; measuring a whole page to find that out takes seconds.
    text = " ".join(text.split())[:600]
    ink = text_picture(text, size)
    while ink.width > room and len(text) > 1:
        keep = max(1, min(len(text) - 1, int(len(text) * room / ink.width)))
        text = text[:keep].rstrip(" …")
        ink = text_picture(text + ("…" if len(text) > 2 else ""), size)
        if keep <= 1:
            break
    tag = Image.new("RGB", (ink.width + 2 * pad, ink.height + 2 * pad), color)
    tag.paste((255, 255, 255), (pad, pad), ink)
    x = min(x0, max(0, picture.width - tag.width))
    lowest = max(0, picture.height - tag.height)
    y = _free_row(min(y0, lowest), lowest, (x, *tag.size), taken)
    picture.paste(tag, (x, y))
    return x, y, x + tag.width, y + tag.height


def _free_row(y: int, lowest: int, tag: tuple[int, int, int], taken: Sequence[Pixels]) -> int:
    """The first row from `y` down where a tag (x, width, height) hides no other; `y` if there is none."""
    x, width, height = tag
    columns = [(top, bottom) for left, top, right, bottom in taken if x < right and left < x + width]
    row = y
    for top, bottom in sorted(columns):
        if top < row + height and row < bottom:
            row = bottom
    return row if row <= lowest else y


def _note(picture: Image.Image, text: str) -> None:
    size = max(9, round(min(picture.size) / 24))
    ink = text_picture(" ".join(text.split())[:60], size)
    place = (max(0, (picture.width - ink.width) // 2), max(0, (picture.height - ink.height) // 2))
    picture.paste(_INK, place, ink)
