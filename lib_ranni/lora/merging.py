"""Several LoRAs as one: weighted sums, TIES and DARE on the differences of weights, with scales by block.

sum        dW = sum of w_i dW_i, exact: the matrices stand side by side
magnitude  the largest numbers of each dW_i only, then summed
ties       as magnitude, and of each number only those that agree with the majority's sign, averaged
dare       numbers left out at random, the others divided by the share kept, then summed
dare-ties  as dare, and then as ties
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.blocks import ALL, BlockScales
from lib_ranni.lora.checks import asks_alpha, finite
from lib_ranni.lora.containers import printable
from lib_ranni.lora.conversion import Base, shaped
from lib_ranni.lora.deltas import Delta, change, scaled
from lib_ranni.lora.layout import Family, Target
from lib_ranni.lora.low_rank import OTHER_SIZES, add, cut_dense, difference, factors, from_factors, shrink
from lib_ranni.lora.reading import Lora

Method = Literal["sum", "magnitude", "ties", "dare", "dare-ties"]
METHODS: tuple[Method, ...] = ("sum", "magnitude", "ties", "dare", "dare-ties")


@dataclass(frozen=True, eq=False)
class Part:
    """A LoRA with its weight and its scales by block."""

    lora: Lora
    weight: float = 1.0
    blocks: BlockScales = ALL

    def of(self, target: Target) -> float:
        """The weight of a module."""
        return self.weight * self.blocks.of(target)


@dataclass(frozen=True, eq=False)
class Merged:
    """The modules of the merge. `losses` are relative errors, by module, of those cut to a rank."""

    family: Family | None
    modules: Mapping[Target, Delta]
    losses: Mapping[Target, float]


def merge(
    parts: Sequence[Part],
    method: Method = "sum",
    *,
    rank: int | None = None,
    density: float = 0.5,
    seed: int = 0,
    base: Base | None = None,
) -> Merged:
    """Merge LoRAs of one family.

    `rank` cuts each module; without it sums are exact, and other methods leave differences of weights.
    `density` is the share of numbers kept, 0..1, and `seed` chooses them for dare. Raises `LoraError` for
    LoRAs that do not belong together, or changes that need a checkpoint where no base is given.
    """
    family = family_in_common(parts)
    modules: dict[Target, Delta] = {}
    losses: dict[Target, float] = {}
    random = torch.Generator().manual_seed(seed)
    for target in dict.fromkeys(target for part in parts for target in part.lora.modules):
        weighted = [
            (part.lora.modules[target], part.of(target))
            for part in parts
            if target in part.lora.modules and part.of(target)
        ]
        if not weighted:
            continue
        _check(target, weighted)
        if method == "sum" or weighted[0][0].kind == "norm":
            delta = _sum(target, weighted, base)
            if rank is not None:
                delta, losses[target] = shrink(delta, rank)
        else:
            delta, losses[target] = _selected(target, weighted, method, (rank, density, random), base)
        modules[target] = shaped(delta, target, family)
    if not modules:
        raise LoraError("nothing is left to merge: no module has a weight; check the weights and --blocks")
    return Merged(family, modules, losses)


def family_in_common(parts: Sequence[Part]) -> Family | None:
    """The family that all parts are for. Raises `LoraError` for several, or where alpha is unknown."""
    if not parts:
        raise LoraError("there is nothing to merge; give at least one LoRA")
    for part in parts:
        if asks_alpha(part.lora):
            raise LoraError(f"{part.lora.path} does not say its alpha; convert it with --alpha first")
    sure = {part.lora.family for part in parts if part.lora.evidence.sure}
    found = sure or {part.lora.family for part in parts}
    if len(found) > 1:
        each = ", ".join(f"{part.lora.path.name}: {part.lora.family or 'unknown'}" for part in parts)
        raise LoraError(f"LoRAs for different base models cannot be merged ({each})")
    return next(iter(found))


def _check(target: Target, weighted: Sequence[tuple[Delta, float]]) -> None:
    for delta, _ in weighted:
        if not finite(delta):
            raise LoraError(
                f"{printable(target.name)} holds numbers that are not finite; leave its block out"
            )
        if delta.kind == "oft" and (len(weighted) > 1 or weighted[0][1] != 1):
            raise LoraError(f"{printable(target.name)} is OFT, which turns weights and cannot be summed")


def _sum(target: Target, weighted: Sequence[tuple[Delta, float]], base: Base | None) -> Delta:
    if len(weighted) == 1 and (not weighted[0][0].needs_base or weighted[0][1] == 1):
        delta, weight = weighted[0]
        if delta.axis != "out":
            return scaled(delta, weight)
    kinds = {delta.kind for delta, _ in weighted}
    if kinds == {"norm"}:
        names = ("w_norm", "b_norm")
        return Delta("norm", {name: sum_of([d.parts[name] * w for d, w in weighted]) for name in names})
    pairs = [factors(delta) for delta, _ in weighted]
    known = [pair for pair in pairs if pair is not None]
    biased = [(d.parts["diff_b"], w) for d, w in weighted if "diff_b" in d.parts]
    if len(known) == len(weighted):
        up, down = add([(up * weight, down) for (up, down), (_, weight) in zip(known, weighted, strict=True)])
        if up.numel() + down.numel() < len(up) * down[0].numel():
            return from_factors(up, down)
    total = sum_of([_dense(target, delta, base) * weight for delta, weight in weighted])
    whole = difference(total, _shape(target, weighted, base))
    if not biased:
        return whole
    return Delta("full", {**whole.parts, "diff_b": sum_of([bias * weight for bias, weight in biased])})


def sum_of(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    try:
        return torch.stack(list(tensors)).sum(0)
    except RuntimeError as error:
        raise LoraError(OTHER_SIZES) from error


def _selected(
    target: Target,
    weighted: Sequence[tuple[Delta, float]],
    method: Method,
    how: tuple[int | None, float, torch.Generator],
    base: Base | None,
) -> tuple[Delta, float]:
    """A merge by choice of numbers, through peft's functions for it."""
    rank, density, random = how
    tools = _peft()
    dense = [_dense(target, delta, base) for delta, _ in weighted]
    sum_of(dense)
    weights = torch.tensor([weight for _, weight in weighted], dtype=torch.float64)
    if density < 1:
        dense = [_sparse(tools, matrix, method, density, random) for matrix in dense]
    if method in ("magnitude", "dare"):
        total = tools.task_arithmetic(dense, weights)
    else:
        stacked = torch.stack(dense)
        agree = tools.calculate_majority_sign_mask(stacked, method="total")
        total = tools.disjoint_merge(stacked * tools.reshape_weight_task_tensors(stacked, weights), agree)
    shape = _shape(target, weighted, base) or tuple(total.shape)
    if rank is None or rank >= min(total.shape):
        return difference(total, shape), 0.0
    pair, loss = cut_dense(total, shape, rank)
    return from_factors(*pair), loss


