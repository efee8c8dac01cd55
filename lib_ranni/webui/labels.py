"""What panel control and the attention bias need of words, by the host's own tokenizer and text encoder.

A vector for each element's description, and the columns of a prompt's encoding in which it stands. The
host takes emphasis, schedules and embeddings out of a prompt before it splits it into chunks of 77 columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from modules import prompt_parser, shared
from torch import Tensor

from lib_ranni.guidance.local_mask import bind, label_variants
from lib_ranni.panel.types import Element
from lib_ranni.webui.encoding import CHUNK, Span, Timeline, encode
from lib_ranni.webui.networks import split

_SIGNS = str.maketrans("", "", "\\()[]")


class Labeled(NamedTuple):
    """One picture: its elements with their labels, a vector (D,) of each and of the canvas, its prompts."""

    elements: tuple[Element, ...]
    labels: tuple[str, ...]
    vectors: tuple[Tensor, ...]
    canvas: Tensor
    prompt: Timeline[str]
    negative: Timeline[str]


class Wanted(NamedTuple):
    """One picture before its words are encoded; `canvas` is the label of the whole of it."""

    elements: tuple[Element, ...]
    canvas: str
    prompt: str
    negative: str


def labeled(pictures: Sequence[Wanted], span: Span) -> list[Labeled]:
    """Encode the labels of a batch, each once."""
    labels = [tuple(_plain(split(element)[0], span) for element in p.elements) for p in pictures]
    canvases = [_plain(picture.canvas, span) for picture in pictures]
    vectors = _vectors(list(dict.fromkeys([*canvases, *chain(*labels)])), span)
    return [
        Labeled(
            picture.elements,
            own,
            tuple(vectors[label] for label in own),
            vectors[canvas],
            schedule(first_part(picture.prompt), span),
            schedule(picture.negative, span),
        )
        for picture, own, canvas in zip(pictures, labels, canvases, strict=True)
    ]


def first_part(prompt: str) -> str:
    """What stands before AND, without its weight."""
    indices, parts, _ = prompt_parser.get_multicond_prompt_list([prompt])
    return str(parts[indices[0][0][0]])


def end_columns(prompt: str, context: Tensor) -> tuple[int, ...]:
    """Where a text (L, D) that begins with a prompt's encoding has end tokens, the first of each chunk.

    The host makes a short text as long as its neighbors by the chunks of an empty one, or by repeating its
    last column, which ends nothing.
    """
    chunks = _chunks(prompt)
    ends = [CHUNK * n + chunk.index(_splitter().id_end) for n, chunk in enumerate(chunks)]
    for start in range(CHUNK * len(chunks), len(context) - 1, CHUNK):
        if not context[start].equal(context[start + 1]):
            ends.append(start + 1)
    return tuple(end for end in ends if end < len(context))


def columns(prompt: str, label: str) -> frozenset[int]:
    """Columns of a prompt's encoding in which a label stands, in singular or plural, wherever it does."""
    variants = [_splitter().tokenize([variant])[0] for variant in label_variants(label)]
    return frozenset(
        CHUNK * n + column for n, chunk in enumerate(_chunks(prompt)) for column in bind(chunk, variants)
    )


def _vectors(texts: Sequence[str], span: Span) -> dict[str, Tensor]:
    """The hidden state at each text's end token, (D,)."""
    ends = [_chunks(text)[0].index(_splitter().id_end) for text in texts]
    contexts = [timeline.entries[0].context for timeline in encode(texts, span, negative=False)]
    return {text: context[end] for text, context, end in zip(texts, contexts, ends, strict=True)}


def _plain(text: str, span: Span) -> str:
    """The words of a label in lower case, without emphasis; of a schedule, those at the first step."""
    now = schedule(text, span).at(0)
    if shared.opts.emphasis == "None":
        return now.translate(_SIGNS).lower().strip()
    parts = [part for part, weight in prompt_parser.parse_prompt_attention(now) if weight != -1]
    return "".join(parts).translate(_SIGNS).lower().strip()


def schedule(prompt: str, span: Span) -> Timeline[str]:
    """The words of a prompt by the steps up to which they hold."""
    found = prompt_parser.get_learned_conditioning_prompt_schedules(
        [prompt], span.steps, span.hires_steps, shared.opts.use_old_scheduling
    )
    return Timeline([(int(end), str(text)) for end, text in found[0]])


def _splitter() -> Any:
    """What splits a prompt into chunks; of the two text encoders of XL, which split alike, the first."""
    both = getattr(shared.sd_model, "conditioner", None)
    if both is None:
        return shared.sd_model.cond_stage_model
    return next(encoder for encoder in both.embedders if hasattr(encoder, "tokenize_line"))


def _chunks(prompt: str) -> list[list[int]]:
    return [chunk.tokens for chunk in _splitter().tokenize_line(prompt)[0]]
