"""How a panel becomes rows of the denoiser's batch, and how its predictions become one.

A guide says which conditioned rows a step needs and combines their predictions. It knows no model: the
host runs the rows. All predictions may be epsilon, v, or denoised pictures alike, since the mixes are
affine.

    plain       D = U + s (B - U)                              one negative and one base row a picture
    attention   the same rows; regions are mixed inside the cross-attention by a `GuidanceSession`
    latent      D = sum over i of W_i (U_i + s (D_i - U_i))    one row for the base and for each region
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lib_ranni.guidance.texts import Grid, PanelTexts, Text

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
            return predictions
        negative, positive = predictions.chunk(2)
        return negative + self.scale * (positive - negative)


class LatentGuide:
    """Mixes predictions: each region is denoised under its own text, and the maps blend them."""

    def __init__(self, panels: Sequence[PanelTexts], scale: float) -> None:
        self.panels = tuple(panels)
        self.scale = scale
        self._maps: dict[tuple[int, tuple[int, ...], Grid], Tensor] = {}

    def _shares(self, image: int, progress: float, latent: Grid) -> tuple[Tensor, list[Text], list[Text]]:
        """Maps, texts and negatives of one picture, without those that act nowhere."""
        panel = self.panels[image]
        active = panel.active(progress)
        key = (image, active, latent)
        if key not in self._maps:
            self._maps[key] = panel.maps(active, latent, latent)
        maps = self._maps[key]
        acting = [n for n, share in enumerate(maps) if bool((share > 0).any())]
        positives, opposites = panel.positives(active), panel.opposites(active)
        return maps[acting], [positives[n] for n in acting], [opposites[n] for n in acting]

    def rows(self, progress: float, latent: Grid) -> list[Row]:
        """The rows a step needs: each different negative once, then each text that acts somewhere."""
        rows = []
        for image in range(len(self.panels)):
            _, texts, negatives = self._shares(image, progress, latent)
            if self.scale != 1:
                rows += [Row(image, text, True) for text in dict.fromkeys(negatives)]
            rows += [Row(image, text, False) for text in texts]
        return rows

    def combine(self, predictions: Tensor, progress: float) -> Tensor:
        """(rows, C, h, w) in the order of `rows` to (pictures, C, h, w)."""
        latent = (predictions.shape[-2], predictions.shape[-1])
        combined, start = [], 0
        for image in range(len(self.panels)):
            maps, texts, negatives = self._shares(image, progress, latent)
            weight = maps[:, None].to(predictions)
            distinct = list(dict.fromkeys(negatives)) if self.scale != 1 else []
            middle, end = start + len(distinct), start + len(distinct) + len(texts)
            positive = predictions[middle:end]
            if distinct:
                rows = [start + distinct.index(text) for text in negatives]
                negative = predictions[rows]
                positive = negative + self.scale * (positive - negative)
            combined.append((weight * positive).sum(0))
            start = end
        return torch.stack(combined)


Guide = PlainGuide | LatentGuide


def make_guide(mode: Mode, panels: Sequence[PanelTexts], scale: float) -> Guide:
    """The guide of a mode. In attention mode, also open a `GuidanceSession` around the sampling."""
    return LatentGuide(panels, scale) if mode == "latent" else PlainGuide(panels, scale)
