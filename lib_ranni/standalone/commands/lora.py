"""`lib-ranni lora`: what a LoRA file is, the same in the form that the WebUI loads, and several as one."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_ranni.errors import InputError
from lib_ranni.standalone.arguments import bounded_float, bounded_int
from lib_ranni.standalone.console import say, show, show_json
from lib_ranni.standalone.paths import from_user

if TYPE_CHECKING:
    from lib_ranni.lora.jobs import Outcome, Wish
    from lib_ranni.lora.reading import Lora
    from lib_ranni.lora.report import Report

SUMMARY = "inspect, convert and merge LoRA files"

_FAMILIES = ("sd1", "sd2", "sdxl", "sdxs", "sdxs-0.9", "shapes")
_METHODS = ("sum", "magnitude", "ties", "dare", "dare-ties", "zip")


def _weighted(word: str) -> tuple[Path, float]:
    """`file.safetensors=0.7` -> (file, 0.7); 1 where no weight is given."""
    name, equals, weight = word.rpartition("=")
    if not equals:
        return Path(word), 1.0
    try:
        number = float(weight)
    except ValueError:
        return Path(word), 1.0
    if not abs(number) <= 100:
        raise ArgumentTypeError(f"{word!r}: the weight must be in -100..100")
    return Path(name), number


def register(parser: ArgumentParser) -> None:
    """Add the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    inspect = actions.add_parser("inspect", help="what a file is, and what is wrong with it")
    inspect.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files, or folders of PEFT")
    _add_source_arguments(inspect)
    inspect.add_argument("--json", action="store_true", help="print one JSON object a file")
    convert = actions.add_parser("convert", help="write it as the WebUI loads it, and compare the two")
    convert.add_argument("file", type=Path, metavar="FILE", help="a LoRA file, or a folder of PEFT")
    _add_source_arguments(convert)
    convert.add_argument("--blocks", default="", metavar="B,B=F", help="blocks to keep, or their factors")
    convert.add_argument(
        "--form", choices=("keep", "lora", "full"), default="keep", help="of LoHa, LoKr and the like (keep)"
    )
    _add_result_arguments(convert)
    merge = actions.add_parser("merge", help="write several as one")
    merge.add_argument("files", nargs="+", type=_weighted, metavar="FILE[=WEIGHT]")
    merge.add_argument("--method", choices=_METHODS, default="sum", help="(sum)")
    merge.add_argument(
        "--density", type=bounded_float(0.001, 1), default=0.5, help="share of numbers kept (0.5)"
    )
    merge.add_argument("--seed", type=bounded_int(0, 2**63 - 1), default=0, help="of dare's choice (0)")
    merge.add_argument("--mergers", type=Path, metavar="FILE", help="coefficients for zip")
    merge.add_argument(
        "--blocks", action="append", default=[], metavar="B,B=F", help="for the first file, the second, ..."
    )
    _add_result_arguments(merge)


def _add_source_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--alpha", type=bounded_float(1e-6, 1e6), help="where the file does not tell it")
    parser.add_argument("--family", choices=_FAMILIES, help="the base model, where the file does not tell it")


def _add_result_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="a .safetensors file, or a folder"
    )
    parser.add_argument("--rank", type=bounded_int(1, 4096), help="cut modules of a higher rank")
    parser.add_argument(
        "--precision", choices=("keep", "fp32", "fp16", "bf16"), default="keep", help="of the numbers (keep)"
    )
    parser.add_argument("--base", type=Path, metavar="CHECKPOINT", help="for DoRA, IA3 and GLoRA")
    parser.add_argument("--replace", action="store_true", help="replace a file that is there")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: Namespace) -> int:
    """Do the action."""
    action: Callable[[Namespace], int] = {"inspect": _inspect, "convert": _convert, "merge": _merge}[
        args.action
    ]
    return action(args)


def _inspect(args: Namespace) -> int:
    from lib_ranni.lora.report import inspect

    for path in args.files:
        report = inspect(_read(path, args))
        if args.json:
            show_json(report)
        else:
            show(describe(report))
    return 0


