"""One picture that shows a whole run: a row per prompt, a column per mode, right and wrong at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from PIL import Image, ImageDraw

from lib_ranni.evaluation.run import Outcome
from lib_ranni.panel.fonts import text_picture

Rgb = tuple[int, int, int]

_PAPER: Rgb = (250, 250, 251)
_INK: Rgb = (28, 28, 34)
_MUTED: Rgb = (112, 112, 122)
_RIGHT: Rgb = (26, 140, 74)
_WRONG: Rgb = (204, 38, 38)

_FRAME = 4
_GAP = 8
_CAPTION_PX = 13
_HEADER_PX = 16


class _Layout(Struct, frozen=True):
    """Pixel sizes of the sheet. A block is a column of prompts; long runs are set in several blocks."""

    cell: int
    caption: int
    modes: int
    rows: int
    blocks: int

    @property
    def row_height(self) -> int:
        return self.cell + 2 * _FRAME + _GAP

    @property
    def block_width(self) -> int:
        return self.caption + self.modes * (self.cell + 2 * _FRAME + _GAP) + 2 * _GAP

    @property
    def header(self) -> int:
        return 2 * _HEADER_PX + _GAP

    @property
    def size(self) -> tuple[int, int]:
        return self.blocks * self.block_width + _GAP, self.header + self.rows * self.row_height + _GAP


def _layout(prompts: int, modes: int, cell: int, blocks: int | None) -> _Layout:
    caption = max(180, round(1.5 * cell))
    if blocks is None:
        # As near to a 3:4 sheet as whole blocks allow.
        width = caption + modes * (cell + 2 * _FRAME + _GAP)
        blocks = max(1, round(math.sqrt(0.75 * prompts * (cell + 2 * _FRAME + _GAP) / width)))
    blocks = max(1, min(blocks, prompts))
    rows = math.ceil(prompts / blocks) if prompts else 0
    return _Layout(cell, caption, modes, rows, max(1, math.ceil(prompts / rows)) if rows else 1)


def wrapped(text: str, width_px: int, size_px: int) -> list[str]:
    """The words of a text in lines at most `width_px` wide; a longer word gets its own line."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_picture(longer, size_px).width <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _write(
    sheet: Image.Image, place: tuple[int, int], text: str, size_px: int, color: Rgb, room: int
) -> None:
    ink = text_picture(text, size_px)
    sheet.paste(color, place, ink.crop((0, 0, min(ink.width, room), ink.height)))


def _caption(sheet: Image.Image, x: int, y: int, layout: _Layout, outcome: Outcome) -> None:
    room = layout.caption - _GAP
    line_height = _CAPTION_PX + 5
    lines = [(line, _INK) for line in wrapped(outcome.entry.prompt, room, _CAPTION_PX)]
    lines.append((outcome.entry.id, _MUTED))
    fitting = max(1, (layout.row_height - _GAP) // line_height)
    for number, (line, color) in enumerate(lines[:fitting]):
        _write(sheet, (x, y + number * line_height), line, _CAPTION_PX, color, room)


def _badge(draw: ImageDraw.ImageDraw, x: int, y: int, correct: bool) -> None:
    """A tick or a cross in a corner, so that the verdict does not hang on telling red from green."""
    draw.rectangle((x, y, x + 15, y + 15), fill=_RIGHT if correct else _WRONG)
    if correct:
        draw.line([(x + 3, y + 8), (x + 6, y + 11), (x + 12, y + 4)], fill="white", width=2)
    else:
        draw.line([(x + 4, y + 4), (x + 11, y + 11)], fill="white", width=2)
        draw.line([(x + 11, y + 4), (x + 4, y + 11)], fill="white", width=2)


def _cell(sheet: Image.Image, x: int, y: int, side: int, outcome: Outcome) -> None:
    picture = outcome.picture.convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    if max(picture.size) < side:
        factor = side / max(picture.size)
        size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    correct = outcome.verdict.correct
    draw = ImageDraw.Draw(sheet)
    draw.rectangle(
        (x, y, x + side + 2 * _FRAME - 1, y + side + 2 * _FRAME - 1), fill=_RIGHT if correct else _WRONG
    )
    sheet.paste(
        picture, (x + _FRAME + (side - picture.width) // 2, y + _FRAME + (side - picture.height) // 2)
    )
    _badge(draw, x, y, correct)


def contact_sheet(
    outcomes: Sequence[Outcome], *, cell_px: int = 128, blocks: int | None = None
) -> Image.Image:
    """All outcomes on one sheet: prompts down, modes across, a green or red frame around each picture.

    `cell_px` is a picture's longer side; `blocks` the number of side-by-side columns of prompts, chosen to
    suit a portrait sheet when None.
    """
    modes = list(dict.fromkeys(outcome.mode for outcome in outcomes))
    by_entry: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        by_entry.setdefault(outcome.entry.id, {})[outcome.mode] = outcome
    layout = _layout(len(by_entry), len(modes), cell_px, blocks)
    sheet = Image.new("RGB", layout.size, _PAPER)
    step = cell_px + 2 * _FRAME + _GAP
    for index, row in enumerate(by_entry.values()):
        block, line = divmod(index, layout.rows)
        x, y = _GAP + block * layout.block_width, layout.header + line * layout.row_height
        if line == 0:
            for column, mode in enumerate(modes):
                _write(sheet, (x + layout.caption + column * step, _GAP), mode, _HEADER_PX, _INK, step - _GAP)
        _caption(sheet, x, y, layout, next(iter(row.values())))
        for column, mode in enumerate(modes):
            if mode in row:
                _cell(sheet, x + layout.caption + column * step, y, cell_px, row[mode])
    return sheet
