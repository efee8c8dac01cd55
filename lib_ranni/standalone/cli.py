"""`lib-ranni`: the command line. See `docs/command-line.md` for the contract that programs may rely on."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

from lib_ranni import __version__
from lib_ranni.errors import RanniError
from lib_ranni.standalone.console import say

COMMANDS = (
    *("plan", "generate", "edit", "show", "app", "lora", "convert"),
    *("prompts", "evaluate", "tour", "train", "prior"),
)
NAMES = {"evaluate": "eval"}
"""Module -> name on the command line, where the name is a built-in function's."""

DONE, OUR_FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class _Parser(ArgumentParser):
    """Answers bad usage with one line instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: {' '.join(message.split())}; `{self.prog} --help` lists the arguments")
        self.exit(BAD_INPUT)


def make_parser() -> ArgumentParser:
    """The parser of all subcommands."""
    parser = _Parser(
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
    """Run one command and return the exit code: 0 done, 2 bad usage or input, 1 our fault."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Panels hold any language; a console that cannot show a character shows its number.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        args = make_parser().parse_args(words)
        code: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse's, after --help or bad usage
        return int(stop.code or DONE)
    except RanniError as error:
        return _complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has left; a second complaint at shutdown helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.filename is None:
            return _our_fault(error)
        return _complain(f"{error.filename} cannot be used: {error.strerror}", BAD_INPUT)
    except Exception as error:  # the last line of defense: no traceback unless it is asked for
        return _our_fault(error)


def _complain(message: str, code: int) -> int:
    say("lib-ranni: " + " ".join(message.split()))
    return code


def _our_fault(error: Exception) -> int:
    if os.environ.get("RANNI_DEBUG"):
        traceback.print_exc()
    return _complain(
        f"this is our fault: {type(error).__name__}: {' '.join(str(error).split())[:300]} "
        "(set RANNI_DEBUG=1 for the details, and please report it)",
        OUR_FAULT,
    )


if __name__ == "__main__":
    raise SystemExit(main())
