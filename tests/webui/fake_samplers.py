"""A double of the host's samplers: its lists, and those of k-diffusion as far as ours build on them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lib_ranni.sampling.predictions import denoised
from lib_ranni.sampling.schedules import scaled_linear

SCHEDULES = (
    *("Automatic", "Uniform", "Karras", "Exponential", "Polyexponential", "SGM Uniform", "SGMUniform"),
    *("KL Optimal", "Align Your Steps", "Simple", "Normal", "DDIM", "Beta"),
    *("automatic", "uniform", "karras", "exponential", "polyexponential", "sgm_uniform", "kl_optimal"),
    *("align_your_steps", "simple", "normal", "ddim", "beta"),
)
"""Names, labels and aliases that the host cuts off the end of a sampler's name."""


class SamplerData(NamedTuple):
    """An entry of the host's list."""

    name: str
    constructor: Callable[[Any], Any]
    aliases: list[str]
    options: dict[str, Any]

    def total_steps(self, steps: int) -> int:
        return steps


class Noises:
    """The host's noise: each picture's from a generator of its own."""

    def __init__(self, shape: tuple[int, ...], seeds: list[int]) -> None:
        self._shape = shape
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def next(self) -> Tensor:
        return torch.stack([torch.randn(self._shape, generator=found) for found in self._generators])


class Wrap:
    """As k-diffusion's wrappers of a network: at a sigma's own timestep, to the picture x0."""

    def __init__(self, model: Any) -> None:
        self.inner_model = model
        self.sigmas = scaled_linear().sigmas.float()

    def __call__(self, x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
        schedule = scaled_linear()
        at = schedule.at(float(sigma[0]))
        output = self.inner_model.apply_model(
            schedule.network_input(x, at.sigma), torch.full((len(x),), at.t), cond
        )
        kind = "v_prediction" if self.inner_model.parameterization == "v" else "epsilon"
        return denoised(x, output, at, kind)


class Guidance(nn.Module):
    """As CFGDenoiser: the conditioned and the unconditioned rows in one call, then combined."""

    def __init__(self, sampler: Any) -> None:
        super().__init__()
        self.sampler = sampler
        self.model_wrap: Any = None
        self.mask = self.nmask = self.init_latent = None
        self.step = self.total_steps = 0

    @property
    def inner_model(self) -> Any:
        if self.model_wrap is None:
            self.model_wrap = Wrap(sys.modules["modules.shared"].sd_model)  # type: ignore[attr-defined]
        return self.model_wrap

    def forward(
        self, x: Tensor, sigma: Tensor, uncond: Any, cond: Any, cond_scale: float, **_: Any
    ) -> Tensor:
        rows = torch.cat([x, x]), torch.cat([sigma, sigma])
        first, second = self.inner_model(*rows, cond=torch.cat([cond, uncond])).chunk(2)
        self.step += 1
        denoised: Tensor = second + cond_scale * (first - second)
        if self.mask is not None:
            denoised = denoised * self.nmask + self.init_latent * self.mask
        self.sampler.last_latent = first
        return denoised


class KDiffusionSampler:
    """As the host's: what it shares with ours, and a start that shows who drew."""

    def __init__(self, function: Any, model: Any) -> None:
        self.func = function
        self.extra_params: list[str] = ["s_churn"]
        self.s_min_uncond = None
        self.last_latent: Any = None
        self.model_wrap_cfg = Guidance(self)
        self.model_wrap = self.model_wrap_cfg.inner_model
        self.config: Any = None
        self.seen: list[int] = []

    def initialize(self, p: Any) -> dict[str, Any]:
        self.p = p
        self.model_wrap_cfg.step = 0
        self.model_wrap_cfg.mask = getattr(p, "mask", None)
        self.model_wrap_cfg.nmask = getattr(p, "nmask", None)
        return {}

    def callback_state(self, told: dict[str, Any]) -> None:
        self.seen.append(told["i"])

    def launch_sampling(self, steps: int, function: Callable[[], Any]) -> Any:
        self.model_wrap_cfg.total_steps = steps
        return function()

    def add_infotext(self, p: Any) -> None:
        """Nothing is padded here."""

    def get_sigmas(self, p: Any, steps: int) -> Tensor:
        return torch.cat([torch.linspace(10.0, 1.0, steps), torch.zeros(1)])

    def sample(self, p: Any, x: Tensor, *conds: Any, steps: Any = None, **_: Any) -> Tensor:
        sigmas = self.get_sigmas(p, steps or p.steps)
        self.initialize(p)
        if not callable(self.func):
            return x * sigmas[0]
        given = {"cond": conds[0], "uncond": conds[1], "cond_scale": p.cfg_scale}
        found: Tensor = self.func(
            self.model_wrap_cfg,
            x * sigmas[0],
            sigmas=sigmas,
            extra_args=given,
            callback=self.callback_state,
        )
        return found


def _constructor(model: Any) -> Any:
    return KDiffusionSampler("sample_euler", model)


def _module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(f"modules.{name}")
    made.__dict__.update(members)
    return made


def images_tensor_to_samples(images: Tensor, approximation: int | None = None, model: Any = None) -> Tensor:
    """Pictures in 0..1 to latents, around which it draws random numbers."""
    small = torch.nn.functional.avg_pool2d(images * 2 - 1, 8)
    latents = torch.cat([small, small.mean(1, keepdim=True)], 1)
    return latents + 1e-3 * torch.randn(latents.shape)


def make() -> dict[str, ModuleType]:
    """The modules by name."""

    entries = [SamplerData(name, _constructor, [], {}) for name in ("DPM++ 2M", "Euler", "DDIM")]
    cleared: list[bool] = []
    found = _module("sd_samplers", all_samplers=entries, cleared=cleared)

    def set_samplers() -> None:
        found.samplers = found.samplers_for_img2img = found.all_samplers

    resolve = SimpleNamespace(cache_clear=lambda: cleared.append(True))
    known = {data.name: data for data in entries}
    found.__dict__.update(
        all_samplers_map=known, set_samplers=set_samplers, get_sampler_and_scheduler=resolve
    )
    return {
        "sd_samplers": found,
        "sd_samplers_common": _module(
            "sd_samplers_common",
            SamplerData=SamplerData,
            approximation_indexes={"Full": 0},
            images_tensor_to_samples=images_tensor_to_samples,
        ),
        "sd_samplers_kdiffusion": _module(
            "sd_samplers_kdiffusion", CFGDenoiserKDiffusion=Guidance, KDiffusionSampler=KDiffusionSampler
        ),
    }