def _convert(args: Namespace) -> int:
    from lib_ranni.lora.blocks import parse_blocks
    from lib_ranni.lora.jobs import convert_file

    outcome = convert_file(
        _read(args.file, args), _wish(args, blocks=parse_blocks(args.blocks), form=args.form)
    )
    _tell(outcome, args.json)
    return 0


def _merge(args: Namespace) -> int:
    from lib_ranni.lora.blocks import parse_blocks
    from lib_ranni.lora.jobs import merge_files
    from lib_ranni.lora.merging import Part
    from lib_ranni.lora.reading import read_lora

    if len(args.blocks) > len(args.files):
        raise InputError(f"--blocks is given {len(args.blocks)} times for {len(args.files)} files")
    blocks = [parse_blocks(text) for text in [*args.blocks, *[""] * (len(args.files) - len(args.blocks))]]
    parts = [
        Part(read_lora(path), weight, scales)
        for (path, weight), scales in zip(args.files, blocks, strict=True)
    ]
    wish = _wish(args, method=args.method, density=args.density, seed=args.seed, mergers=args.mergers)
    _tell(merge_files(parts, wish), args.json)
    return 0


def _read(path: Path, args: Namespace) -> Lora:
    from lib_ranni.lora.reading import read_lora

    return read_lora(from_user(path), alpha=args.alpha, family=args.family)


def _wish(args: Namespace, **fields: Any) -> Wish:
    from lib_ranni.lora.jobs import Wish

    common = {name: getattr(args, name) for name in ("out", "rank", "precision", "base", "replace")}
    return Wish(**common, **fields)


def _tell(outcome: Outcome, as_json: bool) -> None:
    for note in outcome.notes:
        say(f"note: {note}")
    verified = outcome.verified
    say(
        f"{outcome.modules} modules for {outcome.family or 'an unknown base model'}; largest deviation "
        f"{verified.worst:.1e}"
        + (f"; cutting the rank left out up to {outcome.loss:.1%}" if outcome.loss else "")
    )
    if as_json:
        show_json(outcome)
    else:
        for path in filter(None, (outcome.path, *outcome.embeddings)):
            show(path)


def describe(report: Report) -> str:
    """A report as lines for people."""
    base = report.family or "unknown base model"
    components = ", ".join(f"{name} {count}" for name, count in report.components.items())
    lines = [
        f"{report.path}",
        f"  {report.format} in {report.container}, {report.size / 1e6:.1f} MB, for {base}",
        f"  {report.modules} modules ({components or 'none'}), {report.loads} of them load as the file is",
    ]
    if report.ranks:
        alphas = _counted("alpha", report.alphas) if report.alphas else "alpha not told"
        lines.append(f"  {_counted('rank', report.ranks)}; {alphas}")
    lines.append(
        f"  {', '.join((*report.kinds, *report.traits)) or 'no changes'}; {', '.join(report.dtypes)}"
    )
    for block in report.blocks:
        ranks = ", ".join(map(str, block.ranks)) or "-"
        count = f"{block.modules:4} module{' ' if block.modules == 1 else 's'}"
        lines.append(f"    {block.name:14}{count}  rank {ranks:8} strength {block.strength:.4g}")
    for embedding in report.embeddings:
        sizes = ", ".join(f"{name} {rows} x {width}" for name, (rows, width) in embedding.encoders.items())
        lines.append(f"  embedding {embedding.name}: {sizes}")
    if report.triggers:
        lines.append(f"  trained with: {', '.join(report.triggers)}")
    if report.unmatched:
        shown = ", ".join(report.unmatched[:3])
        lines.append(f"  {len(report.unmatched)} keys are no part of a change: {shown}")
    lines += [f"  ! {warning}" for warning in report.warnings]
    return "\n".join(lines)


def _counted(name: str, values: Mapping[int, int] | Mapping[float, int]) -> str:
    items = list(values.items())
    if len(items) == 1:
        return f"{name} {items[0][0]:g}"
    shown = ", ".join(f"{value:g} ({count})" for value, count in items[:6])
    return f"{name}s {shown}" + (" ..." if len(items) > 6 else "")
