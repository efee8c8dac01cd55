"""Secret keys: they go into one header and nowhere else."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar

import msgspec

from lib_ranni.errors import InputError

_MASK = "***"
_SHORTEST = 8
"""Keys shorter than this are no secrets ("-", "none", "test"): masking them would tear up names and texts."""


class Key:
    """A server's key. It shows itself to nobody: not in `repr`, in logs, in errors, or when it is pickled.

    Raises `InputError` for a text that no header can hold.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: str) -> None:
        self._secret = secret.strip()
        if not self._secret.isascii() or not self._secret.isprintable():
            raise InputError("the key has signs that no key has; copy it once more")

    def __repr__(self) -> str:
        return f"Key({_MASK})"

    def __bool__(self) -> bool:
        return bool(self._secret)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key is not written anywhere")

    @property
    def header(self) -> dict[str, str]:
        """What shows the key to its server; nothing where there is none."""
        return {"Authorization": f"Bearer {self._secret}"} if self._secret else {}

    def masked(self, text: str) -> str:
        """The text without the key."""
        return text.replace(self._secret, _MASK) if len(self._secret) >= _SHORTEST else text

    def masked_bytes(self, body: bytes) -> bytes:
        """A body without the key. JSON with escapes is written anew: they must not hide it."""
        if len(self._secret) < _SHORTEST:
            return body
        if b"\\" in body:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                body = msgspec.json.encode(msgspec.json.decode(body))
        return body.replace(self._secret.encode(), _MASK.encode())

    @contextlib.contextmanager
    def masked_log(self, name: str) -> Iterator[None]:
        """What this task tells the logger of this name within the block goes on without the key."""
        # Stays there: filters taken away while others log make these skip some.
        logging.getLogger(name).addFilter(_mask_record)
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)

    def masked_pieces(self, pieces: Iterator[str]) -> Iterator[str]:
        """A stream of text without the key, also where it is spread over pieces; only its begin waits."""
        held = ""
        for piece in pieces:
            text = self.masked(held + piece)
            begin = self._begun(text)
            held = text[begin:]
            if begin:
                yield text[:begin]
        if held:
            yield held

    def _begun(self, text: str) -> int:
        """Where, at the end of the text, the key may have begun; its length if nowhere."""
        if len(self._secret) < _SHORTEST:
            return len(text)
        for begin in range(max(0, len(text) - len(self._secret) + 1), len(text)):
            if self._secret.startswith(text[begin:]):
                return begin
        return len(text)


_in_use: ContextVar[Key | None] = ContextVar("_in_use", default=None)


def _mask_record(record: logging.LogRecord) -> bool:
    key = _in_use.get()
    if key is not None:
        record.msg, record.args = key.masked(record.getMessage()), ()
    return True
