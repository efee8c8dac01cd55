"""Where an edit may change a picture: what the changed elements cover before and after it.

m = 1 on every latent cell that a changed element touches, and `margin` cells around
m falls to 0 in even steps over `feather` further cells; there new and old are blended
m = 0 elsewhere; there the picture stays as it is, exactly
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.texts import Grid
from lib_ranni.guidance.weights import region_coverage
from lib_ranni.panel.diff import Change, diff
from lib_ranni.panel.geometry import intersect
from lib_ranni.panel.types import Element, Panel

MARGIN = 1
FEATHER = 1
"""What margin and feather are unless the caller says otherwise, in latent cells."""

MOST_CELLS = 64
"""The most that margin and feather may be."""

_TOUCHED = 1e-6
"""A cell of which less is covered is not touched: the edge of a box lies on its border, give or take."""

_INVISIBLE = {"locked"}
"""Settings of an element that no picture shows."""


def edit_region(
    before: Panel, after: Panel, latent: Grid, *, margin: int = MARGIN, feather: int = FEATHER
) -> Tensor:
    """(h, w) float32 in 0..1 on the latent grid: 1 where the picture is drawn anew, 0 where it is kept.

    All of it is 1 when the base prompt or the panel's negative changed, all of it 0 when nothing did that
    a picture shows.
    """
    if not (0 <= margin <= MOST_CELLS and 0 <= feather <= MOST_CELLS):
        raise GuidanceError(
            f"margin and feather must be in 0..{MOST_CELLS} cells, not {margin} and {feather}"
        )
    touched = torch.zeros(latent, dtype=torch.bool)
    for change in diff(before, after):
        if change.operation == "set" and not change.element:
            if change.field in ("base", "negative"):
                return torch.ones(latent)
        elif change.operation == "reorder":
            touched |= _swapped(before, after, latent)
        elif change.field not in _INVISIBLE:
            for element in _changed(change):
                touched |= _cells(element, latent)
    return _softened(touched, margin, feather)


def verdict(region: Tensor, which: str = "the picture") -> str:
    """What is to be said of an edit that changes nothing, or everything; else nothing."""
    if not bool(region.any()):
        return f"nothing that {which} shows was changed: it stays as it was"
    if bool((region == 1).all()):
        return f"the edit reaches all of {which}: it is drawn anew as a whole"
    return ""


def _changed(change: Change) -> Iterator[Element]:
    yield from (element for element in (change.before, change.after) if element is not None)


def _cells(element: Element, latent: Grid) -> Tensor:
    """(h, w) bool: the cells that an element touches. Boxes end at the canvas, so none is left out there."""
    return torch.from_numpy(region_coverage(element, latent, latent, 0.0) > _TOUCHED)


def _swapped(before: Panel, after: Panel, latent: Grid) -> Tensor:
    """(h, w) bool: where another one of two overlapping elements is in front than was."""
    place = {element.id: n for n, element in enumerate(after.elements)}
    kept = [element for element in before.elements if element.id in place]
    cells = torch.zeros(latent, dtype=torch.bool)
    for n, front in enumerate(kept):
        for back in kept[:n]:
            masked = front.mask is not None or back.mask is not None
            if place[front.id] < place[back.id] and (masked or intersect(front.box, back.box) is not None):
                cells |= _cells(front, latent) & _cells(back, latent)
    return cells


def _softened(touched: Tensor, margin: int, feather: int) -> Tensor:
    grown = touched.float()[None]
    for _ in range(margin):
        grown = max_pool2d(grown, 3, 1, 1)
    region = grown
    for ring in range(1, feather + 1):
        grown = max_pool2d(grown, 3, 1, 1)
        region = torch.maximum(region, grown * (1 - ring / (feather + 1)))
    return region[0]


def blend(kept: Tensor, anew: Tensor, region: Tensor) -> Tensor:
    """region * anew + (1 - region) * kept, the very bits of `kept` where `region` is 0, of `anew` where 1."""
    mixed = kept + region * (anew - kept)
    return torch.where(region == 0, kept, torch.where(region == 1, anew, mixed))


def composite(before: Tensor, after: Tensor, region: Tensor) -> Tensor:
    """Two pictures (H, W, 3) uint8 as one: `before` to the bit wherever its cell of `region` (h, w) is 0.

    Decoders look at the whole latent, so that a change anywhere shifts levels everywhere by a little;
    what an edit keeps is therefore taken from the picture itself.
    """
    if before.shape != after.shape:
        raise GuidanceError(
            f"pictures of {tuple(before.shape)} and {tuple(after.shape)} pixels cannot be put together"
        )
    size = (before.shape[0], before.shape[1])
    soft = interpolate(region[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    hard = interpolate(region[None, None], size=size, mode="nearest-exact")[0, 0]
    share = torch.where(hard == 0, 0.0, soft)[..., None]
    mixed: Tensor = blend(before.float(), after.float(), share)
    return mixed.round().byte()
