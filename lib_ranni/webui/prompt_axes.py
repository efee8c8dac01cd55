"""Axes of the X/Y/Z plot that write a cell's prompt: prompts of a set, and blocks of the prompt's LoRAs."""

from __future__ import annotations

import csv
import re
from typing import Any, NamedTuple

from lib_ranni.errors import InputError
from lib_ranni.evaluation.prompt_sets.rows import Row
from lib_ranni.panel.problems import shown
from lib_ranni.webui import folders, loaded_blocks

PLACE = "{prompt}"
"""Where a prompt of a set goes, if the job's own prompt says so; else it stands alone."""

MAX_CELLS = 1000
"""Values of one axis: a picture each."""

_LABEL_WORDS, _LABEL_LETTERS = 6, 40
_TAG = re.compile(r"<(lora|lyco):([^:>]+)((?::[^:>]*)*)>")


class _Chosen(NamedTuple):
    """A value of the axis of prompt sets: its label, its prompt, and what was left out of the file."""

    label: str
    text: str
    remarks: tuple[str, ...]


def prompt_set_option(grid: Any) -> Any:
    """The axis whose values are the prompts of expressions such as `parti:Category=Animals;n=8;seed=1`."""

    def apply(p: Any, chosen: _Chosen, _: Any) -> None:
        p.prompt = p.prompt.replace(PLACE, chosen.text) if PLACE in p.prompt else chosen.text

    def confirm(p: Any, values: list[_Chosen]) -> None:
        for remark in dict.fromkeys(remark for chosen in values for remark in chosen.remarks):
            p.comment(f"Ranni: {remark}")

    return grid.AxisOption(
        "[Ranni] Prompt set",
        # What the values are is known already; the host would make them of texts.
        lambda chosen: chosen,
        apply,
        format_value=lambda p, option, chosen: chosen.label,
        confirm=confirm,
        prepare=expanded,
    )


def expanded(text: str) -> list[_Chosen]:
    """The prompts of one or more expressions, parted by commas. Raises `InputError` where one gives none."""
    found: list[_Chosen] = []
    folder = folders.prompt_sets()
    for expression in _parted(text):
        made = folder.read(expression)
        remarks = tuple(made.remarks())
        found += (_Chosen(_label(row), literal(row.text), remarks) for row in made.prompts)
        if len(found) > MAX_CELLS:
            raise InputError(f"{shown(expression)}: these are more than {MAX_CELLS} prompts; add ;n=8 or so")
    if not found:
        listed = ", ".join(folder.names()) or "none yet"
        raise InputError(f"write an expression such as parti:Category=Animals;n=8;seed=1; sets: {listed}")
    return found


def _parted(text: str) -> list[str]:
    """Values as the host parts them: by commas, unless they stand in quotes."""
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return [cell.strip() for cell in cells if cell.strip()]


def _label(row: Row) -> str:
    words = row.text.split()
    start = " ".join(words[:_LABEL_WORDS])
    cut = len(words) > _LABEL_WORDS or len(start) > _LABEL_LETTERS
    return f"{start[:_LABEL_LETTERS]}{'...' if cut else ''} ({row.id[:_LABEL_LETTERS]})"


def literal(text: str) -> str:
    """Words so that the host takes them for what they are: no emphasis, schedules, networks or parts."""
    text = re.sub(r"[\\()\[\]]", r"\\\g<0>", text)
    text = re.sub(r"<(?=\w+:)", "< ", text)
    # To the text encoder small letters are the same.
    return re.sub(r"\b(?:AND|BREAK)\b", lambda word: word[0].lower(), text)


def blocks_option(grid: Any) -> Any:
    """The axis that lets only some blocks of the prompt's LoRAs act: `content`, `style@0.5`, `ink:down*`."""

    def apply(p: Any, value: str, _: Any) -> None:
        p.prompt = with_blocks(p.prompt, value)
        if getattr(p, "hr_prompt", ""):
            p.hr_prompt = with_blocks(p.hr_prompt, value)

    def confirm(p: Any, values: list[str]) -> None:
        for value in values:
            name, blocks = _split(value)
            loaded_blocks.parse(blocks)
            if not any(name in ("", match[2]) for match in _TAG.finditer(p.prompt)):
                raise InputError(f"[Ranni] LoRA blocks: the prompt has no <lora:{name or '...'}> to filter")

    return grid.AxisOption("[Ranni] LoRA blocks", str, apply, confirm=confirm)


def with_blocks(prompt: str, value: str) -> str:
    """A prompt whose LoRA tags say these blocks. `NAME:blocks` is for one LoRA, `all` for no filter."""
    name, blocks = _split(value)

    def tag(match: re.Match[str]) -> str:
        kind, found, rest = match.groups()
        if name and name != found:
            return match[0]
        kept = [part for part in rest.split(":")[1:] if not part.startswith(f"{loaded_blocks.ARGUMENT}=")]
        if blocks != "*":
            kept = [*(kept or ["1"]), f"{loaded_blocks.ARGUMENT}={blocks.replace('=', '@')}"]
        return f"<{':'.join((kind, found, *kept))}>"

    return _TAG.sub(tag, prompt)


def _split(value: str) -> tuple[str, str]:
    name, _, blocks = value.rpartition(":")
    return name.strip(), "*" if blocks.strip().casefold() in ("", "all") else blocks.strip()
