"""Replies that were good, kept on disk: the same question to the same model costs nothing twice."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

from lib_ranni.planner.llm.backend import Backend, Chat

_log = logging.getLogger(__name__)


class ReplyCache:
    """Files in `folder`, at most `most_bytes` of them together; the longest unused go first.

    A cache never fails: what cannot be read or written counts as not there.
    """

    def __init__(self, folder: Path, most_bytes: int = 20 * 2**20) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def get(self, backend: Backend, chat: Chat) -> str | None:
        """The reply that was kept for this chat."""
        path = self._path(backend, chat)
        try:
            text = path.read_text("utf-8")
            os.utime(path)
        except (OSError, UnicodeDecodeError):
            return None
        return text

    def put(self, backend: Backend, chat: Chat, reply: str) -> None:
        """Keep a reply. A reader sees all of it or nothing."""
        path = self._path(backend, chat)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".new", delete=False) as file:
                file.write(reply.encode("utf-8", "replace"))
            Path(file.name).replace(path)
            self._shrink()
        except OSError as error:
            _log.info("the planner's cache cannot be written: %s", error)

    def clear(self) -> None:
        """Forget all replies."""
        for path in self._folder.glob("*.txt"):
            with suppress(OSError):
                path.unlink()

    def _path(self, backend: Backend, chat: Chat) -> Path:
        asked = msgspec.json.encode((backend.name, backend.identity, chat), order="deterministic")
        return self._folder / f"{hashlib.sha256(asked).hexdigest()}.txt"

    def _shrink(self) -> None:
        files = []
        for path in self._folder.glob("*.txt"):
            with suppress(OSError):
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
        size = sum(entry[1] for entry in files)
        for _, own, path in sorted(files)[:-1]:
            if size <= self._most_bytes:
                return
            with suppress(OSError):
                path.unlink()
                size -= own
