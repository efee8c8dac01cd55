"""`lib-ranni eval`: measure how often pictures, or panels, show what their prompts say."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lib_ranni.errors import InputError
from lib_ranni.evaluation.contact_sheet import contact_sheet
from lib_ranni.evaluation.planner_suite import (
    Course,
    PlannerEntry,
    load_geneval,
    load_planner_suite,
    run_planner_suite,
)
from lib_ranni.evaluation.planning import planning_figures, planning_table
from lib_ranni.evaluation.report import Result, Summary, as_json, summarize, table
from lib_ranni.evaluation.run import Job, run_suite
from lib_ranni.evaluation.suite import limited, load_suite
from lib_ranni.panel.types import Panel
from lib_ranni.planner.protocol import ElementReady, Event, PlanRequest, finish
from lib_ranni.standalone.arguments import bounded_float, bounded_int
from lib_ranni.standalone.commands.generate import GIVEN_CONTROL, add_control_arguments
from lib_ranni.standalone.console import progress_bar, say, show
from lib_ranni.standalone.few_step_arguments import add_few_step_arguments, few_step_fields
from lib_ranni.standalone.planning import add_planner_arguments, planner_from

if TYPE_CHECKING:
    from PIL import Image

MODES = ("plain", "attention", "latent")
CONTROLLED = ("panel", "attention+panel", "latent+panel")
"""Modes that need a panel conditioner: on its own, or together with another mode."""

SUMMARY = "draw or plan a fixed suite of prompts and count what is all correct"


def _modes(words: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for mode in modes:
        if mode not in (*MODES, *CONTROLLED):
            known = ", ".join((*MODES, *CONTROLLED))
            raise ArgumentTypeError(f"there is no mode {mode!r}; choose among {known}")
    return modes or MODES


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--suite", choices=("shapes", "planner"), default="shapes")
    parser.add_argument(
        "--modes",
        type=_modes,
        default=MODES,
        metavar="M,M",
        help=f"some of {','.join((*MODES, *CONTROLLED))} ({','.join(MODES)})",
    )
    add_planner_arguments(parser)
    parser.add_argument(
        "--geneval", type=Path, metavar="JSONL", help="planner suite: rows in GenEval's format instead"
    )
    parser.add_argument(
        "--limit", type=bounded_int(1, 1_000_000), metavar="N", help="only N prompts, of all categories"
    )
    parser.add_argument(
        "--batch", type=bounded_int(1, 64), default=8, metavar="N", help="pictures at a time (8)"
    )
    parser.add_argument("--base-ratio", type=bounded_float(0, 1), metavar="F")
    parser.add_argument("--steps", type=bounded_int(1, 1000), metavar="N")
    parser.add_argument("--cfg", type=bounded_float(0, 100), metavar="F")
    add_control_arguments(parser)
    add_few_step_arguments(parser)
    parser.add_argument("--model", type=Path, metavar="PATH", help="another checkpoint than the shipped one")
    parser.add_argument("--out", type=Path, default=Path("outputs/eval"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")


def run(args: Namespace) -> int:
    """Run the suite, write the report, print the figures."""
    args.out.mkdir(parents=True, exist_ok=True)
    if args.suite == "planner":
        text, summary = _planner(args)
    else:
        summary = _shapes(args)
        text = table(summary)
    (args.out / f"{args.suite}.txt").write_text(text, encoding="utf-8")
    (args.out / f"{args.suite}.json").write_bytes(as_json(summary) + b"\n")
    show(as_json(summary).decode("utf-8") if args.json else text.rstrip())
    say(f"report in {args.out}")
    return 0


def _planner(args: Namespace) -> tuple[str, Summary]:
    """The table and the figures of a planner, its model's conduct included."""
    entries = load_planner_suite() if args.geneval is None else _geneval(args.geneval)
    entries, chosen = limited(entries, args.limit), planner_from(args)
    with progress_bar("eval") as advance:
        results = run_planner_suite(
            entries,
            args.planner,
            lambda prompt: _followed(chosen.plan(PlanRequest(prompt))),
            lambda _, done, total: advance(done, total),
        )
    _write_failures(args.out / "planner-failures.txt", results)
    figures = planning_figures(results)
    summary = summarize("planner", results)
    modes = {name: msgspec.structs.replace(mode, planning=figures) for name, mode in summary.modes.items()}
    summary = msgspec.structs.replace(summary, modes=modes)
    return table(summary) + planning_table(args.planner, figures), summary


def _followed(events: Iterator[Event]) -> tuple[Panel, Course]:
    """The panel at the end, and how it came about."""
    began, first = time.perf_counter(), None

    def watched() -> Iterator[Event]:
        nonlocal first
        for event in events:
            if isinstance(event, ElementReady) and first is None:
                first = time.perf_counter() - began
            yield event

    done = finish(watched())
    report = done.report
    return done.panel, Course(report.asked, len(report.repairs), report.fallback, first)


def _geneval(path: Path) -> tuple[PlannerEntry, ...]:
    try:
        entries = load_geneval(path)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path} does not hold rows in GenEval's format, one a line: {error}") from error
    if not entries:
        raise InputError(f"{path} has no rows")
    return entries


def _shapes(args: Namespace) -> Summary:
    entries, draw, chosen = limited(load_suite(), args.limit), _drawer(args), planner_from(args)

    def plan(prompt: str) -> Panel:
        return finish(chosen.plan(PlanRequest(prompt))).panel

    # One bar over planning and all modes: each goes through the same entries.
    finished: dict[str, int] = {}
    with progress_bar("eval") as advance:

        def on_progress(what: str, done: int, total: int) -> None:
            finished[what] = done
            advance(sum(finished.values()), total * (1 + len(args.modes)))

        outcomes = run_suite(entries, args.modes, draw, plan, on_progress, batch=args.batch)
    contact_sheet(outcomes).save(args.out / "shapes.png", format="PNG")
    _write_failures(args.out / "shapes-failures.txt", outcomes)
    return summarize("shapes", outcomes)


def _drawer(args: Namespace) -> Callable[[Sequence[Job], str], list[Image.Image]]:
    """Draws jobs as one batch: each picture has its own panel and seed."""
    from lib_ranni.standalone.checkpoint import load_checkpoint
    from lib_ranni.standalone.engine import Engine

    checkpoint = load_checkpoint(args.model)
    if args.conditioner is not None:
        checkpoint = checkpoint.with_conditioner(args.conditioner)
    engine = Engine(checkpoint)
    own = {name: getattr(args, name) for name in ("base_ratio", "steps", "cfg", *GIVEN_CONTROL)}
    given = few_step_fields(args, checkpoint)
    given |= {name: value for name, value in own.items() if value is not None}
    scale = given.pop("control", checkpoint.defaults.control)

    def draw(jobs: Sequence[Job], mode: str) -> list[Image.Image]:
        panels, seeds = [job.panel for job in jobs], tuple(job.seed for job in jobs)
        own = {"mode": mode.removesuffix("+panel"), "control": scale if "panel" in mode else 0.0}
        request = checkpoint.defaults.request(panels, **own, seeds=seeds, batch=len(jobs), **given)
        return list(engine.generate(request).images)

    return draw


def _write_failures(path: Path, results: Sequence[Result]) -> None:
    """What was wrong with each, for whoever wants to know why a figure is what it is."""
    lines = [
        f"{result.mode}\t{result.entry.category}\t{result.entry.prompt}\t{'; '.join(result.verdict.problems)}"
        for result in results
        if not result.verdict.correct
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
