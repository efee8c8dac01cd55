"""What a LoRA does to one module: W' = W + dW, with dW computed in float64 from any kind of file.

A delta keeps the tensors of its file under the host's names. With s = alpha / rank,

    lora   dW = s * up @ down                      (with Tucker's core: up @ (core x down))
    loha   dW = s * (w1a @ w1b) * (w2a @ w2b)      elementwise
    lokr   dW = s * kron(w1, w2)
    full   dW = diff
    norm   dW = w_norm
    ia3    dW = W * w                              by outputs, or by inputs
    glora  dW = s * (b2 @ b1 + W @ a2 @ a1)
    oft    W' = R @ W                              R orthogonal, by blocks

and with a magnitude m (DoRA), V = W + dW becomes m * V / |V|, the norms over each input or each output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lib_ranni.errors import LoraError

Kind = Literal["lora", "loha", "lokr", "full", "norm", "ia3", "glora", "oft"]
Axis = Literal["in", "out"]

_NEEDS: Mapping[Kind, tuple[frozenset[str], ...]] = {
    "lora": (frozenset({"lora_down.weight", "lora_up.weight"}),),
    "loha": (frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),),
    "lokr": tuple(
        frozenset({*one, *two})
        for one in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for two in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
    ),
    "full": (frozenset({"diff"}),),
    "norm": (frozenset({"w_norm", "b_norm"}),),
    "ia3": (frozenset({"weight", "on_input"}), frozenset({"ia3_l"})),
    "glora": (frozenset({"a1.weight", "a2.weight", "b1.weight", "b2.weight"}),),
    "oft": (frozenset({"oft_blocks"}), frozenset({"oft_diag"})),
}
_RANK_OF: Mapping[Kind, tuple[str, ...]] = {
    "lora": ("lora_down.weight",),
    "loha": ("hada_w1_b",),
    "lokr": ("lokr_w2_b", "lokr_w1_b"),
    "glora": ("b1.weight",),
}
MAX_WEIGHT = 1 << 28
"""Numbers of the largest weight that is believed; SDXL's has 2 ** 25."""
NEED_BASE: frozenset[Kind] = frozenset({"ia3", "glora", "oft"})


@dataclass(frozen=True, eq=False)
class Delta:
    """A module's change. `alpha` None means alpha = rank, `scale` stands for alpha / rank where it is given.

    `magnitude` (n,) is DoRA's, over the inputs or outputs as `axis` says.
    """

    kind: Kind
    parts: Mapping[str, Tensor]
    alpha: float | None = None
    scale: float | None = None
    magnitude: Tensor | None = None
    axis: Axis | None = None

    @property
    def rank(self) -> int | None:
        """Rows of the down matrix, as the host counts; None for kinds without one."""
        names = _RANK_OF.get(self.kind, ())
        return next((self.parts[name].shape[0] for name in names if name in self.parts), None)

    @property
    def strength(self) -> float:
        """What the product is multiplied by: alpha / rank."""
        if self.scale is not None:
            return self.scale
        return self.alpha / self.rank if self.alpha is not None and self.rank else 1.0

    @property
    def needs_base(self) -> bool:
        """Whether the change depends on the weight it changes."""
        return self.kind in NEED_BASE or self.magnitude is not None

    def shape(self) -> tuple[int, ...] | None:
        """The shape of the weight that this changes, as far as the parts tell; None where they do not."""
        parts = self.parts
        if self.kind == "lora":
            down, up = parts["lora_down.weight"], parts["lora_up.weight"]
            kernel = parts.get("lora_mid.weight", down).shape[2:]
            return (up.shape[0], down.shape[1], *kernel)
        if self.kind == "full":
            return tuple(parts["diff"].shape)
        if self.kind == "norm":
            return tuple(parts["w_norm"].shape)
        if self.kind in ("loha", "lokr"):
            return _product_shape(self)
        return None


def kind_of(parts: Mapping[str, Tensor]) -> Kind | None:
    """The kind that these parts make; None where some are missing."""
    for kind, choices in _NEEDS.items():
        if any(needed <= parts.keys() for needed in choices):
            return kind
    return None


