"""What stands between the host's guidance and the network for a few-step entry.

The host asks it at a sigma for the picture; it asks the network at that sigma's exact timestep, whatever the
network answers with.
"""

from __future__ import annotations

from typing import Any

import torch
from modules import shared
from torch import Tensor, nn

from lib_ranni.sampling.predictions import Prediction, consistent, denoised
from lib_ranni.sampling.presets import Preset
from lib_ranni.sampling.schedules import FlowSchedule, Level, NoiseSchedule, Schedule

_LEAST_ALPHA = 1e-9
"""In place of an alpha of 0, which has no sigma."""

_NEAR = 0.01
"""A timestep this near to a whole one is that one: sigmas come here in float32."""


def has_own_noise(model: Any) -> bool:
    """Whether a model brings a noise of its own (SD 3, EDM), which presets were not made for."""
    return hasattr(model, "create_denoiser")


def predicts_v(model: Any) -> bool:
    """Whether a model answers with a velocity instead of the noise."""
    return bool(getattr(model, "parameterization", "eps") == "v")


def ends_in_noise() -> bool:
    """Whether the host was told to give every model a schedule with zero terminal SNR."""
    return bool(getattr(shared.opts, "sd_noise_schedule", "Default") == "Zero Terminal SNR")


def model_schedule(model: Any) -> NoiseSchedule:
    """The schedule to sample a model with.

    It is the one that the model was trained with, whatever the host makes of it for its own samplers. Zero
    terminal SNR is kept for a velocity alone: it divides an epsilon by nearly nothing.
    """
    changed = predicts_v(model) and ends_in_noise()
    alphas = model.alphas_cumprod if changed else getattr(model, "alphas_cumprod_original", None)
    if alphas is None:
        alphas = model.alphas_cumprod
    return NoiseSchedule(alphas.detach().double().clamp(min=_LEAST_ALPHA))


class FewStepDenoiser(nn.Module):
    """A model and a preset as the host's wrappers of k-diffusion: (x, sigma, cond) to the picture x0.

    `sigmas` and `log_sigmas` are the whole table of timesteps, which the host's refiner looks up.
    """

    def __init__(self, model: Any, preset: Preset) -> None:
        super().__init__()
        self.inner_model = model
        self.preset = preset
        self._schedule: Schedule | None = None
        self._sigmas: Tensor | None = None

    @property
    def schedule(self) -> Schedule:
        """Read when it is asked for first: the host changes the model's own when a job begins."""
        if self._schedule is None:
            flows = self.preset.output == "flow"
            self._schedule = FlowSchedule() if flows else model_schedule(self.inner_model)
        return self._schedule

    def refresh(self) -> None:
        """Read the schedule anew: a job begins."""
        self._schedule = self._sigmas = None

    @property
    def sigmas(self) -> Tensor:
        """Sigma of every timestep, rising."""
        if self._sigmas is None:
            schedule = self.schedule
            values = [schedule.sigma(t) for t in range(schedule.count)]
            self._sigmas = torch.tensor(values, device=shared.device)
        return self._sigmas

    @property
    def log_sigmas(self) -> Tensor:
        """Logarithms of `sigmas`."""
        return self.sigmas.log()

    @property
    def sigma_min(self) -> Tensor:
        """Of the first timestep."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """Of the last timestep."""
        return self.sigmas[-1]

    def get_sigmas(self, n: int | None = None) -> Tensor:
        """Falling sigmas of n even timesteps, or of all, and 0."""
        last = self.schedule.count - 1
        ts = torch.linspace(last, 0, last + 1 if n is None else n, device=shared.device)
        return torch.cat([self.t_to_sigma(ts), ts.new_zeros(1)])

    def sigma_to_t(self, sigma: Tensor, quantize: bool | None = None) -> Tensor:
        """Timesteps of sigmas, whole ones where these are a timestep's own."""
        ts = [self.level(float(value)).t for value in sigma.flatten()]
        return sigma.new_tensor(ts).view(sigma.shape)

    def t_to_sigma(self, t: Tensor) -> Tensor:
        """Sigmas of timesteps."""
        sigmas = [self.schedule.sigma(float(value)) for value in t.flatten()]
        return t.new_tensor(sigmas, dtype=torch.float32).view(t.shape)

    def level(self, sigma: float) -> Level:
        """The level of a sigma, exactly that of a whole timestep where it is one's."""
        schedule = self.schedule
        t = schedule.t(sigma)
        return schedule.level(round(t)) if abs(t - round(t)) < _NEAR else Level(t, sigma)

    def forward(self, x: Tensor, sigma: Tensor, **kwargs: Any) -> Tensor:
        """x0 (B, C, h, w), float32. All rows of a call are at one sigma, as all of a step are."""
        at = self.level(float(sigma.flatten()[0]))
        asked = torch.full((len(x),), at.t, device=x.device, dtype=torch.float32)
        output = self.inner_model.apply_model(self.schedule.network_input(x, at.sigma), asked, **kwargs)
        x0 = denoised(x, output, at, self._kind())
        return consistent(x0, x, at) if self.preset.boundary else x0

    def _kind(self) -> Prediction:
        if self.preset.output != "base":
            return self.preset.output
        return "v_prediction" if predicts_v(self.inner_model) else "epsilon"
