"""How much the rows of a batch weigh, by what their noise level leaves to be learned.

Under an unweighted loss most of the gradient is noise: at high noise the layout of a scene cannot be known
and at low noise its noise cannot, while the levels in between, where a shape becomes a circle or a square,
contribute little. Dividing each row by the loss to be expected of it lets all levels speak equally
(Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 2.2 and
appendix B.2, where the expectation is learned by a small network; here it is a table of running means).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib_ranni.standalone.training.architecture import TIMESTEPS

LEVELS = 20
MEMORY = 0.99
"""Share of a running mean that survives the next row at its level."""


KINDS = 3
"""Kinds of rows: heard whole, heard by region, of one part."""


def levels(count: int, high_noise: float, generator: torch.Generator) -> Tensor:
    """Timesteps (count,), one of each of `count` equal slices: a batch always covers the whole schedule.

    They are shuffled because rows of a kind stand together. `high_noise` < 1 prefers high noise levels.
    """
    u = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (u**high_noise * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)


class ExpectedLoss:
    """Running mean of the loss at each noise level, apart for each kind of row."""

    def __init__(self, table: Tensor | None = None) -> None:
        # A v-prediction of zero has a loss of about 1: the mean before anything is learned.
        self.table = torch.ones(KINDS, LEVELS) if table is None else table.cpu()

    def weights(self, timesteps: Tensor, kinds: Tensor) -> Tensor:
        """Weights (B,), 1 on average, of rows at these timesteps and of these kinds (B,)."""
        weights = 1 / self.table[kinds.cpu(), timesteps.cpu() * LEVELS // TIMESTEPS]
        return (weights / weights.mean()).to(timesteps.device)

    def update(self, timesteps: Tensor, kinds: Tensor, losses: Tensor) -> None:
        """Note the losses (B,) of such rows."""
        levels = timesteps.cpu() * LEVELS // TIMESTEPS
        for kind, level, loss in zip(kinds.cpu(), levels, losses.detach().cpu(), strict=True):
            self.table[kind, level].lerp_(loss, 1 - MEMORY)
