"""Attention mode inside a running UNet: hooks on every cross-attention, owned and given back.

Works on any UNet whose transformer blocks have an `attn2` with `to_q`, `to_k`, `to_v`, `to_out` and
`heads`: diffusers', latent-diffusion's and SDXL's alike. The host says before each call which picture
and which side each row of the batch is (`assign`); nothing is guessed from shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Arranged, Keys, Layout, arrange, make_layout, regional_attention
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.texts import Grid, PanelTexts, Text, merged

_PARTS = ("to_q", "to_k", "to_v", "to_out", "heads")
_BLOCKS = ".transformer_blocks."
_CONTEXTS = ("encoder_hidden_states", "context")

Project = Callable[[Any, Text, Tensor], Keys]
"""(cross-attention module, text, its numbers (1, L, D) as the module takes them) -> key and value."""

OnError = Callable[[Exception], None]


def project(module: Any, text: Text, context: Tensor) -> Keys:
    """Key and value of a text by the module's own layers."""
    return Keys(module.to_k(context), module.to_v(context))


@dataclass(frozen=True, eq=False)
class _Plan:
    """What rows of one picture and side attend to on one grid."""

    texts: tuple[Text, ...]
    layout: Layout

    def is_only(self, text: Text) -> bool:
        """Whether every token attends to this text and to no other."""
        return len(self.texts) == 1 and self.texts[0] is text


@dataclass(eq=False)
class Site:
    """One cross-attention module and what is remembered of it."""

    module: Any
    owner: nn.Module
    original: Callable[..., Tensor]
    had_own_forward: bool
    project: Project
    hook: Callable[..., Tensor] | None = None
    grid: Grid = (0, 0)
    keys: dict[Text, Keys] = field(default_factory=dict)
    arranged: dict[_Plan, Arranged] = field(default_factory=dict)

    @torch.no_grad()
    def keys_of(self, text: Text, like: Tensor) -> Keys:
        """Key and value of a text, projected once for as long as the session lasts."""
        if text not in self.keys:
            self.keys[text] = self.project(self.module, text, text.context[None].to(like))
        return self.keys[text]

    def attend(self, x: Tensor, plan: _Plan) -> Tensor:
        """What the module answers to (B, N, C) tokens when they attend as planned."""
        if plan not in self.arranged:
            self.arranged[plan] = arrange([self.keys_of(text, x) for text in plan.texts], plan.layout)
        scale = getattr(self.module, "scale", None)
        mixed = regional_attention(self.module.to_q(x), self.arranged[plan], self.module.heads, scale)
        if not isinstance(self.module.to_out, nn.ModuleList):
            out: Tensor = self.module.to_out(mixed)
            return out
        for layer in self.module.to_out:
            mixed = layer(mixed)
        return mixed

    def remove(self) -> None:
        """Give `forward` back, unless someone hooked over us: then our hook only passes calls on."""
        if self.hook is not None and self.module.__dict__.get("forward") is self.hook:
            if self.had_own_forward:
                self.module.forward = self.original
            else:
                del self.module.__dict__["forward"]
        self.keys.clear()
        self.arranged.clear()


def find_sites(unet: nn.Module, project: Project = project) -> list[Site]:
    """Every cross-attention of a UNet, in its order."""
    sites = []
    for name, module in unet.named_modules():
        inside_block = _BLOCKS in name and name.rsplit(".", 1)[-1] == "attn2"
        if not inside_block or not all(hasattr(module, part) for part in _PARTS):
            continue
        owner = unet.get_submodule(name.rsplit(_BLOCKS, 1)[0])
        sites.append(Site(module, owner, module.forward, "forward" in module.__dict__, project))
    if not sites:
        raise GuidanceError(
            "this model has no cross-attention that can be guided (only UNets of Stable Diffusion 1, 2 "
            "and XL have); use --mode latent or another checkpoint"
        )
    return sites


