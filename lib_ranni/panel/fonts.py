"""A font for labels: the first of this machine's fonts that has every character, else Pillow's own."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

_NAMES = (
    "DejaVuSans.ttf",
    "Arial.ttf",
    "arial.ttf",
    "segoeui.ttf",
    "Roboto-Regular.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    # With Chinese, Japanese and Korean:
    "msyh.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "simhei.ttf",
    "Arial Unicode.ttf",
)


def _folders() -> list[Path]:
    try:
        home = Path.home()
    except RuntimeError:  # An account without a home, as in some containers.
        home = Path()
    if sys.platform == "win32":
        return [Path("C:/Windows/Fonts"), home / "AppData/Local/Microsoft/Windows/Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    shared = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    return [*shared, home / ".fonts", home / ".local/share/fonts"]


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    found: dict[str, str] = {}
    for folder in _folders():
        if folder.is_dir():
            for path in sorted(folder.rglob("*")):
                if path.name in _NAMES:
                    found.setdefault(path.name, str(path))
    return tuple(found[name] for name in _NAMES if name in found)


@lru_cache(maxsize=64)
def _open(path: str, size_px: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(path, size_px)
    except OSError:
        return None


def _covers(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Whether no character of the text is drawn as the font's missing-glyph box."""
    missing = bytes(font.getmask("\U0010fffe"))
    return all(c.isspace() or bytes(font.getmask(c)) != missing for c in set(text))


def _candidates(size_px: int) -> Iterator[ImageFont.FreeTypeFont]:
    for path in _installed():
        font = _open(path, size_px)
        if font is not None:
            yield font


@lru_cache(maxsize=512)
def font_for(text: str, size_px: int) -> ImageFont.FreeTypeFont | None:
    """A scalable font that has all of `text`; None when no such font is installed."""
    return next((font for font in _candidates(size_px) if _covers(font, text)), None)


def _extent(font: Any, text: str) -> tuple[int, int]:
    _, _, right, bottom = font.getbbox(text)
    return math.ceil(right), math.ceil(bottom)


def text_picture(text: str, size_px: int) -> Image.Image:
    """The text as an 8-bit coverage picture about `size_px` high, cropped to its ink."""
    # Half a surrogate pair has no shape, and FreeType layouts refuse it.
    text = text.encode("utf-8", "replace").decode("utf-8")
    font = font_for(text, size_px)
    if font is not None:
        left, top, right, bottom = font.getbbox(text)
        picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
        ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=font)
        return picture
    # Pillow's built-in bitmap font: Latin-1 only, one size; scaled, it is still readable.
    text = text.encode("latin-1", "replace").decode("latin-1")
    bitmap = ImageFont.load_default()
    right, bottom = _extent(bitmap, text)
    picture = Image.new("L", (max(1, right), max(1, bottom)))
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=bitmap)
    factor = max(1, round(size_px / 11))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
