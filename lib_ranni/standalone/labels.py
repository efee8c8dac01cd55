"""What panel control needs of a panel's words: a vector for each label, and where the prompt says it."""

from __future__ import annotations

import torch
from torch import Tensor

from lib_ranni.guidance.local_mask import bind, label_variants
from lib_ranni.guidance.panel_session import PanelLabels
from lib_ranni.guidance.texts import PanelTexts
from lib_ranni.standalone.encoding import CHUNK, Encoder, chunks

ROW = CHUNK + 2
"""Columns of a chunk: start, text, end and padding."""


@torch.no_grad()
def label_vector(encoder: Encoder, label: str) -> Tensor:
    """(D,) the hidden state at the end token of a label encoded alone, lower-case, without emphasis.

    It is taken from the layer prompts are encoded by: for Stable Diffusion 2 that is the last but one, with
    the final norm.
    """
    ids = encoder.tokens(label.lower())[:CHUNK]
    return encoder.hidden(ids)[len(ids) + 1]


def end_columns(encoder: Encoder, prompt: str) -> tuple[int, ...]:
    """Where a prompt's encoding has end tokens, the first of each chunk."""
    found = chunks(prompt, encoder.tokenizer)
    return tuple(ROW * n + 1 + len(chunk.tokens) for n, chunk in enumerate(found))


def label_columns(encoder: Encoder, prompt: str, label: str) -> frozenset[int]:
    """Columns of a prompt's encoding in which a label stands, in singular or plural, wherever it does."""
    variants = [encoder.tokens(variant) for variant in label_variants(label)]
    return frozenset(
        ROW * n + 1 + column
        for n, chunk in enumerate(chunks(prompt, encoder.tokenizer))
        for column in bind(chunk.tokens, variants)
    )


def panel_labels(encoder: Encoder, texts: PanelTexts, prompt: str, negative: str, canvas: str) -> PanelLabels:
    """A picture's panel for panel control. `prompt` and `negative` are what its base texts encode."""
    descriptions = [element.description for element in texts.elements]
    return PanelLabels(
        texts,
        tuple(label_vector(encoder, text) for text in descriptions),
        label_vector(encoder, canvas),
        tuple(label_columns(encoder, prompt, text) for text in descriptions),
        {texts.base: end_columns(encoder, prompt), texts.base_negative: end_columns(encoder, negative)},
    )


def unheard(labels: PanelLabels) -> list[str]:
    """Descriptions that the prompt does not say, so that no word of it is bound to their boxes."""
    pairs = zip(labels.panel.elements, labels.columns, strict=True)
    return [element.description for element, columns in pairs if not columns]
