"""One picture of a batch: its elements as a pass sees them, with their texts encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lib_ranni.guidance.texts import Text
from lib_ranni.panel.types import Element
from lib_ranni.webui.encoding import Span, Timeline, encode
from lib_ranni.webui.networks import ElementNetworks, Loras, split


class Picture(NamedTuple):
    """Elements back to front, and along with them their texts, own negatives (None: the base's) and LoRAs."""

    elements: tuple[Element, ...]
    texts: tuple[Timeline[Text], ...]
    negatives: tuple[Timeline[Text] | None, ...]
    loras: tuple[Loras, ...]

    def at(self, step: int) -> tuple[tuple[Text, ...], tuple[Text | None, ...]]:
        """The texts of a model call."""
        texts = tuple(timeline.at(step) for timeline in self.texts)
        return texts, tuple(None if timeline is None else timeline.at(step) for timeline in self.negatives)

    def loras_of_texts(self) -> dict[Text, Loras]:
        """Which LoRAs act on a text, and on its own rows; texts without any are left out."""
        found = {}
        for timelines in (self.texts, self.negatives):
            for timeline, loras in zip(timelines, self.loras, strict=True):
                if timeline is not None and loras:
                    found.update(dict.fromkeys(timeline.entries, loras))
        return found


class _Wanted(NamedTuple):
    """A text to encode: its words, its side, and the LoRAs whose text encoder it is for."""

    words: str
    negative: bool
    loras: Loras


def encode_pictures(
    panels: Sequence[tuple[Element, ...]], negatives: Sequence[str], span: Span, networks: ElementNetworks
) -> list[Picture]:
    """The pictures of a batch; `negatives` are their negative prompts. Each text is encoded once.

    A LoRA changes what the negative predicts as well, so an element with one always has its own.
    """
    plans = []
    for elements, negative in zip(panels, negatives, strict=True):
        texts, opposites = [], []
        for element in elements:
            words, loras = split(element)
            texts.append(_Wanted(words, False, loras))
            own = _joined(negative, element.negative) if element.negative or loras else None
            opposites.append(None if own is None else _Wanted(own, True, loras))
        plans.append((elements, texts, opposites))
    every = [wanted for _, texts, opposites in plans for wanted in (*texts, *opposites) if wanted is not None]
    made = _encoded(list(dict.fromkeys(every)), span, networks)
    return [
        Picture(
            elements,
            tuple(made[wanted] for wanted in texts),
            tuple(None if wanted is None else made[wanted] for wanted in opposites),
            tuple(wanted.loras for wanted in texts),
        )
        for elements, texts, opposites in plans
    ]


def _encoded(
    wanted: Sequence[_Wanted], span: Span, networks: ElementNetworks
) -> dict[_Wanted, Timeline[Text]]:
    made: dict[_Wanted, Timeline[Text]] = {}
    for loras in dict.fromkeys(text.loras for text in wanted):
        with networks.added(loras):
            for negative in (False, True):
                same = [text for text in wanted if text.loras == loras and text.negative is negative]
                timelines = encode([text.words for text in same], span, negative=negative)
                made.update(zip(same, timelines, strict=True))
    return made


def _joined(*prompts: str) -> str:
    return ", ".join(prompt for prompt in prompts if prompt.strip())
