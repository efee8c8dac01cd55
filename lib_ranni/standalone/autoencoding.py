"""Pictures to latents, with any autoencoder of diffusers."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def latents_of(vae: Any, pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in -1..1 to (B, C, h, w), as the UNet takes them."""
    encoded = vae.encode(pictures.to(next(vae.parameters())))
    # A tiny autoencoder has no distribution, only latents.
    latents: Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    return latents * vae.config.scaling_factor
