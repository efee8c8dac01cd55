"""Changes in the form that the host loads: kohya's keys, alpha in the file, and kinds it reads rightly.

Renaming keeps every number. What the host reads wrongly is computed with the checkpoint and written as a
difference of weights, or of low rank on demand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.blocks import ALL, BlockScales
from lib_ranni.lora.checks import asks_alpha, finite
from lib_ranni.lora.containers import printable
from lib_ranni.lora.deltas import Delta, change, scaled
from lib_ranni.lora.layout import Family, Target, host_name, table
from lib_ranni.lora.low_rank import exact_low_rank, shrink
from lib_ranni.lora.reading import Lora

Form = Literal["keep", "lora", "full"]
"""keep: as it is; lora: down and up matrices where that is exact; full: differences of weights."""

Base = Callable[[Target], Tensor]


@dataclass(frozen=True, eq=False)
class Converted:
    """Modules for the host. `losses` are relative errors, by module, of those cut to a lower rank."""

    modules: Mapping[Target, Delta]
    losses: Mapping[Target, float]
    notes: tuple[str, ...]


def convert(
    lora: Lora,
    *,
    blocks: BlockScales = ALL,
    form: Form = "keep",
    rank: int | None = None,
    base: Base | None = None,
) -> Converted:
    """The modules of a LoRA as the host reads them rightly.

    `rank` cuts every module that has a higher one, `base` gives weights to changes that depend on them.
    Raises `LoraError` where alpha is not to be known, numbers are damaged, or a base is needed.
    """
    if asks_alpha(lora):
        raise LoraError(
            f"{lora.path} does not say its alpha, which {_trainer(lora)} keeps elsewhere; give --alpha"
        )
    modules: dict[Target, Delta] = {}
    losses: dict[Target, float] = {}
    notes: list[str] = []
    dropped = 0
    for target, delta in lora.modules.items():
        factor = blocks.of(target)
        if not factor:
            dropped += 1
            continue
        if not finite(delta):
            raise LoraError(
                f"{lora.path} is damaged: {printable(target.name)} holds numbers that are not finite; "
                "download it again, or leave its block out with --blocks"
            )
        delta = _readable(target, delta, factor, base)
        formed = _formed(delta, form)
        if rank is not None:
            formed, losses[target] = shrink(formed, rank)
        modules[target] = formed if formed is delta else shaped(formed, target, lora.family)
    if dropped:
        notes.append(f"left out {dropped} of {len(lora.modules)} modules, by their blocks")
    if not modules and not lora.embeddings and not lora.bundled:
        raise LoraError(f"nothing of {lora.path} is left; its blocks are not among those that were asked for")
    return Converted(modules, losses, tuple(notes))


def _trainer(lora: Lora) -> str:
    return (
        "DiffSynth (4 unless it was told another)"
        if lora.format == "diffsynth"
        else "PEFT (adapter_config.json)"
    )


def _readable(target: Target, delta: Delta, factor: float, base: Base | None) -> Delta:
    """A delta that the host reads as it is meant, times a factor."""
    decomposed = delta.magnitude is not None and (delta.axis == "out" or factor != 1)
    if decomposed:
        if base is None:
            raise LoraError(
                "this is a DoRA "
                + ("over outputs, which the WebUI reads wrongly" if delta.axis == "out" else "")
                + ("that cannot be scaled in the file" if delta.axis == "in" else "")
                + "; give the checkpoint it is for with --base"
            )
        return _baked(delta, base(target), factor)
    if delta.kind == "glora" and delta.strength != 1:
        # The host leaves its alpha out.
        parts = {**delta.parts}
        for name in ("a1.weight", "b1.weight"):
            parts[name] = (parts[name].to(torch.float64) * delta.strength).to(torch.float32)
        delta = Delta("glora", parts, alpha=float(delta.rank or 1))
    if factor != 1 and delta.kind == "glora":
        if base is None:
            raise LoraError("GLoRA cannot be scaled in the file; give the checkpoint it is for with --base")
        return _baked(delta, base(target), factor)
    return scaled(delta, factor)


def _baked(delta: Delta, weight: Tensor, factor: float) -> Delta:
    """The change on this very weight, as a difference."""
    return Delta("full", {"diff": (change(delta, weight) * factor).reshape(weight.shape).to(torch.float32)})


def _formed(delta: Delta, form: Form) -> Delta:
    if form == "keep" or delta.needs_base or delta.kind == "norm":
        return delta
    if form == "full":
        shape = delta.shape() or ()
        extra = {"diff_b": delta.parts["diff_b"]} if "diff_b" in delta.parts else {}
        return Delta("full", {"diff": change(delta).reshape(shape).to(torch.float32), **extra})
    return exact_low_rank(delta)


def shaped(delta: Delta, target: Target, family: Family | None) -> Delta:
    """A difference or down matrix with the axes of the weight it is for, where the family tells them."""
    place = table(family).get(target) if family else None
    for part in ("diff", "lora_down.weight"):
        tensor = delta.parts.get(part)
        if place is None or tensor is None:
            continue
        shape = place.shape if part == "diff" else (len(tensor), *place.shape[1:])
        if tensor.ndim < len(shape) and tensor.numel() == math.prod(shape):
            parts = {**delta.parts, part: tensor.reshape(shape)}
            if part == "lora_down.weight":
                parts["lora_up.weight"] = delta.parts["lora_up.weight"].flatten(1)[:, :, None, None]
            return replace(delta, parts=parts)
    return delta


def tensors(
    modules: Mapping[Target, Delta], family: Family | None, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Keys and tensors of a file for the host. `dtype` None keeps each part's; float8 becomes float16."""
    found: dict[str, Tensor] = {}
    for target, delta in modules.items():
        name = host_name(target, family)
        for part, tensor in delta.parts.items():
            found[f"{name}.{part}"] = _stored(tensor, dtype)
        if delta.rank and delta.kind != "oft":
            # In float32: an alpha such as 8 * sqrt(3) has no place in half precision.
            found[f"{name}.alpha"] = torch.tensor(delta.strength * delta.rank, dtype=torch.float32)
        elif delta.alpha is not None and delta.kind == "oft":
            found[f"{name}.alpha"] = torch.tensor(delta.alpha, dtype=torch.float32)
        if delta.magnitude is not None:
            found[f"{name}.dora_scale"] = _stored(_magnitude(delta), dtype)
    return found


def _magnitude(delta: Delta) -> Tensor:
    """A magnitude in LyCORIS' shape: (1, in[, 1, 1]) or (out, 1[, 1, 1])."""
    assert delta.magnitude is not None
    axes = max(2, len(delta.shape() or ()))
    shape = [1] * axes
    shape[0 if delta.axis == "out" else 1] = delta.magnitude.numel()
    return delta.magnitude.reshape(shape)


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    if dtype is None:
        dtype = torch.float16 if tensor.element_size() == 1 else tensor.dtype
        dtype = torch.float32 if dtype == torch.float64 else dtype
    return tensor.to(dtype).contiguous()
