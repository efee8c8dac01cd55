"""`lib-ranni convert`: files of other tools as hosts load them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lib_ranni.standalone.console import say, show, show_json

SUMMARY = "turn Ranni's released .pth into safetensors and yaml, verified tensor by tensor"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=("ranni",), help="what IN is: ranni for ranni_sdv21_v1.pth")
    parser.add_argument("source", type=Path, metavar="IN", help="the .pth, of the conditioner alone or whole")
    parser.add_argument("target", type=Path, metavar="OUT", help="the .safetensors to write")
    parser.add_argument("--replace", action="store_true", help="write over files that exist")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(args: Namespace) -> int:
    """Convert, compare, say what was written."""
    from lib_ranni.standalone.conversion import convert_ranni

    done = convert_ranni(args.source, args.target, replace=args.replace)
    if args.json:
        show_json(
            {
                "checkpoint": str(done.checkpoint),
                "config": None if done.config is None else str(done.config),
                "tensors": done.tensors,
                "parameters": done.parameters,
                "conditioner": done.conditioner,
            }
        )
        return 0
    show(str(done.checkpoint))
    if done.config is not None:
        show(str(done.config))
    say(
        f"{done.tensors} tensors written and compared, bit for bit; "
        f"the panel conditioner has {done.conditioner:,} parameters"
    )
    return 0
