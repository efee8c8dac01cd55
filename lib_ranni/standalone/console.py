"""What the command line prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec


def say(text: str) -> None:
    """A line for the person watching."""
    print(text, file=sys.stderr, flush=True)


def say_on(text: str) -> None:
    """A piece of a line for the person watching."""
    print(text, end="", file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A line of the result."""
    print(text, flush=True)


def show_json(value: Any) -> None:
    """A result for programs: one line of JSON."""
    show(msgspec.json.encode(value).decode("utf-8"))


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, gone at the end; `advance(done, total)` may be called at any pace."""
    from tqdm import tqdm

    with tqdm(desc=label, file=sys.stderr, leave=False, mininterval=0.2) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
