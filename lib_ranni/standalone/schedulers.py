"""Samplers by the names people use, on diffusers' schedulers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from lib_ranni.errors import InputError
from lib_ranni.sampling.edm import Edm

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

EDM_SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EDMEulerScheduler", {}),
    "dpmpp-2m": ("EDMDPMSolverMultistepScheduler", {}),
    "dpmpp-2m-karras": ("EDMDPMSolverMultistepScheduler", {"sigma_schedule": "karras"}),
    "dpmpp-2m-sde": ("EDMDPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
}
"""The same for models trained as EDM, whose `config` has a `sigma_data`."""


def edm_config(edm: Edm) -> dict[str, Any]:
    """The scheduler configuration of a model trained as EDM."""
    return {
        "sigma_min": edm.low,
        "sigma_max": edm.high,
        "sigma_data": edm.data,
        "sigma_schedule": "exponential" if edm.v_prediction else "karras",
        "prediction_type": "v_prediction" if edm.v_prediction else "epsilon",
    }


def edm_of(config: Mapping[str, Any], vae: Mapping[str, Any]) -> Edm | None:
    """What a folder's configurations of scheduler and autoencoder say of EDM training, if anything."""
    if config.get("sigma_data") is None:
        return None
    turned = config.get("prediction_type") == "v_prediction"
    mean, std = ((vae.get(f"latents_{name}") or ()) for name in ("mean", "std"))
    numbers = (config["sigma_data"], config["sigma_min"], config["sigma_max"])
    return Edm(*numbers, turned, tuple(mean), tuple(std))


def make_scheduler(sampler: str, config: dict[str, Any]) -> Any:
    """A fresh scheduler. `config` is the checkpoint's: betas, prediction type, spacing, or EDM's sigmas."""
    import diffusers

    edm = config.get("sigma_data") is not None
    samplers = EDM_SAMPLERS if edm else SAMPLERS
    if sampler not in samplers:
        what = (
            f"{sampler} cannot draw with a model trained as EDM"
            if edm
            else f"there is no sampler {sampler!r}"
        )
        raise InputError(f"{what}; choose one of {', '.join(samplers)}")
    name, changes = samplers[sampler]
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
            *("sigma_min", "sigma_max", "sigma_data", "sigma_schedule"),
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
