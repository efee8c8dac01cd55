"""The command line's choice of a planner, and the panel it makes of a prompt."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from lib_ranni.planner.llm.manner import Manner
from lib_ranni.planner.llm.servers import KEY_VARIABLE, PRESETS, server_named
from lib_ranni.planner.planners import NAMES, Settings, make_planner
from lib_ranni.planner.protocol import Done, Event, Planner, PlanRequest, Report, finish
from lib_ranni.standalone.arguments import bounded_float, bounded_int
from lib_ranni.standalone.console import say


def add_planner_arguments(parser: ArgumentParser) -> None:
    """The arguments by which a planner is chosen. Keys are no arguments: other users could read them."""
    parser.add_argument("--planner", choices=NAMES, default="builtin")
    group = parser.add_argument_group(
        "language models", f"A key is taken from the server's variable, or {KEY_VARIABLE}."
    )
    group.add_argument("--server", choices=sorted(PRESETS), default="ollama", help="a known server (ollama)")
    group.add_argument(
        "--base-url", default="", metavar="URL", help="another address, such as http://127.0.0.1:8080/v1"
    )
    group.add_argument(
        "--llm", default="", metavar="NAME", help="the model's name at the server, or its folder"
    )
    group.add_argument("--element-lora", type=Path, metavar="FILE", help="ranni: the LoRA of the first turn")
    group.add_argument("--box-lora", type=Path, metavar="FILE", help="ranni: the LoRA of the second turn")
    group.add_argument(
        "--style", choices=("panel", "regions"), default="panel", help="ask for JSON, or RPG's way"
    )
    group.add_argument(
        "--asks-again", type=bounded_int(0, 10), default=2, metavar="N", help="corrections (2)"
    )
    group.add_argument("--temperature", type=bounded_float(0, 2), default=0.2, metavar="F")
    group.add_argument("--max-tokens", type=bounded_int(16, 1_000_000), default=2048, metavar="N")
    group.add_argument(
        "--timeout", type=bounded_float(0.1, 86400), default=120.0, metavar="S", help="of silence (120)"
    )
    group.add_argument("--prompts", type=Path, metavar="DIR", help="prompt files of your own")
    group.add_argument("--cache", type=Path, metavar="DIR", help="keep good replies there")
    group.add_argument("--no-fallback", action="store_true", help="fail rather than plan without the model")


def planner_from(args: Namespace) -> Planner:
    """The planner that the arguments describe. Raises `InputError` where they do not suffice."""
    return make_planner(args.planner, settings_from(args))


def settings_from(args: Namespace) -> Settings:
    """What planners are made of, by the arguments. Raises `InputError` for what is no address."""
    manner = Manner(args.style, args.asks_again, args.temperature, args.max_tokens)
    server = server_named(args.server, base_url=args.base_url, model=args.llm)
    server = msgspec.structs.replace(server, read_timeout=args.timeout)
    return Settings(
        server=server,
        folder=Path(args.llm) if args.llm else None,
        element_lora=args.element_lora,
        box_lora=args.box_lora,
        manner=manner,
        prompts=args.prompts,
        cache=args.cache,
        falls_back=not args.no_fallback,
    )


def plan(planner: Planner, request: PlanRequest, on_event: Callable[[Event], None] = lambda _: None) -> Done:
    """Plan, and say what the planner has to say about it. Raises `PlannerError` when it fails."""

    def watched() -> Iterator[Event]:
        for event in planner.plan(request):
            on_event(event)
            yield event

    done = finish(watched())
    tell(done.report)
    return done


def tell(report: Report) -> None:
    """What a report says, on standard error."""
    if report.fallback:
        say(f"planned without the model: {report.fallback}")
    for note in report.notes:
        say(f"note: {note}")
    for repair in report.repairs:
        say(f"mended: {repair}")
    if report.unread:
        say("not understood, left to the base prompt: " + "; ".join(report.unread))
