"""EDM checkpoints (Playground v2.5, CosXL) in the WebUI, which takes them for SDXL and draws noise.

On load a model gets what the host asks a model for anyway: a denoiser of its own, and an encoder and a
decoder that know its latents. All of it is gone when another checkpoint is loaded into the same model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from modules import errors, script_callbacks, sd_models, sd_vae_approx, sd_vae_taesd, shared
from torch import Tensor, nn

from lib_ranni.errors import RanniError
from lib_ranni.sampling.edm import Edm, read_edm

_ATTRIBUTE = "_ranni_edm"
"""Where a model keeps what is known of it."""

_OWN = ("create_denoiser", "decode_first_stage", "encode_first_stage")
_EARLY = "align your steps"

_lock = threading.Lock()
_replaced: list[tuple[Any, str, Any, Any]] = []
"""Functions of the host that know XL's latents only: (module, name, theirs, ours)."""


class EdmDenoiser(nn.Module):
    """What k-diffusion's samplers call: (x, sigma (B,)) to x0, in float32.

    `sigmas` (1000,) rise evenly in their logarithm; the host finds the range and the refiner's place there.
    """

    sigmas: Tensor
    log_sigmas: Tensor

    def __init__(self, model: Any, edm: Edm) -> None:
        super().__init__()
        self.inner_model = model
        self._edm = edm
        levels = torch.linspace(0, 1, 1000, dtype=torch.float64, device="cpu")
        sigmas = (edm.low * (edm.high / edm.low) ** levels).float()
        self.register_buffer("sigmas", sigmas)
        self.register_buffer("log_sigmas", sigmas.log())

    @property
    def sigma_min(self) -> Tensor:
        """The smallest sigma it was trained at."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest one."""
        return self.sigmas[-1]

    def get_sigmas(self, n: int | None = None) -> Tensor:
        """The schedule of the model itself and a final 0, for samplers without one of their own."""
        return torch.tensor([level.sigma for level in self._edm.levels(n or len(self.sigmas))])

    def sigma_to_t(self, sigma: Tensor, quantize: bool | None = None) -> Tensor:
        """What the network takes for its timestep."""
        return 0.25 * sigma.log()

    def t_to_sigma(self, t: Tensor) -> Tensor:
        """The inverse of `sigma_to_t`."""
        return (4 * torch.as_tensor(t)).exp()

    def forward(self, x: Tensor, sigma: Tensor, **given: Any) -> Tensor:
        """The model's picture of x."""
        rows = [self._edm.scalings(level) for level in sigma.tolist()]
        skip, out, into, noise = torch.tensor(rows, dtype=torch.float32, device=x.device).T
        answer = self.inner_model.apply_model(x * _by_row(into, x), noise, **given)
        return x.float() * _by_row(skip, x) + answer.float() * _by_row(out, x)


