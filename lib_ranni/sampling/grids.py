"""Which timesteps a few-step model is asked about: whole numbers, falling, the noisiest first.

`strength` 0..1 is img2img's: the first timestep is that of its share of the schedule, and all `steps` are
done from there. Hosts that drop steps instead ignore the strength of one step altogether.
"""

from __future__ import annotations

from lib_ranni.errors import InputError
from lib_ranni.sampling.schedules import TIMESTEPS

LCM_STEPS = 50
"""Points of the grid that LCM, TCD and their kin were distilled on: 19, 39, ..., 999."""


def first_timestep(strength: float, timesteps: int = TIMESTEPS) -> int:
    """Where img2img of a strength starts: 999 for 1, 499 for one half, 0 for 0."""
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"a denoising strength is in 0..1, this is {strength:g}")
    return max(0, round(timesteps * strength) - 1)


def trailing(steps: int, strength: float = 1.0, timesteps: int = TIMESTEPS) -> tuple[int, ...]:
    """Even steps from the first timestep on, the last one a step short of 0: 4 are 999, 749, 499, 249.

    More steps than there are timesteps are as many as there are.
    """
    span = first_timestep(strength, timesteps) + 1
    steps = _counted(steps, span)
    return tuple(round(span - n * span / steps) - 1 for n in range(steps))


def leading(steps: int, timesteps: int = TIMESTEPS, offset: int = 1) -> tuple[int, ...]:
    """Even steps that end at `offset`: 4 are 751, 501, 251, 1. Few steps start from too little noise."""
    steps = _counted(steps, timesteps)
    ratio = timesteps // steps
    return tuple(min(n * ratio + offset, timesteps - 1) for n in reversed(range(steps)))


def linspace(steps: int, timesteps: int = TIMESTEPS) -> tuple[int, ...]:
    """Even steps from the last timestep down, 0 left out: 4 are 999, 749, 500, 250."""
    steps = _counted(steps, timesteps - 1)
    return tuple(round((timesteps - 1) * n / steps) for n in range(steps, 0, -1))


def lcm(
    steps: int, strength: float = 1.0, original: int = LCM_STEPS, timesteps: int = TIMESTEPS
) -> tuple[int, ...]:
    """Even picks from the grid of a distillation: 4 of 50 are 999, 759, 499, 259.

    The grid is made finer, and in the end every timestep, where it has fewer points than `steps`.
    """
    most = first_timestep(strength, timesteps) + 1
    steps = _counted(steps, most)
    for divisor in _divisors(timesteps // original):
        points = int((timesteps // divisor) * strength) if divisor > 1 else most
        if points >= steps:
            picks = (points * n // steps for n in range(steps))
            return tuple((points - pick) * divisor - 1 for pick in picks)
    raise AssertionError("the finest grid holds every timestep")


def _divisors(k: int) -> list[int]:
    """Divisors of k from itself down to 1."""
    return [d for d in range(k, 0, -1) if k % d == 0]


def _counted(steps: int, most: int) -> int:
    if steps < 1:
        raise InputError(f"a picture takes at least one step, this is {steps}")
    return min(steps, most)
