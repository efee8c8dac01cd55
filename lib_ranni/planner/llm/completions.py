"""What an OpenAI-compatible server sends back: texts, lists of models, and errors, as JSON of any quality."""

from __future__ import annotations

from typing import Any

import msgspec

from lib_ranni.errors import PlannerError

_MOST_QUOTED = 300


def text_of(document: Any) -> str:
    """The text of a reply, or of one piece of it; empty where a piece carries none.

    Raises `PlannerError` for what a server sends in place of a reply.
    """
    if not isinstance(document, dict):
        raise PlannerError(
            "the server's reply is not a chat completion; is this an OpenAI-compatible server?"
        )
    if document.get("error"):
        raise PlannerError(f"the server reports an error: {error_text(document)}")
    choices = document.get("choices")
    if not isinstance(choices, list):
        raise PlannerError(
            "the server's reply has no choices; is this the address of a chat completion server?"
        )
    choice = choices[0] if choices and isinstance(choices[0], dict) else {}
    if choice.get("finish_reason") == "content_filter":
        raise PlannerError("the server's content filter stopped the reply; reword the prompt")
    turn = choice.get("delta") or choice.get("message")
    if not isinstance(turn, dict):
        return str(choice.get("text") or "")
    if isinstance(turn.get("refusal"), str) and turn["refusal"]:
        raise PlannerError(f"the model refuses: {quoted(turn['refusal'])}")
    return _content(turn.get("content")) + _arguments(turn.get("tool_calls"))


def is_cut(document: dict[str, Any]) -> bool:
    """Whether a reply, or its last piece, ends because the limit of tokens is reached."""
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and first.get("finish_reason") == "length"


def _content(content: Any) -> str:
    if isinstance(content, list):
        # Some servers send parts: [{"type": "text", "text": ...}].
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _arguments(calls: Any) -> str:
    call = calls[0] if isinstance(calls, list) and calls else None
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode("utf-8")
    return arguments if isinstance(arguments, str) else ""


def error_text(document: Any) -> str:
    """What the body of an error says, in one short line."""
    error = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(error, dict):
        error = next((error[key] for key in ("message", "detail", "msg", "error") if error.get(key)), error)
    if isinstance(error, (dict, list)):
        error = msgspec.json.encode(error).decode("utf-8")
    return quoted(str(error))


def models_of(document: Any) -> tuple[str, ...]:
    """The names in a list of models. Raises `PlannerError` when it is none."""
    listed = document.get("data", document.get("models")) if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise PlannerError("the server does not list its models; write the model's name yourself")
    names = (entry.get("id") or entry.get("name") for entry in listed if isinstance(entry, dict))
    # Gemini puts a folder in front, and does not take it back.
    return tuple(name.removeprefix("models/") for name in names if isinstance(name, str))


def quoted(text: str) -> str:
    """What a server says, in one short line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    return line if len(line) <= _MOST_QUOTED else line[: _MOST_QUOTED - 3] + "..."
