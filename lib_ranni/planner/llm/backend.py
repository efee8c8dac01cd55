"""What a language model is to the planner: messages in, text out piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Protocol

from msgspec import Struct

from lib_ranni.panel.types import Seed
from lib_ranni.planner.protocol import Cancelled


class Message(Struct, frozen=True):
    """One turn of a chat. `picture` is a PNG or JPEG file beside a user's text."""

    role: Literal["system", "user", "assistant"]
    text: str
    picture: bytes | None = None


class Chat(Struct, frozen=True):
    """What a model is asked. With a `schema`, a JSON Schema, the reply should be a document of it."""

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    seed: Seed | None = None
    temperature: float = 0.2
    max_tokens: int = 2048


class Backend(Protocol):
    """A language model."""

    @property
    def name(self) -> str:
        """The kind of backend."""
        ...

    @property
    def model(self) -> str:
        """The model's name, for reports."""
        ...

    @property
    def identity(self) -> str:
        """What tells the model from all others, for the cache: its name and where it is."""
        ...

    def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        """The reply, in pieces as they arrive; it ends early, within a second, when the caller cancels.

        Raises `PlannerError` whose message says what is wrong and what to do.
        """
        ...
