"""Arguments of the commands that can draw in few steps."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from lib_ranni.errors import InputError
from lib_ranni.panel.types import Lora
from lib_ranni.sampling.presets import PRESETS, preset_named
from lib_ranni.standalone.arguments import bounded_float

if TYPE_CHECKING:
    from lib_ranni.standalone.checkpoint import Checkpoint

FIELDS = ("gamma", "prior", "prior_weight", "decoder")
"""Arguments that are fields of a request under the same name."""


def add_few_step_arguments(parser: ArgumentParser) -> None:
    """Preset, prior, decoder and LoRAs."""
    parser.add_argument(
        "--preset",
        type=_preset,
        metavar="NAME",
        help=f"a few-step recipe: {', '.join(PRESETS)}; none drops that of --from",
    )
    parser.add_argument("--gamma", type=bounded_float(0, 1), metavar="F", help="TCD's fresh noise, 0..1")
    parser.add_argument(
        "--prior", metavar="FILE", help="latent prior to start from: a file, `default` or `none`"
    )
    parser.add_argument("--prior-weight", type=bounded_float(0, 1), metavar="F", help="its share, 0..1 (1)")
    parser.add_argument(
        "--decoder",
        type=_decoder,
        metavar="NAME",
        help="what makes pictures of latents: `own`, the checkpoint's autoencoder; `small`, the small "
        "decoder beside it; or a file in TAESD's layout (default: own; small for presets of one step)",
    )
    parser.add_argument(
        "--lora",
        dest="loras",
        action="append",
        type=_lora,
        metavar="NAME[:F]",
        help="a LoRA beside the checkpoint or a file, and its weight (1); may be repeated",
    )


def _preset(word: str) -> str:
    if word.strip().lower() == "none":
        return ""
    try:
        return preset_named(word).id
    except InputError as error:
        raise ArgumentTypeError(str(error)) from error


def _decoder(word: str) -> str:
    return "" if word == "own" else word


def _lora(word: str) -> Lora:
    name, colon, weight = word.rpartition(":")
    try:
        return Lora(name, float(weight)) if colon and name else Lora(word)
    except ValueError:
        pass
    try:
        return Lora(word)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def few_step_fields(args: Namespace, checkpoint: Checkpoint) -> dict[str, Any]:
    """Fields of a request: what the preset wants, and over it what the arguments say."""
    from lib_ranni.standalone.few_step import preset_settings

    fields: dict[str, Any] = {}
    if args.preset is not None:
        fields = preset_settings(args.preset, checkpoint) if args.preset else {"preset": ""}
    fields |= {name: getattr(args, name) for name in FIELDS if getattr(args, name) is not None}
    if args.loras is not None:
        fields["loras"] = tuple(args.loras)
    return fields
