"""Small decoders of latents, in the layout of TAESD's files: a fraction of an autoencoder's time.

TAESD (Bohan 2023) takes latents as the UNet has them, of about unit variance, and knows no scaling factor.
Its file names layers by their place in a stack that begins with a clamp and has upsampling without weights
in it; how many channels and blocks there are is read off the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lib_ranni.errors import InputError, ModelError
from lib_ranni.standalone.loras import folders_near
from lib_ranni.standalone.paths import from_user

FOLDER = "decoders"
"""Beside a checkpoint or its folder, holds small decoders of its latents under its own name."""

SMALL = "small"
"""What a request calls the decoder that lies there."""

_LEVELS = 4
_BLOCK = re.compile(r"(\d+)\.conv\.0\.weight")
_PLAIN = re.compile(r"(\d+)\.weight")


def make_decoder(channels: int, blocks: Sequence[int]) -> nn.Module:
    """An untrained decoder: latents (B, 4, h, w) to pictures (B, 3, 8h, 8w) in -1..1.

    `blocks` are the residual blocks at each of four resolutions, the lowest first.
    """
    from diffusers.models.autoencoders.vae import DecoderTiny

    decoder: nn.Module = DecoderTiny(
        in_channels=4,
        out_channels=3,
        num_blocks=tuple(blocks),
        block_out_channels=(channels,) * _LEVELS,
        upsampling_scaling_factor=2,
        act_fn="relu",
        upsample_fn="nearest",
    )
    return decoder


def file_tensors(decoder: nn.Module) -> dict[str, Tensor]:
    """A decoder's tensors under the names of TAESD's files, in float16."""
    return {_file_name(name): value.half().contiguous() for name, value in decoder.state_dict().items()}


def _file_name(name: str) -> str:
    """TAESD counts the clamp before the layers, which diffusers has outside."""
    _, layer, rest = name.split(".", 2)
    return f"{int(layer) + 1}.{rest}"


def _own_name(name: str) -> str:
    layer, rest = name.split(".", 1)
    return f"layers.{int(layer) - 1}.{rest}"


def _blocks(tensors: Mapping[str, Any]) -> tuple[int, ...]:
    """Residual blocks at each resolution: those between one convolution without a block and the next."""
    blocks = {int(found[1]) for name in tensors if (found := _BLOCK.fullmatch(name))}
    plain = sorted(int(found[1]) for name in tensors if (found := _PLAIN.fullmatch(name)))
    return tuple(len([n for n in blocks if a < n < b]) for a, b in pairwise(plain))


def read_decoder(path: Path) -> nn.Module:
    """The decoder in a file of TAESD's layout, for inference in float32.

    Raises `ModelError` for a file that is none, in whole or in part.
    """
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read as a small decoder; give a .safetensors file such as "
            "taesd_decoder.safetensors"
        ) from error
    blocks, first = _blocks(tensors), tensors.get("1.weight")
    if len(blocks) != _LEVELS or first is None or first.dim() != 4:
        raise ModelError(f"{path} holds no small decoder of TAESD's layout; give taesd_decoder.safetensors")
    decoder = make_decoder(len(first), blocks)
    try:
        decoder.load_state_dict({_own_name(name): value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        raise ModelError(
            f"{path} is not wholly a small decoder of TAESD's layout: {str(error).splitlines()[-1].strip()}"
        ) from error
    if not all(bool(value.isfinite().all()) for value in decoder.state_dict().values()):
        raise ModelError(f"{path} holds numbers that are not finite; download it again")
    return decoder.eval().requires_grad_(False)


def decoder_path(name: str, checkpoint: Path) -> Path:
    """The file of a request's decoder. Raises `InputError` if it is not there."""
    if name != SMALL:
        path = from_user(name)
        if not path.is_file():
            raise InputError(f"there is no decoder at {path}; give a file, `small`, or leave it out")
        return path
    if (own := own_decoder(checkpoint)) is None:
        raise InputError(
            f"{checkpoint.name} has no small decoder; put one in {FOLDER}/{checkpoint.stem}.safetensors "
            "beside it, give a file, or leave the decoder out"
        )
    return own


def own_decoder(checkpoint: Path) -> Path | None:
    """The file with the small decoder that lies beside a checkpoint, if there is one."""
    for folder in folders_near(checkpoint):
        path = folder / FOLDER / f"{checkpoint.stem}.safetensors"
        if path.is_file():
            return path
    return None


def as_picture(decoder: nn.Module, latents: Tensor) -> Tensor:
    """Finished latents (B, 4, h, w) of about unit variance to pictures (B, 3, 8h, 8w) in -1..1."""
    like = next(decoder.parameters())
    with torch.no_grad():
        pictures: Tensor = decoder(latents.to(like))
    return pictures.float()
