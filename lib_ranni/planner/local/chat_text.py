"""A chat as the token ids that a model was trained to read: by its own template, else as Llama 2 has it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.backend import Message

_MAX_BYTES = 2**24


def template_of(folder: Path) -> str | None:
    """The chat template of a model folder, in Jinja; None where it has none."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8", errors="replace")
    config = folder / "tokenizer_config.json"
    if not config.is_file() or config.stat().st_size > _MAX_BYTES:
        return None
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return None
    template = document.get("chat_template") if isinstance(document, dict) else None
    if isinstance(template, list):
        named = [t for t in template if isinstance(t, dict)]
        template = next((t.get("template") for t in named if t.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def token_ids(messages: Sequence[Message], template: str | None, tokenizer: Any) -> list[int]:
    """The ids of a chat that ends where the model's answer begins.

    Without a template it is written as for Llama 2. Raises `PlannerError` where a template refuses the chat.
    """
    if any(message.picture is not None for message in messages):
        raise PlannerError("a local model cannot see pictures; plan from words, or choose another planner")
    begin, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
    write = _llama_text if template is None else partial(_rendered, template)
    text = write(messages, begin, end)
    marks = {begin: tokenizer.bos_token_id, end: tokenizer.eos_token_id}
    marks.pop("", None)

    def encode(words: str) -> list[int]:
        ids: list[int] = tokenizer.encode(words, add_special_tokens=False) if words else []
        return ids

    if all(encode(mark) == [number] for mark, number in marks.items()):
        return encode(text)
    # This tokenizer spells its own marks out as if they were words.
    pieces = re.split("(" + "|".join(map(re.escape, marks)) + ")", text)
    return [number for piece in pieces for number in ([marks[piece]] if piece in marks else encode(piece))]


def _llama_text(messages: Sequence[Message], begin: str, end: str) -> str:
    """The chat as Llama 2 was tuned on it: the system's words stand inside the first turn of the user."""
    turns: list[str] = []
    system = ""
    for message in messages:
        text = message.text
        for mark in filter(None, (begin, end)):
            text = text.replace(mark, "")
        if message.role == "system":
            system += f"<<SYS>>\n{text}\n<</SYS>>\n\n"
        elif message.role == "user":
            turns.append(f"{begin}[INST] {system}{text} [/INST]")
            system = ""
        else:
            turns.append(f" {text} {end}")
    return "".join(turns)


def _rendered(template: str, messages: Sequence[Message], begin: str, end: str) -> str:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)

    def render(turns: Sequence[Message]) -> str:
        documents = [{"role": turn.role, "content": turn.text} for turn in turns]
        names = {"bos_token": begin, "eos_token": end}
        return environment.from_string(template).render(
            messages=documents, add_generation_prompt=True, **names
        )

    try:
        try:
            return render(messages)
        except TemplateError:
            # Some models know no system role and say so.
            return render(_without_system(messages))
    except Exception as error:
        # A template is a program: what it may raise has no end.
        raise PlannerError(
            f"the model's chat template refuses this chat ({type(error).__name__}: {str(error)[:200]}); "
            "choose a chat model, or mend chat_template in its tokenizer_config.json"
        ) from error


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The chat with the system's words at the head of the user's."""
    system = [message.text for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    if system and turns and turns[0].role == "user":
        turns[0] = Message("user", "\n\n".join([*system, turns[0].text]))
    return turns
