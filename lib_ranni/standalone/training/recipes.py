"""The stages of a training run, and how much of each a CPU and a GPU are given."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from transformers import CLIPTokenizer

from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training.autoencoder import (
    AutoencoderRecipe,
    reconstruction_error,
    train_autoencoder,
)
from lib_ranni.standalone.training.control import LAID, ControlRecipe, train_control, train_palettes
from lib_ranni.standalone.training.control_rows import RowsRecipe
from lib_ranni.standalone.training.denoiser import DenoiserRecipe, train_denoiser
from lib_ranni.standalone.training.latents import encode_scenes
from lib_ranni.standalone.training.one_step_rows import laid_scenes
from lib_ranni.standalone.training.progress import Progress

SCENE_SEED = 1234


class Recipe(Struct, frozen=True):
    """`scenes` are drawn and encoded once, and learned from many times under ever new captions; `laid` are
    such for palettes, laid out by the planner.
    """

    autoencoder: AutoencoderRecipe = AutoencoderRecipe()
    scenes: int = 25_600
    denoiser: DenoiserRecipe = DenoiserRecipe()
    laid: int = 8_192


RECIPES: dict[str, Recipe] = {
    "cpu": Recipe(),
    # A GPU is idle at a batch of 32; larger batches with a learning rate scaled by the square root.
    "gpu": Recipe(
        AutoencoderRecipe(steps=12_000, encoder_steps=8_000, batch=64),
        scenes=131_072,
        denoiser=DenoiserRecipe(steps=40_000, batch=128, learning_rate=8e-4),
        laid=32_768,
    ),
}


CONTROL_RECIPES: dict[str, ControlRecipe] = {
    "cpu": ControlRecipe(),
    "gpu": ControlRecipe(steps=12_000, batch=128, learning_rate=3e-3),
}

_PALETTES = ControlRecipe(
    steps=16_000,
    inside=1.0,
    stop=600.0,
    turned=0.5,
    walk=10,
    laid=0.5,
    rows=RowsRecipe(palettes=1.0, colorless=0.7, keypoints=0.2),
    seed=12,
)
PALETTE_RECIPES: dict[str, ControlRecipe] = {
    "cpu": _PALETTES,
    "gpu": msgspec.structs.replace(_PALETTES, batch=128, learning_rate=3e-3),
}


def train_conditioner(folder: Path, checkpoint: Checkpoint, name: str, progress: Progress) -> None:
    """Run, or resume, both stages of the training of a panel conditioner for a checkpoint of shapes.

    Scenes are encoded with the checkpoint's own autoencoder unless the run has them already.
    """
    for part in (checkpoint.unet, checkpoint.vae):
        part.float()
    encode_scenes(folder, RECIPES[name].scenes, checkpoint.vae, SCENE_SEED, progress)
    train_control(folder, checkpoint, CONTROL_RECIPES[name], progress)
    encode_scenes(folder / LAID, RECIPES[name].laid, checkpoint.vae, SCENE_SEED, progress, laid_scenes())
    train_palettes(folder, checkpoint, PALETTE_RECIPES[name], progress)


def train(folder: Path, tokenizer: Path, recipe: Recipe, device: torch.device, progress: Progress) -> None:
    """Run, or resume, every stage of the run in `folder`.

    The decoder is finished last: it does not change the latents, so the denoiser need not wait for it.
    """
    autoencoder = recipe.autoencoder
    model = train_autoencoder(folder, autoencoder, autoencoder.encoder_steps, device, progress)
    encode_scenes(folder, recipe.scenes, model, SCENE_SEED, progress)
    train_denoiser(folder, CLIPTokenizer.from_pretrained(tokenizer), recipe.denoiser, device, progress)
    model = train_autoencoder(folder, autoencoder, autoencoder.steps, device, progress)
    progress.say(
        f"the autoencoder rebuilds pictures to {reconstruction_error(model):.4f} of a channel's range"
    )
