"""The types that the editor's comments declare, checked as strictly as TypeScript can."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.editor.npm import package

PROJECT = Path(__file__).with_name("tsconfig.json")


def test_the_types_hold(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    compiler = package("typescript@5.4.5", tmp_path) / "lib" / "tsc.js"
    done = subprocess.run(
        [node, str(compiler), "-p", str(PROJECT)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == ""
    assert done.returncode == 0
