"""Other extensions that change what ours changes too."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from modules import sd_unet

from lib_ranni.errors import GuidanceError


def require_own_attention(model: Any) -> None:
    """Raise `GuidanceError` if somebody replaced the cross-attention of single layers of a model's UNet.

    The host's own optimisations replace it for whole classes. Whoever does so for a layer, as Regional
    Prompter does, lays out texts of its own there, which ours would be lost in, or theirs in ours.
    """
    for name, module in model.model.diffusion_model.named_modules():
        if name.endswith("attn2") and "forward" in vars(module):
            who = _owner(vars(module)["forward"])
            raise GuidanceError(
                f"{who} has taken over the cross-attention of the UNet; use either of the two"
            )


def require_own_unet() -> None:
    """Raise `GuidanceError` where the UNet's layers are not run, as with TensorRT."""
    if sd_unet.current_unet is not None:
        raise GuidanceError(
            f"the UNet is replaced by {sd_unet.current_unet.option.label}, whose attention cannot be "
            "guided; set Settings > SD Unet to None, or use latent mode without panel control"
        )


def _owner(function: Any) -> str:
    """The extension a function comes from, by the folder it was loaded from."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    parts = PurePath(code.co_filename).parts if code is not None else ()
    for folder in ("extensions", "extensions-builtin"):
        if folder in parts[:-1]:
            return f"the extension {parts[parts.index(folder) + 1]}"
    return f"other code ({getattr(function, '__module__', type(function).__name__)})"
