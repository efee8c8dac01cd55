"""Proof that a written file changes weights as its source does: dW of both in float64, module by module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from msgspec import Struct
from torch import Tensor

from lib_ranni.lora.base_weights import stand_in
from lib_ranni.lora.deltas import Delta, bias_of, change
from lib_ranni.lora.layout import Family, Target, table

TOLERANCE = 1e-6
"""Relative to the largest number of a module's dW: what float32 can promise, and no mistake can meet."""


class Verification(Struct, frozen=True):
    """How far the written changes are from those meant.

    `worst` is the largest |dW' - dW| of any module over the largest |dW| of that module, `where` that module.
    `missing` are modules that the written file lacks, `surplus` those that it alone has.
    """

    modules: int
    worst: float
    where: str
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every module is there and within the tolerance."""
        return not self.missing and not self.surplus and self.worst <= TOLERANCE


def verify(
    meant: Mapping[Target, Delta],
    written: Mapping[Target, Delta],
    family: Family | None,
    *,
    factor: Callable[[Target], float] = lambda _: 1.0,
    base: Callable[[Target], Tensor] | None = None,
) -> Verification:
    """Compare changes. `factor` is what each meant one is multiplied by.

    Changes that depend on the checkpoint are compared on it, or on a weight of random numbers.
    """
    worst, where = 0.0, ""
    for target, delta in meant.items():
        if target not in written:
            continue
        found = deviation(delta, written[target], target, family, factor(target), base)
        # `not <=`: a deviation that is not a number is the worst of all.
        if not found <= worst:
            worst, where = found, target.name
    return Verification(
        modules=len(meant),
        worst=worst,
        where=where,
        missing=tuple(target.name for target in meant if target not in written),
        surplus=tuple(target.name for target in written if target not in meant),
    )


def deviation(
    meant: Delta,
    written: Delta,
    target: Target,
    family: Family | None,
    factor: float = 1.0,
    base: Callable[[Target], Tensor] | None = None,
) -> float:
    """Largest |dW' - factor dW| of one module over the largest |factor dW|."""
    if _same_numbers(meant, written):
        wanted = meant.strength * factor
        difference = abs(written.strength - wanted)
        return difference / abs(wanted) if difference else 0.0
    if "oft" in (meant.kind, written.kind):
        return torch.inf
    weight = None
    if meant.needs_base or written.needs_base:
        weight = base(target) if base else stand_in(target, _shape(meant, target, family))
    before, after = (change(delta, weight) for delta in (meant, written))
    before = before * factor
    if before.shape != after.shape:
        return torch.inf
    size = float(before.abs().max())
    error = float((after - before).abs().max())
    biases = [bias for delta in (meant, written) if (bias := bias_of(delta)) is not None]
    if len(biases) == 1:
        return torch.inf
    if biases:
        error = max(error, float((biases[1] - biases[0] * factor).abs().max()))
    return error / size if size else (0.0 if not error else torch.inf)


def _same_numbers(one: Delta, other: Delta) -> bool:
    if one.kind != other.kind or one.parts.keys() != other.parts.keys() or one.axis != other.axis:
        return False
    pairs = [(part, other.parts[name]) for name, part in one.parts.items()]
    if one.magnitude is not None and other.magnitude is not None:
        pairs.append((one.magnitude, other.magnitude))
    return all(a.shape == b.shape and torch.equal(_plain(a), _plain(b)) for a, b in pairs)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor


def _shape(delta: Delta, target: Target, family: Family | None) -> tuple[int, ...]:
    place = table(family).get(target) if family else None
    shape = delta.shape()
    if shape is not None:
        return shape
    if delta.kind == "glora":
        return (delta.parts["b2.weight"].shape[0], delta.parts["b1.weight"].shape[1])
    if place is not None:
        return place.shape
    size = delta.parts["weight"].numel() if "weight" in delta.parts else 1
    return (size, size)
