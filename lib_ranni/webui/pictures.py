"""One picture of a batch: its elements as a pass sees them, with their texts encoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lib_ranni.guidance.texts import Text
from lib_ranni.panel.types import Element, Panel, with_fields
from lib_ranni.webui.encoding import Span, Timeline, encode, without_networks


class Picture(NamedTuple):
    """Elements back to front, and along with them their texts and their own negatives (None: the base's)."""

    elements: tuple[Element, ...]
    texts: tuple[Timeline, ...]
    negatives: tuple[Timeline | None, ...]

    def at(self, step: int) -> tuple[tuple[Text, ...], tuple[Text | None, ...]]:
        """The texts of a model call."""
        texts = tuple(timeline.at(step) for timeline in self.texts)
        return texts, tuple(None if timeline is None else timeline.at(step) for timeline in self.negatives)


def acting(panel: Panel, start: float, end: float) -> tuple[Element, ...]:
    """The panel's elements, each no longer than from `start` to `end`; those that never act are left out."""
    kept = []
    for element in panel.elements:
        first, last = max(start, element.start), min(end, element.end)
        if first < last:
            kept.append(with_fields(element, start=first, end=last))
    return tuple(kept)


def encode_pictures(
    panels: Sequence[tuple[Element, ...]], negatives: Sequence[str], span: Span
) -> list[Picture]:
    """The pictures of a batch; `negatives` are their negative prompts. Each text is encoded once."""
    own = [
        [_joined(negative, element.negative) if element.negative else None for element in elements]
        for elements, negative in zip(panels, negatives, strict=True)
    ]
    positive = _encoded([e.description for elements in panels for e in elements], span, negative=False)
    opposite = _encoded([text for texts in own for text in texts if text is not None], span, negative=True)
    return [
        Picture(
            elements,
            tuple(positive[element.description] for element in elements),
            tuple(None if text is None else opposite[text] for text in texts),
        )
        for elements, texts in zip(panels, own, strict=True)
    ]


def _encoded(texts: Sequence[str], span: Span, *, negative: bool) -> dict[str, Timeline]:
    distinct = list(dict.fromkeys(texts))
    plain = [without_networks(text)[0] for text in distinct]
    return dict(zip(distinct, encode(plain, span, negative=negative), strict=True))


def _joined(*prompts: str) -> str:
    return ", ".join(prompt for prompt in prompts if prompt.strip())
