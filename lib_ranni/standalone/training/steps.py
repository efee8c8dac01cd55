"""The loop that every stage of training runs: a loss, a step of the optimizer, an average, a saved state.

All chance of a step comes from its number, so that an interrupted stage ends with the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.progress import Progress

LossOf = Callable[[int], Tensor | tuple[Tensor, float]]
"""Step -> what is minimised, with what is logged where that is another number."""

MAX_NORM = 1.0
"""Longer gradients are cut to this length."""


class Stage(msgspec.Struct, frozen=True):
    """What is trained and where its state lies: `model`, `optimizer`, `step`, `ema` if there is one, and
    what the stage adds. `name` is for the log; `steps` are all of the stage, of which one call may do fewer.
    """

    name: str
    path: Path
    model: nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    save_every: int
    ema: checkpointing.Ema | None = None

    def resume(self) -> dict[str, Any]:
        """Take up what was saved and return it; `{"step": 0}` where nothing was yet."""
        state = checkpointing.load(self.path, next(self.model.parameters()).device)
        if state is None:
            return {"step": 0}
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.values = state["ema"]
        return state

    def save(self, step: int, extra: Mapping[str, Any]) -> None:
        """Write the state after so many steps."""
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": step}
        if self.ema is not None:
            state["ema"] = self.ema.values
        checkpointing.save(self.path, {**state, **extra})


def train_steps(
    stage: Stage,
    start: int,
    loss_of: LossOf,
    rate: Callable[[int], float],
    progress: Progress,
    *,
    until: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Do the steps from `start` to `until`, or to the stage's last, each at the learning rate `rate(step)`.

    `extra` is saved as it is by then.
    """
    until = stage.steps if until is None else min(until, stage.steps)
    for step in range(start, until):
        for group in stage.optimizer.param_groups:
            group["lr"] = rate(step)
        found = loss_of(step)
        loss, logged = found if isinstance(found, tuple) else (found, None)
        stage.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(stage.model.parameters(), MAX_NORM)
        stage.optimizer.step()
        if stage.ema is not None:
            stage.ema.update(stage.model, step)
        progress.step(stage.name, step + 1, stage.steps, loss.item() if logged is None else logged)
        if (step + 1) % stage.save_every == 0 or step + 1 == until:
            stage.save(step + 1, extra or {})


def step_chance(seed: int, step: int) -> tuple[Random, torch.Generator]:
    """The sources of chance of a step, alike whenever it is done."""
    own = seed * 1_000_003 + step
    return Random(own), torch.Generator().manual_seed(own)


def trapezoid(step: int, steps: int, peak: float, warmup: int, decay: float) -> float:
    """A learning rate that rises over `warmup` steps, stays, and falls to zero over a last share `decay`."""
    start = steps * (1 - decay)
    falling = max(0.0, 1 - max(0.0, step - start) / (steps * decay))
    return peak * min(1.0, (step + 1) / warmup) * falling
