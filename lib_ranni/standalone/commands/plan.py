"""`lib-ranni plan`: prompt -> panel."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from lib_ranni.panel.types import MAX_SEED, Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.protocol import Delta, Done, Event, Failed, PlanRequest
from lib_ranni.standalone.arguments import bounded_int, size, text
from lib_ranni.standalone.console import say, say_on, show, show_json
from lib_ranni.standalone.planning import add_planner_arguments, plan, planner_from
from lib_ranni.standalone.sources import open_input

SUMMARY = "plan a prompt: which things, where, with which attributes"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "prompt", type=text, help="the prompt, or - for one prompt a line from standard input"
    )
    add_planner_arguments(parser)
    parser.add_argument("--seed", type=bounded_int(0, MAX_SEED), help="for planners that draw lots")
    parser.add_argument("--size", type=size, default=(512, 512), metavar="WxH", help="canvas, for its aspect")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="a PNG or JPEG to plan from, for models that see"
    )
    parser.add_argument("--stream", action="store_true", help="show what the model writes, on standard error")
    parser.add_argument("--json", action="store_true", help="one panel a line, as JSON")


def run(args: Namespace) -> int:
    """Plan each prompt."""
    width, height = args.size
    planner = planner_from(args)
    picture = None if args.picture is None else args.picture.read_bytes()
    for prompt in _prompts(args.prompt):
        request = PlanRequest(prompt, width / height, args.seed, picture)
        panel = plan(planner, request, _show_event if args.stream else _ignore_event).panel
        if args.json:
            show_json(to_document(panel))
        else:
            show(describe(panel))
    return 0


def _show_event(event: Event) -> None:
    if isinstance(event, Delta):
        say_on(event.text)
    elif isinstance(event, (Done, Failed)):
        say("")


def _ignore_event(event: Event) -> None:
    """Nobody watches."""


def _prompts(source: str) -> Iterator[str]:
    if source != "-":
        yield source
        return
    for number, line in enumerate(open_input()):
        prompt = line.decode("utf-8", errors="replace").strip()
        if number == 0:
            prompt = prompt.removeprefix("\ufeff")
        if prompt:
            yield prompt


def describe(panel: Panel) -> str:
    """The panel as lines of text."""
    lines = []
    for element in panel.elements:
        b = element.box
        extra = f"  (not: {element.negative})" if element.negative else ""
        place = f"x {b.x0:4.2f}-{b.x1:4.2f}  y {b.y0:4.2f}-{b.y1:4.2f}"
        lines.append(f"{element.id:>4}  {place}  {element.description}{extra}")
    lines.append(f"base  {panel.base or '(empty)'}")
    if panel.negative:
        lines.append(f" not  {panel.negative}")
    return "\n".join(lines)