def fault_of(delta: Delta) -> str | None:
    """Why the parts do not fit each other; None when they do."""
    try:
        if delta.kind == "lora":
            down, up = delta.parts["lora_down.weight"], delta.parts["lora_up.weight"]
            if down.ndim < 2 or up.ndim < 2:
                return f"its matrices have {down.ndim} and {up.ndim} axes"
            mid = delta.parts.get("lora_mid.weight")
            rows, columns = (mid.shape[1], mid.shape[0]) if mid is not None else (down.shape[0],) * 2
            if mid is not None and mid.ndim != 4:
                return f"its core has {mid.ndim} axes"
            if (rows, columns) != (down.shape[0], up.shape[1]) or math.prod(up.shape[2:]) != 1:
                return f"its matrices are {tuple(up.shape)} and {tuple(down.shape)}"
        elif delta.kind in ("loha", "lokr"):
            _product_shape(delta)
        elif delta.kind == "glora":
            a1, a2, b1, b2 = (delta.parts[f"{name}.weight"] for name in ("a1", "a2", "b1", "b2"))
            if a2.shape[1] != a1.shape[0] or b2.shape[1] != b1.shape[0]:
                return "its matrices do not chain"
    except (RuntimeError, IndexError, ValueError) as error:
        return str(error).strip().splitlines()[0][:100]
    shape = delta.shape()
    if shape and math.prod(shape) > MAX_WEIGHT:
        return f"it would change a weight of {' x '.join(map(str, shape))}"
    return None


def _product_shape(delta: Delta) -> tuple[int, ...]:
    """The shape of a LoHa's or LoKr's product. Raises `ValueError` where the parts do not fit."""
    parts = delta.parts
    if delta.kind == "loha":
        one, two = (_half_shape(parts, f"hada_w{n}", f"hada_t{n}") for n in (1, 2))
        if one != two:
            raise ValueError(f"its halves are {one} and {two}")
        return one
    one, two = (_factor_shape(parts, f"lokr_w{n}", f"lokr_t{n}") for n in (1, 2))
    if len(one) != 2 or len(two) < 2:
        raise ValueError(f"its factors are {one} and {two}")
    return (one[0] * two[0], one[1] * two[1], *two[2:])


def _half_shape(parts: Mapping[str, Tensor], matrix: str, core: str) -> tuple[int, ...]:
    a, b = parts[f"{matrix}_a"].shape, parts[f"{matrix}_b"].shape
    if core in parts:
        inner = parts[core].shape
        if len(inner) != 4 or (len(a), len(b)) != (2, 2) or (a[0], b[0]) != (inner[0], inner[1]):
            raise ValueError(f"its matrices are {tuple(a)} and {tuple(b)}, its core {tuple(inner)}")
        return (a[1], b[1], *inner[2:])
    if len(a) < 2 or len(b) < 2 or math.prod(a[1:]) != b[0]:
        raise ValueError(f"its matrices are {tuple(a)} and {tuple(b)}")
    return (a[0], *b[1:])


def _factor_shape(parts: Mapping[str, Tensor], matrix: str, core: str) -> tuple[int, ...]:
    return tuple(parts[matrix].shape) if matrix in parts else _half_shape(parts, matrix, core)


def product(delta: Delta) -> Tensor:
    """What the parts make before alpha / rank, in float64; (out, in) or (out, in, h, w)."""
    parts = {name: wide(part) for name, part in delta.parts.items()}
    if delta.kind == "lora":
        up, down = parts["lora_up.weight"].flatten(1), plain_down(parts)
        return (up @ down.flatten(1)).reshape(len(up), *down.shape[1:])
    if delta.kind == "loha":
        one, two = (_half(parts, f"hada_w{n}", f"hada_t{n}") for n in (1, 2))
        return one * two
    if delta.kind == "lokr":
        one = _factor(parts, "lokr_w1", "")
        two = _factor(parts, "lokr_w2", "lokr_t2")
        return torch.kron(
            one.reshape(*one.shape, *(1,) * (two.ndim - one.ndim)).contiguous(), two.contiguous()
        )
    if delta.kind == "full":
        return parts["diff"]
    if delta.kind == "norm":
        return parts["w_norm"]
    raise LoraError(f"a change of kind {delta.kind} depends on the checkpoint; give it with --base")


def plain_down(parts: Mapping[str, Tensor]) -> Tensor:
    """The down matrix with Tucker's core multiplied in: (columns of up, in[, h, w])."""
    down, mid = parts["lora_down.weight"], parts.get("lora_mid.weight")
    return down if mid is None else torch.einsum("nmkl,mj->njkl", mid, down.flatten(1))


