"""Layout noise in the host: what text-to-image starts from is changed before the sampler gets it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from modules import sd_samplers_common, shared
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.layout_noise import known_part, leaning
from lib_ranni.panel.types import Element


def starts_from_noise(p: Any) -> bool:
    """Whether the pass that is about to begin is the first of text-to-image; others start from a picture."""
    return not getattr(p, "is_hr_pass", False) and not hasattr(p, "init_images")


def lean(p: Any, x: Tensor, panels: Sequence[tuple[Element, ...]], strength: float) -> None:
    """Change the noise (B, C, h, w) of a batch in place. Raises `GuidanceError` where that is no use."""
    grid = (x.shape[-2], x.shape[-1])
    start = _start(p)
    known = [known_part(elements, _encoded, grid) for elements in panels[: len(x)]]
    x.copy_(leaning(x, known, strength, start))


def _start(p: Any) -> tuple[float, float]:
    """(sigma, c) of the first step: the sampler will start from c n, in units of x = x0 + sigma n."""
    if getattr(shared.sd_model, "is_sd3", False):
        raise GuidanceError("this model starts from pure noise, which has no room for it; set it to 0")
    if hasattr(p.sampler, "get_timesteps"):
        first = int(p.sampler.get_timesteps(p, p.steps)[-1])
        alpha = float(shared.sd_model.alphas_cumprod[first])
        return (math.sqrt(1 / alpha - 1), math.sqrt(1 / alpha)) if alpha > 0 else (math.inf, math.inf)
    sigma = float(p.sampler.get_sigmas(p, p.steps)[0])
    return sigma, math.hypot(1.0, sigma) if shared.opts.sgm_noise_multiplier else sigma


def _encoded(pictures: Tensor) -> Tensor:
    """(1, 3, H, W) in -1..1 to latents by the host's autoencoder, which draws them around their mean."""
    device = shared.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)  # the job's own random numbers stay what they are
        ways = sd_samplers_common.approximation_indexes
        way = ways.get(shared.opts.sd_vae_encode_method)
        latents: Tensor = sd_samplers_common.images_tensor_to_samples(
            (pictures + 1) / 2, way, shared.sd_model
        )
    return latents
