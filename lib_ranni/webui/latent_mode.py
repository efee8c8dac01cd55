"""Latent mode in the host: rows of our own are run, and mixed into those the host combines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.guides import LatentGuide, Row
from lib_ranni.guidance.texts import Text
from lib_ranni.webui.batch_texts import BatchTexts
from lib_ranni.webui.denoising import Predictor, contexts_of
from lib_ranni.webui.rows import Role, StepRows

_GUIDED, _UNGUIDED = 2.0, 1.0
"""Scales for a `LatentGuide` here: it only mixes, and asks for negatives or not; the host has the scale."""


class LatentMode:
    """Puts the mixed predictions where the host looks for those of the base and of its negative.

    Whatever combines them, the host or an extension in its place, then does so with ours.
    """

    def __init__(self, texts: BatchTexts) -> None:
        self._texts = texts
        self._guides: dict[tuple[Any, ...], LatentGuide] = {}
        self._progress = 0.0
        self._predictor: Predictor | None = None
        self._stand_ins: dict[int, Text] = {}

    def close(self) -> None:
        """Nothing to take away."""

    def begin_step(self, params: Any, rows: StepRows, progress: float) -> None:
        """The rows are assembled. Where a base acts nowhere, its row computes the first region instead."""
        self._progress = progress
        loras, networks = self._texts.loras, self._texts.networks
        self._predictor = predictor = Predictor(params, rows.images, loras, networks)
        self._panels = tuple(
            self._texts.panel(
                image,
                self._texts.base(image, False, contexts_of(params.text_cond)[rows.base(image)]),
                self._texts.base(image, True, contexts_of(params.text_uncond)[image]),
            )
            for image in range(rows.images)
        )
        self._stand_ins = {}
        asked = self._guide(_UNGUIDED).rows(progress, (params.x.shape[-2], params.x.shape[-1]))
        for image, panel in enumerate(self._panels):
            texts = [row.text for row in asked if row.image == image]
            if panel.base not in texts and predictor.replace(rows.base(image), texts[0]):
                self._stand_ins[image] = texts[0]

    def begin_call(self, roles: Sequence[Role], x: Tensor, cond: Any) -> None:
        """Nothing: the host's rows run as they are."""

    @property
    def running(self) -> tuple[Row, ...]:
        """The rows of our own that the model is being called with; none while it is the host's turn."""
        return self._predictor.running if self._predictor is not None else ()

    def end_step(self, x_out: Tensor, rows: StepRows) -> None:
        """Run the rows that are missing, and mix; `x_out` (rows, C, h, w) is changed in place."""
        if self._predictor is None:
            raise GuidanceError("a step ended that had not begun; please report this")
        guide = self._guide(_UNGUIDED if rows.skipped_negatives else _GUIDED)
        known: dict[tuple[int, bool, Text], Tensor] = {}
        for image, panel in enumerate(self._panels):
            known[image, False, self._stand_ins.get(image, panel.base)] = x_out[rows.base(image)]
            known[image, True, panel.base_negative] = x_out[rows.negative(image)]
        asked = guide.rows(self._progress, (x_out.shape[-2], x_out.shape[-1]))
        missing = [row for row in asked if (row.image, row.negative, row.text) not in known]
        answers = self._predictor.run(missing, [rows.base(row.image) for row in missing])
        for row, answer in zip(missing, answers, strict=True):
            known[row.image, row.negative, row.text] = answer
        together = torch.stack([known[row.image, row.negative, row.text] for row in asked])
        negative, positive = guide.mix(together, self._progress)
        for image in range(rows.images):
            x_out[rows.base(image)] = positive[image]
            x_out[rows.negative(image)] = negative[image]

    def _guide(self, scale: float) -> LatentGuide:
        key = (self._panels, scale)
        if key not in self._guides:
            self._guides[key] = LatentGuide(self._panels, scale)
        return self._guides[key]