def _sparse(tools: Any, matrix: Tensor, method: Method, density: float, random: torch.Generator) -> Tensor:
    if method in ("magnitude", "ties"):
        kept: Tensor = tools.prune(matrix, density, method="magnitude")
        return kept
    # Not peft's own: it draws from the global state, and up to 0.13 it forgets to divide by the share.
    return matrix * torch.bernoulli(torch.full_like(matrix, density), generator=random) / density


def _peft() -> Any:
    try:
        from peft.utils import merge_utils
    except ImportError as error:
        raise LoraError(
            "this way of merging needs peft; install it with `pip install 'peft<0.14'`"
        ) from error
    return merge_utils


def _dense(target: Target, delta: Delta, base: Base | None) -> Tensor:
    if delta.needs_base and base is None:
        raise LoraError(
            f"{printable(target.name)} is {'DoRA' if delta.magnitude is not None else delta.kind}, which "
            "depends on the checkpoint; give it with --base"
        )
    return change(delta, base(target) if base and delta.needs_base else None)


def _shape(
    target: Target, weighted: Sequence[tuple[Delta, float]], base: Base | None
) -> tuple[int, ...] | None:
    shapes = [shape for delta, _ in weighted if (shape := delta.shape())]
    if shapes:
        return max(shapes, key=len)
    return tuple(base(target).shape) if base else None
