"""Few-step presets in the engine: what a request needs for one, and the sampling with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ranni.panel.types import Lora
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
from lib_ranni.standalone.loras import LoraFile, advertised, folders_near, known_loras, lora_path
from lib_ranni.standalone.paths import from_user
from lib_ranni.standalone.requests import Request
from lib_ranni.standalone.schedulers import make_scheduler

Predict = Callable[[Tensor, float, float], Tensor]
"""(what the network takes, timestep, progress 0..1) -> its guided answer, (B, C, h, w)."""

PRIORS = "priors"
"""Beside a checkpoint or its folder, holds the statistics of its own latents under its own name."""

NEAR_ZERO = 2.0**-24
"""What a terminal alpha of 0 is raised to, as diffusers does."""


def preset_settings(name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Fields of a request that a preset sets where the user does not: steps, guidance, LoRA, prior.

    Raises `InputError` for a preset that is not there.
    """
    preset = preset_named(name)
    settings: dict[str, Any] = {"preset": preset.id, "steps": preset.steps[0], "cfg": preset.cfg[2]}
    settings["prior"] = "default" if preset.prior == "on" else ""
    if (file := _lora_of(preset, known_loras(checkpoint.path))) is not None:
        settings["loras"] = (Lora(file.name, preset.lora_weight(checkpoint.kind)),)
        settings |= {"cfg": file.about.cfg} if file.about.cfg is not None else {}
        settings |= {"prior": file.about.prior} if file.about.prior is not None else {}
    return settings


def _lora_of(preset: Preset, files: Sequence[LoraFile]) -> LoraFile | None:
    """The LoRA that says it is for this preset, else one whose name fits."""
    said = [file for file in files if preset.id in file.about.presets]
    named = [file for file in files if preset.fits_lora(file.name)]
    return next(iter(said + named), None)


def noise_schedule(checkpoint: Checkpoint) -> NoiseSchedule:
    """The schedule a checkpoint was trained with."""
    alphas: Tensor = make_scheduler("ddim", checkpoint.scheduler).alphas_cumprod
    return NoiseSchedule(alphas.double().clamp(min=NEAR_ZERO))


class FewSteps:
    """One generation with a preset: levels, rule, prior and what is to be said about them."""

    def __init__(self, checkpoint: Checkpoint, request: Request) -> None:
        preset = preset_named(request.preset)
        if request.gamma is not None:
            preset = with_gamma(preset, request.gamma)
        schedule = noise_schedule(checkpoint)
        self._plan = make_plan(preset, schedule, request.steps)
        self._prior = prior_of(request.prior, checkpoint)
        self._weight = request.prior_weight
        base = checkpoint.scheduler.get("prediction_type", "epsilon")
        self._kind: Prediction = base if preset.output == "base" else preset.output
        self.warnings = _warnings(preset, checkpoint, request, schedule, self._kind)

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
