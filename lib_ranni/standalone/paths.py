"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from lib_ranni.errors import InputError


def from_user(path: str | Path) -> Path:
    """A path with `~` and `~name` as home folders. Raises `InputError` for a user that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"there is no home folder of {Path(path).parts[0]!r}; write the whole path"
        ) from error
