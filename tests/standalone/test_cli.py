"""The command line as a whole: exit codes, one line for whatever goes wrong, and its manners as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lib_ranni import __version__
from lib_ranni.errors import PlannerError
from lib_ranni.panel.reading import load
from tests.standalone.running import FAST, PROMPT, Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "COMMAND"),
        (("paint",), "invalid choice"),
        (("plan",), "prompt"),
        (("plan", "x", "--seed", "-3"), "--seed"),
        (("plan", "x", "--planner", "nope"), "builtin"),
        (("generate",), "nothing to draw"),
        (("generate", "x", "--size", "100x100"), "multiples of 8"),
        (("generate", "x", "--size", "big"), "512x768"),
        (("generate", "x", "--steps", "0"), "1..1000"),
        (("generate", "x", "--steps", "many"), "whole number"),
        (("generate", "x", "--base-ratio", "nan"), "0..1"),
        (("generate", "x", "--cfg", "much"), "not a number"),
        (("generate", "x", "--mode", "both"), "attention"),
        (("generate", "x", "--sampler", "nope"), "euler-a"),
        (("generate", "x", "--seed", "4294967296"), "4294967295"),
        (("generate", "x", "--batch", "65"), "1..64"),
        (("generate", "x", "--model", "nope"), "no checkpoint at nope"),
        (("generate", "x", "--device", "nope"), "no device"),
        (
            (
                "generate",
                "x" * 10_001,
            ),
            "prompt",
        ),
        (("generate", "--panel", "nope.json"), "nope.json cannot be read"),
        (("generate", "--panel", "."), "cannot be read"),
        (("generate", "--from", "nope.png"), "no file nope.png"),
        (("show", "nope.json"), "nope.json cannot be read"),
        (("show", "a\x00b"), "cannot be read"),
        (("show", "nope.png"), "no file"),
        (("show", "x", "--size", "5"), "16..4096"),
        (("eval", "--modes", "plain,both"), "no mode 'both'"),
        (("eval", "--limit", "0"), "1..1000000"),
        (("eval", "--model", "nope"), "no checkpoint at nope"),
        (("train", "--recipe", "tpu"), "cpu"),
    ],
)
def test_bad_usage_is_one_line(run: Run, words: Sequence[str], said: str) -> None:
    assert said in run(*words).complaint


@pytest.mark.parametrize(
    "words",
    [
        ("generate", "x", *FAST, "--out", "taken"),
        ("generate", "x", *FAST, "--out", "taken/below"),
        ("eval", "--limit", "1", "--out", "taken"),
        ("tour", "--out", "taken/below"),
        ("edit", "panel.json", "--out", "taken/p.json"),
        ("show", "panel.json", "--out", "taken/p.png"),
    ],
)
def test_a_place_that_cannot_be_written(
    run: Run, panel_file: Path, tmp_path: Path, words: Sequence[str]
) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    assert "taken" in run(*words).complaint


def test_our_own_mistakes_are_ours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.standalone.commands import plan

    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(plan, "plan", broken)
    done = run("plan", "x", "--json")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "our fault: ZeroDivisionError: division by zero" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setenv("RANNI_DEBUG", "1")
    assert "Traceback" in run("plan", "x").err


def test_a_planner_that_fails_and_an_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.standalone.commands import plan

    def stopping(error: BaseException) -> None:
        def stop(*args: object, **kwargs: object) -> None:
            raise error

        monkeypatch.setattr(plan, "plan", stop)

    stopping(PlannerError("no server;\n start one"))
    assert run("plan", "x").complaint == "lib-ranni: no server; start one"
    stopping(KeyboardInterrupt())
    done = run("plan", "x")
    assert (done.code, done.err) == (130, "lib-ranni: interrupted\n")


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        *((name, "--help") for name in ("plan", "generate", "edit", "show", "eval", "tour", "train")),
    ],
)
def test_help_and_version(run: Run, words: Sequence[str]) -> None:
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert __version__ in done.out or "usage: lib-ranni" in done.out


def _process(*words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "lib_ranni.standalone.cli", *words],
        capture_output=True, env=environment, timeout=60, check=False, **options,
    )  # fmt: skip


def test_a_process_prints_utf8_wherever_it_runs() -> None:
    done = _process("plan", "两只红色的猫", "--json", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(load(done.stdout).elements) == 2
    assert "红".encode() in done.stdout


def test_a_process_without_standard_input() -> None:
    done = _process("plan", "-", preexec_fn=lambda: os.close(0)) if os.name == "posix" else None
    if done is not None:
        assert (done.returncode, done.stdout) == (2, b"")
    assert _process("plan", "-", "--json", stdin=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe under the process")
def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-m", "lib_ranni.standalone.cli", "plan", "-", "--json"],
        stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    os.close(write)
    _, err = process.communicate(b"a red circle\n" * 5, timeout=60)
    assert (process.returncode, err) == (0, b"")


def test_planning_needs_no_tensors() -> None:
    code = (
        "import sys; from lib_ranni.standalone.cli import main; main(['plan', 'a cat', '--json']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'diffusers')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_generate_as_a_process(tmp_path: Path) -> None:
    done = _process("generate", PROMPT, *FAST, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"\n") == 1
    assert (tmp_path / json.loads(done.stdout)["images"][0]).exists()
