"""A panel as the denoiser sees it: its elements with their encoded texts, one record per picture."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel.types import Element

Grid = tuple[int, int]
"""(rows, columns) of a grid of cells."""

_Source = TypeVar("_Source", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Text:
    """An encoded text: `context` (L, D), and for SDXL `pooled` (P,). Compared by identity."""

    context: Tensor
    pooled: Tensor | None = None


@dataclass(frozen=True, eq=False)
class PanelTexts:
    """What guidance needs of one picture's panel.

    `texts` and `negatives` run along `elements` (back to front); a negative of None means the base's.
    """

    elements: tuple[Element, ...]
    texts: tuple[Text, ...]
    negatives: tuple[Text | None, ...]
    base: Text
    base_negative: Text
    mixing: Mixing

    def __post_init__(self) -> None:
        if not len(self.elements) == len(self.texts) == len(self.negatives):
            raise GuidanceError(
                f"{len(self.elements)} elements need as many texts and negatives, "
                f"not {len(self.texts)} and {len(self.negatives)}"
            )

    def active(self, progress: float) -> tuple[int, ...]:
        """Indices of the elements that act at `progress`, the share of sampling steps already done.

        An element whose end is 1 acts to the very end, also for hosts that call the last step 1.
        """
        return tuple(
            index
            for index, element in enumerate(self.elements)
            if element.start <= progress
            and (progress < element.end or element.end == 1)
            and element.weight > 0
        )

    def maps(self, active: tuple[int, ...], grid: Grid, latent: Grid) -> Tensor:
        """(1 + len(active), h, w): shares of the base and of the active elements; they sum to 1."""
        if not active:
            return torch.ones(1, *grid)
        return weight_maps([self.elements[i] for i in active], self.mixing, grid, latent)

    def positives(self, active: tuple[int, ...]) -> list[Text]:
        """The base's text and those of the active elements, in the order of `maps`."""
        return [self.base, *(self.texts[i] for i in active)]

    def opposites(self, active: tuple[int, ...]) -> list[Text]:
        """The negative text of the base and of each active element, in the order of `maps`."""
        own = (self.negatives[i] for i in active)
        return [self.base_negative, *(self.base_negative if n is None else n for n in own)]


def merged(maps: Tensor, sources: Sequence[_Source]) -> tuple[Tensor, list[_Source]]:
    """Add up the maps (n, h, w) of equal sources and drop those that act nowhere.

    Returns (m, h, w) and the m sources, in order of first appearance.
    """
    distinct = list(dict.fromkeys(sources))
    place = torch.tensor([distinct.index(source) for source in sources], device=maps.device)
    total = maps.new_zeros(len(distinct), *maps.shape[1:]).index_add_(0, place, maps)
    total[total > 1 - 1e-6] = 1.0  # sums of shares that mean all, such as 0.2 + 0.8
    acting = [n for n, share in enumerate(total) if bool((share > 0).any())]
    return total[acting], [distinct[n] for n in acting]
