"""Training of a LoRA with which the shipped checkpoint draws in one step.

The student answers pure noise with a picture: a regression onto scenes whose every choice is told by the
text, by the panel or by the noise itself (`layout_noise`), so that the mean picture, which is what a
regression finds, is a sharp one. Guidance is not needed: the pictures are what the texts say. Rows that
start further along, from a picture with noise of its own added, make a second step an improvement.
Errors count as sqrt(|e|^2 + c^2) - c (Song & Dhariwal 2023, eq. 7).
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from msgspec import Struct
from torch import Tensor
from torch.func import functional_call

from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import TIMESTEPS
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.control import TextStates
from lib_ranni.standalone.training.denoiser import signal
from lib_ranni.standalone.training.low_rank import LowRank
from lib_ranni.standalone.training.one_step_rows import Batch, Rows, RowsRecipe
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.regions import SLOTS, Regions
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps, trapezoid

HUBER = 0.03
"""c of the distance, for each number of a picture."""


class OneStepRecipe(Struct, frozen=True):
    """`first` is the share of rows that start from noise; the others start further along."""

    rows: RowsRecipe = RowsRecipe()
    steps: int = 8_000
    rank: int = 28
    learning_rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.5
    first: float = 0.8
    ema: float = 0.998
    save_every: int = 50
    seed: int = 5

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        return trapezoid(step, self.steps, self.learning_rate, self.warmup, self.decay)


ONE_STEP: dict[str, OneStepRecipe] = {
    "cpu": OneStepRecipe(),
    "gpu": OneStepRecipe(RowsRecipe(16, 16, 24, 72, first=64), steps=20_000),
}


class Start(NamedTuple):
    """Where rows start: noisy latents (B, 4, h, w) and timesteps (B,)."""

    x: Tensor
    timesteps: Tensor


def starts(batch: Batch, first: float, rng: Random, generator: torch.Generator) -> Start:
    """Rows at the last timestep start from the noise that stands for them, the others from noisy pictures."""
    timesteps = torch.tensor(
        [TIMESTEPS - 1 if rng.random() < first else rng.randrange(50, TIMESTEPS - 1) for _ in batch.rows]
    )
    noise = torch.randn(batch.latents.shape, generator=generator)
    last = (timesteps == TIMESTEPS - 1).view(-1, 1, 1, 1)
    a = signal(timesteps)
    noisy = a.sqrt() * batch.latents + (1 - a).sqrt() * noise
    return Start(torch.where(last, batch.noise, noisy), timesteps)


def heard(batch: Batch, states: TextStates, device: torch.device) -> dict[str, Any]:
    """Contexts and regions of a batch, as the UNet takes them."""
    few = next(iter(batch.maps.values())).shape[0]
    known: dict[str, int] = {"": 0}
    slots = torch.zeros(few, SLOTS, dtype=torch.long)
    for row in range(few):
        for slot, element in enumerate(batch.rows[row].elements):
            slots[row, slot] = known.setdefault(element.description, len(known))
    maps = {cells: map_.to(device) for cells, map_ in batch.maps.items()}
    regions = Regions(states.contexts(list(known)).to(device), slots, maps)
    return {
        "encoder_hidden_states": states.contexts([row.text for row in batch.rows]).to(device),
        "cross_attention_kwargs": {"regions": regions},
    }


def distances(drawn: Tensor, pictures: Tensor) -> Tensor:
    """Pseudo-Huber distances (B,) of latents (B, 4, h, w)."""
    c = HUBER * drawn[0].numel() ** 0.5
    squares = (drawn - pictures).square().sum((1, 2, 3))
    return (squares + c**2).sqrt() - c


def _loss(
    student: Any, weights: dict[str, Tensor], batch: Batch, start: Start, given: dict[str, Any]
) -> Tensor:
    device = next(iter(weights.values())).device
    x, timesteps, pictures = start.x.to(device), start.timesteps.to(device), batch.latents.to(device)
    a = signal(timesteps)
    with torch.autocast(device.type, torch.bfloat16):
        v = functional_call(student, weights, (x, timesteps), given).sample.float()
    return distances(a.sqrt() * x - (1 - a).sqrt() * v, pictures).mean()


def train_one_step(folder: Path, checkpoint: Checkpoint, recipe: OneStepRecipe, progress: Progress) -> None:
    """Train or resume the LoRA of the run in `folder`; its state is saved as `one_step.pt`."""
    unet = checkpoint.unet
    unet.set_attn_processor(NarrowHeads())
    rows, states = Rows(folder, checkpoint, recipe.rows), TextStates(checkpoint)
    student = LowRank(unet, recipe.rank, recipe.seed)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, weight_decay=0.0, betas=(0.9, 0.99))
    ema = checkpointing.Ema(student, recipe.ema)
    path = folder / "one_step.pt"
    stage = Stage("one-step LoRA", path, student, optimizer, recipe.steps, recipe.save_every, ema)

    def loss_of(step: int) -> Tensor:
        rng, generator = step_chance(recipe.seed, step)
        states.forget()
        batch = rows.batch(step, rng, generator)
        start = starts(batch, recipe.first, rng, generator)
        return _loss(unet, student.weights(), batch, start, heard(batch, states, checkpoint.device))

    train_steps(stage, stage.resume()["step"], loss_of, recipe.rate, progress)
