"""Where a panel comes from on the command line: a prompt, a JSON file, a picture, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from lib_ranni.errors import InputError, PanelError
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import Done, Planner, PlanRequest, finish
from lib_ranni.standalone.console import say
from lib_ranni.standalone.metadata import read_png

PLANNERS: dict[str, type[Planner]] = {"builtin": BuiltinPlanner}
"""Name on the command line -> planner."""


def planner(name: str) -> Planner:
    """The planner of a name. Raises `InputError` for one that does not exist."""
    if name not in PLANNERS:
        raise InputError(f"there is no planner {name!r}; choose one of {', '.join(PLANNERS)}")
    return PLANNERS[name]()


def plan(prompt: str, *, name: str = "builtin", aspect: float = 1.0, seed: int | None = None) -> Done:
    """Plan a prompt, and say what the planner has to say about it."""
    done = finish(planner(name).plan(PlanRequest(prompt, aspect, seed)))
    for note in done.report.notes:
        say(f"note: {note}")
    if done.report.unread:
        say("not understood, left to the base prompt: " + "; ".join(done.report.unread))
    return done


def read_text(source: str) -> str:
    """The text of a file, or of standard input for `-`. Raises `InputError` when there is none."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not a text file in UTF-8") from error


def load_panel(source: str) -> Panel:
    """The panel of a JSON file, of a PNG that carries one, or of standard input for `-`.

    What can be mended is, and each change is said; raises `InputError` when there is no panel.
    """
    if source != "-" and Path(source).suffix.lower() == ".png":
        return read_png(Path(source)).panels[0]
    try:
        reading = repair(read_text(source))
    except PanelError as error:
        raise InputError(f"{source}: {error}") from error
    for problem in reading.problems:
        say(f"mended: {problem}")
    if reading.panel is None:
        raise InputError(f"{source} holds no panel; `lib-ranni plan PROMPT --json` writes one")
    return reading.panel
