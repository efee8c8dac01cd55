"""The words that Ranni's model is asked with: four text files, which the user may replace.

The LoRA files were tuned on Ranni's own wording, which does not come with this library. Who has it saves it
under these names; its SHA-256 tells that it is the right one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from msgspec import Struct

from lib_ranni.errors import PlannerError

FOLDER = Path(__file__).resolve().parents[1] / "prompts" / "ranni"
"""Our own wording."""

UPSTREAM = {
    "element_system": "c293fe71fbdecb87",
    "element_user": "9abb3b58dd757edb",
    "box_system": "160408c7c20d65ff",
    "box_user": "bdb3197d18e1cccb",
}
"""File -> the first 16 digits of the SHA-256 of Ranni's wording (`utils.py` of its repository)."""

_BLANKS = {"element_user": 1, "box_user": 2}
_MAX_BYTES = 100_000


class PromptFiles(Struct, frozen=True):
    """The four texts. `{}` stands for the caption, and in `box_user` once more for the elements.

    `foreign` names the texts that are not Ranni's own.
    """

    element_system: str
    element_user: str
    box_system: str
    box_user: str
    foreign: tuple[str, ...]
    folder: Path

    @property
    def is_upstream(self) -> bool:
        """Whether the LoRA files were tuned on exactly these words."""
        return not self.foreign

    @property
    def note(self) -> str:
        """What to tell the user about the wording; empty when it is Ranni's own."""
        if self.is_upstream:
            return ""
        files = ", ".join(f"{name}.txt" for name in self.foreign)
        return (
            "Ranni's LoRA files were tuned on other words than the planner asks with; "
            f"for better plans save Ranni's own as {files} in {self.folder}"
        )

    def ask_elements(self, caption: str) -> str:
        """What the user says in the element turn."""
        return filled(self.element_user, caption)

    def ask_boxes(self, caption: str, elements: str) -> str:
        """What the user says in the box turn; `elements` are joined labels."""
        return filled(self.box_user, caption, elements)


def read_prompts(folder: Path | None = None) -> PromptFiles:
    """The texts of a folder, ours for those it lacks. Raises `PlannerError` for one that cannot serve."""
    folder = folder or FOLDER
    texts = {name: _text(folder, name) for name in UPSTREAM}
    foreign = tuple(name for name, text in texts.items() if not _is_upstream(name, text))
    return PromptFiles(**texts, foreign=foreign, folder=folder)


def filled(template: str, *values: str) -> str:
    """The template with its first `{}` replaced by the first value, and so on."""
    head, *rest = template.split("{}", len(values))
    return head + "".join(value + part for value, part in zip(values, rest, strict=True))


def _text(folder: Path, name: str) -> str:
    """The text of a file as Ranni has it, if it is Ranni's but for the newlines that editors add."""
    file = folder / f"{name}.txt"
    if not file.is_file():
        file = FOLDER / f"{name}.txt"
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PlannerError(f"{file} cannot be read; save it as UTF-8 text") from error
    blanks = _BLANKS.get(name, 0)
    if len(data) > _MAX_BYTES or text.count("{}") < blanks or not text.strip():
        raise PlannerError(
            f"{file} cannot serve as a prompt: it needs {blanks} times {{}} and up to {_MAX_BYTES:,} bytes"
        )
    spellings = (text, text.removesuffix("\n"), text + "\n")
    return next((spelling for spelling in spellings if _is_upstream(name, spelling)), text.removesuffix("\n"))


def _is_upstream(name: str, text: str) -> bool:
    return hashlib.sha256(text.encode()).hexdigest().startswith(UPSTREAM[name])
