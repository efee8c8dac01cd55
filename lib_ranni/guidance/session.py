"""Attention mode inside a running UNet: hooks on every cross-attention, owned and given back.

Works on any UNet whose transformer blocks have an `attn2` with `to_q`, `to_k`, `to_v`, `to_out` and
`heads`: diffusers', latent-diffusion's and SDXL's alike. The host says before each call which picture
and which side each row of the batch is (`assign`); nothing is guessed from shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Keys, Patch, patches, regional_attention
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.texts import Grid, PanelTexts, Text

_PARTS = ("to_q", "to_k", "to_v", "to_out", "heads")


@dataclass(eq=False)
class _Site:
    """One cross-attention module and what is remembered of it."""

    module: nn.Module
    owner: nn.Module
    original: Callable[..., Tensor]
    had_own_forward: bool
    hook: Callable[..., Tensor] | None = None
    grid: Grid = (0, 0)
    keys: dict[Text, Keys] = field(default_factory=dict)

    @torch.no_grad()
    def keys_of(self, text: Text, like: Tensor) -> Keys:
        """Key and value of a text, projected once for as long as the session lasts."""
        if text not in self.keys:
            context = text.context[None].to(like)
            self.keys[text] = Keys(self.module.to_k(context), self.module.to_v(context))
        return self.keys[text]

    def out(self, x: Tensor) -> Tensor:
        """The output projection, be it a Sequential or a list of layers."""
        for layer in self.module.to_out:  # type: ignore[union-attr]
            x = layer(x)
        return x


def find_sites(unet: nn.Module) -> list[_Site]:
    """Every cross-attention of a UNet, in its order."""
    sites = []
    for name, module in unet.named_modules():
        if name.rsplit(".", 1)[-1] != "attn2" or not all(hasattr(module, part) for part in _PARTS):
            continue
        owner = unet.get_submodule(name.rsplit(".transformer_blocks.", 1)[0])
        sites.append(_Site(module, owner, module.forward, "forward" in module.__dict__))
    if not sites:
        raise GuidanceError(
            "this model has no cross-attention that can be guided (only UNets of Stable Diffusion 1, 2 "
            "and XL have); use --mode latent or another checkpoint"
        )
    return sites


class GuidanceSession:
    """Owns the hooks of one generation: installed on entry, removed on exit, whatever happens between."""

    def __init__(self, unet: nn.Module, panels: Sequence[PanelTexts]) -> None:
        self._unet = unet
        self._panels = tuple(panels)
        self._sites: list[_Site] = []
        self._handles: list[Any] = []
        self._rows: tuple[Row, ...] | None = None
        self._active: dict[int, tuple[int, ...]] = {}
        self._latent: Grid = (0, 0)
        self._layouts: dict[tuple[Any, ...], list[Patch]] = {}

    def __enter__(self) -> GuidanceSession:
        self._sites = find_sites(self._unet)
        try:
            self._handles.append(self._unet.register_forward_pre_hook(self._see_latent, with_kwargs=True))
            for site in self._sites:
                self._install(site)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def assign(self, rows: Sequence[Row], progress: float) -> None:
        """Say what the rows of the next UNet call are, and how much of the sampling is done (0..1)."""
        self._rows = tuple(rows)
        self._active = {row.image: self._panels[row.image].active(progress) for row in self._rows}

    def _install(self, site: _Site) -> None:
        def hook(x: Tensor, context: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
            return self._forward(site, x, context, *args, **kwargs)

        def see_grid(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            site.grid = tuple(_first(args, kwargs).shape[-2:])

        site.hook = hook
        site.module.forward = hook
        self._handles.append(site.owner.register_forward_pre_hook(see_grid, with_kwargs=True))

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        for site in self._sites:
            if site.module.__dict__.get("forward") is not site.hook:
                continue  # someone hooked over us; our hook passes everything through from now on
            if site.had_own_forward:
                site.module.forward = site.original
            else:
                del site.module.__dict__["forward"]
        self._handles, self._sites, self._rows = [], [], None

    def _see_latent(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._latent = tuple(_first(args, kwargs).shape[-2:])

    def _forward(
        self, site: _Site, x: Tensor, context: Tensor | None, *args: Any, **kwargs: Any
    ) -> Tensor:
        name = "context"
        if context is None:
            name = "encoder_hidden_states" if "encoder_hidden_states" in kwargs else "context"
            context = kwargs.pop(name, None)
        if self._rows is None or context is None:
            return site.original(x, context, *args, **kwargs)
        if len(self._rows) != len(x):
            raise GuidanceError(
                f"the denoiser was called with {len(x)} rows, {len(self._rows)} were announced; "
                "call assign() with the rows of each call"
            )
        groups = self._groups()
        if all(key is None for key in groups):
            return site.original(x, context, *args, **kwargs)
        out: Tensor | None = None
        for key, index in groups.items():
            whole = len(groups) == 1
            part = x if whole else x[index]
            if key is None:
                mixed = site.original(part, context[index], *args, **kwargs)
            else:
                mixed = self._regional(site, part, *key)
            if whole:
                return mixed
            out = x.new_empty(len(x), *mixed.shape[1:], dtype=mixed.dtype) if out is None else out
            out[index] = mixed
        assert out is not None
        return out

    def _groups(self) -> dict[tuple[int, bool] | None, list[int]]:
        """Rows by what they attend to: (picture, side), or None where nothing regional acts."""
        groups: dict[tuple[int, bool] | None, list[int]] = {}
        for index, row in enumerate(self._rows or ()):
            panel, active = self._panels[row.image], self._active[row.image]
            plain = not active or (row.negative and all(panel.negatives[i] is None for i in active))
            groups.setdefault(None if plain else (row.image, row.negative), []).append(index)
        return groups

    def _regional(self, site: _Site, x: Tensor, image: int, negative: bool) -> Tensor:
        panel, active = self._panels[image], self._active[image]
        if site.grid[0] * site.grid[1] != x.shape[1]:
            raise GuidanceError(
                f"a layer has {x.shape[1]} tokens on a grid of {site.grid[0]} by {site.grid[1]}; "
                "another extension merges or cuts tokens: switch it off, or use latent mode"
            )
        texts = panel.opposites(active) if negative else panel.positives(active)
        query = site.module.to_q(x)
        layout = self._layout(image, site.grid, query)
        keys = [site.keys_of(text, x) for text in texts]
        return site.out(regional_attention(query, keys, layout, site.module.heads))

    def _layout(self, image: int, grid: Grid, query: Tensor) -> list[Patch]:
        """The patches of a picture on a layer's grid, made once for all layers and steps that share it."""
        active = self._active[image]
        key = (image, active, grid, self._latent, query.device, query.dtype)
        if key not in self._layouts:
            maps = self._panels[image].maps(active, grid, self._latent).flatten(1)
            self._layouts[key] = patches(maps.to(query))
        return self._layouts[key]


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The picture-shaped first argument of a UNet or transformer call, however it was passed."""
    if args:
        return args[0]
    for name in ("sample", "x", "hidden_states"):
        if name in kwargs:
            return kwargs[name]
    raise GuidanceError("the denoiser was called without a latent")
