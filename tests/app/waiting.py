"""Coroutines in tests that may share a process with Playwright."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")


def answer_of(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """Run it in a thread of its own: in this one Playwright's loop may be running."""
    found: list[_Answer] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(work)))
    thread.start()
    thread.join()
    return found[0]
