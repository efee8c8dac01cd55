"""The host's sampler of a few-step preset, and that of SA-Solver.

They are the host's own samplers for k-diffusion with another walk, so that whatever the host and other
extensions hang on to those (callbacks, masks, previews, the refiner, interruption) is where they look for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from modules import script_callbacks, shared
from modules.sd_samplers_kdiffusion import CFGDenoiserKDiffusion, KDiffusionSampler
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.loop import Denoise, Step, sample
from lib_ranni.sampling.noise import Noise
from lib_ranni.sampling.plans import Plan, make_plan
from lib_ranni.sampling.presets import Preset
from lib_ranni.sampling.rules import Rule
from lib_ranni.sampling.sa_solver import SaSolver
from lib_ranni.sampling.schedules import Level, Schedule
from lib_ranni.webui import few_step_options, latent_prior
from lib_ranni.webui.few_step_denoiser import FewStepDenoiser, has_own_noise, model_schedule


class FewStepGuidance(CFGDenoiserKDiffusion):
    """The host's guidance, asking a `FewStepDenoiser`; the refiner has it make one for its model."""

    def __init__(self, sampler: Any, preset: Preset) -> None:
        super().__init__(sampler)
        self._preset = preset
        self.model_wrap: Any = None

    @property
    def inner_model(self) -> Any:
        """The denoiser of the model that is loaded."""
        if self.model_wrap is None:
            self.model_wrap = FewStepDenoiser(shared.sd_model, self._preset)
        return self.model_wrap


class _Way(NamedTuple):
    """Where a sampler goes, how, and in which schedule's coordinates."""

    levels: Sequence[Level]
    rule: Rule | SaSolver
    schedule: Schedule


class _LoopSampler(KDiffusionSampler):
    """A sampler whose function is the library's loop, called as k-diffusion's functions are."""

    def _way(self, sigmas: Tensor) -> _Way:
        raise NotImplementedError

    def _walk(
        self,
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: dict[str, Any] | None = None,
        callback: Any = None,
        disable: bool | None = None,
    ) -> Tensor:
        way = self._way(sigmas)
        ask, told = _asked(model, extra_args), _told(callback)
        x = sample(ask, x, way.levels, way.rule, _fresh(self.p), told)
        return way.schedule.network_input(x, way.levels[-1].sigma)


class FewStepSampler(_LoopSampler):
    """A preset in the host. On models with a noise of their own it is Euler, and says so."""

    def __init__(self, preset: Preset, model: Any) -> None:
        self._preset = preset
        super().__init__("sample_euler", model)
        self._fits = self.starts_itself = not has_own_noise(model)
        self._planned: Plan | None = None
        if self._fits:
            self.extra_params: list[str] = []
            self.func = self._walk
            self.model_wrap_cfg = FewStepGuidance(self, preset)
            self.model_wrap = self.model_wrap_cfg.inner_model

    def get_sigmas(self, p: Any, steps: int) -> Tensor:
        """Those of the preset, whatever schedule is chosen."""
        if not self._fits:
            return super().get_sigmas(p, steps)
        return _sigmas(self._plan(p, steps, 1.0))

    def sample(
        self,
        p: Any,
        x: Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Any = None,
    ) -> Tensor:
        """From N(0, 1) noise to a finished latent."""
        conds = (conditioning, unconditional_conditioning)
        if not self._fits:
            _tell_foreign(p, self._preset)
            return super().sample(p, x, *conds, steps=steps, image_conditioning=image_conditioning)
        plan = self._plan(p, steps or p.steps, 1.0)
        first = plan.levels[0].sigma
        # A flow starts from the noise alone.
        flows = plan.preset.output == "flow"
        prior = None if flows else latent_prior.chosen(p, x.shape[1], self._preset)
        if prior is None:
            start = plan.schedule.start(x.float(), first, plan.preset.unit)
        else:
            start = prior.start(x, first, plan.schedule, plan.preset.unit)
        return self._launch(p, plan, start, conds, image_conditioning)

    def sample_img2img(
        self,
        p: Any,
        x: Tensor,
        noise: Tensor,
        conditioning: Any,
        unconditional_conditioning: Any,
        steps: int | None = None,
        image_conditioning: Any = None,
    ) -> Tensor:
        """From a picture's latent: all steps are done, from the timestep of the strength on."""
        conds = (conditioning, unconditional_conditioning)
        if not self._fits:
            _tell_foreign(p, self._preset)
            return super().sample_img2img(
                p, x, noise, *conds, steps=steps, image_conditioning=image_conditioning
            )
        strength = min(1.0, max(0.0, float(p.denoising_strength or 0.0)))
        plan = self._plan(p, steps or p.steps, strength)
        if plan.preset.locked and strength < 1:
            p.comment(
                f"Ranni: {plan.preset.label} knows no timestep but {_listed(plan)}: the picture is renoised "
                f"to it, whatever the denoising strength ({strength:g}) says"
            )
        start = plan.schedule.noised(x.float(), noise.float(), plan.levels[0].sigma)
        start = _with_extra_noise(p, noise, x, start)
        self.model_wrap_cfg.init_latent = x
        return self._launch(p, plan, start, conds, image_conditioning)

    def _plan(self, p: Any, steps: int, strength: float) -> Plan:
        """For the model that is loaded now, with the options that are set now."""
        guidance = self.model_wrap_cfg
        if guidance.inner_model.inner_model is not shared.sd_model:
            # Of an earlier batch, whose refiner is loaded no longer.
            guidance.model_wrap = None
        self.model_wrap = denoiser = guidance.inner_model
        denoiser.refresh()
        preset = self._preset
        try:
            preset, said = few_step_options.own_preset(preset, few_step_options.chosen())
            p.extra_generation_params.update(said)
        except InputError as error:
            p.comment(f"Ranni: the entry's own timesteps are used: {error}")
        return make_plan(preset, denoiser.schedule, steps, strength)

    def _launch(self, p: Any, plan: Plan, x: Tensor, conds: tuple[Any, Any], image_conditioning: Any) -> Any:
        self.initialize(p)
        self._planned, self.last_latent = plan, x
        self.sampler_extra_args = {
            "cond": conds[0],
            "image_cond": image_conditioning,
            "uncond": conds[1],
            # A scale of 0 draws the negative prompt, which nobody means by it.
            "cond_scale": p.cfg_scale or 1.0,
            "s_min_uncond": self.s_min_uncond,
        }
        samples = self.launch_sampling(
            plan.steps,
            lambda: self.func(
                self.model_wrap_cfg,
                x,
                sigmas=_sigmas(plan).to(x.device),
                extra_args=self.sampler_extra_args,
                callback=self.callback_state,
                disable=False,
            ),
        )
        self.add_infotext(p)
        return samples

    def _way(self, sigmas: Tensor) -> _Way:
        """The plan's exact levels instead of `sigmas`."""
        plan = self._planned
        if plan is None:
            raise InputError("this sampler walks a plan; start it by sample or sample_img2img")
        return _Way(plan.levels, plan.rule, plan.schedule)


