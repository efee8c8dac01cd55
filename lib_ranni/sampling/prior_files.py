"""Latent priors on disk: small `.safetensors` files that say where their statistics come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lib_ranni.errors import InputError
from lib_ranni.sampling.priors import Prior

KIND = "ranni latent prior"
MAX_BYTES = 16 * 1024 * 1024


class Provenance(msgspec.Struct, frozen=True):
    """What a file tells besides the numbers. `vae` is a hash of the autoencoder they hold for."""

    kind: str = KIND
    count: int = 0
    source: str = ""
    vae: str = ""


def save_prior(prior: Prior, path: Path, vae: str = "") -> str:
    """Write a prior so that a crash leaves the file before it; return the file's short hash."""
    told = {
        "ranni": msgspec.json.encode(Provenance(KIND, prior.count, prior.source, vae)).decode("utf-8"),
    }
    content = save({"mean": prior.mean.float().contiguous(), "std": prior.std.float().contiguous()}, told)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return short_hash(content)


def short_hash(content: bytes) -> str:
    """Ten digits that tell files apart in a picture's text."""
    return hashlib.sha256(content).hexdigest()[:10]


def load_prior(path: Path) -> tuple[Prior, Provenance]:
    """The prior of a file, called by the file's name. Raises `InputError` for any other file."""
    if not path.is_file():
        raise InputError(f"there is no latent prior at {path}")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} is larger than any latent prior; choose a file that was saved as one")
    try:
        with safe_open(str(path), "pt") as file:
            names, told = set(file.keys()), file.metadata() or {}
            if not {"mean", "std"} <= names:
                raise InputError(
                    f"{path} holds no mean and std; choose a file that was saved as a latent prior"
                )
            mean, std = file.get_tensor("mean").float(), file.get_tensor("std").float()
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole .safetensors file; estimate the prior again") from error
    if std.ndim == 0:
        std = std.expand(mean.shape).clone()
    about = _provenance(told)
    return Prior(mean, std, about.count, about.source, path.stem), about


def _provenance(told: dict[str, str]) -> Provenance:
    """What the file tells of itself; nothing for a file of mean and std that others wrote."""
    try:
        return msgspec.json.decode(told.get("ranni", "{}"), type=Provenance)
    except msgspec.MsgspecError:
        return Provenance()
