"""Prompt -> hidden states: any length in chunks of 75 tokens, with emphasis, for one or two text encoders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lib_ranni.guidance.texts import Text
from lib_ranni.standalone.emphasis import parse_emphasis

CHUNK = 75
"""Tokens of text in a chunk; start and end make it 77."""

_SOUND = 1e-3
"""A mean smaller than this share of the spread is chance."""


class Chunk:
    """75 tokens and their weights, being filled."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.weights: list[float] = []

    def rows(self, bos: int, eos: int, pad: int) -> tuple[list[int], list[float]]:
        """77 token ids and weights: start, text, end, padding."""
        fill = CHUNK - len(self.tokens)
        return (
            [bos, *self.tokens, eos, *[pad] * fill],
            [1.0, *self.weights, 1.0, *[1.0] * fill],
        )


def chunks(prompt: str, tokenizer: Any) -> list[Chunk]:
    """The prompt's tokens in chunks; `BREAK` starts a new one. There is always at least one."""
    found = [Chunk()]
    for span in parse_emphasis(prompt):
        if span.breaks:
            found.append(Chunk())
            continue
        # verbose=False: a prompt above 77 tokens is normal here, not worth the tokenizer's warning.
        ids = tokenizer(span.text, add_special_tokens=False, verbose=False)["input_ids"]
        for token in ids:
            if len(found[-1].tokens) == CHUNK:
                found.append(Chunk())
            found[-1].tokens.append(token)
            found[-1].weights.append(span.weight)
    return found


def emphasized(hidden: Tensor, weights: Tensor) -> Tensor:
    """Scale tokens (B, L, D) by weights (B, L) and bring each chunk's mean back to what it was.

    Where a mean is close to zero there is nothing sound to divide by, and it is left as it falls.
    """
    if bool((weights == 1).all()):
        return hidden
    exact = hidden.float()
    scaled = exact * weights[..., None].float()
    before, after = exact.mean((1, 2), keepdim=True), scaled.mean((1, 2), keepdim=True)
    least = _SOUND * exact.std((1, 2), keepdim=True)
    sound = (before.abs() > least) & (after.abs() > least)
    factor = torch.where(sound, before / torch.where(sound, after, 1.0), 1.0)
    return (scaled * factor).to(hidden)


class Encoder:
    """Encodes prompts for one checkpoint and remembers them.

    `pairs` holds (tokenizer, text encoder), one for Stable Diffusion 1 and 2, two for XL. `penultimate`
    takes the last but one layer, as XL does; `zero_empty` encodes an empty negative as zeros, likewise.
    """

    def __init__(
        self, pairs: list[tuple[Any, torch.nn.Module]], *, penultimate: bool = False, zero_empty: bool = False
    ) -> None:
        self._pairs = pairs
        self._penultimate = penultimate
        self._zero_empty = zero_empty
        self._cache: dict[tuple[str, bool], Text] = {}

    @property
    def pairs(self) -> list[tuple[Any, torch.nn.Module]]:
        """The tokenizers and the text encoders."""
        return list(self._pairs)

    def count(self, prompt: str) -> int:
        """Tokens of a prompt, without start, end and padding."""
        return sum(len(chunk.tokens) for chunk in chunks(prompt, self._pairs[0][0]))

    @property
    def tokenizer(self) -> Any:
        """What splits prompts into tokens; XL's two split alike."""
        return self._pairs[0][0]

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text as it stands, without emphasis, start and end."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    @torch.no_grad()
    def hidden(self, ids: list[int]) -> Tensor:
        """(77, D) for at most 75 tokens of one text."""
        parts = []
        for tokenizer, model in self._pairs:
            row = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
            row += [tokenizer.pad_token_id] * (CHUNK + 2 - len(row))
            parts.append(self._states(model, torch.tensor([row], device=_device(model)))[0][0])
        return torch.cat(parts, dim=-1)

    def _states(self, model: Any, ids: Tensor) -> tuple[Tensor, Any]:
        """(B, 77, D) of the layer that prompts are taken from, and all the model gives."""
        out = model(ids, output_hidden_states=self._penultimate)
        return (out.hidden_states[-2] if self._penultimate else out.last_hidden_state), out

    @torch.no_grad()
    def encode(self, prompt: str, *, negative: bool = False) -> Text:
        """The prompt's context (77 n, D) and, for XL, pooled vector. Equal prompts give the same object."""
        key = (prompt, negative)
        if key not in self._cache:
            self._cache[key] = self._encode(prompt, negative)
        return self._cache[key]

    def forget(self, above: int = 0) -> None:
        """Drop all remembered texts if there are more than `above`; not in the middle of a generation."""
        if len(self._cache) > above:
            self._cache.clear()

    def _encode(self, prompt: str, negative: bool) -> Text:
        parts, pooled = [], None
        for tokenizer, model in self._pairs:
            device = _device(model)
            bos, eos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
            rows = [chunk.rows(bos, eos, pad) for chunk in chunks(prompt, tokenizer)]
            ids = torch.tensor([row for row, _ in rows], device=device)
            weights = torch.tensor([row for _, row in rows], device=device)
            hidden, out = self._states(model, ids)
            parts.append(emphasized(hidden, weights))
            pooled = getattr(out, "text_embeds", None)
        # The two encoders of XL split a prompt alike: their tokenizers differ only in padding.
        context = torch.cat([part.flatten(0, 1) for part in parts], dim=-1)
        vector = None if pooled is None else pooled[0]
        if negative and self._zero_empty and not prompt.strip():
            context = torch.zeros_like(context)
            vector = None if vector is None else torch.zeros_like(vector)
        return Text(context, vector)


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device
