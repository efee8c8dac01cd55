"""What models are told: Markdown files with a heading for each turn, ours or the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, cast

import msgspec

from lib_ranni.errors import InputError
from lib_ranni.planner.language import is_chinese
from lib_ranni.planner.llm.backend import Message

_OURS = Path(__file__).parents[1] / "prompts"
_MOST_CHARACTERS = 100_000
_HEADING = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)
_FIELD = re.compile(r"\{\{(\w{1,20})\}\}")

Purpose = Literal["plan", "regions", "edit", "again"]
"""Plan as JSON, plan RPG's way, edit as told, answer once more. A file is named after it and its language."""


class Prompts:
    """The prompt files. Those in `folder`, the user's, stand in for ours of the same name."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def messages(
        self, purpose: Purpose, words: str, fields: dict[str, str], picture: bytes | None = None
    ) -> tuple[Message, ...]:
        """The turns of a chat with `{{name}}` filled in from `fields`, in the language that `words` are in.

        `picture` goes with the last turn. Raises `InputError` for a file of the user's that is none.
        """
        language = "zh" if is_chinese(words) else "en"
        turns = [
            Message(role, _FIELD.sub(lambda match: fields.get(match[1], match[0]), text))
            for role, text in self._turns(f"{purpose}_{language}.md")
        ]
        if picture is not None:
            turns[-1] = msgspec.structs.replace(turns[-1], picture=picture)
        return tuple(turns)

    def _turns(self, name: str) -> list[tuple[Literal["system", "user", "assistant"], str]]:
        path = _OURS / name
        if self._folder is not None and (self._folder / name).is_file():
            path = self._folder / name
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the prompt file {path} cannot be read: {error}") from error
        if len(text) > _MOST_CHARACTERS:
            raise InputError(f"the prompt file {path} has more than {_MOST_CHARACTERS} characters")
        parts = _HEADING.split(text)
        turns = [
            (cast(Literal["system", "user", "assistant"], role), words.strip())
            for role, words in zip(parts[1::2], parts[2::2], strict=True)
        ]
        if not turns or turns[-1][0] != "user":
            raise InputError(
                f"the prompt file {path} must have headings '# system', '# user'; the last '# user'"
            )
        return turns
