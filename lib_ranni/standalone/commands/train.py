"""`lib-ranni train`: train the shapes checkpoint from nothing, or go on where an earlier run stopped."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lib_ranni.standalone.arguments import bounded_int
from lib_ranni.standalone.console import say, show

SUMMARY = "train the shapes checkpoint (resumes; a CPU takes hours, a GPU minutes)"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--run", dest="folder", type=Path, default=Path("runs/shapes"), metavar="DIR")
    parser.add_argument("--recipe", choices=("cpu", "gpu"), help="default: gpu where there is one")
    parser.add_argument("--threads", type=bounded_int(1, 256), help="CPU threads to use")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the checkpoint goes (default: models/shapes)"
    )
    parser.add_argument(
        "--publish-only", action="store_true", help="write the checkpoint of what is trained so far"
    )


def run(args: Namespace) -> int:
    """Train every stage that is not finished, then write the checkpoint."""
    import torch

    from lib_ranni.standalone.checkpoint import SHAPES
    from lib_ranni.standalone.training.progress import Progress
    from lib_ranni.standalone.training.publish import publish
    from lib_ranni.standalone.training.recipes import RECIPES, train

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = args.recipe or ("gpu" if device.type == "cuda" else "cpu")
    if args.threads:
        torch.set_num_threads(args.threads)
    args.folder.mkdir(parents=True, exist_ok=True)
    if not args.publish_only:
        say(f"training in {args.folder} on {device} with the {name} recipe; interrupt and run again at will")
        train(args.folder, SHAPES / "tokenizer", RECIPES[name], device, Progress(args.folder / "log.jsonl"))
    show(str(publish(args.folder, args.out or SHAPES, SHAPES / "tokenizer")))
    return 0
