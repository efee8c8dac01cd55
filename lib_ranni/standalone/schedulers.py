"""Samplers by the names people use, on diffusers' schedulers."""

from __future__ import annotations

import inspect
import math
from typing import Any

from lib_ranni.errors import InputError

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpmpp-2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
"""Name -> diffusers class and the settings that differ from the checkpoint's own."""


def make_scheduler(sampler: str, config: dict[str, Any]) -> Any:
    """A fresh scheduler. `config` is the checkpoint's: betas, prediction type, spacing."""
    import diffusers

    if sampler not in SAMPLERS:
        raise InputError(f"there is no sampler {sampler!r}; choose one of {', '.join(SAMPLERS)}")
    name, changes = SAMPLERS[sampler]
    kind = getattr(diffusers, name)
    known: dict[str, Any] = {
        key: config[key]
        for key in (
            "beta_start",
            "beta_end",
            "beta_schedule",
            "num_train_timesteps",
            "prediction_type",
            "timestep_spacing",
            "trained_betas",
            "rescale_betas_zero_snr",
        )
        if key in config and config[key] is not None
    }
    accepted = inspect.signature(kind.__init__).parameters
    settings: dict[str, Any] = {**known, **changes}
    return kind(**{key: value for key, value in settings.items() if key in accepted})


def start_of(scheduler: Any) -> tuple[float, float]:
    """(sigma, c) of the first timestep: text-to-image starts there from c n, in units of x = x0 + sigma n.

    Both are infinite where the start is pure noise.
    """
    scale = float(scheduler.init_noise_sigma)
    if scale != 1:
        return float(scheduler.sigmas[0]), scale
    # Those that start with the noise itself are variance-preserving, whatever sigmas they keep.
    alpha = float(scheduler.alphas_cumprod[int(scheduler.timesteps[0])])
    return (math.sqrt(1 / alpha - 1), math.sqrt(1 / alpha)) if alpha > 0 else (math.inf, math.inf)
