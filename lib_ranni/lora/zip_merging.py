"""ZipLoRA: a content and a style LoRA merged with a coefficient for every input of every layer.

    dW = dW_content diag(m1) + dW_style diag(m2)

(Shah et al. 2023.) The coefficients are learned so that the merge does to the content's inputs what the
content LoRA does, and to the style's what the style LoRA does, while few inputs are used by both:

    |(dW - dW_c) x_c|^2 + |(dW - dW_s) x_s|^2 + lambda mean |m1 m2|
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.containers import check_numbers, printable, read_contents
from lib_ranni.lora.conversion import shaped
from lib_ranni.lora.deltas import Delta, change
from lib_ranni.lora.layout import Family, Target, from_ldm
from lib_ranni.lora.low_rank import Factors, add, difference, factors, from_factors, shrink
from lib_ranni.lora.merging import Merged, Part, family_in_common
from lib_ranni.lora.spelling import spell

Mergers = Mapping[Target, tuple[Tensor, Tensor]]
"""Module -> coefficients (in,) of the content's and of the style's inputs."""


def read_mergers(path: Path, family: Family | None) -> Mergers:
    """Coefficients from a file of `<module>.merger_1` and `.merger_2`, in any spelling of the module."""
    contents = read_contents(path)
    found: dict[Target, dict[str, Tensor]] = {}
    for key, tensor in contents.tensors.items():
        spelled = spell(key)
        if spelled is None or not spelled.part.startswith("merger_"):
            raise LoraError(
                f"{path}: {printable(key)} is no coefficient; its keys end in .merger_1 and .merger_2"
            )
        check_numbers(path, key, tensor)
        name = from_ldm(family).get(spelled.name, spelled.name) if family else spelled.name
        found.setdefault(Target(spelled.component, name), {})[spelled.part] = tensor.flatten()
    for target, pair in found.items():
        if len(pair) < 2:
            raise LoraError(f"{path}: {printable(target.name)} has one of its two coefficients only")
    return {target: (pair["merger_1"], pair["merger_2"]) for target, pair in found.items()}


def merge_zip(content: Part, style: Part, mergers: Mergers, *, rank: int | None = None) -> Merged:
    """Merge two LoRAs with these coefficients; modules without any are summed.

    Raises `LoraError` for coefficients that fit no module, or changes that depend on the checkpoint.
    """
    family = family_in_common((content, style))
    targets = dict.fromkeys((*content.lora.modules, *style.lora.modules))
    if strange := [target.name for target in mergers if target not in targets]:
        raise LoraError(f"the coefficients are for other LoRAs: neither has {printable(strange[0])}")
    modules: dict[Target, Delta] = {}
    losses: dict[Target, float] = {}
    for target in targets:
        columns = mergers.get(target, (None, None))
        pairs = []
        for part, column in zip((content, style), columns, strict=True):
            delta = part.lora.modules.get(target)
            if delta is not None and part.of(target):
                up, down = _factors(target, delta)
                pairs.append((up * part.of(target), _columns(target, down, column)))
        if not pairs:
            continue
        up, down = add(pairs)
        if up.numel() + down.numel() < len(up) * down[0].numel():
            delta = from_factors(up, down)
        else:
            delta = difference(up @ down.flatten(1), (len(up), *down.shape[1:]))
        if rank is not None:
            delta, losses[target] = shrink(delta, rank)
        modules[target] = shaped(delta, target, family)
    return Merged(family, modules, losses)


def fit_mergers(
    content: Tensor,
    style: Tensor,
    content_inputs: Tensor,
    style_inputs: Tensor,
    *,
    similarity: float = 0.01,
    steps: int = 100,
    rate: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Learn a layer's coefficients (in,), (in,) from what the layer was given.

    `content` and `style` are dW (out, in); the inputs (n, in) were recorded with the content's prompt and
    LoRA, and with the style's. Both start at 1; `similarity` is the paper's lambda.
    """
    content, style = content.double(), style.double()
    inputs = content_inputs.double(), style_inputs.double()
    targets = inputs[0] @ content.T, inputs[1] @ style.T
    size = sum(float(target.square().mean()) for target in targets) or 1.0
    with torch.enable_grad():
        mergers = torch.ones(2, content.shape[1], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.Adam([mergers], lr=rate)
        for _ in range(steps):
            merged = content * mergers[0] + style * mergers[1]
            losses = [(x @ merged.T - y).square().mean() for x, y in zip(inputs, targets, strict=True)]
            loss = sum(losses, torch.zeros(())) / size + similarity * (mergers[0] * mergers[1]).abs().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return mergers.detach()[0], mergers.detach()[1]


def _factors(target: Target, delta: Delta) -> Factors:
    pair = factors(delta)
    if pair is not None:
        return pair
    if delta.needs_base:
        raise LoraError(
            f"{printable(target.name)} depends on the checkpoint; convert its LoRA with --base first"
        )
    dense = change(delta)
    return torch.eye(len(dense), dtype=dense.dtype), dense.reshape(delta.shape() or dense.shape)


def _columns(target: Target, down: Tensor, column: Tensor | None) -> Tensor:
    if column is None:
        return down
    if column.numel() != down.shape[1]:
        raise LoraError(
            f"{printable(target.name)} has {down.shape[1]} inputs, its coefficients are {column.numel()}; "
            "they are for other LoRAs"
        )
    return down * column.double().reshape(1, -1, *(1,) * (down.ndim - 2))
