"""The latent prior in the host: which one is chosen, and where the first noise is made.

A few-step entry starts from it itself; for any other sampler of k-diffusion the noise that the host hands to
it is changed beforehand, so that scaled as the host scales it, it is the start with the prior.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from modules import paths_internal, shared
from modules.sd_samplers_kdiffusion import KDiffusionSampler
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.presets import Family, Preset
from lib_ranni.sampling.prior_files import load_prior, short_hash
from lib_ranni.sampling.priors import Prior, default_prior
from lib_ranni.sampling.schedules import Schedule
from lib_ranni.webui import few_step_options, networks
from lib_ranni.webui.few_step_denoiser import has_own_noise, model_schedule
from lib_ranni.webui.few_step_options import AS_PRESET

NONE, DEFAULT = "none", "default"

NAME, WEIGHT, HASH = "Latent prior", "Latent prior weight", "Latent prior hash"
"""Keys of an infotext."""

_SUFFIX = ".safetensors"
_SHIPPED = Path(__file__).resolve().parents[2] / "models" / "priors"


class ChosenPrior(NamedTuple):
    """A prior, and how much of it."""

    prior: Prior
    weight: float

    def start(self, noise: Tensor, sigma: float, schedule: Schedule, unit: bool) -> Tensor:
        """Where text-to-image starts, from the seeds' noise (B, C, h, w)."""
        return self.prior.start(noise.float(), sigma, schedule, unit, self.weight)


def folder() -> Path:
    """Where the priors are; it need not exist."""
    return Path(paths_internal.models_path) / "Ranni" / "priors"


def names() -> list[str]:
    """What can be chosen: none, the checkpoint's or family's own, and files."""
    return [NONE, DEFAULT, *sorted(_files(folder()), key=str.casefold)]


def family(model: Any) -> Family | None:
    """Which family of Stable Diffusion a model is of; None for others."""
    if getattr(model, "is_sdxl", False):
        return "sdxl"
    if getattr(model, "is_sd2", False):
        return "sd2"
    return "sd1" if getattr(model, "is_sd1", False) else None


def chosen(p: Any, channels: int, preset: Preset | None = None) -> ChosenPrior | None:
    """The prior of latents of so many channels drawn from noise; what it is goes into the infotext.

    One that cannot be had is told about, and the picture drawn without it.
    """
    options, said = few_step_options.chosen(), p.extra_generation_params
    name = options.prior
    if name == AS_PRESET:
        name = NONE if preset is None else _of_preset(preset)
    weight = min(1.0, max(0.0, options.prior_weight))
    found: tuple[Prior, str] | None = None
    if name != NONE:
        try:
            found = _prior(name, channels)
        except InputError as error:
            p.comment(f"Ranni: drawn without a latent prior: {error}")
    if found is None:
        if preset is not None:
            said[NAME] = NONE
        return None
    said[NAME], said[WEIGHT] = name, weight
    if found[1]:
        said[HASH] = found[1]
    return ChosenPrior(found[0], weight)


def _of_preset(preset: Preset) -> str:
    """What a LoRA in use was trained with for the preset, if its file tells, else what the preset has."""
    for about in networks.worn():
        if preset.id in about.presets and about.prior is not None:
            return about.prior or NONE
    return DEFAULT if preset.prior == "on" else NONE


def begin_pass(p: Any, x: Tensor, noise: Tensor) -> None:
    """Before every sampling: a first pass from noise by any other sampler of k-diffusion.

    `x` (B, C, h, w), N(0, 1), is changed in place.
    """
    sampler = p.sampler
    if x is not noise or getattr(p, "is_hr_pass", False) or getattr(sampler, "starts_itself", False):
        return
    prior = chosen(p, x.shape[1])
    if prior is None:
        return
    if not isinstance(sampler, KDiffusionSampler):
        for key in (NAME, WEIGHT, HASH):
            p.extra_generation_params.pop(key, None)
        p.comment(f"Ranni: {p.sampler_name} is no sampler of k-diffusion and starts without a latent prior")
        return
    sigma = float(sampler.get_sigmas(p, p.steps)[0])
    unit = bool(shared.opts.sgm_noise_multiplier)
    start = prior.start(x, sigma, model_schedule(shared.sd_model), unit)
    # What the host multiplies the noise by.
    x.copy_(start / (math.sqrt(1 + sigma * sigma) if unit else sigma))


def _prior(name: str, channels: int) -> tuple[Prior, str]:
    """A prior by name, and its file's hash. Raises `InputError`."""
    prior, digest = _named(name)
    if len(prior.mean) != channels:
        raise InputError(f"{name} is of {len(prior.mean)} channels, this model's latents have {channels}")
    return prior, digest


def _named(name: str) -> tuple[Prior, str]:
    model = shared.sd_model
    files = _files(folder())
    if name == DEFAULT:
        info = getattr(model, "sd_checkpoint_info", None)
        own = str(getattr(info, "name_for_extra", ""))
        path = files.get(own) or _files(_SHIPPED).get(own)
        if path is None:
            return _of_family(model), ""
    else:
        path = files.get(name)
        if path is None:
            raise InputError(f"there is no latent prior {name!r} in {folder()}")
    prior = load_prior(path)[0]
    return prior, short_hash(path.read_bytes())


def _of_family(model: Any) -> Prior:
    kind = family(model)
    if kind is None or has_own_noise(model):
        raise InputError("there is no default for this model; estimate one from pictures")
    return default_prior(kind)


def _files(place: Path) -> dict[str, Path]:
    """Name -> file, of what a folder itself holds."""
    return {path.stem: path for path in place.glob(f"*{_SUFFIX}") if path.is_file()}
