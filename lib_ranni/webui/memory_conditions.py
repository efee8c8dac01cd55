"""What two jobs of the host must share for one to edit the other's pictures, by the names of its page."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from modules import shared

from lib_ranni.errors import MismatchError
from lib_ranni.guidance.memory import Conditions
from lib_ranni.webui.few_step_options import FewStepOptions, option_of

_UNFIT = ("cfg++", "adaptive")
"""In the names of samplers that take a further prediction, or as many calls as the picture needs."""

_MOST_SHOWN = 60

_OPTIONS = (
    "eta_ddim",
    "eta_ancestral",
    "eta_noise_seed_delta",
    "always_discard_next_to_last_sigma",
    "sgm_noise_multiplier",
    "sd_noise_schedule",
    "uni_pc_order",
    "uni_pc_variant",
    "uni_pc_skip_type",
    "no_dpmpp_sde_batch_determinism",
    "randn_source",
    "sigma_min",
    "sigma_max",
    "rho",
    *(option_of(field) for field in FewStepOptions.__struct_fields__),
)
"""The host's options and ours that samplers go by."""

_SAMPLER = ("eta", "s_churn", "s_tmin", "s_tmax", "s_noise")
_HIRES = (
    "hr_scale",
    "hr_resize_x",
    "hr_resize_y",
    "hr_upscaler",
    "hr_second_pass_steps",
    "hr_sampler_name",
    "hr_scheduler",
    "hr_checkpoint_name",
    "hr_prompt",
    "hr_negative_prompt",
)
_MASK = (
    "inpainting_fill",
    "inpaint_full_res",
    "inpaint_full_res_padding",
    "inpainting_mask_invert",
    "mask_blur_x",
    "mask_blur_y",
    "mask_round",
)


def require_fit_sampler(name: str) -> None:
    """Raise `MismatchError` for a sampler whose pictures cannot be kept exactly."""
    if any(part in name.lower() for part in _UNFIT):
        raise MismatchError(
            f"pictures of the sampler {name} cannot be edited with memory; choose another one"
        )


def conditions(p: Any, number: int, seed: int) -> Conditions:
    """Those of a picture of a job, by its number and seed. Guidance may differ: it acts where the edit is."""
    is_hires = bool(getattr(p, "enable_hr", False))
    masks = [getattr(p, name, None) for name in ("image_mask", "latent_mask")]
    others = {
        "scheduler": getattr(p, "scheduler", None),
        "prompt": p.all_prompts[number],
        "negative prompt": p.all_negative_prompts[number],
        "VAE": getattr(p, "sd_vae_name", None),
        "sampler settings": _settings(p, _SAMPLER, _OPTIONS),
        "variation seed": _variation(p, number),
        "tiling": getattr(p, "tiling", None),
        "refiner": _settings(p, ("refiner_checkpoint", "refiner_switch_at")),
        "hires fix": _settings(p, _HIRES) if is_hires else None,
        "picture to upscale": _pictures([getattr(p, "firstpass_image", None)]),
        "picture to start from": _pictures(getattr(p, "init_images", None) or ()),
        "denoising strength": getattr(p, "denoising_strength", None),
        "resize mode": getattr(p, "resize_mode", None),
        "noise multiplier": getattr(p, "initial_noise_multiplier", None),
        "mask": _pictures(masks),
        "masking": _settings(p, _MASK) if any(mask is not None for mask in masks) else None,
    }
    return Conditions(
        seed=int(seed),
        width=p.width,
        height=p.height,
        sampler=p.sampler_name,
        steps=p.steps,
        cfg=float(p.cfg_scale),
        checkpoint=_checkpoint(),
        others={name: _shortened(str(value)) for name, value in others.items() if value not in (None, "")},
    )


def _checkpoint() -> str:
    """Its name, and its hash where the host knows it."""
    info = getattr(shared.sd_model, "sd_checkpoint_info", None)
    return str(getattr(info, "name_for_extra", "")) + f" [{getattr(shared.sd_model, 'sd_model_hash', None)}]"


def _settings(p: Any, names: Sequence[str], options: Sequence[str] = ()) -> str:
    """Those that are set, in words."""
    found = [(name, getattr(p, name, None)) for name in names]
    found += [(name, getattr(shared.opts, name, None)) for name in options]
    return ", ".join(f"{name} {value}" for name, value in found if value not in (None, "", False, 0))


def _variation(p: Any, number: int) -> str:
    strength = getattr(p, "subseed_strength", 0)
    resized = _settings(p, ("seed_resize_from_w", "seed_resize_from_h"))
    return f"{p.all_subseeds[number]} at {strength}, {resized}" if strength else ""


def _pictures(pictures: Sequence[Any]) -> str:
    """What tells pictures apart; nothing where there is none."""
    found = [picture for picture in pictures if picture is not None]
    if not found:
        return ""
    digest = sha256()
    for picture in found:
        digest.update(f"{picture.mode} {picture.size}".encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()[:10]


def _shortened(text: str) -> str:
    """A text that can be shown, and yet differs from every other."""
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}… [{sha256(text.encode()).hexdigest()[:8]}]"
