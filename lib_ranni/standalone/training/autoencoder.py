"""Training of the shapes checkpoint's autoencoder on the very pictures the denoiser will see."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from lib_ranni.evaluation.scenes import random_scene, render
from lib_ranni.standalone.training.architecture import IMAGE_PX, make_autoencoder
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps


class AutoencoderRecipe(msgspec.Struct, frozen=True):
    """`batch` counts 64-px crops; every other step uses batch/4 whole pictures instead, at equal cost.

    Pixels of objects count `1 + foreground` times: they are few, and it is their color that matters. After
    `encoder_steps` the encoder is frozen, so that the denoiser can start on its latents while the decoder
    still improves.
    """

    steps: int = 9000
    encoder_steps: int = 6250
    batch: int = 16
    learning_rate: float = 1e-3
    foreground: float = 4.0
    kl_weight: float = 1e-3
    save_every: int = 250
    seed: int = 1

    def rate(self, step: int) -> float:
        """Learning rate at a step: a warm-up, then a cosine to zero."""
        warm = min(1.0, (step + 1) / 100)
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def pictures(rng: Random, count: int) -> torch.Tensor:
    """Random scenes, (count, 3, 128, 128) in -1..1."""
    arrays = [np.asarray(render(random_scene(rng), IMAGE_PX, rng=rng)) for _ in range(count)]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def training_pictures(rng: Random, step: int, batch: int) -> torch.Tensor:
    """At even steps `batch` crops of 64 px, at odd ones a quarter as many whole pictures; in -1..1."""
    if step % 2:
        return pictures(rng, max(1, batch // 4))
    drawn = pictures(rng, batch)
    half = IMAGE_PX // 2
    x, y = rng.randrange(0, half + 1, 8), rng.randrange(0, half + 1, 8)
    return drawn[:, :, y : y + half, x : x + half]


def _foreground(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W), 1 where a pixel is not of its picture's most common color."""
    flat = images.flatten(2)
    background = flat.median(dim=2).values[:, :, None, None]
    return ((images - background).abs().amax(1, keepdim=True) > 0.1).float()


def picture_loss(rebuilt: torch.Tensor, images: torch.Tensor, share: float) -> torch.Tensor:
    """L1 + L2 of pictures (B, 3, H, W); pixels of objects count `1 + share` times."""
    weight = 1 + share * _foreground(images)
    error = (rebuilt - images).abs()
    return (weight * (error + error**2)).sum() / weight.expand_as(error).sum()


def _encode(model: AutoencoderKL, images: torch.Tensor, frozen: bool) -> Any:
    with torch.set_grad_enabled(not frozen):
        return model.encode(images).latent_dist


def _freeze_encoder(model: AutoencoderKL) -> None:
    for part in (model.encoder, model.quant_conv):
        part.requires_grad_(False)
        for parameter in part.parameters():
            parameter.grad = None


def train_autoencoder(
    folder: Path, recipe: AutoencoderRecipe, until: int, device: torch.device, progress: Progress
) -> AutoencoderKL:
    """Train or resume the autoencoder of the run in `folder` up to step `until`, and return it."""
    torch.manual_seed(recipe.seed)
    model = make_autoencoder().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
    path = folder / "autoencoder.pt"
    stage = Stage("autoencoder", path, model, optimizer, recipe.steps, recipe.save_every)
    start = stage.resume()["step"]
    model.train()

    def loss_of(step: int) -> torch.Tensor:
        if frozen := step >= recipe.encoder_steps:
            _freeze_encoder(model)
        rng, generator = step_chance(recipe.seed, step)
        images = training_pictures(rng, step, recipe.batch).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = _encode(model, images, frozen)
            rebuilt = model.decode(posterior.sample(generator)).sample
        rebuilt = rebuilt.float()
        kl = posterior.kl().float().sum() / images[:, 0].numel()
        return picture_loss(rebuilt, images, recipe.foreground) + recipe.kl_weight * kl

    train_steps(stage, start, loss_of, recipe.rate, progress, until=until)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def reconstruction_error(model: AutoencoderKL, count: int = 64, seed: int = 99) -> float:
    """Mean absolute error, in 0..1 of a channel's range, on fresh pictures."""
    images = pictures(Random(seed), count)
    device = next(model.parameters()).device
    total = 0.0
    for chunk in images.split(8):
        chunk = chunk.to(device)
        rebuilt = model.decode(model.encode(chunk).latent_dist.mode()).sample
        total += F.l1_loss(rebuilt.clamp(-1, 1), chunk).item() * len(chunk) / 2
    return total / count
