"""`lib-ranni prior`: the latent prior of a model, estimated from a folder of pictures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lib_ranni.standalone.arguments import bounded_int
from lib_ranni.standalone.console import progress_bar, say, show, show_json

if TYPE_CHECKING:
    pass

SUMMARY = "estimate a latent prior for few-step sampling from a folder of pictures"


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("pictures", type=Path, metavar="DIR", help="pictures as the model should draw them")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument(
        "--grid", type=bounded_int(2, 64), metavar="N", help="keep N x N places apart (default: none)"
    )
    parser.add_argument("--side", type=bounded_int(64, 2048), metavar="PX", help="default: the model's size")
    parser.add_argument("--limit", type=bounded_int(2, 1_000_000), metavar="N", help="the first N pictures")
    parser.add_argument("--model", type=Path, metavar="PATH", help="another checkpoint than the shipped one")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, mps (default: cuda if there is one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def run(args: Namespace) -> int:
    """Encode, count, save."""
    from lib_ranni.sampling.prior_files import save_prior
    from lib_ranni.sampling.priors import FEW
    from lib_ranni.service.latent_statistics import picture_prior, pictures_in
    from lib_ranni.standalone.autoencoding import latents_of
    from lib_ranni.standalone.checkpoint import load_checkpoint

    pictures = pictures_in(args.pictures)[: args.limit]
    checkpoint = load_checkpoint(args.model, args.device)
    side = (args.side or checkpoint.defaults.size) // 8 * 8
    grid = (args.grid, args.grid) if args.grid else None
    encode = partial(latents_of, checkpoint.vae)
    with progress_bar("encoding") as advance:
        prior = picture_prior(encode, pictures, side, grid, advance)
    short = save_prior(prior, args.out)
    if prior.count < FEW:
        say(f"note: {prior.count} pictures are few; {FEW} or more make a prior of no single picture")
    means, deviations = (
        [round(float(values.mean()), 4) for values in channels] for channels in (prior.mean, prior.std)
    )
    if args.json:
        about = {"file": str(args.out), "hash": short, "count": prior.count}
        show_json({**about, "mean": means, "std": deviations})
    else:
        show(str(args.out))
        say(f"{prior.count} pictures, mean {means}, deviation {deviations}")
    return 0
