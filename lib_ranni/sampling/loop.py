"""The way from noise to picture: ask the model at each level, take a step, tell who watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.noise import Noise, refused
from lib_ranni.sampling.rules import Rule
from lib_ranni.sampling.sa_solver import SaSolver, SaState, sa_step
from lib_ranni.sampling.schedules import Level

Denoise = Callable[[Tensor, Level], Tensor]
"""(x (B, C, h, w), level) -> the predicted picture x0 of the same shape."""


class Step(Struct, frozen=True):
    """A step about to be taken: which of how many, where, x there and the picture predicted."""

    index: int
    total: int
    at: Level
    x: Tensor
    x0: Tensor


OnStep = Callable[[Step], None]


def sample(
    denoise: Denoise,
    x: Tensor,
    levels: Sequence[Level],
    rule: Rule | SaSolver,
    noise: Noise = refused,
    on_step: OnStep | None = None,
) -> Tensor:
    """x at the last of the levels, which must fall. One level is no step at all.

    The tensors handed to `on_step` are never written to afterwards.
    """
    if any(to.sigma >= at.sigma for at, to in pairwise(levels)):
        raise InputError("the levels of a way must fall in noise from each to the next")
    total, state = len(levels) - 1, SaState()
    for index in range(total):
        at, to = levels[index], levels[index + 1]
        x0 = denoise(x, at)
        if on_step is not None:
            on_step(Step(index, total, at, x, x0))
        if isinstance(rule, SaSolver):
            x, state = sa_step(rule, x0, x, at, to, total - index, noise, state)
        else:
            x = rule.step(x0, x, at, to, noise)
    return x
