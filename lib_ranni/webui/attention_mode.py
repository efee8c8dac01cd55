"""Attention mode in the host: the rows of each UNet call are announced to a guidance session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modules import shared
from modules.hypernetworks import hypernetwork
from torch import Tensor

from lib_ranni.guidance.attention import Keys
from lib_ranni.guidance.attention_bias import Named
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.webui.batch_texts import BatchTexts
from lib_ranni.webui.denoising import contexts_of
from lib_ranni.webui.neighbors import require_own_unet
from lib_ranni.webui.rows import Role, StepRows


def host_keys(module: Any, text: Text, context: Tensor) -> Keys:
    """Key and value of a text (1, L, D) as the host's own attention has them, hypernetworks included."""
    for_key, for_value = hypernetwork.apply_hypernetworks(shared.loaded_hypernetworks, context, module)
    return Keys(module.to_k(for_key), module.to_v(for_value))


class AttentionMode:
    """Hooks the loaded model until it is closed."""

    def __init__(self, model: Any, texts: BatchTexts, on_error: Callable[[Exception], None]) -> None:
        require_own_unet()
        self._texts = texts
        self._progress = 0.0
        unet = model.model.diffusion_model
        bias = None if texts.binding is None else texts.binding.bias
        self._session = GuidanceSession(unet, project=self._keys, on_error=on_error, bias=bias)
        self._session.__enter__()

    def close(self) -> None:
        """Take the hooks away."""
        self._session.__exit__(None, None, None)

    def begin_step(self, params: Any, rows: StepRows, progress: float) -> None:
        """The calls of a step follow."""
        self._progress = progress

    def begin_call(self, roles: Sequence[Role], x: Tensor, cond: Any) -> None:
        """A call with these rows follows; parts after the first act everywhere and are left alone."""
        binding, named = self._texts.binding, list[Named]()
        panels: list[PanelTexts] = []
        rows: list[Row | None] = []
        for role, context in zip(roles, contexts_of(cond), strict=True):
            if role.part > 0:
                rows.append(None)
                continue
            text = self._texts.base(role.image, role.negative, context)
            rows.append(Row(len(panels), text, role.negative))
            panels.append(self._texts.panel(role.image, text, text))
            if binding is not None:
                named.append(binding.named(role.image, self._texts.step))
        self._session.panels, self._session.named = panels, named
        self._session.assign(rows, self._progress, (x.shape[-2], x.shape[-1]))

    def end_step(self, x_out: Tensor, rows: StepRows) -> None:
        """Nothing: the mix happened inside the UNet."""

    def _keys(self, module: Any, text: Text, context: Tensor) -> Keys:
        """With the LoRAs of the text's element."""
        with self._texts.networks.added(self._texts.loras.get(text, ())):
            return host_keys(module, text, context)
