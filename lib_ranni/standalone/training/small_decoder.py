"""Training of a small decoder for the shapes checkpoint's latents, for pictures drawn in one step.

There the autoencoder's own decoder takes several times as long as the UNet. The architecture is TAESD's
with half its channels; it learns from pictures and their latents, which the frozen encoder gives. Some of
them are blurred by noise: latents drawn in one step are never quite what an encoder would give.
"""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor

from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.small_decoder import make_decoder
from lib_ranni.standalone.training.autoencoder import picture_loss, pictures, training_pictures
from lib_ranni.standalone.training.checkpointing import Ema
from lib_ranni.standalone.training.latents import encoded
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps

CHANNELS, BLOCKS = 32, (3, 3, 3, 1)


class SmallDecoderRecipe(msgspec.Struct, frozen=True):
    """`batch` counts 64-px crops, as for the autoencoder; `blur` is the most noise that latents are given."""

    steps: int = 5000
    batch: int = 16
    learning_rate: float = 2e-3
    foreground: float = 4.0
    blur: float = 0.1
    ema: float = 0.998
    save_every: int = 250
    seed: int = 3

    def rate(self, step: int) -> float:
        """Learning rate at a step: a warm-up, then a cosine to zero."""
        warm = min(1.0, (step + 1) / 100)
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))


SMALL_DECODER: dict[str, SmallDecoderRecipe] = {
    "cpu": SmallDecoderRecipe(),
    "gpu": SmallDecoderRecipe(steps=12_000, batch=64),
}


def train_small_decoder(
    folder: Path, checkpoint: Checkpoint, recipe: SmallDecoderRecipe, progress: Progress
) -> None:
    """Train or resume the decoder of the run in `folder`; its state is saved as `small_decoder.pt`."""
    device, scale = checkpoint.device, float(checkpoint.vae.config.scaling_factor)
    torch.manual_seed(recipe.seed)
    model = make_decoder(CHANNELS, BLOCKS).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, betas=(0.9, 0.99))
    path = folder / "small_decoder.pt"
    ema = Ema(model, recipe.ema)
    stage = Stage("small decoder", path, model, optimizer, recipe.steps, recipe.save_every, ema)

    def loss_of(step: int) -> Tensor:
        rng, generator = step_chance(recipe.seed, step)
        images = training_pictures(rng, step, recipe.batch).to(device)
        latents = encoded(checkpoint.vae, images) * scale
        blur = recipe.blur * torch.rand(len(latents), 1, 1, 1, generator=generator)
        latents = latents + (blur * torch.randn(latents.shape, generator=generator)).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            rebuilt = model(latents)
        return picture_loss(rebuilt.float(), images, recipe.foreground)

    train_steps(stage, stage.resume()["step"], loss_of, recipe.rate, progress)


@torch.no_grad()
def rebuilding_error(decoder: Any, checkpoint: Checkpoint, count: int = 64, seed: int = 99) -> float:
    """Mean absolute error, in 0..1 of a channel's range, on fresh pictures."""
    images = pictures(Random(seed), count).to(checkpoint.device)
    total = 0.0
    for chunk in images.split(8):
        latents = encoded(checkpoint.vae, chunk) * float(checkpoint.vae.config.scaling_factor)
        rebuilt = decoder(latents).float()
        total += F.l1_loss(rebuilt.clamp(-1, 1), chunk).item() * len(chunk) / 2
    return total / count
