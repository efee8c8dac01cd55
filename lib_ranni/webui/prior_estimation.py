"""Latent priors of the model that the host has loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from modules import call_queue, sd_samplers_common, sd_vae, shared
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.planner.protocol import Cancelled
from lib_ranni.service.latent_statistics import Gathering
from lib_ranni.webui import latent_prior, planning

_GATHERING = Gathering()


class PriorSource:
    """The host as the part of the page sees it that estimates priors."""

    @property
    def priors(self) -> Path:
        """Among the host's models."""
        return latent_prior.folder()

    @property
    def gathering(self) -> Gathering:
        """One for the whole host."""
        return _GATHERING

    def encode(self, pixels: Tensor) -> Tensor:
        """A picture at a time, so that others can draw in between."""
        with call_queue.queue_lock, torch.no_grad():
            found: Tensor = sd_samplers_common.images_tensor_to_samples(pixels * 0.5 + 0.5)
            return found.float()

    def side(self) -> int:
        """1024 for SDXL, and else what the model's own configuration says, 512 for most."""
        model = shared.sd_model
        if latent_prior.family(model) == "sdxl":
            return 1024
        cells = getattr(model, "image_size", 64)
        return 8 * cells if isinstance(cells, int) and 4 <= cells <= 256 else 512

    def vae(self) -> str:
        """Of one that is a file of its own; a checkpoint's own has none."""
        return str(sd_vae.get_loaded_vae_hash() or "")

    def require_folders(self) -> None:
        """As the host: not where it was started so that users name no folders."""
        if getattr(shared.cmd_opts, "hide_ui_dir_config", False):
            raise InputError(
                "this WebUI was started with --hide-ui-dir-config; it takes no folder from users"
            )

    def interrupted(self) -> Cancelled:
        """The host's Interrupt."""
        return planning.interrupted()


def take(samples: Any) -> None:
    """Finished latents of a batch; after a hires pass they are pictures already, and do not count."""
    if getattr(samples, "already_decoded", False) or not isinstance(samples, Tensor):
        return
    state = shared.state
    if not (state.interrupted or state.skipped):
        _GATHERING.add(samples)