class SaSolverSampler(_LoopSampler):
    """SA-Solver on any of the host's schedules; the automatic one is the preset's trailing grid."""

    def __init__(self, preset: Preset, model: Any) -> None:
        self._preset = preset
        super().__init__(self._walk, model)

    def get_sigmas(self, p: Any, steps: int) -> Tensor:
        """As the host's, but for the automatic schedule."""
        solver = self._solver(p)
        name = (p.hr_scheduler if p.is_hr_pass else p.scheduler) or "Automatic"
        model = shared.sd_model
        if name != "Automatic" or p.sampler_noise_scheduler_override or has_own_noise(model):
            return super().get_sigmas(p, steps)
        if steps < 1:  # img2img of strength 0
            return torch.zeros(1)
        found = _sigmas(make_plan(self._preset, model_schedule(model), steps, 1.0, solver))
        # The host counts from the end: where it wants more steps than there are timesteps, all are there.
        return found if len(found) > steps else torch.cat([found[:1].repeat(steps + 1 - len(found)), found])

    def _solver(self, p: Any) -> SaSolver:
        try:
            solver, said = few_step_options.solver_of(few_step_options.chosen())
        except InputError as error:
            p.comment(f"Ranni: SA-Solver is used as usual: {error}")
            solver, said = few_step_options.solver_of(few_step_options.FewStepOptions())
        p.extra_generation_params.update(said)
        return solver

    def _way(self, sigmas: Tensor) -> _Way:
        schedule = model_schedule(shared.sd_model)
        levels: list[Level] = []
        for sigma in sigmas.tolist():
            if not levels or sigma < levels[-1].sigma:
                levels.append(Level(schedule.at(sigma).t, sigma))
        return _Way(levels, self._solver(self.p), schedule)


def _asked(model: Any, extra_args: dict[str, Any] | None) -> Denoise:
    """The host's guidance as the loop asks it."""
    # Not taken apart beforehand: the refiner replaces what is in there on the way.
    given = {} if extra_args is None else extra_args
    return lambda x, at: model(x, x.new_full((len(x),), at.sigma), **given)


def _fresh(p: Any) -> Noise:
    """Noise of each picture's own generator, as the host draws it: in a batch as alone."""
    return lambda like: p.rng.next().to(like)


def _told(callback: Any) -> Any:
    if callback is None:
        return None

    def tell(step: Step) -> None:
        sigma = step.x.new_tensor(step.at.sigma)
        callback({"x": step.x, "i": step.index, "sigma": sigma, "sigma_hat": sigma, "denoised": step.x0})

    return tell


def _sigmas(plan: Plan) -> Tensor:
    return torch.tensor([level.sigma for level in plan.levels], dtype=torch.float32)


def _listed(plan: Plan) -> str:
    return ", ".join(map(str, plan.timesteps))


def _with_extra_noise(p: Any, noise: Tensor, x: Tensor, start: Tensor) -> Tensor:
    """The host's option of noise beyond the strength's, and whoever listens for it."""
    extra = shared.opts.img2img_extra_noise
    if extra <= 0:
        return start
    p.extra_generation_params["Extra noise"] = extra
    params = script_callbacks.ExtraNoiseParams(noise, x, start)
    script_callbacks.extra_noise_callback(params)
    return start + params.noise * extra


def _tell_foreign(p: Any, preset: Preset) -> None:
    p.comment(
        f"Ranni: this model has a noise of its own, which {preset.label} is not made for; Euler draws instead"
    )
