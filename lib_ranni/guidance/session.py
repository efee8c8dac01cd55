"""Attention mode inside a running UNet: every cross-attention hears the regions' texts where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Arranged, Layout, arrange, make_layout, regional_attention
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.hooks import OnError, Project, Site, UNetHooks, project, require_grid, runs
from lib_ranni.guidance.texts import PanelTexts, Text, merged

_CONTEXTS = ("encoder_hidden_states", "context")


@dataclass(frozen=True, eq=False)
class _Plan:
    """What rows of one picture and side attend to on one grid."""

    texts: tuple[Text, ...]
    layout: Layout

    def is_only(self, text: Text) -> bool:
        """Whether every token attends to this text and to no other."""
        return len(self.texts) == 1 and self.texts[0] is text


class GuidanceSession(UNetHooks):
    """Owns attention mode's hooks for one generation.

    `panels` may be exchanged between two steps, when a prompt changes on its way.
    """

    def __init__(
        self,
        unet: nn.Module,
        panels: Sequence[PanelTexts] = (),
        *,
        project: Project = project,
        on_error: OnError | None = None,
    ) -> None:
        super().__init__(unet, panels, project, on_error)
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self._arranged: dict[tuple[Site, _Plan], Arranged] = {}

    def _forget(self) -> None:
        self._plans.clear()
        self._arranged.clear()

    def _attend(
        self,
        site: Site,
        rows: Sequence[Row | None],
        x: Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        context = args[0] if args else next((kwargs[name] for name in _CONTEXTS if name in kwargs), None)
        if context is None:
            return site.original(x, *args, **kwargs)
        self._require_announced(len(x), rows)
        plans = [None if row is None else self._plan(row, site, x) for row in rows]
        if not any(plans):
            return site.original(x, *args, **kwargs)
        if not isinstance(context, Tensor):
            raise GuidanceError(
                "attention mode cannot be combined with image prompts (IP-Adapter); use latent mode"
            )
        parts = []
        for plan, start, end in runs(plans):
            if plan is None:
                parts.append(site.as_it_was(x, args, kwargs, start, end))
            else:
                parts.append(self._planned(site, plan, x[start:end]))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _planned(self, site: Site, plan: _Plan, x: Tensor) -> Tensor:
        """What a module answers to (B, N, C) tokens when they attend as planned."""
        key = (site, plan)
        if key not in self._arranged:
            self._arranged[key] = arrange([site.keys_of(text, x) for text in plan.texts], plan.layout)
        scale = getattr(site.module, "scale", None)
        query = site.module.to_q(x)
        return site.out(regional_attention(query, self._arranged[key], site.module.heads, scale))

    def _plan(self, row: Row, site: Site, x: Tensor) -> _Plan | None:
        """What a row attends to, made once for all layers and steps that share it; None: only its text."""
        panel, active = self.panels[row.image], self._active[row.image]
        if not active:
            return None
        key = (panel, row.negative, active, site.grid, self._latent, x.device, x.dtype)
        if key not in self._plans:
            require_grid(site.grid, x.shape[1])
            texts = panel.opposites(active) if row.negative else panel.positives(active)
            maps, distinct = merged(panel.maps(active, site.grid, self._latent), texts)
            self._plans[key] = _Plan(tuple(distinct), make_layout(maps.flatten(1).to(x)))
        plan = self._plans[key]
        if plan.is_only(row.text):
            return None
        require_grid(site.grid, x.shape[1])
        return plan
