"""A preset made ready to sample with: its levels, and the rule between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.sampling import grids
from lib_ranni.sampling.presets import Preset
from lib_ranni.sampling.rules import Ancestral, Euler, Renoise, Rule, Tcd
from lib_ranni.sampling.sa_solver import SaSolver
from lib_ranni.sampling.schedules import CLEAN, TIMESTEPS, FlowSchedule, Level, Schedule


class Plan(Struct, frozen=True):
    """Levels that fall to the end, the rule between them, and the schedule they are of."""

    preset: Preset
    schedule: Schedule
    levels: tuple[Level, ...]
    rule: Rule | SaSolver

    @property
    def timesteps(self) -> tuple[int, ...]:
        """What the network is asked at."""
        return tuple(round(level.t) for level in self.levels[:-1])

    @property
    def steps(self) -> int:
        """How often it is asked."""
        return len(self.levels) - 1


def make_plan(
    preset: Preset,
    schedule: Schedule,
    steps: int | None = None,
    strength: float = 1.0,
    solver: SaSolver | None = None,
) -> Plan:
    """A plan of so many steps (default: the preset's), all of them from img2img's strength 0..1 on.

    Fixed timesteps are as many as there are, and locked ones are asked at whatever the strength. Any other
    number of steps is planned as asked; `advice` tells what the preset was made for.
    """
    own: Schedule = FlowSchedule() if preset.output == "flow" else schedule
    strength = 1.0 if preset.locked else strength
    count = preset.steps[0] if steps is None else steps
    if preset.grid == "fixed":
        timesteps = _within(preset.timesteps, grids.first_timestep(strength, own.count))
    elif preset.grid == "lcm":
        timesteps = grids.lcm(count, strength, timesteps=own.count)
    else:
        timesteps = grids.trailing(count, strength, timesteps=own.count)
    shift = int(preset.output == "flow")  # a flow's noise is at t = 1000, not at 999
    levels = tuple(own.level(t + shift) for t in timesteps)
    end = CLEAN if preset.to_zero else own.level(0)
    if end.sigma >= levels[-1].sigma:
        end = CLEAN
    return Plan(preset, own, (*levels, end), _rule(preset, own, solver))


def _within(timesteps: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Those of fixed timesteps that a strength leaves, at least one."""
    return tuple(t for t in timesteps if t <= first) or (first,)


def _rule(preset: Preset, schedule: Schedule, solver: SaSolver | None) -> Rule | SaSolver:
    if preset.rule == "sa":
        return solver or SaSolver()
    if preset.rule == "tcd":
        return Tcd(schedule, preset.gamma)
    if preset.rule == "ancestral":
        return Ancestral()
    return Euler() if preset.rule == "euler" else Renoise()


def with_gamma(preset: Preset, gamma: float) -> Preset:
    """The preset with another gamma, 0..1. Raises `InputError` for one whose rule has none."""
    if preset.rule != "tcd":
        raise InputError(f"{preset.label} has no gamma; TCD and Hyper-SD unified have")
    if not 0.0 <= gamma <= 1.0:
        raise InputError(f"gamma is in 0..1, this is {gamma:g}")
    return msgspec.structs.replace(preset, gamma=gamma)


def with_timesteps(preset: Preset, timesteps: Sequence[int]) -> Preset:
    """The preset with timesteps of the user's own, which must fall from at most 999 to at least 0."""
    own = tuple(timesteps)
    if not own or own[0] >= TIMESTEPS or own[-1] < 0 or any(b >= a for a, b in pairwise(own)):
        raise InputError(f"timesteps fall from at most {TIMESTEPS - 1} to at least 0, these are {list(own)}")
    return msgspec.structs.replace(preset, grid="fixed", timesteps=own, steps=(len(own),))
