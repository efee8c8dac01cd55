"""What can be asked of a LoRA's modules before anything is done with them."""

from __future__ import annotations

import math

import torch

from lib_ranni.lora.deltas import Delta
from lib_ranni.lora.layout import Target, host_names
from lib_ranni.lora.reading import Lora


def host_opens(lora: Lora) -> bool:
    """Whether the host lists the file and can open it: what it is must be as its name says."""
    suffix = lora.path.suffix.lower()
    if lora.contents.container == "pickle":
        return suffix in (".pt", ".ckpt")
    return suffix == ".safetensors"


def loads_as_is(lora: Lora, target: Target) -> bool:
    """Whether the host finds the module of these keys, and reads the change as it is meant."""
    if lora.family is None or misread(lora.modules[target]):
        return False
    names = host_names(lora.family)
    heads = {key.partition(".")[0] for key in lora.keys[target]}
    if heads != {head for head in heads if names.get(head) == target}:
        return False
    native = lora.format in ("kohya", "kohya-peft")
    return native and not any(".lora_magnitude" in key or ".magnitude" in key for key in lora.keys[target])


def misread(delta: Delta) -> bool:
    """Whether the host reads it wrongly: DoRA over outputs, and GLoRA, whose alpha it leaves out."""
    return delta.axis == "out" or (delta.kind == "glora" and delta.strength != 1)


def asks_alpha(lora: Lora) -> bool:
    """Whether the file leaves open how strong it is: PEFT and DiffSynth keep alpha elsewhere."""
    return (
        lora.alpha_from == "none"
        and lora.format in ("peft", "diffsynth")
        and any(delta.kind in ("lora", "loha", "lokr") for delta in lora.modules.values())
    )


def finite(delta: Delta) -> bool:
    """Whether all its numbers are numbers."""
    tensors = [*delta.parts.values(), *([] if delta.magnitude is None else [delta.magnitude])]
    return math.isfinite(delta.strength) and all(bool(torch.isfinite(_plain(part)).all()) for part in tensors)


def idle(delta: Delta) -> bool:
    """Whether its matrices are all zero, so that it changes nothing."""
    name = {"lora": "lora_up.weight", "full": "diff"}.get(delta.kind)
    return name is not None and delta.magnitude is None and not _plain(delta.parts[name]).any()


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """In a type that torch can compare; float8 has no such functions."""
    return tensor.to(torch.float32) if tensor.element_size() == 1 else tensor
