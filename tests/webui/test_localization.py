"""Every text that the host's pages show of ours is in every localization, and nothing else."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLES = sorted((ROOT / "localizations").glob("*.json"))
KEYWORDS = {"label", "placeholder"}
POSITIONS = {
    "Accordion": (0,),
    "Button": (0,),
    "info": (0,),
    "_slider": (1,),
    "OptionInfo": (1,),
    "Option": (0, -1),
}
"""Which arguments of a call are shown."""


def _texts(node: ast.AST) -> Iterator[str]:
    """Texts that a call of a component shows: its label, a button's words, an option's name and remark."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        shown = [word.value for word in call.keywords if word.arg in KEYWORDS]
        shown += [call.args[n] for n in POSITIONS.get(name, ()) if len(call.args) > n]
        yield from (value.value for value in shown if isinstance(value, ast.Constant) and value.value)


def texts() -> set[str]:
    from lib_ranni.service.connection import OWN
    from lib_ranni.service.request import MODES, OVERLAPS, OWN_CONDITIONER

    found: set[str] = {*MODES, *OVERLAPS, OWN, OWN_CONDITIONER, "This panel is not used until it is mended:"}
    found |= {"Ranni: language models", "Ranni: few steps"}
    ours = ("tab", "controls", "settings", "few_step_options")
    shared = ("connection", "keeping", "lora_check", "prior_part")
    for name in (*(f"webui/{part}" for part in ours), *(f"service/{part}" for part in shared)):
        source = (ROOT / "lib_ranni" / f"{name}.py").read_text("utf-8")
        found |= set(_texts(ast.parse(source)))
    return found


def test_the_texts_are_found() -> None:
    assert {
        "Ranni",
        "Test the connection",
        "Base ratio",
        "Write panel and settings into the infotext",
    } <= texts()
    assert len(texts()) > 20


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_a_table_has_every_text_and_no_other(table: Path) -> None:
    entries = json.loads(table.read_text("utf-8"))
    assert set(entries) == texts()
    assert all(value.strip() for value in entries.values())


def test_there_is_english_and_chinese() -> None:
    assert [table.stem for table in TABLES] == ["en", "zh_CN"]
    english = json.loads(TABLES[0].read_text("utf-8"))
    assert all(key == value for key, value in english.items())
    chinese = json.loads(TABLES[1].read_text("utf-8"))
    assert all(any("\u4e00" <= char <= "\u9fff" for char in value) for value in chinese.values())
