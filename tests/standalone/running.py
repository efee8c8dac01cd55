"""What the tests of the command line share: what a command answered, and what to ask of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

PROMPT = "a red circle to the left of a blue square"
FAST = ("--steps", "2", "--size", "64x64")
"""Options of a picture that takes no time."""


class Ran(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on standard error of a command that refused."""
        assert self.code == 2, (self.code, self.err)
        assert self.out == ""
        last = self.err.replace("\r", "\n").strip().splitlines()[-1].strip()
        assert not any(word in self.err for word in ("Traceback", "usage:"))
        assert last.startswith("lib-ranni")
        return last


Run = Callable[..., Ran]


def descriptions(document: dict[str, Any]) -> dict[str, str]:
    return {element["id"]: element["description"] for element in document["elements"]}
