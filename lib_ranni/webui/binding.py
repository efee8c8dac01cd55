"""The attention bias in the host: which columns of a prompt's encoding name an element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from modules import shared

from lib_ranni.guidance.attention_bias import AttentionBias, Named
from lib_ranni.panel.types import Element
from lib_ranni.sampling.schedules import NoiseSchedule
from lib_ranni.webui.encoding import Span
from lib_ranni.webui.labels import columns, first_part, schedule
from lib_ranni.webui.networks import split


class Binding:
    """Binds words of a batch's prompts to the elements of its pictures, for the model that is loaded now."""

    def __init__(
        self, prompts: Sequence[str], pictures: Sequence[Sequence[Element]], span: Span, strength: float
    ) -> None:
        self.bias = AttentionBias(strength, NoiseSchedule(shared.sd_model.alphas_cumprod).sigma)
        self._named = [
            schedule(first_part(prompt), span).map(partial(_named, elements))
            for prompt, elements in zip(prompts, pictures, strict=True)
        ]

    def named(self, image: int, step: int) -> Named:
        """For each element of a picture the columns that name it in the base text of a model call."""
        return self._named[image].at(step)


def _named(elements: Sequence[Element], words: str) -> Named:
    return tuple(columns(words, split(element)[0]) for element in elements)
