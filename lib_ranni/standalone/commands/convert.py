"""`lib-ranni convert`: files of other tools as hosts load them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_ranni.errors import InputError
from lib_ranni.standalone.console import say, show, show_json

if TYPE_CHECKING:
    from lib_ranni.standalone.conversion import Converted

SUMMARY = "turn Ranni's .pth or SDXS' folder into safetensors and yaml, verified tensor by tensor"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=("ranni", "sdxs"), help="what IN is: ranni for ranni_sdv21_v1.pth")
    parser.add_argument(
        "source",
        type=Path,
        metavar="IN",
        help="the .pth, of the conditioner alone or whole; for sdxs its diffusers folder",
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="the .safetensors to write")
    parser.add_argument(
        "--vae", metavar="NAME", help="sdxs: the autoencoder's folder, vae (default) or vae_large"
    )
    parser.add_argument("--replace", action="store_true", help="write over files that exist")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(args: Namespace) -> int:
    """Convert, compare, say what was written."""
    done = _converted(args)
    told = f"{done.tensors} tensors written and compared, bit for bit"
    answer = {
        "checkpoint": str(done.checkpoint),
        "config": None if done.config is None else str(done.config),
        "tensors": done.tensors,
        "parameters": done.parameters,
    }
    if args.kind == "ranni":
        answer["conditioner"] = done.conditioner
        told += f"; the panel conditioner has {done.conditioner:,} parameters"
    if args.json:
        show_json(answer)
        return 0
    show(str(done.checkpoint))
    if done.config is not None:
        show(str(done.config))
    say(told)
    return 0


def _converted(args: Namespace) -> Converted:
    from lib_ranni.standalone.conversion import convert_ranni
    from lib_ranni.standalone.sdxs_conversion import convert_sdxs

    if args.kind == "sdxs":
        return convert_sdxs(args.source, args.target, vae=args.vae or "vae", replace=args.replace)
    if args.vae:
        raise InputError("--vae is for sdxs; leave it out")
    return convert_ranni(args.source, args.target, replace=args.replace)
