"""The noise schedule of Ranni's checkpoint, for as long as a job of ours lasts.

The host has the schedule as a setting, reads it before each batch, and overrides settings for a job only
if it is told before the job begins; afterwards it puts them back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modules import sd_models, shared

from lib_ranni.webui import conditioners

_SETTING, _ENDS_IN_NOISE = "sd_noise_schedule", "Zero Terminal SNR"
_BEFORE = "_ranni_noise_schedule"


def needs_other(p: Any) -> bool:
    """Whether the checkpoint of a job was trained on another schedule than the host will draw with."""
    if _SETTING in p.override_settings or getattr(shared.opts, _SETTING, None) == _ENDS_IN_NOISE:
        return False
    file = _checkpoint(p)
    return file is not None and conditioners.is_release(file)


def exchange(p: Any) -> None:
    """Have the job drawn on the schedule that ends in pure noise. Only in `before_process`."""
    opts = shared.opts
    # What is not there is not put back by the host.
    before = opts.data.setdefault(_SETTING, opts.get_default(_SETTING))
    setattr(p, _BEFORE, before)
    # Cells of a grid share one dict: theirs must not be changed.
    p.override_settings = {**p.override_settings, _SETTING: _ENDS_IN_NOISE}


def put_back(p: Any) -> None:
    """After a job whose caller wants its own overrides to stay, which is not meant for ours."""
    before = p.__dict__.pop(_BEFORE, None)
    if before is not None and not p.override_settings_restore_afterwards:
        setattr(shared.opts, _SETTING, before)


def _checkpoint(p: Any) -> Path | None:
    """The file of the checkpoint that the host is about to load for a job."""
    info = sd_models.checkpoint_aliases.get(p.override_settings.get("sd_model_checkpoint"))
    try:
        return Path((info or sd_models.select_checkpoint()).filename)
    except FileNotFoundError:
        return None
