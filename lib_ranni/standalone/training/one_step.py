"""Distillation of the shipped checkpoint into a LoRA that draws in one step.

The student at any level of a way of the teacher answers with where that way ends: a consistency model's
boundary and all of its pairs at once, without the bootstrapping that makes one slow to train (Luhman &
Luhman 2021; Liu et al. 2023, InstaFlow's distillation). Guidance is in the teacher, so the student needs
none. Errors count as sqrt(|e|^2 + c^2) (Song & Dhariwal 2023): a mean square makes blurred pictures of
what the noise leaves open.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor
from torch.func import functional_call

from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.denoiser import alphas_cumprod
from lib_ranni.standalone.training.low_rank import LowRank
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps, trapezoid
from lib_ranni.standalone.training.trajectories import (
    LEVELS,
    Conditions,
    Heard,
    TeacherRecipe,
    ways_of,
)


class OneStepRecipe(Struct, frozen=True):
    """`first` is the share of rows that start from noise; the others start further along their way."""

    teacher: TeacherRecipe = TeacherRecipe()
    steps: int = 4_000
    rank: int = 28
    learning_rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.4
    first: float = 0.7
    ema: float = 0.998
    save_every: int = 50
    seed: int = 5

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        return trapezoid(step, self.steps, self.learning_rate, self.warmup, self.decay)


ONE_STEP: dict[str, OneStepRecipe] = {
    "cpu": OneStepRecipe(),
    "gpu": OneStepRecipe(TeacherRecipe(first=64, reuse=16, rows=128), steps=20_000),
}


def _loss(student: Any, weights: dict[str, Tensor], ways: Tensor, heard: Heard, levels: Tensor) -> Tensor:
    """Mean pseudo-Huber distance of the student's pictures to the ends (B, 4, h, w) of the ways."""
    rows = torch.arange(len(levels))
    x, end = ways[levels, rows], ways[-1]
    timesteps = torch.tensor(LEVELS, device=x.device)[levels.to(x.device)]
    a = alphas_cumprod().to(x.device)[timesteps].view(-1, 1, 1, 1)
    given = {"cross_attention_kwargs": {"regions": heard.regions}}
    with torch.autocast(x.device.type, torch.bfloat16):
        v = functional_call(student, weights, (x, timesteps, heard.context), given).sample.float()
    drawn = a.sqrt() * x - (1 - a).sqrt() * v
    c = 0.03 * end[0].numel() ** 0.5
    squares = (drawn - end).square().sum((1, 2, 3))
    return ((squares + c**2).sqrt() - c).mean()


def _levels(rows: int, first: float, rng: Random) -> Tensor:
    chosen = [0 if rng.random() < first else rng.randrange(1, len(LEVELS)) for _ in range(rows)]
    return torch.tensor(chosen)


def train_one_step(folder: Path, checkpoint: Checkpoint, recipe: OneStepRecipe, progress: Progress) -> None:
    """Train or resume the LoRA of the run in `folder`; its state is saved as `one_step.pt`."""
    unet = checkpoint.unet
    unet.set_attn_processor(NarrowHeads())
    conditions = Conditions(checkpoint, recipe.teacher)
    student = LowRank(unet, recipe.rank, recipe.seed)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, weight_decay=0.0, betas=(0.9, 0.99))
    ema = checkpointing.Ema(student, recipe.ema)
    path = folder / "one_step.pt"
    stage = Stage("one-step LoRA", path, student, optimizer, recipe.steps, recipe.save_every, ema)

    def loss_of(step: int) -> Tensor:
        rng, _ = step_chance(recipe.seed, step)
        pack = rng.randrange(recipe.teacher.packs(step))
        ways = ways_of(folder, pack, checkpoint, conditions, recipe.teacher)
        levels = _levels(ways.shape[1], recipe.first, rng)
        return _loss(unet, student.weights(), ways, conditions.of(pack).student, levels)

    train_steps(stage, stage.resume()["step"], loss_of, recipe.rate, progress)