def _by_row(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def of(model: Any) -> Edm | None:
    """What is known of an EDM model; None for any other."""
    return getattr(model, _ATTRIBUTE, None)


def model_loaded(model: Any) -> None:
    """A checkpoint was loaded, perhaps into the model of another one."""
    with _lock:
        _take_off(model)
        try:
            edm = read_edm(Path(model.sd_checkpoint_info.filename))
        except RanniError as error:
            errors.report(f"Ranni: {error}")
            return
        if edm is None:
            return
        # Forge's engines have no scale factor, and do not ask a model for its denoiser.
        if not getattr(model, "is_sdxl", False) or not hasattr(model, "scale_factor"):
            errors.report("Ranni: only XL models trained as EDM are known here; this one is drawn as it is")
            return
        _put_on(model, edm)
        _know_latents()


def _put_on(model: Any, edm: Edm) -> None:
    decode, encode = model.decode_first_stage, model.encode_first_stage

    def worn() -> bool:
        # Somebody may have put a function around ours, which then stays when ours is taken off.
        return of(model) is edm

    def create_denoiser() -> EdmDenoiser:
        return EdmDenoiser(model, edm)

    def decode_first_stage(z: Tensor) -> Any:
        return decode(_as_xl(z, model) if worn() else z)

    def encode_first_stage(x: Tensor) -> Tensor:
        z = encode(x)
        return _from_xl(z, model) if worn() else z

    setattr(model, _ATTRIBUTE, edm)
    made: tuple[Any, ...] = (create_denoiser, decode_first_stage, encode_first_stage)
    for name, function in zip(_OWN, made, strict=True):
        function._ranni_before = vars(model).get(name)
        setattr(model, name, function)


def _take_off(model: Any) -> None:
    for name in _OWN:
        ours = vars(model).get(name)
        if hasattr(ours, "_ranni_before"):
            delattr(model, name)
            if ours._ranni_before is not None:
                setattr(model, name, ours._ranni_before)
    if hasattr(model, _ATTRIBUTE):
        delattr(model, _ATTRIBUTE)


def _as_xl(z: Tensor, model: Any) -> Tensor:
    """Latents of a model as an ordinary XL model has them."""
    edm = of(model)
    if edm is None or not edm.mean:
        return z
    return (edm.from_model(z, model.scale_factor) * model.scale_factor).to(z.dtype)


def _from_xl(z: Tensor, model: Any) -> Tensor:
    edm = of(model)
    if edm is None or not edm.mean:
        return z
    return edm.to_model(z.float() / model.scale_factor, model.scale_factor).to(z.dtype)


def _known_latents() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
    """The host's approximate decoders and its small encoder, for the latents of whatever is loaded."""
    cheap, approx = sd_vae_approx.cheap_approximation, sd_vae_approx.model
    decoder, encoder = sd_vae_taesd.decoder_model, sd_vae_taesd.encoder_model

    def cheap_approximation(sample: Tensor) -> Tensor:
        return cheap(_as_xl(sample, shared.sd_model))

    def model() -> Any:
        loaded = approx()
        return lambda sample: loaded(_as_xl(sample, shared.sd_model))

    def decoder_model() -> Any:
        loaded = decoder()
        return lambda sample: loaded(_as_xl(sample, shared.sd_model))

    def encoder_model() -> Any:
        loaded = encoder()
        return lambda image: _from_xl(loaded(image), shared.sd_model)

    yield sd_vae_approx, "cheap_approximation", cheap_approximation
    yield sd_vae_approx, "model", model
    yield sd_vae_taesd, "decoder_model", decoder_model
    yield sd_vae_taesd, "encoder_model", encoder_model


def _know_latents() -> None:
    if _replaced:
        return
    for module, name, ours in list(_known_latents()):
        _replaced.append((module, name, getattr(module, name), ours))
        setattr(module, name, ours)


def _forget_latents() -> None:
    for module, name, theirs, ours in _replaced:
        if getattr(module, name) is ours:
            setattr(module, name, theirs)
    _replaced.clear()


def advice(p: Any) -> list[str]:
    """What does not fit the loaded EDM model in the run of the sampler that is about to begin."""
    edm = of(shared.sd_model)
    if edm is None:
        return []
    second = bool(getattr(p, "is_hr_pass", False))
    sampler = (getattr(p, "hr_sampler_name", None) if second else None) or p.sampler_name
    scheduler = (getattr(p, "hr_scheduler", None) if second else None) or getattr(p, "scheduler", None) or ""
    denoiser = getattr(p.sampler, "model_wrap_cfg", None)
    if not isinstance(getattr(denoiser, "inner_model", None), EdmDenoiser):
        return [
            f"{sampler} takes this EDM model for an ordinary one and draws noise; take Euler, DPM++ 2M or "
            "another sampler of k-diffusion"
        ]
    old = shared.opts.use_old_karras_scheduler_sigmas
    if scheduler.lower().replace("_", " ") == _EARLY or old:
        name = "the old Karras range" if old else scheduler
        return [f"{name} starts far below the sigma of {edm.high:g} this EDM model starts at; take Karras"]
    return []


def register() -> None:
    """Called once the scripts are loaded; the first model may have been loaded already."""
    script_callbacks.on_model_loaded(model_loaded, name="edm")
    script_callbacks.on_script_unloaded(_forget_latents, name="edm")
    if (model := sd_models.model_data.sd_model) is not None:
        model_loaded(model)
