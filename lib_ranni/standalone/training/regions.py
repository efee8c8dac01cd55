"""Rows of a training batch that hear their scene by region, as a guided UNet does.

A model that only ever saw whole captions reads "a red circle" as "there is one thing in this picture",
wherever the text acts. Guided by several such texts at once it then draws one of them and drops the
others. Part of each batch is therefore trained the way guidance asks: every object's text acts in a box
around it, the background's everywhere else.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import torch
from torch import Tensor

from lib_ranni.evaluation.captions import background_text, caption, object_text
from lib_ranni.evaluation.scenes import Scene, SceneObject
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel.types import Box, Element, clamped_box
from lib_ranni.standalone.training.architecture import LATENT_SIDE, UNET_CHANNELS
from lib_ranni.standalone.training.tokens import CaptionTokens

SLOTS = 4
"""Objects in a scene, at most."""

LOOSEST = 0.4
"""How far a box may reach beyond its object on each side, in sizes of the object."""


class RegionalCaptions(NamedTuple):
    """Regional texts of the first R rows of a batch.

    `ids` (T, 77) are their tokens, `texts` (R, SLOTS) says which of them a slot hears, and `maps` holds
    for a layer of N tokens the shares (R, 1 + SLOTS, N) of the row's own caption and of its slots.
    """

    ids: Tensor
    texts: Tensor
    maps: dict[int, Tensor]

    def to(self, device: torch.device) -> RegionalCaptions:
        """The same on another device."""
        maps = {tokens: map_.to(device) for tokens, map_ in self.maps.items()}
        return RegionalCaptions(self.ids.to(device), self.texts.to(device), maps)


class Regions(NamedTuple):
    """`RegionalCaptions` with the texts encoded, (T, 77, D)."""

    context: Tensor
    texts: Tensor
    maps: dict[int, Tensor]


def _tight_box(item: SceneObject) -> Box:
    """An object's bounding square."""
    half = item.size / 2
    box = clamped_box(item.x - half, item.y - half, item.x + half, item.y + half)
    if box is None:
        raise ValueError("an object lies outside its scene")
    return box


def loose_box(box: Box, size: float, others: list[Box], rng: Random) -> Box:
    """A box around an object of this size, roomier by chance on each side that keeps clear of the others."""
    for side, sign in (("x0", -1), ("y0", -1), ("x1", 1), ("y1", 1)):
        value = getattr(box, side) + sign * rng.uniform(0, LOOSEST) * size
        sides = {name: getattr(box, name) for name in ("x0", "y0", "x1", "y1")}
        wider = Box(**{**sides, side: min(1.0, max(0.0, value))})
        if not any(_meet(wider, other) for other in others):
            box = wider
    return box


def element_of_each(scene: Scene, rng: Random) -> list[Element]:
    """An element for each object: its text, in a box around it that keeps clear of the others."""
    tight = [_tight_box(item) for item in scene.objects]
    elements = []
    for slot, item in enumerate(scene.objects):
        text = object_text(item, rng)
        box = loose_box(tight[slot], item.size, tight[:slot] + tight[slot + 1 :], rng)
        elements.append(Element(id=f"e{slot}", description=text, box=box))
    return elements


def _meet(first: Box, second: Box) -> bool:
    return first.x0 < second.x1 and second.x0 < first.x1 and first.y0 < second.y1 and second.y0 < first.y1


def regional_captions(
    scenes: list[Scene], tokens: CaptionTokens, rng: Random
) -> tuple[list[str], RegionalCaptions]:
    """The whole-canvas texts of the scenes, and what their regions hear."""
    grids = [LATENT_SIDE >> level for level in range(len(UNET_CHANNELS))]
    bases, known = [], {"": 0}
    texts = torch.zeros(len(scenes), SLOTS, dtype=torch.long)
    maps = {side * side: torch.zeros(len(scenes), 1 + SLOTS, side * side) for side in grids}
    for row, scene in enumerate(scenes):
        bases.append(caption(scene, rng) if rng.random() < 0.1 else background_text(scene, rng))
        elements = element_of_each(scene, rng)
        for slot, element in enumerate(elements):
            texts[row, slot] = known.setdefault(element.description, len(known))
        mixing = Mixing(0.0 if rng.random() < 0.7 else rng.uniform(0.0, 0.3))
        for side in grids:
            shares = weight_maps(elements, mixing, (side, side), (LATENT_SIDE, LATENT_SIDE))
            maps[side * side][row, : len(shares)] = shares.flatten(1)
    return bases, RegionalCaptions(tokens(list(known)), texts, maps)
