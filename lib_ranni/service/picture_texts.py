"""Texts that tools write into their pictures: prompts, settings, and requests of ours.

No pixel is decoded, so that a small file cannot become a large picture in memory.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

from PIL import Image

from lib_ranni.errors import MetadataError

PARAMETERS = "parameters"
"""Name under which the WebUI, and what is like it, writes its infotext."""

_EXIF, _USER_COMMENT = 0x8769, 0x9286
_COMMENT_CODES = {b"ASCII\0\0\0": "ascii", b"JIS\0\0\0\0\0": "iso2022_jp"}


def _png(data: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        return {name: str(value) for name, value in picture.info.items() if isinstance(value, str)}


def _jpeg(data: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        return _of_exif(picture.info.get("exif", b""))


def _webp(data: bytes) -> dict[str, str]:
    """By hand: Pillow makes room for all pixels before it looks at anything else."""
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        if name == b"EXIF":
            return _of_exif(data[place + 8 : place + 8 + size])
        place += 8 + size + size % 2
    return {}


def _of_exif(data: bytes) -> dict[str, str]:
    exif = Image.Exif()
    exif.load(data)
    comment = exif.get_ifd(_EXIF).get(_USER_COMMENT, b"")
    if isinstance(comment, str):
        return {PARAMETERS: comment}
    code, words = bytes(comment[:8]), bytes(comment[8:])
    if code == b"UNICODE\0":
        # Of which order is not said. The text begins with a letter of a prompt, mostly a Latin one.
        code_name = "utf-16-le" if words[1:2] == b"\0" else "utf-16-be"
    else:
        code_name = _COMMENT_CODES.get(code, "utf-8")
    return {PARAMETERS: words.decode(code_name, "replace").rstrip("\0")} if words else {}


_READERS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], dict[str, str]]], ...] = (
    (lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    (lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP", _webp),
)


def texts_of(data: bytes) -> dict[str, str] | None:
    """Name -> text, of a PNG, JPEG or WebP file; None for any other file.

    Raises `MetadataError` where the file is damaged, or larger than a picture can be.
    """
    for is_of, read in _READERS:
        if is_of(data):
            try:
                return read(data)
            except Exception as error:
                # Pillow raises whatever comes of a damaged file: a dozen kinds are known.
                reason = str(error) or type(error).__name__
                raise MetadataError(f"this picture cannot be read: {reason[:200]}") from error
    return None
