"""Options of the few-step entries and of the latent prior.

They are the host's own options, so that its settings page, `override_settings`, axes and infotexts have
them in the host's own way: whoever uses one writes it into the infotext under the option's label there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.sampling.plans import with_gamma, with_timesteps
from lib_ranni.sampling.presets import Preset
from lib_ranni.sampling.sa_solver import MAX_ORDER, SaSolver
from lib_ranni.webui import settings
from lib_ranni.webui.options import TEXT, TICK, Option, add, between

SECTION = ("ranni_few_step", "Ranni: few steps")

AS_PRESET = "preset"
"""The prior that a few-step entry has if nobody chooses; other samplers have none."""


class FewStepOptions(Struct, frozen=True):
    """What is set, by the names of the options after `ranni_`."""

    prior: str = AS_PRESET
    prior_weight: float = 1.0
    gamma: float = -1.0
    timesteps: str = ""
    enforces: bool = False
    sa_predictor: int = 2
    sa_corrector: int = 2
    sa_tau: float = 1.0
    sa_tau_from: float = 200.0
    sa_tau_to: float = 800.0


def _table(priors: Callable[[], Sequence[str]]) -> dict[str, Option]:
    def choices() -> dict[str, Any]:
        return {"choices": [AS_PRESET, *priors()]}

    return {
        "prior": Option(
            "Latent prior",
            gr.Dropdown,
            choices,
            "for every k-diffusion sampler; preset: what a few-step entry says, and none elsewhere",
            infotext="Latent prior",
        ),
        "prior_weight": Option(
            "Weight of the latent prior",
            *between(0, 1, 0.01),
            "0: none of it",
            infotext="Latent prior weight",
        ),
        "gamma": Option(
            "Gamma of TCD and Hyper-SD", *between(-1, 1, 0.01), "-1: the entry's own", infotext="TCD gamma"
        ),
        "timesteps": Option(
            "Timesteps of few-step entries",
            *TEXT,
            "such as 999, 499; empty: the entry's own",
            infotext="Few-step timesteps",
        ),
        "enforces": Option(
            "Few-step entries set steps, CFG and LoRA",
            *TICK,
            "what is set is told under the picture and in its infotext",
            infotext="Few-step enforced",
        ),
        "sa_predictor": Option(
            "SA-Solver: order of the predictor", *between(1, MAX_ORDER, 1), infotext="SA predictor"
        ),
        "sa_corrector": Option(
            "SA-Solver: order of the corrector",
            *between(0, MAX_ORDER, 1),
            "0: no corrector",
            infotext="SA corrector",
        ),
        "sa_tau": Option("SA-Solver: tau", *between(0, 10, 0.05), "fresh noise; 0: none", infotext="SA tau"),
        "sa_tau_from": Option(
            "SA-Solver: timestep that tau begins at", *between(0, 1000, 1), infotext="SA tau from"
        ),
        "sa_tau_to": Option(
            "SA-Solver: timestep that tau ends at", *between(0, 1000, 1), infotext="SA tau to"
        ),
    }


LABELS = tuple(option.infotext or "" for option in _table(tuple).values())
"""The keys that the options have in an infotext."""


def option_of(field: str) -> str:
    """The host's name of an option."""
    return f"ranni_{field}"


def add_options(priors: Callable[[], Sequence[str]]) -> None:
    """Called when the host makes its settings; `priors` lists those to choose from."""
    usual = FewStepOptions()
    for field, option in _table(priors).items():
        add(option_of(field), getattr(usual, field), option, SECTION)


def chosen() -> FewStepOptions:
    """What is set at present; where a value is of a wrong kind, the usual one."""
    return settings.chosen(FewStepOptions)


def own_preset(preset: Preset, options: FewStepOptions) -> tuple[Preset, dict[str, Any]]:
    """The preset with the gamma and the timesteps that are set, and what an infotext says of them.

    Raises `InputError` for timesteps that are none.
    """
    said: dict[str, Any] = {}
    if preset.rule == "tcd":
        if 0 <= options.gamma <= 1:
            preset = with_gamma(preset, options.gamma)
        said["TCD gamma"] = preset.gamma
    if options.timesteps.strip():
        preset = with_timesteps(preset, timesteps_of(options.timesteps))
        said["Few-step timesteps"] = ", ".join(map(str, preset.timesteps))
    return preset, said


def timesteps_of(text: str) -> tuple[int, ...]:
    """The whole numbers of a text, parted by whatever is not a digit. Raises `InputError` for others."""
    if re.fullmatch(r"[\s,;|]*\d{1,4}([\s,;|]+\d{1,4})*[\s,;|]*", text) is None:
        raise InputError(f"timesteps are whole numbers such as 999, 499; this is {text[:80]!r}")
    return tuple(int(number) for number in re.findall(r"\d+", text))


def solver_of(options: FewStepOptions) -> tuple[SaSolver, dict[str, Any]]:
    """SA-Solver as it is set, and what an infotext says of it. Raises `InputError`."""
    solver = SaSolver(
        predictor=options.sa_predictor,
        corrector=options.sa_corrector,
        tau=options.sa_tau,
        tau_from=options.sa_tau_from,
        tau_to=options.sa_tau_to,
    )
    return solver, {
        "SA predictor": solver.predictor,
        "SA corrector": solver.corrector,
        "SA tau": solver.tau,
        "SA tau from": solver.tau_from,
        "SA tau to": solver.tau_to,
    }
