"""SDXS' networks for the host: the classes that the `.yaml` beside a converted checkpoint names.

Files of users name this module and its classes. It is imported when such a file is loaded, and only then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential, UNetModel
from modules import sd_vae_taesd
from torch import Tensor, nn

_LOG = logging.getLogger("ranni")


class CompactUNet(UNetModel):
    """Stable Diffusion's UNet without a middle block; everything else is as its parameters say."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        # Without layers it hands on what it gets. Whatever looks for a middle block finds one.
        self.middle_block = TimestepEmbedSequential()


class TinyAutoencoder(nn.Module):
    """The tiny autoencoder (TAESD's architecture) where the host has a large one.

    Latents (B, 4, h, w) are as the denoiser has them, pictures (B, 3, 8 h, 8 w) in -1..1.
    """

    def __init__(self, ddconfig: Any = None) -> None:
        super().__init__()
        self.encoder = sd_vae_taesd.encoder()
        self.decoder = sd_vae_taesd.decoder()

    @property
    def dtype(self) -> torch.dtype:
        """The number type of its weights, which the host converts latents to."""
        return next(self.parameters()).dtype

    def encode(self, x: Tensor) -> Tensor:
        """The latents of pictures."""
        return self.encoder((x + 1) / 2)

    def decode(self, z: Tensor) -> Tensor:
        """The pictures of latents."""
        return self.decoder(z) * 2 - 1

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take another tiny autoencoder's weights; the host's choice of a large one is declined."""
        if not self.state_dict().keys() & state_dict.keys():
            _LOG.warning("this checkpoint has a tiny autoencoder of its own; the chosen VAE does not fit it")
            state_dict = self.state_dict()
        return super().load_state_dict(state_dict, *args, **kwargs)
