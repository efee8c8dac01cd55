"""`lib-ranni prompts`: prompts out of the files of public prompt sets."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lib_ranni.evaluation.prompt_sets.expression import parse
from lib_ranni.evaluation.prompt_sets.folder import PromptFolder
from lib_ranni.evaluation.prompt_sets.reading import read_prompts
from lib_ranni.standalone.arguments import text
from lib_ranni.standalone.console import say, show, show_json

SUMMARY = "choose prompts out of a file: PartiPrompts, T2I-CompBench, GenEval, DiffusionDB, ..."


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "expression",
        type=text,
        metavar="EXPR",
        help="a file and what is wanted of it, such as parti:Category=Animals;n=8;seed=1",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(), metavar="DIR", help="where files are looked up by name (here)"
    )
    parser.add_argument("--json", action="store_true", help="one prompt with its cells a line, as JSON")


def run(args: Namespace) -> int:
    """Print the prompts, one a line."""
    wanted = parse(args.expression)
    given = Path(wanted.source).expanduser()
    path = given if given.is_file() else PromptFolder(args.folder).file(wanted.source)
    found = read_prompts(path, wanted)
    for remark in found.remarks():
        say(f"note: {remark}")
    for row in found.prompts:
        if args.json:
            show_json(row)
        else:
            show(row.text)
    return 0
