"""`lib-ranni train`: train the shapes checkpoint, or its panel conditioner, or go on where a run stopped."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lib_ranni.standalone.arguments import bounded_int
from lib_ranni.standalone.console import say, show

SUMMARY = "train the shapes checkpoint or its panel conditioner (resumes; a CPU takes hours, a GPU minutes)"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "part",
        nargs="?",
        choices=("checkpoint", "control"),
        default="checkpoint",
        help="control: the panel conditioner of the checkpoint there is (default: checkpoint)",
    )
    parser.add_argument(
        "--run", dest="folder", type=Path, metavar="DIR", help="default: runs/shapes or runs/control"
    )
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

    from lib_ranni.standalone.checkpoint import SHAPES, load_checkpoint
    from lib_ranni.standalone.training.progress import Progress
    from lib_ranni.standalone.training.publish import publish, publish_control
    from lib_ranni.standalone.training.recipes import RECIPES, train, train_conditioner

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = args.recipe or ("gpu" if device.type == "cuda" else "cpu")
    control, out = args.part == "control", args.out or SHAPES
    folder = args.folder or Path("runs/control" if control else "runs/shapes")
    if args.threads:
        torch.set_num_threads(args.threads)
    folder.mkdir(parents=True, exist_ok=True)
    if not args.publish_only:
        say(f"training in {folder} on {device} with the {name} recipe; interrupt and run again at will")
        progress = Progress(folder / "log.jsonl")
        if control:
            train_conditioner(folder, load_checkpoint(out, str(device)), name, device, progress)
        else:
            train(folder, SHAPES / "tokenizer", RECIPES[name], device, progress)
    written = publish_control(folder, out) if control else publish(folder, out, SHAPES / "tokenizer")
    show(str(written))
    return 0
