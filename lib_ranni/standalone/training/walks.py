"""Noisy latents on their way to pictures: where rows of a batch are, where a step of drawing brings them.

A model that is only taught on pictures with noise has never seen what its own predictions lead to. Trained
for a few steps on the way, as DAgger (Ross et al. 2011) does, it learns to mend what it has begun.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lib_ranni.standalone.training.denoiser import signal


class Noised(NamedTuple):
    """Latents (B, C, h, w) at timesteps (B,), and the weight (B, 1, 1, 1) of v's error there."""

    timesteps: Tensor
    noisy: Tensor
    weight: Tensor


def noised(clean: Tensor, seen: Tensor, timesteps: Tensor, generator: torch.Generator) -> Noised:
    """Latents (B, C, h, w) `seen` with noise, that shall be `clean`.

    Where the two are not the same, the error counts as one of the latents: v's would grow without bound.
    """
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    a = signal(timesteps)
    turned = (seen != clean).flatten(1).any(1).view(-1, 1, 1, 1)
    return Noised(timesteps, a.sqrt() * seen + (1 - a).sqrt() * noise, torch.where(turned, 1 - a, 1.0))


def wanted_v(now: Noised, clean: Tensor) -> Tensor:
    """The v (B, C, h, w) by which noisy latents become the clean ones."""
    a = signal(now.timesteps)
    return (a.sqrt() * now.noisy - clean) / (1 - a).sqrt()


def moved(now: Noised, v: Tensor, stride: Tensor) -> Noised:
    """A step of DDIM by (B,) timesteps further, with a prediction of v. From there on errors count as ones of
    the latents: what has been drawn may be another picture by now.
    """
    timesteps = (now.timesteps - stride).clamp(min=0)
    a, b = signal(now.timesteps), signal(timesteps)
    clean, noise = a.sqrt() * now.noisy - (1 - a).sqrt() * v, a.sqrt() * v + (1 - a).sqrt() * now.noisy
    return Noised(timesteps, b.sqrt() * clean + (1 - b).sqrt() * noise, 1 - b)


def mixed(first: Noised, second: Noised, of_first: Tensor) -> Noised:
    """Rows of the one where `of_first` (B,), of the other elsewhere; both are at the same timesteps."""
    rows = of_first.view(-1, 1, 1, 1)
    noisy, weight = (torch.where(rows, a, b) for a, b in zip(first[1:], second[1:], strict=True))
    return Noised(first.timesteps, noisy, weight)
