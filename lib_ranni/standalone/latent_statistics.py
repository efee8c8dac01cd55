"""The latent prior of a checkpoint, from pictures: what its autoencoder makes of them on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lib_ranni.errors import InputError
from lib_ranni.sampling.priors import Prior, Statistics
from lib_ranni.standalone.checkpoint import Checkpoint

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and those below it, by name. Raises `InputError` if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    return found


@torch.no_grad()
def picture_prior(
    checkpoint: Checkpoint,
    pictures: Sequence[Path],
    side: int,
    grid: tuple[int, int] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Prior:
    """Statistics of pictures, each scaled and cropped to a square of `side` pixels first."""
    vae, seen = checkpoint.vae, Statistics(grid)
    like = next(vae.parameters())
    for done, path in enumerate(pictures, 1):
        pixels = torch.from_numpy(_square(path, side)).permute(2, 0, 1)[None].to(like)
        encoded = vae.encode(pixels / 127.5 - 1)
        # A tiny autoencoder has no distribution, only latents.
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        seen.add(latents * vae.config.scaling_factor)
        if on_step is not None:
            on_step(done, len(pictures))
    return seen.prior(f"{len(pictures)} pictures", "pictures")


def _square(path: Path, side: int) -> np.ndarray:
    """(side, side, 3) pixels of the middle of a picture, 0..255."""
    try:
        with Image.open(path) as picture:
            whole = picture.convert("RGB")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a picture that can be read: {error}") from error
    short = min(whole.size)
    left, top = (whole.width - short) // 2, (whole.height - short) // 2
    cut = whole.crop((left, top, left + short, top + short)).resize((side, side), Image.LANCZOS)
    return np.asarray(cut, dtype=np.float32)
