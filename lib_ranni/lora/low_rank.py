"""Sums and cuts of low-rank changes, without building the whole difference where that is not needed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.deltas import Delta, change, plain_down, wide

OTHER_SIZES = "the LoRAs change weights of different sizes; they are for different models"

Factors = tuple[Tensor, Tensor]
"""up (out, r) and down (r, in[, h, w]), float64, with dW = up @ down."""


def factors(delta: Delta) -> Factors | None:
    """A change as two matrices with its strength multiplied in, exactly; None for kinds without."""
    if delta.needs_base:
        return None
    if delta.kind == "lora":
        up = wide(delta.parts["lora_up.weight"]).flatten(1)
        down = plain_down({name: wide(part) for name, part in delta.parts.items()})
        return up * delta.strength, down
    if delta.kind == "loha":
        return _loha(delta)
    if delta.kind == "lokr":
        return _lokr(delta)
    return None


def from_factors(up: Tensor, down: Tensor) -> Delta:
    """A LoRA with alpha = rank; its matrices share the size of their product evenly, in float32."""
    weight = (up.norm() / down.norm().clamp_min(1e-30)).clamp_min(1e-30).sqrt()
    kernel = (1,) * (down.ndim - 2)
    parts = {
        "lora_up.weight": (up / weight).to(torch.float32).reshape(*up.shape, *kernel),
        "lora_down.weight": (down * weight).to(torch.float32),
    }
    return Delta("lora", parts, alpha=float(len(down)))


def exact_low_rank(delta: Delta) -> Delta:
    """LoHa and LoKr as a LoRA of the product of their ranks, or as a difference where that is smaller."""
    if delta.kind == "lora" and "lora_mid.weight" not in delta.parts:
        return delta
    if delta.kind not in ("lora", "loha", "lokr"):
        return delta
    pair = factors(delta)
    if pair is not None and pair[0].numel() + pair[1].numel() < len(pair[0]) * pair[1][0].numel():
        return from_factors(*pair)
    return difference(change(delta), delta.shape())


def difference(dense: Tensor, shape: tuple[int, ...] | None) -> Delta:
    """A change (out, rest) as a difference of weights of this shape."""
    return Delta("full", {"diff": dense.reshape(shape or dense.shape).to(torch.float32)})


def add(pairs: Sequence[Factors]) -> Factors:
    """The sum of changes of one weight, by putting their matrices side by side."""
    downs = [down for _, down in pairs]
    if len({down.shape[1:] for down in downs}) > 1:
        downs = [down.flatten(1) for down in downs]
    if len({(len(up), *down.shape[1:]) for (up, _), down in zip(pairs, downs, strict=True)}) > 1:
        raise LoraError(OTHER_SIZES)
    return torch.cat([up for up, _ in pairs], 1), torch.cat(downs)


def cut(up: Tensor, down: Tensor, rank: int) -> tuple[Factors, float]:
    """The best change of this rank, and |left out| / |whole| (Frobenius).

    QR of both matrices leaves a small square one to decompose, whatever the size of the weight.
    """
    flat = down.flatten(1)
    if rank >= min(up.shape[1], len(up), flat.shape[1]) and rank >= up.shape[1]:
        return (up, down), 0.0
    left, left_core = torch.linalg.qr(up)
    right, right_core = torch.linalg.qr(flat.T)
    u, s, vh = torch.linalg.svd(left_core @ right_core.T)
    kept = s[:rank]
    total = float(s.norm())
    loss = float(s[rank:].norm()) / total if total else 0.0
    return ((left @ u[:, :rank]) * kept, (vh[:rank] @ right.T).reshape(-1, *down.shape[1:])), loss


def cut_dense(dense: Tensor, shape: tuple[int, ...], rank: int) -> tuple[Factors, float]:
    """The same of a change (out, rest) that is there as a whole. `shape` is the weight's."""
    u, s, vh = torch.linalg.svd(dense, full_matrices=False)
    total = float(s.norm())
    loss = float(s[rank:].norm()) / total if total else 0.0
    return (u[:, :rank] * s[:rank], vh[:rank].reshape(-1, *shape[1:])), loss


def shrink(delta: Delta, rank: int) -> tuple[Delta, float]:
    """A change of at most this rank and its relative error; what has no rank, or a lower one, stays."""
    if delta.needs_base or delta.kind == "norm" or "diff_b" in delta.parts:
        return delta, 0.0
    if delta.kind == "lora" and (delta.rank or 0) <= rank and "lora_mid.weight" not in delta.parts:
        return delta, 0.0
    pair = factors(delta)
    if pair is not None:
        (up, down), loss = cut(*pair, rank)
    else:
        dense = change(delta)
        if min(dense.shape) <= rank:
            return delta, 0.0
        (up, down), loss = cut_dense(dense, delta.shape() or tuple(dense.shape), rank)
    return from_factors(up, down), loss


def _loha(delta: Delta) -> Factors | None:
    """Elementwise products of ranks r and q have rank r q: their columns and rows multiplied in pairs."""
    parts = {name: wide(part) for name, part in delta.parts.items()}
    if "hada_t1" in parts or "hada_t2" in parts:
        return None
    a1, b1, a2, b2 = (parts[f"hada_w{n}_{side}"] for n in (1, 2) for side in "ab")
    up = (a1.flatten(1)[:, :, None] * a2.flatten(1)[:, None, :]).flatten(1)
    down = (b1[:, None] * b2[None]).flatten(0, 1)
    return up * delta.strength, down


def _lokr(delta: Delta) -> Factors | None:
    """kron(u1 v1, u2 v2) = kron(u1, u2) kron(v1, v2)."""
    parts = {name: wide(part) for name, part in delta.parts.items()}
    if "lokr_t2" in parts or any(part.ndim != 2 for part in parts.values()):
        return None
    (u1, v1), (u2, v2) = (_split(parts, f"lokr_w{n}") for n in (1, 2))
    return torch.kron(u1, u2) * delta.strength, torch.kron(v1, v2)


def _split(parts: dict[str, Tensor], name: str) -> Factors:
    if name not in parts:
        return parts[f"{name}_a"], parts[f"{name}_b"]
    whole = parts[name]
    rows, columns = whole.shape
    if rows <= columns:
        return torch.eye(rows, dtype=whole.dtype), whole
    return whole, torch.eye(columns, dtype=whole.dtype)
