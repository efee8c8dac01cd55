"""The pictures of a batch as guidance sees them: their elements' texts with the host's own for the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing
from lib_ranni.webui.binding import Binding
from lib_ranni.webui.denoising import same_context, unmarked
from lib_ranni.webui.networks import ElementNetworks, Loras
from lib_ranni.webui.pictures import Picture

_MOST_BASES = 16
"""Different base texts of one picture and side that are kept apart; a schedule has a few."""


class BatchTexts:
    """Gives the same objects as long as the content stays the same, so that what is made of them is kept."""

    def __init__(self, pictures: Sequence[Picture], mixing: Mixing, networks: ElementNetworks) -> None:
        self.networks = networks
        self.loras: dict[Text, Loras] = {}
        for picture in pictures:
            self.loras.update(picture.loras_of_texts())
        self.step = 0
        self.binding: Binding | None = None
        self._pictures = pictures
        self._mixing = mixing
        self._bases: dict[tuple[int, bool], list[Text]] = {}
        self._panels: dict[tuple[Any, ...], PanelTexts] = {}

    def __len__(self) -> int:
        return len(self._pictures)

    def base(self, image: int, negative: bool, context: Tensor) -> Text:
        """The host's text of a row, (L, D)."""
        context = unmarked(context)
        known = self._bases.setdefault((image, negative), [])
        for text in known:
            if same_context(text.context, context):
                return text
        known.append(Text(context.clone()))
        del known[:-_MOST_BASES]
        return known[-1]

    def panel(self, image: int, base: Text, base_negative: Text) -> PanelTexts:
        """A picture with the texts of the current step."""
        picture = self._pictures[image]
        texts, negatives = picture.at(self.step)
        key = (image, base, base_negative, texts, negatives)
        if key not in self._panels:
            elements = picture.elements
            self._panels[key] = PanelTexts(elements, texts, negatives, base, base_negative, self._mixing)
        return self._panels[key]
