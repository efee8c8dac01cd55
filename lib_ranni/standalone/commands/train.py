"""`lib-ranni train`: train the shapes checkpoint or a part of it, or go on where an earlier run stopped."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_ranni.standalone.arguments import bounded_int
from lib_ranni.standalone.console import say, show

if TYPE_CHECKING:
    import torch

SUMMARY = "train the shapes checkpoint or a part of it (resumes; a CPU takes hours, a GPU minutes)"

FOLDERS = {
    "checkpoint": "runs/shapes",
    "control": "runs/control",
    "one-step": "runs/one-step",
    "decoder": "runs/decoder",
}


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "part",
        nargs="?",
        choices=tuple(FOLDERS),
        default="checkpoint",
        help="of the checkpoint there is: control, its panel conditioner; one-step, a LoRA that draws in "
        "one step; decoder, a small one for such pictures (default: checkpoint)",
    )
    parser.add_argument("--run", dest="folder", type=Path, metavar="DIR", help="default: runs/ and the part")
    parser.add_argument("--recipe", choices=("cpu", "gpu"), help="default: gpu where there is one")
    parser.add_argument("--threads", type=bounded_int(1, 256), help="CPU threads to use")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the checkpoint is, or goes (default: models/shapes)"
    )
    parser.add_argument("--publish-only", action="store_true", help="write what is trained so far")


def run(args: Namespace) -> int:
    """Train every stage that is not finished, then write the file."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = args.recipe or ("gpu" if device.type == "cuda" else "cpu")
    folder = args.folder or Path(FOLDERS[args.part])
    if args.threads:
        torch.set_num_threads(args.threads)
    folder.mkdir(parents=True, exist_ok=True)
    if not args.publish_only:
        say(f"training in {folder} on {device} with the {recipe} recipe; interrupt and run again at will")
    work = {"checkpoint": _checkpoint, "control": _control, "one-step": _one_step, "decoder": _decoder}
    show(str(work[args.part](folder, recipe, device, args)))
    return 0


def _checkpoint(folder: Path, recipe: str, device: torch.device, args: Namespace) -> Path:
    from lib_ranni.standalone.checkpoint import SHAPES
    from lib_ranni.standalone.training.progress import Progress
    from lib_ranni.standalone.training.publish import publish
    from lib_ranni.standalone.training.recipes import RECIPES, train

    if not args.publish_only:
        train(folder, SHAPES / "tokenizer", RECIPES[recipe], device, Progress(folder / "log.jsonl"))
    return publish(folder, args.out or SHAPES, SHAPES / "tokenizer")


def _control(folder: Path, recipe: str, device: torch.device, args: Namespace) -> Path:
    from lib_ranni.standalone.checkpoint import SHAPES, load_checkpoint
    from lib_ranni.standalone.training.progress import Progress
    from lib_ranni.standalone.training.publish import publish_control
    from lib_ranni.standalone.training.recipes import train_conditioner

    out = args.out or SHAPES
    if not args.publish_only:
        checkpoint = load_checkpoint(out, str(device))
        train_conditioner(folder, checkpoint, recipe, Progress(folder / "log.jsonl"))
    return publish_control(folder, out)


def _one_step(folder: Path, recipe: str, device: torch.device, args: Namespace) -> Path:
    from lib_ranni.standalone.checkpoint import SHAPES, load_checkpoint
    from lib_ranni.standalone.training.latents import encode_scenes
    from lib_ranni.standalone.training.one_step import ONE_STEP, train_one_step
    from lib_ranni.standalone.training.progress import Progress
    from lib_ranni.standalone.training.publish_one_step import publish_one_step
    from lib_ranni.standalone.training.recipes import RECIPES, SCENE_SEED

    checkpoint = load_checkpoint(args.out or SHAPES, str(device))
    if not args.publish_only:
        for part in (checkpoint.unet, checkpoint.vae):
            part.float()
        progress = Progress(folder / "log.jsonl")
        encode_scenes(folder, RECIPES[recipe].scenes, checkpoint.vae, SCENE_SEED, progress)
        train_one_step(folder, checkpoint, ONE_STEP[recipe], progress)
    return publish_one_step(folder, checkpoint)


def _decoder(folder: Path, recipe: str, device: torch.device, args: Namespace) -> Path:
    from lib_ranni.standalone.checkpoint import SHAPES, load_checkpoint
    from lib_ranni.standalone.training.progress import Progress
    from lib_ranni.standalone.training.publish_small_decoder import publish_small_decoder
    from lib_ranni.standalone.training.small_decoder import SMALL_DECODER, train_small_decoder

    checkpoint = load_checkpoint(args.out or SHAPES, str(device))
    if not args.publish_only:
        train_small_decoder(folder, checkpoint, SMALL_DECODER[recipe], Progress(folder / "log.jsonl"))
    return publish_small_decoder(folder, checkpoint)
