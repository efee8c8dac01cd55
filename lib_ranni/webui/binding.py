"""The attention bias in the host: which columns of a prompt's encoding name an element."""

from __future__ import annotations

from collections.abc import Sequence

from modules import shared

from lib_ranni.guidance.attention_bias import AttentionBias, Named
from lib_ranni.panel.types import Element
from lib_ranni.sampling.schedules import NoiseSchedule
from lib_ranni.webui.encoding import Span
from lib_ranni.webui.labels import columns, first_part, schedule
from lib_ranni.webui.networks import split


class Binding:
    """Binds words of a batch's prompts for the model that is loaded when it is made."""

    def __init__(self, prompts: Sequence[str], span: Span, strength: float) -> None:
        self.bias = AttentionBias(strength, NoiseSchedule(shared.sd_model.alphas_cumprod).sigma)
        self._schedules = [schedule(first_part(prompt), span) for prompt in prompts]
        self._named: dict[tuple[int, str], Named] = {}

    def named(self, image: int, step: int, elements: Sequence[Element]) -> Named:
        """For each element of a picture the columns that name it in the base text of a model call."""
        words = self._schedules[image].at(step)
        if (image, words) not in self._named:
            self._named[image, words] = tuple(columns(words, split(element)[0]) for element in elements)
        return self._named[image, words]
