"""Attention mode inside a running UNet: every cross-attention hears the regions' texts where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Arranged, Layout, arrange, make_layout, regional_attention
from lib_ranni.guidance.attention_bias import AttentionBias, Leaning, Named, biased_attention, leaning_columns
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.hooks import (
    OnError,
    Project,
    Site,
    UNetHooks,
    project,
    require_grid,
    runs,
    timestep_of,
)
from lib_ranni.guidance.texts import Grid, PanelTexts, Text, merged

_CONTEXTS = ("encoder_hidden_states", "context")


@dataclass(frozen=True, eq=False)
class _Plan:
    """What rows of one picture and side attend to on one grid; a base under a bias is not among `texts`."""

    texts: tuple[Text, ...]
    layout: Layout
    leaning: Leaning | None = None

    def is_only(self, text: Text) -> bool:
        """Whether every token attends to this text and to no other."""
        return self.leaning is None and len(self.texts) == 1 and self.texts[0] is text


class GuidanceSession(UNetHooks):
    """Owns attention mode's hooks for one generation.

    `panels` may be exchanged between two steps, when a prompt changes on its way, and with them `named`:
    which words of each base text the `bias` binds to the elements' boxes.
    """

    def __init__(
        self,
        unet: nn.Module,
        panels: Sequence[PanelTexts] = (),
        *,
        project: Project = project,
        on_error: OnError | None = None,
        bias: AttentionBias | None = None,
        named: Sequence[Named] = (),
    ) -> None:
        super().__init__(unet, panels, project, on_error)
        self.named: Sequence[Named] = tuple(named)
        self._bias = bias
        self._push = 0.0
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self._arranged: dict[tuple[Site, _Plan], Arranged] = {}

    def _forget(self) -> None:
        self._plans.clear()
        self._arranged.clear()

    def _begin_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._begin_call(module, args, kwargs)
        if self._bias is None or self._rows is None:
            return
        try:
            self._push = self._bias.push(timestep_of(args, kwargs))
        except Exception as error:
            if self._on_error is None:
                raise
            self._rows = None
            self._on_error(error)

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
        scale, heads = getattr(site.module, "scale", None), site.module.heads
        query = site.module.to_q(x)
        mixed = regional_attention(query, self._arranged[key], heads, scale)
        if (leaning := plan.leaning) is not None:
            keys = site.keys_of(leaning.text, x)
            base = biased_attention(query, keys, heads, leaning.columns, self._push, scale)
            mixed = mixed + leaning.share.to(base.dtype) * base
        return site.out(mixed)

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
            leaning = self._leaning(row, maps, distinct, site.grid, x)
            if leaning is not None:
                others = [n for n, text in enumerate(distinct) if text is not leaning.text]
                maps, distinct = maps[others], [distinct[n] for n in others]
            self._plans[key] = _Plan(tuple(distinct), make_layout(maps.flatten(1).to(x)), leaning)
        plan = self._plans[key]
        if plan.is_only(row.text):
            return None
        require_grid(site.grid, x.shape[1])
        return plan

    def _leaning(
        self, row: Row, maps: Tensor, texts: Sequence[Text], grid: Grid, x: Tensor
    ) -> Leaning | None:
        """The base's part of a plan if the bias binds any of its words; `maps` (texts, h, w) are shares."""
        panel, active = self.panels[row.image], self._active[row.image]
        if self._bias is None or row.negative or panel.base not in texts or row.image >= len(self.named):
            return None
        columns = leaning_columns(panel, active, self.named[row.image], grid, self._latent)
        if not bool(columns.any()):
            return None
        share = maps[list(texts).index(panel.base)].flatten()[:, None]
        return Leaning(panel.base, share.to(x), columns.to(x))
