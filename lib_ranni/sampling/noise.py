"""Fresh noise for stochastic rules, each picture's from a generator of its own.

A picture is then the same alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lib_ranni.errors import InputError

Noise = Callable[[Tensor], Tensor]
"""A latent (B, C, h, w) to N(0, 1) noise of its shape, device and dtype."""


def seeded(seeds: Sequence[int]) -> list[torch.Generator]:
    """A CPU generator for each seed: the same numbers on every device."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


class PerImage:
    """Noise whose row i comes from generator i, drawn on the CPU."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = tuple(generators)

    def __call__(self, like: Tensor) -> Tensor:
        """Noise (B, C, h, w) for a latent of that shape. Every channel has its own."""
        if len(like) != len(self._generators):
            raise InputError(f"{len(like)} latents were given to {len(self._generators)} generators of noise")
        drawn = [torch.randn(like.shape[1:], generator=generator) for generator in self._generators]
        return torch.stack(drawn).to(like)


def refused(like: Tensor) -> Tensor:
    """The noise of a way that has none: asking for it is a mistake of the rule."""
    raise InputError("this rule draws noise; give a source of it")
