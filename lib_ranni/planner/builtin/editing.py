"""Edits by instruction, without a model: words in English or Chinese -> unit operations on a panel."""

from __future__ import annotations

from msgspec import Struct

from lib_ranni.errors import EditError
from lib_ranni.panel.operations import MAX_OPERATIONS, AnyOperation
from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin.editing_actions import Actions
from lib_ranni.planner.builtin.editing_chinese import ChineseInstruction
from lib_ranni.planner.builtin.editing_english import EnglishInstruction
from lib_ranni.planner.builtin.editing_steps import Step, example, not_understood
from lib_ranni.planner.language import is_chinese

MAX_INSTRUCTION = 2000
"""Characters; a longer text is no instruction."""

MAX_STEPS = 30


class Edit(Struct, frozen=True):
    """What an instruction comes down to. `notes` say which locked elements were passed over."""

    operations: tuple[AnyOperation, ...]
    notes: tuple[str, ...] = ()


def read_edit(panel: Panel, instruction: str) -> Edit:
    """The operations that an instruction asks for, to be applied in their order.

    Raises `EditError` for words that are not understood, for elements that are not there, are locked or
    cannot be told apart, and for places without room; then nothing is to be done.
    """
    if len(instruction) > MAX_INSTRUCTION:
        raise EditError(
            f"an instruction has at most {MAX_INSTRUCTION} characters, not {len(instruction)}; "
            "give a few steps at a time"
        )
    actions = Actions(panel)
    found: list[AnyOperation] = []
    rest, carried = instruction.strip(), ""
    for _ in range(MAX_STEPS):
        if not rest:
            break
        steps, rest, carried = _next_steps(actions, rest, carried)
        for step in steps:
            found += actions.take(step)
            if len(found) > MAX_OPERATIONS:
                raise EditError(f"this would change more than {MAX_OPERATIONS} things; name fewer at a time")
    if rest:
        raise EditError(f"an instruction has at most {MAX_STEPS} steps; give the rest afterwards")
    if not found:
        raise EditError(f"the instruction asks for nothing; say what to change, {example(panel)}")
    return Edit(tuple(found), tuple(dict.fromkeys(actions.notes)))


def _next_steps(actions: Actions, text: str, carried: str) -> tuple[list[Step], str, str]:
    """(the first steps of a text, the rest of it, their verb). Raises `EditError` if there is none."""
    if is_chinese(text):
        read = ChineseInstruction(actions.panel, text, bool(actions.earlier)).step()
    else:
        english = EnglishInstruction(actions.panel, text, carried)
        read, carried = english.step(), english.carried
    if read is None:
        raise not_understood(actions.panel, text)
    return read[0], text[read[1] :].strip() if read[1] else "", carried
