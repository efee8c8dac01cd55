"""How a panel becomes rows of the denoiser's batch, and how its predictions become one.

A guide says which conditioned rows a step needs and combines their predictions. It knows no model: the
host runs the rows. All predictions may be epsilon, v, or denoised pictures alike, since the mixes are
affine.

    plain       D = U + s (B - U)                              one negative and one base row a picture
    attention   the same rows; regions are mixed inside the cross-attention by a `GuidanceSession`
    latent      D = U' + s (D' - U'), D' = sum over i of W_i D_i, U' = sum over i of W_i U_i
                                                               one row for the base and for each region
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.texts import Grid, PanelTexts, Text, merged

Mode = Literal["plain", "attention", "latent"]


class Row(NamedTuple):
    """One row of the denoiser's batch: which picture it belongs to, its text, and which side it is on."""

    image: int
    text: Text
    negative: bool


class PlainGuide:
    """Classifier-free guidance with the base texts; also the rows of attention mode."""

    def __init__(self, panels: Sequence[PanelTexts], scale: float) -> None:
        self.panels = tuple(panels)
        self.scale = scale

    def rows(self, progress: float, latent: Grid) -> list[Row]:
        """The rows a step needs: all negative rows (none at scale 1), then the others."""
        positive = [Row(image, panel.base, False) for image, panel in enumerate(self.panels)]
        if self.scale == 1:
            return positive
        return [Row(image, panel.base_negative, True) for image, panel in enumerate(self.panels)] + positive

    def combine(self, predictions: Tensor, progress: float) -> Tensor:
        """(rows, C, h, w) in the order of `rows` to (pictures, C, h, w)."""
        if self.scale == 1:
            _require_rows(len(predictions), len(self.panels))
            return predictions
        _require_rows(len(predictions), 2 * len(self.panels))
        negative, positive = predictions.chunk(2)
        return negative + self.scale * (positive - negative)


class _Blend(NamedTuple):
    """How one picture is mixed: maps (n, h, w), and the text and the negative of each."""

    maps: Tensor
    texts: tuple[Text, ...]
    negatives: tuple[Text, ...]

    @property
    def distinct_negatives(self) -> list[Text]:
        return list(dict.fromkeys(self.negatives))


class LatentGuide:
    """Mixes predictions: each region is denoised under its own text, and the maps blend them."""

    def __init__(self, panels: Sequence[PanelTexts], scale: float) -> None:
        self.panels = tuple(panels)
        self.scale = scale
        self._blends: dict[tuple[PanelTexts, tuple[int, ...], Grid], _Blend] = {}

    def rows(self, progress: float, latent: Grid) -> list[Row]:
        """The rows a step needs: each different negative once, then each text that acts somewhere."""
        rows = []
        for image, panel in enumerate(self.panels):
            blend = self._blend(panel, progress, latent)
            if self.scale != 1:
                rows += [Row(image, text, True) for text in blend.distinct_negatives]
            rows += [Row(image, text, False) for text in blend.texts]
        return rows

    def combine(self, predictions: Tensor, progress: float) -> Tensor:
        """(rows, C, h, w) in the order of `rows` to (pictures, C, h, w)."""
        negative, positive = self.mix(predictions, progress)
        return positive if self.scale == 1 else negative + self.scale * (positive - negative)

    def mix(self, predictions: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """The rows' predictions as a negative and a positive one for each picture, (pictures, C, h, w) each.

        At scale 1, where no negative rows are, both are the positive one.
        """
        latent = (predictions.shape[-2], predictions.shape[-1])
        blends = [self._blend(panel, progress, latent) for panel in self.panels]
        sizes = [self._size(blend) for blend in blends]
        _require_rows(len(predictions), sum(sizes))
        ends = list(accumulate(sizes))
        pairs = [
            self._mix(blend, predictions[end - size : end])
            for blend, size, end in zip(blends, sizes, ends, strict=True)
        ]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])

    def _size(self, blend: _Blend) -> int:
        return len(blend.texts) + (len(blend.distinct_negatives) if self.scale != 1 else 0)

    def _mix(self, blend: _Blend, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """(rows of one picture, C, h, w) to its negative and positive prediction, (C, h, w) each."""
        weight = blend.maps[:, None].to(predictions)
        if self.scale == 1:
            positive = (weight * predictions).sum(0)
            return positive, positive
        distinct = blend.distinct_negatives
        positive = (weight * predictions[len(distinct) :]).sum(0)
        if len(distinct) == 1:
            return predictions[0], positive
        negative = predictions[[distinct.index(text) for text in blend.negatives]]
        return (weight * negative).sum(0), positive

    def _blend(self, panel: PanelTexts, progress: float, latent: Grid) -> _Blend:
        """Maps, texts and negatives of one picture, without those that act nowhere."""
        active = panel.active(progress)
        key = (panel, active, latent)
        if key not in self._blends:
            pairs = list(zip(panel.positives(active), panel.opposites(active), strict=True))
            maps, acting = merged(panel.maps(active, latent, latent), pairs)
            texts, negatives = zip(*acting, strict=True)
            self._blends[key] = _Blend(maps, texts, negatives)
        return self._blends[key]


def _require_rows(given: int, expected: int) -> None:
    if given != expected:
        raise GuidanceError(f"{given} predictions were given to combine, this step has {expected} rows")


Guide = PlainGuide | LatentGuide


def make_guide(mode: Mode, panels: Sequence[PanelTexts], scale: float) -> Guide:
    """The guide of a mode. In attention mode, also open a `GuidanceSession` around the sampling."""
    return LatentGuide(panels, scale) if mode == "latent" else PlainGuide(panels, scale)
