"""Panel control in the host: the rows of each UNet call are announced to a session of its own.

It goes beside attention and latent mode, or stands alone and then binds words to boxes as well. The first
part of a prompt with AND is conditioned; the other parts are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.panel_control import PanelConditioner
from lib_ranni.guidance.panel_session import Control, PanelControlSession, PanelLabels
from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing
from lib_ranni.webui.attention_mode import host_keys
from lib_ranni.webui.batch_texts import BatchTexts
from lib_ranni.webui.denoising import contexts_of
from lib_ranni.webui.labels import Labeled, columns, end_columns
from lib_ranni.webui.neighbors import require_own_unet
from lib_ranni.webui.rows import Role, StepRows


class PanelMode:
    """Hooks the loaded model until it is closed. Only with `masks` it changes cross-attentions too."""

    def __init__(
        self,
        model: Any,
        conditioner: PanelConditioner,
        texts: BatchTexts,
        pictures: Sequence[Labeled],
        control: Control,
        *,
        masks: bool,
        on_error: Callable[[Exception], None],
    ) -> None:
        require_own_unet()
        self._texts = texts
        self._pictures = tuple(pictures)
        self._masks = masks
        self._step, self._progress = 0, 0.0
        self._silent = Text(pictures[0].canvas[None])
        self._heard: dict[tuple[int, bool], Text] = {}
        self._labels: dict[tuple[int, Text, Text], PanelLabels] = {}
        unet = model.model.diffusion_model
        first = [self._labels_of(image) for image in range(len(pictures))]
        self._session = PanelControlSession(
            unet, conditioner, first, control, masks=masks, project=host_keys, on_error=on_error
        )
        self._session.__enter__()

    def close(self) -> None:
        """Take the hooks away."""
        self._session.__exit__(None, None, None)

    def begin_step(self, params: Any, rows: StepRows, progress: float) -> None:
        """The calls of a step follow."""
        self._step, self._progress = params.denoiser.step, progress

    def begin_call(self, roles: Sequence[Role], x: Tensor, cond: Any) -> None:
        """A call with these rows of the host follows."""
        contexts = contexts_of(cond) if self._masks else [None] * len(roles)
        rows = [self._row(role, context) for role, context in zip(roles, contexts, strict=True)]
        if self._masks:
            self._session.exchange([self._labels_of(image) for image in range(len(self._pictures))])
        self._announce(rows, x)

    def begin_own_call(self, rows: Sequence[Row], x: Tensor) -> None:
        """A call with these rows of latent mode follows; a region's has its whole picture's panel."""
        self._announce(rows, x)

    def _announce(self, rows: Sequence[Row | None], x: Tensor) -> None:
        self._session.assign(rows, self._progress, (x.shape[-2], x.shape[-1]))

    def _row(self, role: Role, context: Tensor | None) -> Row | None:
        if role.part > 0:
            return None
        text = self._silent
        if context is not None:
            text = self._texts.base(role.image, role.negative, context)
            self._heard[role.image, role.negative] = text
        return Row(role.image, text, role.negative)

    def _labels_of(self, image: int) -> PanelLabels:
        """A picture with the texts its rows have now, and where in them its labels and end tokens stand."""
        base, negative = (self._heard.get((image, side), self._silent) for side in (False, True))
        key = (image, base, negative)
        if key not in self._labels:
            self._labels[key] = self._made(self._pictures[image], base, negative)
        return self._labels[key]

    def _made(self, picture: Labeled, base: Text, negative: Text) -> PanelLabels:
        count = len(picture.elements)
        panel = PanelTexts(picture.elements, (base,) * count, (None,) * count, base, negative, Mixing())
        said = picture.prompt.at(self._step)
        known = base is not self._silent
        ends = {
            text: end_columns(words, text.context)
            for text, words in ((base, said), (negative, picture.negative.at(self._step)))
            if text is not self._silent
        }
        found = tuple(columns(said, label) for label in picture.labels) if known else ()
        return PanelLabels(panel, picture.vectors, picture.canvas, found, ends)
