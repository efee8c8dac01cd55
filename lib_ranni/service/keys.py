"""Keys of language model servers: kept in a file that only this user reads, and never shown again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.key import Key


class KeyFile:
    """Keys by the addresses they are for. The file is made when the first is saved."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def key_for(self, url: str) -> str:
        """The key that was saved for this address; empty where there is none."""
        return self._read().get(url, "")

    def save(self, url: str, key: str) -> None:
        """Keep a key for an address; an empty one forgets it. Raises `InputError` for what is no key."""
        Key(key)
        keys = {**self._read(), url: key.strip()}
        if not key.strip():
            del keys[url]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(keys))
            new.replace(self._path)
        except OSError as error:
            raise InputError(f"the key cannot be kept in {self._path}: {error.strerror}") from error
        with suppress(OSError):
            self._path.chmod(0o600)

    def _read(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            return {}
