"""`prompts`: prompts out of a file, as text, as JSON, and into `plan`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.standalone.running import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"a red circle and thing {n}\t{'AB'[n % 2]}\n" for n in range(6))
    (tmp_path / "PartiPrompts.tsv").write_text("Prompt\tCategory\n" + rows + "too few cells\n")
    return tmp_path


def test_prompts_are_printed_one_a_line(run: Run, folder: Path) -> None:
    done = run("prompts", "parti:Category=B;n=2", "--folder", folder)
    assert (done.code, done.err) == (0, "")
    assert done.out == "a red circle and thing 1\na red circle and thing 3\n"
    assert run("plan", "-", "--json", stdin=done.out.encode()).out.count("\n") == 2


def test_a_path_is_a_set_too_and_what_was_left_out_is_said(run: Run, folder: Path) -> None:
    done = run("prompts", f"{folder / 'PartiPrompts.tsv'}:offset=5", "--json")
    assert json.loads(done.out) == {
        "id": "6",
        "text": "a red circle and thing 5",
        "cells": {"Prompt": "a red circle and thing 5", "Category": "B"},
    }
    assert done.err == "note: PartiPrompts.tsv: 1 row left out (not 2 cells)\n"


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("nope:n=2", "there is no prompt set 'nope'"),
        ("parti:n=x", "whole number"),
        ("parti:Kind=A", "no column"),
    ],
)
def test_what_cannot_be_read_is_told(run: Run, folder: Path, expression: str, complaint: str) -> None:
    assert complaint in run("prompts", expression, "--folder", folder).complaint
