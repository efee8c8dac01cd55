"""How a model is asked for plans."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Style = Literal["panel", "regions"]


class Manner(Struct, frozen=True):
    """How a model is asked.

    `style`: for a panel as JSON, or RPG's way, in words: recaption, plan, regions. `asks_again`: at most so
    many corrections. `max_tokens` holds for one reply.
    """

    style: Style = "panel"
    asks_again: int = 2
    temperature: float = 0.2
    max_tokens: int = 2048


USUAL = Manner()
