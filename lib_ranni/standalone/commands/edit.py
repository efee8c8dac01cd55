"""`lib-ranni edit`: unit operations on a panel, in the order given."""

from __future__ import annotations

import re
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from lib_ranni.errors import EditError
from lib_ranni.panel.diff import diff, sentences
from lib_ranni.panel.operations import (
    Add,
    Attribute,
    Move,
    Operation,
    Remove,
    Replace,
    Resize,
    apply,
)
from lib_ranni.panel.writing import to_document, to_json
from lib_ranni.planner.protocol import EditRequest, finish
from lib_ranni.standalone.arguments import text
from lib_ranni.standalone.console import say, show, show_json
from lib_ranni.standalone.planning import add_planner_arguments, planner_from, tell
from lib_ranni.standalone.sources import load_panel

SUMMARY = "change a panel: add, remove, replace, re-attribute, resize, move, or as told in words"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "source", help="a panel's JSON file, a PNG that `generate` wrote, or - for standard input"
    )
    # Without this, argparse takes a shift such as -0.1,0 for an option.
    parser._negative_number_matcher = re.compile(r"-[\d.][\d.,eE+-]*$")
    operations = parser.add_argument_group("operations, applied in the order given")

    def operation(name: str, words: tuple[str, ...], about: str) -> None:
        operations.add_argument(
            f"--{name}", nargs="+", metavar=words, action=_Collect, dest="operations", default=[], help=about
        )

    operation("add", ("TEXT", "BOX"), "a new element; BOX is x0,y0,x1,y1 in 0..1, else it finds a free place")
    operation("remove", ("ID", "..."), "drop elements")
    operation("replace", ("ID", "TEXT"), "put another thing in an element's place")
    operation("attribute", ("ID", "TEXT"), "describe the same thing otherwise")
    operation(
        "resize", ("ID", "FACTOR"), "grow or shrink around the center: 1.5, or 0.3,0.5 for width,height"
    )
    operation("move", ("ID", "DX,DY"), "shift, in parts of the canvas; @X,Y brings the center there")
    parser.add_argument(
        "--tell", metavar="TEXT", help="an instruction in words, carried out after the operations"
    )
    add_planner_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="JSON", help="where to write the panel")
    parser.add_argument("--json", action="store_true", help="print panel and changes as JSON")


class _Collect(Action):
    """Gathers operations of all kinds into one list, so that their order is kept."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        name = str(option_string).removeprefix("--")
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (name, list(values))])


def _numbers(words: str, count: Sequence[int]) -> list[float]:
    try:
        numbers = [float(word) for word in words.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in count:
        raise EditError(f"{words!r} must be {' or '.join(map(str, count))} numbers separated by commas")
    return numbers


def _add(text: str, box: str = "") -> list[Operation]:
    x0, y0, x1, y1 = _numbers(box, [4]) if box else [0.0] * 4
    return [Add(text, (x0, y0, x1, y1) if box else None)]


def _resize(element: str, size: str) -> list[Operation]:
    numbers = _numbers(size, [1, 2])
    if len(numbers) == 1:
        return [Resize(element, factor=numbers[0])]
    return [Resize(element, width=numbers[0], height=numbers[1])]


def _move(element: str, where: str) -> list[Operation]:
    x, y = _numbers(where.removeprefix("@"), [2])
    return [Move(element, to=(x, y)) if where.startswith("@") else Move(element, by=(x, y))]


_OPERATIONS: dict[str, tuple[Callable[..., list[Operation]], int, int]] = {
    "add": (_add, 1, 2),
    "remove": (lambda *elements: [Remove(element) for element in elements], 1, 1000),
    "replace": (lambda element, text: [Replace(element, text)], 2, 2),
    "attribute": (lambda element, text: [Attribute(element, text)], 2, 2),
    "resize": (_resize, 2, 2),
    "move": (_move, 2, 2),
}
"""Option -> what reads its words, and how few and how many it takes."""


def _read(options: Sequence[tuple[str, list[str]]]) -> list[Operation]:
    """The operations of all options, in their order. Raises `EditError` for words that do not fit."""
    operations: list[Operation] = []
    for name, words in options:
        reader, least, most = _OPERATIONS[name]
        if not least <= len(words) <= most:
            counts = str(least) if least == most else f"{least} to {most}"
            raise EditError(f"--{name} takes {counts} words, not {len(words)}; quote texts with blanks")
        operations += reader(*words)
    return operations


def run(args: Namespace) -> int:
    """Apply the operations, and say what changed."""
    before = load_panel(args.source)
    after = apply(before, _read(args.operations))
    if args.tell:
        done = finish(planner_from(args).edit(EditRequest(after, text(args.tell))))
        # What changed is said below, with what the operations did.
        told = sentences(diff(after, done.panel))
        tell(replace(done.report, notes=tuple(note for note in done.report.notes if note not in told)))
        after = done.panel
    changes = sentences(diff(before, after))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(to_json(after, indent=2) + "\n", encoding="utf-8")
    if args.json:
        show_json({"panel": to_document(after), "changes": changes})
        return 0
    for sentence in changes or ["Nothing changed."]:
        say(sentence)
    show(str(args.out) if args.out is not None else to_json(after, indent=2))
    return 0
