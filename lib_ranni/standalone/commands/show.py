"""`lib-ranni show`: a panel, or the panel of a picture, as a preview and as text."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from PIL import Image

from lib_ranni.errors import InputError
from lib_ranni.panel.preview import render
from lib_ranni.panel.writing import to_document
from lib_ranni.standalone.arguments import bounded_int
from lib_ranni.standalone.commands.plan import describe
from lib_ranni.standalone.console import show, show_json
from lib_ranni.standalone.sources import is_png, load_panel

SUMMARY = "show the panel of a file or of a picture, and draw its preview"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "source", help="a panel's JSON file, a PNG that `generate` wrote, or - for standard input"
    )
    parser.add_argument("--out", type=Path, metavar="PNG", help="where to write the preview picture")
    parser.add_argument("--over", action="store_true", help="draw the boxes over the picture itself")
    parser.add_argument(
        "--size", type=bounded_int(16, 4096), default=512, help="longest side in pixels (512)"
    )
    parser.add_argument("--json", action="store_true", help="print the panel as JSON")


def run(args: Namespace) -> int:
    """Print the panel; write the preview if asked to."""
    panel = load_panel(args.source)
    background = None
    if args.over:
        if not is_png(args.source):
            raise InputError("--over needs a PNG picture as its source")
        with Image.open(args.source) as picture:
            background = picture.convert("RGB")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        render(panel, args.size, background=background).save(args.out, format="PNG")
    if args.json:
        show_json({"panel": to_document(panel), "preview": str(args.out) if args.out else None})
    else:
        show(describe(panel))
        if args.out is not None:
            show(str(args.out))
    return 0
