"""Panels that the user keeps by name: JSON files in `ranni/panels` of the WebUI's data folder."""

from __future__ import annotations

from pathlib import Path

from modules import paths_internal

from lib_ranni.errors import InputError
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Panel

_MOST_BYTES = 8 * 2**20


def folder() -> Path:
    """Where they are; it need not exist."""
    return Path(paths_internal.data_path) / "ranni" / "panels"


def names() -> list[str]:
    """The names of all kept panels, sorted."""
    return sorted((path.stem for path in folder().glob("*.json")), key=str.casefold)


def load(name: str) -> Panel:
    """A kept panel, mended where needed. Raises `InputError` if there is none of this name."""
    if name not in names():
        known = ", ".join(names()[:20]) or f"none; put JSON files into {folder()}"
        raise InputError(f"there is no kept panel {name[:80]!r}; there are: {known}")
    path = folder() / f"{name}.json"
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"the kept panel {name!r} is larger than {_MOST_BYTES // 2**20} MiB")
    panel = repair(path.read_bytes()).panel
    if panel is None:
        raise InputError(f"the kept panel {name!r} is empty")
    return panel
