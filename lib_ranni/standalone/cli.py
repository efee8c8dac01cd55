"""`lib-ranni`: the command line. See `docs/command-line.md` for the contract that programs may rely on."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Sequence

from lib_ranni import __version__
from lib_ranni.errors import RanniError
from lib_ranni.standalone.console import say

COMMANDS = ("plan", "generate", "edit", "show", "evaluate", "tour", "train")
NAMES = {"evaluate": "eval"}
"""Module -> name on the command line, where the name is a built-in function's."""

DONE, OUR_FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def make_parser() -> ArgumentParser:
    """The parser of all subcommands."""
    parser = ArgumentParser(
        prog="lib-ranni",
        description="Plan a semantic panel for a prompt and make a diffusion model follow it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"lib_ranni.standalone.commands.{name}")
        sub = commands.add_parser(NAMES.get(name, name), help=module.SUMMARY, description=module.SUMMARY)
        module.register(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 done, 2 bad usage or input, 1 our fault."""
    args = make_parser().parse_args(words)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except RanniError as error:
        say("lib-ranni: " + " ".join(str(error).split()))
        return BAD_INPUT
    except KeyboardInterrupt:
        say("lib-ranni: interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; a second complaint at shutdown helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:  # the last line of defense: no traceback unless it is asked for
        if os.environ.get("RANNI_DEBUG"):
            traceback.print_exc()
        say(
            f"lib-ranni: this is our fault: {type(error).__name__}: {' '.join(str(error).split())[:300]} "
            "(set RANNI_DEBUG=1 for the details, and please report it)"
        )
        return OUR_FAULT


if __name__ == "__main__":
    raise SystemExit(main())
