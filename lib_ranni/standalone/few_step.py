"""Few-step presets in the engine: what a request needs for one, and the sampling with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.panel.types import Lora
from lib_ranni.sampling.advertised import chosen_lora
from lib_ranni.sampling.advice import Use, advice_on
from lib_ranni.sampling.loop import Step, sample
from lib_ranni.sampling.noise import PerImage
from lib_ranni.sampling.plans import make_plan, with_gamma
from lib_ranni.sampling.predictions import Prediction, consistent, denoised
from lib_ranni.sampling.presets import Preset, preset_named
from lib_ranni.sampling.prior_files import load_prior
from lib_ranni.sampling.priors import Prior, default_prior
from lib_ranni.sampling.schedules import Level, NoiseSchedule
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.loras import advertised, folders_near, known_loras, lora_path
from lib_ranni.standalone.paths import from_user
from lib_ranni.standalone.requests import Request
from lib_ranni.standalone.schedulers import make_scheduler
from lib_ranni.standalone.small_decoder import SMALL, own_decoder

Predict = Callable[[Tensor, float, float], Tensor]
"""(what the network takes, timestep, progress 0..1) -> its guided answer, (B, C, h, w)."""

PRIORS = "priors"
"""Beside a checkpoint or its folder, holds the statistics of its own latents under its own name."""

NEAR_ZERO = 2.0**-24
"""What a terminal alpha of 0 is raised to, as diffusers does."""


def preset_settings(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Fields of a request that a preset sets where the user does not: steps, guidance, LoRA, prior, decoder.

    Raises `InputError` for a preset that is not there.
    """
    preset = preset_named(name)
    settings: dict[str, Any] = {"preset": preset.id, "steps": preset.steps[0], "cfg": preset.cfg[2]}
    settings["prior"] = "default" if preset.prior == "on" else ""
    if preset.steps[0] == 1 and checkpoint.edm is None and own_decoder(checkpoint.path) is not None:
        settings["decoder"] = SMALL  # else decoding would take several times as long as drawing
    files = {file.name: file.about for file in known_loras(checkpoint.path)}
    if (lora := chosen_lora(preset, files)) is not None:
        about = files[lora]
        settings["loras"] = (Lora(lora, preset.lora_weight(checkpoint.kind)),)
        settings |= {"cfg": about.cfg} if about.cfg is not None else {}
        settings |= {"prior": about.prior} if about.prior is not None else {}
    return settings


def noise_schedule(checkpoint: Checkpoint) -> NoiseSchedule:
    """The schedule a checkpoint was trained with."""
    alphas: Tensor = make_scheduler("ddim", checkpoint.scheduler).alphas_cumprod
    return NoiseSchedule(alphas.double().clamp(min=NEAR_ZERO))


class FewSteps:
    """One generation with a preset: levels, rule, prior and what is to be said about them."""

    def __init__(self, checkpoint: Checkpoint, request: Request) -> None:
        preset = preset_named(request.preset)
        if checkpoint.edm is not None:
            raise InputError(
                f"{checkpoint.path.name} was trained as EDM, which no preset is for; leave the preset out"
            )
        if request.gamma is not None:
            preset = with_gamma(preset, request.gamma)
        schedule = noise_schedule(checkpoint)
        self._plan = make_plan(preset, schedule, request.steps)
        self._prior = prior_of(request.prior, checkpoint)
        self._weight = request.prior_weight
        base = checkpoint.scheduler.get("prediction_type", "epsilon")
        self._kind: Prediction = base if preset.output == "base" else preset.output
        self.warnings = _warnings(preset, checkpoint, request, schedule, self._kind)

    @property
    def start(self) -> tuple[float, float]:
        """(sigma, c) of the first level, as `schedulers.start_of` has them."""
        schedule, first, unit = self._plan.schedule, self._plan.levels[0].sigma, self._plan.preset.unit
        if schedule.signal(first) == 0:
            return math.inf, math.inf
        return first, float(schedule.start(torch.ones(()), first, unit))

    def run(
        self,
        predict: Predict,
        noise: Tensor,
        generators: Sequence[torch.Generator],
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """N(0, 1) noise (B, C, h, w) to finished latents; `on_step(done, total)` follows each step."""
        plan = self._plan
        schedule, first, unit = plan.schedule, plan.levels[0].sigma, plan.preset.unit
        progress = {level: index / plan.steps for index, level in enumerate(plan.levels)}

        def denoise(x: Tensor, at: Level) -> Tensor:
            output = predict(schedule.network_input(x, at.sigma), at.t, progress[at])
            x0 = denoised(x, output, at, self._kind)
            return consistent(x0, x, at) if plan.preset.boundary else x0

        def told(step: Step) -> None:
            if on_step is not None:
                on_step(step.index + 1, step.total)

        if self._prior is None:
            x = schedule.start(noise, first, unit)
        else:
            x = self._prior.start(noise, first, schedule, unit, self._weight)
        x = sample(denoise, x, plan.levels, plan.rule, PerImage(generators), told)
        return schedule.network_input(x, plan.levels[-1].sigma)


def prior_of(name: str, checkpoint: Checkpoint) -> Prior | None:
    """The prior of a request: none, the checkpoint's own or its family's ("default"), or a file's."""
    if name in ("", "none"):
        return None
    if name != "default":
        return load_prior(from_user(name))[0]
    for folder in folders_near(checkpoint.path):
        own = folder / PRIORS / f"{checkpoint.path.stem}.safetensors"
        if own.is_file():
            return load_prior(own)[0]
    return default_prior(checkpoint.kind)


def _warnings(
    preset: Preset, checkpoint: Checkpoint, request: Request, schedule: NoiseSchedule, kind: Prediction
) -> tuple[str, ...]:
    files = known_loras(checkpoint.path)
    worn = [advertised(lora_path(lora, checkpoint.path)) for lora in request.loras]
    use = Use(
        preset=preset,
        steps=request.steps,
        cfg=request.cfg,
        family=checkpoint.kind,
        loras=[Path(lora.name).stem for lora in request.loras],
        lora_fits=any(preset.id in about.presets for about in worn),
        available=[file.name for file in files],
        checkpoint=checkpoint.path.name,
        negative=bool(request.negative),
        epsilon=kind == "epsilon",
        schedule=schedule,
    )
    return tuple(found.text for found in advice_on(use))
