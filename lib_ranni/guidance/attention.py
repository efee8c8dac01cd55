"""Cross-attention in which each image token listens to the texts of its own regions.

    out = sum over i of W_i * Attn(q, K_i, V_i)

before the output projection, which is affine, so that mixing after it would give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Keys(NamedTuple):
    """One text as a layer sees it: key and value, (1 or B, L, C), C = heads * head dimension."""

    key: Tensor
    value: Tensor


class Patch(NamedTuple):
    """The tokens one text acts on.

    `cells` (n,) are their indices, None for all of them; `weight` (n, 1) their share, None for 1.
    """

    text: int
    cells: Tensor | None
    weight: Tensor | None


def patches(maps: Tensor) -> list[Patch]:
    """Turn weight maps (texts, N) that sum to 1 over texts into the patches with any weight."""
    found = []
    for text, row in enumerate(maps):
        cells = torch.nonzero(row > 0).squeeze(1)
        if len(cells) == 0:
            continue
        weight = row[cells]
        solid = bool((weight == 1).all())
        everywhere = len(cells) == len(row)
        found.append(Patch(text, None if everywhere else cells, None if solid else weight[:, None]))
    return found


def attend(query: Tensor, keys: Keys, heads: int, scale: float | None = None) -> Tensor:
    """Plain multi-head attention: (B, N, C) queries against (1 or B, L, C) keys, to (B, N, C)."""
    batch, count, channels = query.shape

    def split(x: Tensor) -> Tensor:
        return x.expand(batch, -1, -1).unflatten(2, (heads, -1)).transpose(1, 2)

    out = F.scaled_dot_product_attention(split(query), split(keys.key), split(keys.value), scale=scale)
    return out.transpose(1, 2).reshape(batch, count, channels)


def regional_attention(
    query: Tensor, texts: Sequence[Keys], layout: Sequence[Patch], heads: int, scale: float | None = None
) -> Tensor:
    """(B, N, C) queries, each attending only to the texts whose patches hold its token.

    The patches' weights must sum to 1 for every token. Queries are cropped to each patch, so disjoint
    regions cost together what one text costs.
    """
    if len(layout) == 1 and layout[0].cells is None and layout[0].weight is None:
        return attend(query, texts[layout[0].text], heads, scale)
    out: Tensor | None = None
    for patch in layout:
        part = query if patch.cells is None else query.index_select(1, patch.cells)
        part = attend(part, texts[patch.text], heads, scale)
        if patch.weight is not None:
            part = part * patch.weight
        if patch.cells is None:
            out = part if out is None else out + part
        else:
            out = torch.zeros_like(query) if out is None else out
            out.index_add_(1, patch.cells, part)
    return torch.zeros_like(query) if out is None else out


def regional_attention_reference(
    query: Tensor, texts: Sequence[Keys], maps: Tensor, heads: int, scale: float | None = None
) -> Tensor:
    """The same by its definition: every token attends to every text, then the maps (texts, N) mix them."""
    batch, count, channels = query.shape
    head = channels // heads
    out = torch.zeros_like(query)
    for keys, weight in zip(texts, maps, strict=True):
        q = query.reshape(batch, count, heads, head).permute(0, 2, 1, 3)
        k = keys.key.expand(batch, -1, -1).reshape(batch, -1, heads, head).permute(0, 2, 1, 3)
        v = keys.value.expand(batch, -1, -1).reshape(batch, -1, heads, head).permute(0, 2, 1, 3)
        scores = q @ k.transpose(2, 3) * (head**-0.5 if scale is None else scale)
        mixed = scores.softmax(dim=-1) @ v
        out = out + weight[None, :, None] * mixed.permute(0, 2, 1, 3).reshape(batch, count, channels)
    return out
