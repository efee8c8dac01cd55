"""The attention bias in the host: which columns of a prompt's encoding name an element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modules import prompt_parser, shared

from lib_ranni.guidance.attention_bias import AttentionBias, Named
from lib_ranni.guidance.local_mask import bind, label_variants
from lib_ranni.panel.types import Element
from lib_ranni.sampling.schedules import NoiseSchedule
from lib_ranni.webui.encoding import Span
from lib_ranni.webui.networks import split

_CHUNK = 77


class Binding:
    """Binds words of a batch's prompts to the elements of its pictures, for the model that is loaded now."""

    def __init__(
        self, prompts: Sequence[str], pictures: Sequence[Sequence[Element]], span: Span, strength: float
    ) -> None:
        self.bias = AttentionBias(strength, NoiseSchedule(shared.sd_model.alphas_cumprod).sigma)
        self._named = [
            [(end, _named(words, elements)) for end, words in _schedule(first_part(prompt), span)]
            for prompt, elements in zip(prompts, pictures, strict=True)
        ]

    def named(self, image: int, step: int) -> Named:
        """For each element of a picture the columns that name it in the base text of a model call."""
        entries = self._named[image]
        return next((named for end, named in entries if step <= end), entries[0][1])


def first_part(prompt: str) -> str:
    """What stands before AND, without its weight."""
    indices, parts, _ = prompt_parser.get_multicond_prompt_list([prompt])
    return str(parts[indices[0][0][0]])


def columns(prompt: str, label: str) -> frozenset[int]:
    """Columns of a prompt's encoding in which a label stands, in singular or plural, wherever it does."""
    splitter = _splitter()
    variants = [splitter.tokenize([variant])[0] for variant in label_variants(label)]
    chunks = [chunk.tokens for chunk in splitter.tokenize_line(prompt)[0]]
    return frozenset(
        _CHUNK * n + column for n, chunk in enumerate(chunks) for column in bind(chunk, variants)
    )


def _named(words: str, elements: Sequence[Element]) -> Named:
    return tuple(columns(words, split(element)[0]) for element in elements)


def _schedule(prompt: str, span: Span) -> list[tuple[int, str]]:
    found = prompt_parser.get_learned_conditioning_prompt_schedules(
        [prompt], span.steps, span.hires_steps, shared.opts.use_old_scheduling
    )
    return [(int(end), str(text)) for end, text in found[0]]


def _splitter() -> Any:
    """What splits a prompt into chunks; of the two text encoders of XL, which split alike, the first."""
    both = getattr(shared.sd_model, "conditioner", None)
    if both is None:
        return shared.sd_model.cond_stage_model
    return next(encoder for encoder in both.embedders if hasattr(encoder, "tokenize_line"))
