"""Where a panel comes from on the command line: a JSON file, a picture, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from lib_ranni.errors import InputError, PanelError
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Panel
from lib_ranni.standalone.console import say


def read_text(source: str) -> str:
    """The text of a file, or of standard input for `-`. Raises `InputError` when there is none."""
    try:
        data = read_input() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise InputError(f"{source} is not a text file in UTF-8") from error
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(f"{source} cannot be read: {reason or error}") from error


def read_input() -> bytes:
    """All of standard input. Raises `InputError` when it is closed."""
    return open_input().read()


def open_input() -> BinaryIO:
    """Standard input as bytes. Raises `InputError` when it is closed."""
    if sys.stdin is None:
        raise InputError("standard input is closed; give a file or a prompt instead of -")
    return sys.stdin.buffer


def is_png(source: str) -> bool:
    """Whether a source is a PNG file, by its name or its first bytes."""
    if source == "-":
        return False
    if Path(source).suffix.lower() == ".png":
        return True
    try:
        with Path(source).open("rb") as file:
            return file.read(8) == b"\x89PNG\r\n\x1a\n"
    except (OSError, ValueError):
        return False


def load_panel(source: str) -> Panel:
    """The panel of a JSON file, of a PNG that carries one, or of standard input for `-`.

    What can be mended is, and each change is said; raises `InputError` when there is no panel.
    """
    if is_png(source):
        from lib_ranni.standalone.metadata import read_png

        return read_png(Path(source)).panels[0]
    try:
        reading = repair(_unwrapped(read_text(source)))
    except PanelError as error:
        raise InputError(f"{source}: {error}") from error
    for problem in reading.problems:
        say(f"mended: {problem}")
    if reading.panel is None:
        raise InputError(f"{source} holds no panel; `lib-ranni plan PROMPT --json` writes one")
    return reading.panel


def _unwrapped(text: str) -> Any:
    """The panel inside what our own commands print with --json, else the text as it is."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    if isinstance(document, dict) and isinstance(document.get("panel"), dict) and "elements" not in document:
        return document["panel"]
    return document
