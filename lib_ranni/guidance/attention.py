"""Cross-attention in which each image token listens to the texts of its own regions.

    out = sum over i of W_i * Attn(q, K_i, V_i)

before the output projection, which is affine, so that mixing after it would give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Keys(NamedTuple):
    """One text as a layer sees it: key and value, (1 or B, L, C), C = heads * head dimension."""

    key: Tensor
    value: Tensor


class Whole(NamedTuple):
    """A text that acts on every token; `weight` (N, 1) is its share, None for 1."""

    text: int
    weight: Tensor | None


class Pick(NamedTuple):
    """For each token the row of the cropped answers it takes, (N,), and its share (N, 1), None for 1."""

    source: Tensor
    weight: Tensor | None


class Layout(NamedTuple):
    """Weight maps, arranged so that every text is asked only about the tokens it acts on.

    `cells` (M,) are the tokens of all cropped texts, one text's after another's, the smallest
    first; `counts` are (text, how many of them). There are as many `picks` as texts overlap in any one token.
    """

    wholes: tuple[Whole, ...]
    counts: tuple[tuple[int, int], ...]
    cells: Tensor
    picks: tuple[Pick, ...]


def make_layout(maps: Tensor) -> Layout:
    """Arrange weight maps (texts, N) that sum to 1 over texts, or to less where another text has the rest."""
    acting = maps > 0
    everywhere = acting.all(1)
    wholes = tuple(Whole(int(t), _share(maps[t])) for t in everywhere.nonzero().flatten())
    sizes = acting.sum(1).tolist()
    cropped = (acting.any(1) & ~everywhere).nonzero().flatten().tolist()
    cropped.sort(key=lambda text: sizes[text])
    cells = [acting[text].nonzero().flatten() for text in cropped]
    counts = tuple((text, len(own)) for text, own in zip(cropped, cells, strict=True))
    together = torch.cat(cells) if cells else maps.new_empty(0, dtype=torch.long)
    return Layout(wholes, counts, together, _make_picks(maps, cropped, cells))


def _make_picks(maps: Tensor, cropped: Sequence[int], cells: Sequence[Tensor]) -> tuple[Pick, ...]:
    """Sort the cropped texts of each token into layers; a token with fewer takes row 0 with share 0."""
    depth = torch.zeros(maps.shape[1], dtype=torch.long, device=maps.device)
    overlap = int((maps[list(cropped)] > 0).sum(0).max()) if cropped else 0
    index = torch.zeros(overlap, maps.shape[1], dtype=torch.long, device=maps.device)
    weight = torch.zeros(overlap, maps.shape[1], dtype=maps.dtype, device=maps.device)
    start = 0
    for text, own in zip(cropped, cells, strict=True):
        index[depth[own], own] = torch.arange(start, start + len(own), device=maps.device)
        weight[depth[own], own] = maps[text, own]
        depth[own] += 1
        start += len(own)
    return tuple(Pick(i, _share(w)) for i, w in zip(index, weight, strict=True))


def _share(weight: Tensor) -> Tensor | None:
    return None if bool((weight == 1).all()) else weight[:, None]


def attend(query: Tensor, keys: Keys, heads: int, scale: float | None = None) -> Tensor:
    """Plain multi-head attention: (B, N, C) queries against (1 or B, L, C) keys, to (B, N, C)."""
    batch, count, channels = query.shape

    def split(x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], heads, -1).expand(batch, -1, -1, -1).transpose(1, 2)

    key, value = split(keys.key), split(keys.value)
    out: Tensor = F.scaled_dot_product_attention(split(query), key, value, scale=scale)
    return out.transpose(1, 2).reshape(batch, count, channels)


class Arranged(NamedTuple):
    """A layout with the keys of its texts, laid out once for all steps.

    `groups` are the cropped texts: G neighbors that are as long and act on as many tokens, n of them each,
    with keys (1 or B, G, L, C). They go into one call of the kernel: small calls keep neither a GPU nor
    several cores busy.
    """

    wholes: tuple[tuple[Keys, Tensor | None], ...]
    groups: tuple[tuple[Keys, int], ...]
    cells: Tensor
    picks: tuple[Pick, ...]


def arrange(texts: Sequence[Keys], layout: Layout) -> Arranged:
    """Bring the keys of the texts (1 or B, L, C) into the order in which the layout asks for them."""
    groups = []
    for (count, _), group in groupby(layout.counts, key=lambda own: (own[1], texts[own[0]].key.shape)):
        keys = [texts[text] for text, _ in group]
        stacked = Keys(torch.stack([k.key for k in keys], 1), torch.stack([k.value for k in keys], 1))
        groups.append((stacked, count))
    wholes = tuple((texts[text], share) for text, share in layout.wholes)
    return Arranged(wholes, tuple(groups), layout.cells, layout.picks)


def regional_attention(query: Tensor, arranged: Arranged, heads: int, scale: float | None = None) -> Tensor:
    """(B, N, C) queries, each attending only to the texts that act on its token, to (B, N, C).

    Disjoint regions cost together what one text costs. Answers are gathered, never scattered: the sum is
    the same at every run, on any device.
    """
    out: Tensor | None = None
    for keys, share in arranged.wholes:
        out = _add(out, attend(query, keys, heads, scale), share)
    if arranged.groups:
        answers = _cropped_answers(query, arranged, heads, scale)
        for source, share in arranged.picks:
            out = _add(out, answers.index_select(1, source), share)
    return torch.zeros_like(query) if out is None else out


def _cropped_answers(query: Tensor, arranged: Arranged, heads: int, scale: float | None) -> Tensor:
    """(B, M, C): what the cropped texts answer to the tokens they act on."""
    batch, _, channels = query.shape
    questions = query.index_select(1, arranged.cells)
    answers, start = [], 0
    for keys, count in arranged.groups:
        texts = keys.key.shape[1]
        own = Keys(*(part.expand(batch, -1, -1, -1).flatten(0, 1) for part in keys))
        asked = questions[:, start : start + texts * count].reshape(batch * texts, count, channels)
        answers.append(attend(asked, own, heads, scale).reshape(batch, texts * count, channels))
        start += texts * count
    return torch.cat(answers, 1)


def _add(out: Tensor | None, part: Tensor, share: Tensor | None) -> Tensor:
    """out + share * part, in the memory of `out` or `part`, which are ours.

    Under autocast the parts are of another number type than the tokens the shares were made for.
    """
    if share is not None:
        share = share.to(part.dtype)
    if out is None:
        return part if share is None else part.mul_(share)
    return out.add_(part) if share is None else out.addcmul_(part, share)


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