class GuidanceSession:
    """Owns the hooks of one generation: installed on entry, removed on exit, whatever happens between.

    `panels` are what the rows' picture numbers mean; they may be exchanged between two steps, when a
    prompt changes on its way. With `on_error`, what goes wrong inside the UNet is told once, and from
    there on the model is left alone; without, it is raised.
    """

    def __init__(
        self,
        unet: nn.Module,
        panels: Sequence[PanelTexts] = (),
        *,
        project: Project = project,
        on_error: OnError | None = None,
    ) -> None:
        self.panels: Sequence[PanelTexts] = tuple(panels)
        self._unet = unet
        self._project = project
        self._on_error = on_error
        self._sites: list[Site] = []
        self._handles: list[Any] = []
        self._announced: tuple[Row | None, ...] | None = None
        self._rows: tuple[Row | None, ...] | None = None
        self._active: dict[int, tuple[int, ...]] = {}
        self._latent: Grid = (0, 0)
        self._expected: Grid | None = None
        self._plans: dict[tuple[Any, ...], _Plan] = {}

    def __enter__(self) -> GuidanceSession:
        if self._sites:
            raise GuidanceError("this guidance session is open already; make a new one for each generation")
        self._sites = find_sites(self._unet, self._project)
        try:
            self._handles.append(self._unet.register_forward_pre_hook(self._begin_call, with_kwargs=True))
            self._handles.append(self._unet.register_forward_hook(self._end_call, always_call=True))
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

    def assign(self, rows: Sequence[Row | None], progress: float, grid: Grid | None = None) -> None:
        """Say what the rows of the next UNet call are, and how much of the sampling is done (0..1).

        It holds for that one call. A row of None is left alone, and so is a call that nobody announced.
        With a `grid`, (h, w) of the latents, a call for another size is an error.
        """
        pictures = {row.image for row in rows if row is not None}
        if strangers := sorted(pictures - set(range(len(self.panels)))):
            raise GuidanceError(f"rows of pictures {strangers} were announced, there are {len(self.panels)}")
        self._announced, self._expected = tuple(rows), grid
        self._active = {image: self.panels[image].active(progress) for image in pictures}

    def _install(self, site: Site) -> None:
        def hook(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if self._rows is None:
                return site.original(x, *args, **kwargs)
            try:
                return self._forward(site, self._rows, x, args, kwargs)
            except Exception as error:
                if self._on_error is None:
                    raise
                self._rows = None
                self._on_error(error)
                return site.original(x, *args, **kwargs)

        def see_grid(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            site.grid = grid_of(args, kwargs)

        self._handles.append(site.owner.register_forward_pre_hook(see_grid, with_kwargs=True))
        site.hook = hook
        site.module.forward = hook

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        for site in self._sites:
            site.remove()
        self._handles, self._sites, self._announced, self._rows = [], [], None, None
        self._plans.clear()

    def _begin_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._latent = grid_of(args, kwargs)
        self._rows, self._announced = self._announced, None

    def _end_call(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._rows = None

    def _forward(
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
        if len(rows) != len(x) or self._expected not in (None, self._latent):
            raise GuidanceError(
                f"the denoiser was called with {len(x)} rows, {len(rows)} were announced, for "
                f"{self._latent} cells of {self._expected or self._latent}; where a picture is drawn in "
                "tiles, as by Tiled Diffusion, use latent mode"
            )
        plans = [None if row is None else self._plan(row, site, x) for row in rows]
        if not any(plans):
            return site.original(x, *args, **kwargs)
        if not isinstance(context, Tensor):
            raise GuidanceError(
                "attention mode cannot be combined with image prompts (IP-Adapter); use latent mode"
            )
        parts = []
        for plan, start, end in _runs(plans):
            if plan is None:
                own = _cut((args, kwargs), start, end, len(x))
                parts.append(site.original(x[start:end], *own[0], **own[1]))
            else:
                parts.append(site.attend(x[start:end], plan))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

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


def _runs(plans: Sequence[_Plan | None]) -> Iterator[tuple[_Plan | None, int, int]]:
    """Neighboring rows with the same plan, as (plan, first row, row after the last)."""
    start = 0
    for _, group in groupby(plans, key=id):
        run = list(group)
        yield run[0], start, start + len(run)
        start += len(run)


def _cut(value: Any, start: int, end: int, rows: int) -> Any:
    """The same arguments for some rows only: whatever tensor has a row for each is cut."""
    if isinstance(value, Tensor) and value.ndim > 0 and len(value) == rows:
        return value[start:end]
    if isinstance(value, (tuple, list)):
        return type(value)(_cut(item, start, end, rows) for item in value)
    if isinstance(value, dict):
        return {key: _cut(item, start, end, rows) for key, item in value.items()}
    return value


def require_grid(grid: Grid, tokens: int) -> None:
    """Raise `GuidanceError` where a layer's tokens are not the cells of its grid."""
    if grid[0] * grid[1] != tokens:
        raise GuidanceError(
            f"a layer has {tokens} tokens on a grid of {grid[0]} by {grid[1]}; "
            "another extension merges or cuts tokens: switch it off, or use latent mode"
        )


def grid_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Grid:
    """(h, w) of the picture-shaped first argument of a UNet or transformer, however it was passed."""
    for value in (*args[:1], *(kwargs.get(name) for name in ("sample", "x", "hidden_states"))):
        if isinstance(value, Tensor):
            return value.shape[-2], value.shape[-1]
    raise GuidanceError("the denoiser was called without a latent")
