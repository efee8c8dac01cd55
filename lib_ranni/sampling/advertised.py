"""What a LoRA's file says of itself, so that no name has to be guessed from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from lib_ranni.sampling.advice import lora_for
from lib_ranni.sampling.presets import Preset

KEY = "ranni"
"""The entry of a file's metadata."""


class Advertised(Struct, frozen=True):
    """Whose LoRA it is, for which presets, and with which guidance scale and latent prior."""

    base: str = ""
    presets: tuple[str, ...] = ()
    cfg: float | None = None
    prior: str | None = None


def advertised(metadata: Mapping[str, Any]) -> Advertised:
    """What the metadata says, as JSON text or read already; nothing if the file is none of ours."""
    said = metadata.get(KEY, {})
    try:
        if isinstance(said, str):
            return msgspec.json.decode(said, type=Advertised)
        return msgspec.convert(said, Advertised)
    except msgspec.MsgspecError:
        return Advertised()


def chosen_lora(preset: Preset, files: Mapping[str, Advertised]) -> str | None:
    """The LoRA, by name, that says it is for this preset, else one whose name fits."""
    said = [name for name, about in files.items() if preset.id in about.presets]
    return said[0] if said else lora_for(preset, tuple(files))
