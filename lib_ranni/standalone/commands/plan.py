"""`lib-ranni plan`: prompt -> panel."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from lib_ranni.panel.types import MAX_SEED, Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.standalone.arguments import bounded_int, size, text
from lib_ranni.standalone.console import show, show_json
from lib_ranni.standalone.sources import PLANNERS, open_input, plan

SUMMARY = "plan a prompt: which things, where, with which attributes"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "prompt", type=text, help="the prompt, or - for one prompt a line from standard input"
    )
    parser.add_argument("--planner", choices=sorted(PLANNERS), default="builtin")
    parser.add_argument("--seed", type=bounded_int(0, MAX_SEED), help="for planners that draw lots")
    parser.add_argument("--size", type=size, default=(512, 512), metavar="WxH", help="canvas, for its aspect")
    parser.add_argument("--json", action="store_true", help="one panel a line, as JSON")


def run(args: Namespace) -> int:
    """Plan each prompt."""
    width, height = args.size
    for prompt in _prompts(args.prompt):
        panel = plan(prompt, name=args.planner, aspect=width / height, seed=args.seed).panel
        if args.json:
            show_json(to_document(panel))
        else:
            show(describe(panel))
    return 0


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
