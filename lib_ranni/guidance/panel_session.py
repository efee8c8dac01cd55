"""Panel control inside a running UNet: hooks on its first convolution and its cross-attentions.

    h = conv_in(x) + scale * P      for conditioned rows, at timesteps in (stop, start]

where P is the panel conditioner's residual, made for the latent's own size. That of palettes, R, acts to
the end and looks at conv_in(x) in each step: the gate leaves details to the prompt once things are in place,
but a color let go of is lost. The local mask, which has no gate and no scale, lets each label's words act
inside its boxes only. Rows of the negative side get none of these; the end token is closed for both sides
(ranni.md 4.2 to 4.6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from lib_ranni.errors import GuidanceError
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
from lib_ranni.guidance.local_mask import open_columns
from lib_ranni.guidance.panel_canvas import element_mask, keypoint_marks, unsaid_palette
from lib_ranni.guidance.panel_control import CELL_PX, Colored, Painted, PanelConditioner
from lib_ranni.guidance.texts import Grid, PanelTexts, Text
from lib_ranni.guidance.weights import region_coverage

T = TypeVar("T")

HEARD_FROM = 0.25
"""Share of a cell that a box must cover for its words to be heard there."""


class Control(Struct, frozen=True):
    """How strongly and when the panel acts: at timesteps t with stop < t <= start, of 1000; palettes act
    from `start` to the end.

    `local_mask` binds labels to their boxes; `close_end` keeps the end token's column shut, as the release
    was trained. A scale of 0 is panel control switched off.
    """

    scale: float = 0.6
    start: float = 1000.0
    stop: float = 600.0
    local_mask: bool = True
    close_end: bool = True

    def acts_at(self, timestep: float) -> bool:
        """Whether the residual is added at this timestep, which may be fractional."""
        return self.scale != 0 and self.stop < timestep <= self.start

    def colors_at(self, timestep: float) -> bool:
        """Whether palettes act at this timestep."""
        return self.scale != 0 and timestep <= self.start


class PanelLabels(Struct, frozen=True, eq=False):
    """What panel control needs of one picture beside its texts.

    `labels` (text width,) run along the panel's elements, `canvas` is the postfix's. `columns` says for each
    element which columns of the base's text name it; `ends` gives the columns of the end tokens by text.
    """

    panel: PanelTexts
    labels: tuple[Tensor, ...]
    canvas: Tensor
    columns: tuple[frozenset[int], ...] = ()
    ends: dict[Text, tuple[int, ...]] = {}

    def painted(self, active: Sequence[int], size: Grid) -> list[Painted]:
        """The full canvas and the active elements, drawn on (H, W) pixels from back to front."""
        elements = [(self.panel.elements[i], self.labels[i]) for i in active]
        drawn = [
            Painted(element_mask(one, size), label, unsaid_palette(one), keypoint_marks(one, size))
            for one, label in elements
        ]
        return [Painted(torch.ones(size), self.canvas), *drawn]


def first_block(unet: nn.Module) -> nn.Module:
    """What the residual is added behind: diffusers' or latent-diffusion's first convolution."""
    found = getattr(unet, "conv_in", None)
    blocks = getattr(unet, "input_blocks", None)
    if isinstance(found, nn.Module):
        return found
    if isinstance(blocks, nn.ModuleList) and len(blocks):
        return blocks[0]
    raise GuidanceError(
        "this model has no first convolution that panel control could act behind; turn it off"
    )


class PanelControlSession(UNetHooks):
    """Owns panel control's hooks for one generation.

    Used like a `GuidanceSession`: `assign` before each UNet call. With `masks` the cross-attentions are
    hooked too; leave it out where a `GuidanceSession` already has them.
    """

    def __init__(
        self,
        unet: nn.Module,
        conditioner: PanelConditioner,
        pictures: Sequence[PanelLabels],
        control: Control,
        *,
        masks: bool = True,
        project: Project = project,
        on_error: OnError | None = None,
    ) -> None:
        super().__init__(unet, [picture.panel for picture in pictures], project, on_error)
        self._conditioner = conditioner
        self._pictures = tuple(pictures)
        self._require_width()
        self._control = control
        self._masks = masks and (control.local_mask or control.close_end) and control.scale != 0
        self._timestep = 0.0
        self._parts: dict[tuple[Any, ...], Any] = {}
        self._open: dict[tuple[Any, ...], Tensor] = {}

    def exchange(self, pictures: Sequence[PanelLabels]) -> None:
        """Go on with these, whose elements and labels are the same: a prompt changes on its way."""
        self._pictures = tuple(pictures)
        self.panels = tuple(picture.panel for picture in pictures)

    def _require_width(self) -> None:
        wanted = self._conditioner.widths.text
        for width in {
            len(label) for picture in self._pictures for label in (*picture.labels, picture.canvas)
        }:
            if width != wanted:
                raise GuidanceError(
                    f"the panel conditioner is for texts of width {wanted}, this model's have {width}; use "
                    "the checkpoint it was trained with"
                )

    def _hook(self) -> list[Site]:
        self._handles.append(first_block(self._unet).register_forward_hook(self._add))
        return super()._hook() if self._masks else []

    def _forget(self) -> None:
        self._parts.clear()
        self._open.clear()

    def _begin_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super()._begin_call(module, args, kwargs)
        if self._rows is not None:
            self._timestep = timestep_of(args, kwargs)

    # The residual

    def _add(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        rows = self._rows
        if rows is None or not self._control.colors_at(self._timestep):
            return output
        return self._guarded(lambda: self._with_residual(output, rows), lambda: output)

    def _with_residual(self, output: Tensor, rows: Sequence[Row | None]) -> Tensor:
        self._require_announced(len(output), rows)
        acting = [(n, row.image) for n, row in enumerate(rows) if row is not None and not row.negative]
        if acting:
            self._require_channels(output.shape[1])
        with torch.autocast(output.device.type, enabled=False):
            added = [*self._layouts(acting, output), *self._colors(acting, output)]
        if not added:
            return output
        changed = output.clone()  # the rows of the negative side stay what they are, bit for bit
        for n, residual in added:
            changed[n] += self._control.scale * residual.to(changed)
        return changed

    def _require_channels(self, found: int) -> None:
        wanted = self._conditioner.widths.out
        if found != wanted:
            raise GuidanceError(
                f"the panel conditioner is for {wanted} channels, this model has {found} behind its first "
                "convolution; use the checkpoint it was trained with"
            )

    def _layouts(self, acting: Sequence[tuple[int, int]], seen: Tensor) -> list[tuple[int, Tensor]]:
        """P (C, h, w) of rows, each with its picture, at this timestep."""
        if not self._control.acts_at(self._timestep):
            return []

        def made(drawn: Sequence[Painted]) -> Tensor:
            return self._conditioner.merged(drawn).to(seen)

        return [(n, self._made("layout", image, seen, made)) for n, image in acting]

    def _colors(self, acting: Sequence[tuple[int, int]], seen: Tensor) -> list[tuple[int, Tensor]]:
        """R (C, h, w) of rows whose pictures have palettes, at this timestep."""

        def made(drawn: Sequence[Painted]) -> Colored | None:
            found = self._conditioner.colored(drawn)
            return None if found is None else found.to(seen.device)

        each = [(n, self._made("colors", image, seen, made)) for n, image in acting]
        found = [(n, colored) for n, colored in each if colored is not None]
        if not found:
            return []
        numbers, colored = [n for n, _ in found], [one for _, one in found]
        corrected = self._conditioner.corrected(colored, [self._timestep] * len(found), seen[numbers])
        return list(zip(numbers, corrected, strict=True))

    def _made(self, part: str, image: int, seen: Tensor, make: Callable[[Sequence[Painted]], T]) -> T:
        """One picture's part, made once for each size and set of active elements.

        It is made where the conditioner is: at full resolution it takes memory that a GPU may lack.
        """
        grid: Grid = (seen.shape[-2], seen.shape[-1])
        key = (part, image, self._active[image], grid, seen.device, seen.dtype)
        if key not in self._parts:
            size = (grid[0] * CELL_PX, grid[1] * CELL_PX)
            self._parts[key] = make(self._pictures[image].painted(self._active[image], size))
        found: T = self._parts[key]
        return found

    # The local mask

    def _attend(
        self,
        site: Site,
        rows: Sequence[Row | None],
        x: Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Tensor:
        """The module's answer to (B, N, C) tokens that hear only the columns open to them."""
        self._require_announced(len(x), rows)
        parts = []
        for known, start, end in runs([row is not None for row in rows]):
            if known:
                own = [row for row in rows[start:end] if row is not None]
                parts.append(self._masked(site, own, x[start:end]))
            else:
                parts.append(site.as_it_was(x, args, kwargs, start, end))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _masked(self, site: Site, rows: Sequence[Row], x: Tensor) -> Tensor:
        require_grid(site.grid, x.shape[1])
        heads, module = site.module.heads, site.module
        keys = [site.keys_of(row.text, x) for row in rows]
        key, value = torch.cat([k.key for k in keys]), torch.cat([k.value for k in keys])
        heard = torch.stack([self._heard(row, site.grid, x.device) for row in rows])[:, None]

        def split(part: Tensor) -> Tensor:
            # Stable Diffusion 2's scores leave the range of half precision; Ranni computes them in full.
            part = part.float() if part.dtype == torch.float16 else part
            return part.view(*part.shape[:2], heads, -1).transpose(1, 2)

        query = module.to_q(x)
        with torch.autocast(x.device.type, enabled=False):
            mixed = F.scaled_dot_product_attention(
                split(query), split(key), split(value), heard, scale=getattr(module, "scale", None)
            )
        return site.out(mixed.transpose(1, 2).flatten(2).to(query.dtype))

    def _heard(self, row: Row, grid: Grid, device: torch.device) -> Tensor:
        """(cells, L) bool: the columns of the row's text that each cell of a layer hears."""
        picture, active = self._pictures[row.image], self._active[row.image]
        key = (row.image, row.text, row.negative, active, grid, self._latent, device)
        if key not in self._open:
            bound: list[frozenset[int]] = []
            covered = torch.zeros(0, grid[0] * grid[1], dtype=torch.bool)
            local = self._control.local_mask and not row.negative and row.text is picture.panel.base
            if local and active and picture.columns:
                bound = [picture.columns[i] for i in active]
                maps = [
                    torch.from_numpy(region_coverage(picture.panel.elements[i], grid, self._latent, 0.0))
                    for i in active
                ]
                covered = torch.stack(maps).flatten(1) > HEARD_FROM
            ends = picture.ends.get(row.text, ()) if self._control.close_end else ()
            self._open[key] = open_columns(len(row.text.context), bound, covered, ends).to(device)
        return self._open[key]