def change(delta: Delta, base: Tensor | None = None) -> Tensor:
    """dW at weight 1 as (out, rest), float64. `base` is W, needed where the change depends on it."""
    if delta.needs_base and base is None:
        raise LoraError(
            f"{'DoRA' if delta.magnitude is not None else delta.kind} depends on the checkpoint; "
            "give it with --base"
        )
    if delta.kind in NEED_BASE:
        assert base is not None
        updown = _with_base(delta, wide(base).flatten(1) if base.ndim > 1 else wide(base)[:, None])
    else:
        updown = product(delta) * delta.strength
        updown = updown.flatten(1) if updown.ndim > 1 else updown[:, None]
    if delta.magnitude is None or base is None:
        return updown
    weight = wide(base)
    return decomposed(weight, updown.reshape(weight.shape), delta.magnitude, delta.axis or "out").flatten(1)


def bias_of(delta: Delta) -> Tensor | None:
    """What is added to the module's bias at weight 1, float64; None where nothing is."""
    bias = delta.parts.get("b_norm" if delta.kind == "norm" else "diff_b")
    return None if bias is None else wide(bias)


def decomposed(weight: Tensor, updown: Tensor, magnitude: Tensor, axis: Axis) -> Tensor:
    """DoRA's change of W for a plain change: m * V / |V| - W with V = W + dW.

    `weight` and `updown` are (out, in[, h, w]); the norm is over all but the axis, by inputs (LyCORIS' first
    form, the only one the host knows) or outputs (PEFT, diffusers, LyCORIS' wd_on_output).
    """
    whole = weight + updown
    kept = 0 if axis == "out" else 1
    others = [dim for dim in range(whole.ndim) if dim != kept]
    norms = whole.square().sum(others, keepdim=True).sqrt()
    return whole * (wide(magnitude).reshape(norms.shape) / norms) - weight


def scaled(delta: Delta, factor: float) -> Delta:
    """The delta with its change multiplied. Raises `LoraError` where the change is not in proportion."""
    if factor == 1:
        return delta
    if delta.magnitude is not None:
        raise LoraError(
            "DoRA cannot be scaled in the file; give the checkpoint with --base, or the weight in the prompt"
        )
    if delta.kind == "oft":
        raise LoraError("OFT cannot be scaled in the file; give the weight in the prompt")
    in_proportion = _in_proportion(delta)
    parts = {name: part * factor if name in in_proportion else part for name, part in delta.parts.items()}
    if in_proportion - {"diff_b"}:
        return replace(delta, parts=parts)
    return replace(delta, parts=parts, alpha=delta.strength * factor * (delta.rank or 1), scale=None)


def _in_proportion(delta: Delta) -> set[str]:
    """The parts that a factor multiplies; where that is no more than a bias, alpha carries it."""
    if delta.kind in ("full", "norm"):
        return set(delta.parts)
    if delta.kind == "ia3":
        return {"weight", "diff_b"}
    return {"lokr_w1", "diff_b"} if delta.kind == "lokr" and delta.rank is None else {"diff_b"}


def wide(tensor: Tensor) -> Tensor:
    """As float64."""
    return tensor.to(torch.float64)


def _half(parts: Mapping[str, Tensor], matrix: str, core: str) -> Tensor:
    a, b = parts[f"{matrix}_a"], parts[f"{matrix}_b"]
    if core in parts:
        return torch.einsum("ijkl,jr,ip->prkl", parts[core], b, a)
    return (a.flatten(1) @ b.flatten(1)).reshape(a.shape[0], *b.shape[1:])


def _factor(parts: Mapping[str, Tensor], matrix: str, core: str) -> Tensor:
    return parts[matrix] if matrix in parts else _half(parts, matrix, core)


def _with_base(delta: Delta, base: Tensor) -> Tensor:
    parts = delta.parts
    if delta.kind == "ia3":
        factors = wide(parts["weight"]).flatten()
        return base * (factors if bool(parts["on_input"].any()) else factors[:, None])
    if delta.kind == "glora":
        a1, a2, b1, b2 = (wide(parts[f"{name}.weight"]).flatten(1) for name in ("a1", "a2", "b1", "b2"))
        return delta.strength * (b2 @ b1 + base @ a2 @ a1)
    raise LoraError("OFT turns the weights; it can be kept and renamed, but not written as a sum")
