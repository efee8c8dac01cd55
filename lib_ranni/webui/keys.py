"""Keys of language model servers: kept in a file that only this user reads, and never shown again.

Settings would not do: the host puts their values into its pages and its API.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec
from modules import paths_internal

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.key import Key


def folder() -> Path:
    """Where the extension keeps what is the user's: keys, and the replies of models."""
    return Path(paths_internal.data_path) / "ranni"


def _file() -> Path:
    return folder() / "keys.json"


def _read() -> dict[str, str]:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def key_for(url: str) -> str:
    """The key that was saved for this address; empty where there is none."""
    return _read().get(url, "")


def save(url: str, key: str) -> None:
    """Keep a key for an address; an empty one forgets it. Raises `InputError` for what is no key."""
    Key(key)
    keys = {**_read(), url: key.strip()}
    if not key.strip():
        del keys[url]
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(keys))
        new.replace(path)
    except OSError as error:
        raise InputError(f"the key cannot be kept in {path}: {error.strerror}") from error
    with suppress(OSError):
        path.chmod(0o600)
