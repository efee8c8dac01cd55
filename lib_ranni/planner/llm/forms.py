"""How a request is put to a server, and how it is put otherwise once the server has refused a part of it."""

from __future__ import annotations

import base64
import re
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lib_ranni.planner.llm.backend import Chat, Message

FUNCTION = "write_panel"
"""The tool that a model is made to call where it knows no schemas for replies."""

_OPTIONAL = ("seed", "temperature", "stream")


class Form(Struct, frozen=True):
    """What a server is known to take; the best is assumed until it refuses.

    `structure`: a reply is held to its schema by the server, is the argument of a tool call, or is free text.
    """

    structure: Literal["schema", "tool", "plain"] = "schema"
    limit: Literal["max_tokens", "max_completion_tokens", ""] = "max_tokens"
    without: frozenset[str] = frozenset()

    def payload(self, chat: Chat, model: str) -> dict[str, Any]:
        """The body of a request."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [_message(message) for message in chat.messages],
            "stream": True,
            "temperature": chat.temperature,
        }
        if chat.seed is not None:
            body["seed"] = chat.seed
        if self.limit:
            body[self.limit] = chat.max_tokens
        if chat.schema is not None and self.structure == "schema":
            schema = {"name": FUNCTION, "strict": True, "schema": chat.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif chat.schema is not None and self.structure == "tool":
            function = {"name": FUNCTION, "parameters": chat.schema}
            body["tools"] = [{"type": "function", "function": function}]
            body["tool_choice"] = {"type": "function", "function": {"name": FUNCTION}}
        return {name: value for name, value in body.items() if name not in self.without}

    def after(self, refusal: str, state: int, *, structured: bool) -> Form | None:
        """Another form to try once a request was refused with these words; None when there is none left.

        `structured`: whether the refused request asked for a structure. A fault of the server itself (500)
        counts as a refusal only where it names what it fell over. Each step leaves something out, so there
        are few of them.
        """
        words = refusal.lower()
        if state == 500 and not re.search(r"response_format|json_schema|schema|grammar|tool", words):
            return None
        if re.search(r"\bmodel\b.{0,80}\b(?:not|unknown|exist|invalid)|context length", words):
            return None
        for name in _OPTIONAL:
            if name not in self.without and re.search(rf"\b{name}\b", words):
                return msgspec.structs.replace(self, without=self.without | {name})
        if self.limit and re.search(r"\bmax_(?:completion_)?tokens\b", words):
            other: Literal["max_completion_tokens", ""] = (
                "max_completion_tokens" if self.limit == "max_tokens" else ""
            )
            return msgspec.structs.replace(self, limit=other)
        if structured and self.structure == "schema":
            return msgspec.structs.replace(self, structure="tool")
        if structured and self.structure == "tool":
            return msgspec.structs.replace(self, structure="plain")
        return None


def _message(message: Message) -> dict[str, Any]:
    if message.picture is None:
        return {"role": message.role, "content": message.text}
    kind = "png" if message.picture.startswith(b"\x89PNG") else "jpeg"
    data = base64.b64encode(message.picture).decode("ascii")
    return {
        "role": message.role,
        "content": [
            {"type": "text", "text": message.text},
            {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}},
        ],
    }
