"""What a batch of the panel conditioner's training is made of: scenes as panels, heard in either mode.

Half of the rows hear their scene by region, as attention mode does; the others hear one caption, each
label's words inside its box only, as Ranni does. Where a scene brings its colors as a palette, its texts
mostly leave them out, so that the palette is what tells them.
"""

from __future__ import annotations

import math
import re
from random import Random
from typing import NamedTuple

import msgspec
import torch
from PIL import ImageColor
from torch import Tensor

from lib_ranni.evaluation.captions import article, background_text, caption, object_text
from lib_ranni.evaluation.scenes import COLORS, Scene, SceneObject, drawn_bounds, tips
from lib_ranni.guidance.local_mask import bind, label_variants, open_columns
from lib_ranni.guidance.panel_canvas import element_mask, keypoint_marks, unsaid_palette
from lib_ranni.guidance.weights import Mixing, region_coverage, weight_maps
from lib_ranni.panel.color_words import COLORS as WORDS
from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Keypoint, clamped_box, with_fields
from lib_ranni.standalone.training.architecture import IMAGE_PX, LATENT_SIDE, TEXT_LENGTH, UNET_CHANNELS
from lib_ranni.standalone.training.regions import SLOTS, loose_box
from lib_ranni.standalone.training.tokens import CaptionTokens

GRIDS = tuple(LATENT_SIDE >> level for level in range(len(UNET_CHANNELS)))
STRETCH = 0.4
"""How much wider or narrower than its object a box may be (natural log)."""
KEPT_COLOR = 0.3
"""Chance of an object to keep its color where a scene's turn to others."""
CLOSED = -1e4
"""Added to what a cell thinks of a word it must not hear."""


class RowsRecipe(NamedTuple):
    """Shares of the rows: heard by region, with a palette, nameless of those, with keypoints."""

    regional: float = 0.5
    palettes: float = 0.6
    colorless: float = 0.85
    keypoints: float = 0.4


class Elements(NamedTuple):
    """All elements of a batch, each row's from back to front: the row of each (N,), and what the conditioner
    takes of it.
    """

    rows: Tensor
    masks: Tensor
    texts: list[str]
    palettes: Tensor
    marks: Tensor


class Batch(NamedTuple):
    """`captions` are the rows' whole texts; `regional` (texts of slots, maps) belongs to the first R.

    `bias` (B, N, 77), by a layer's cells, is what local masks add; `inside` (B, 1, h, w) is the boxes.
    """

    captions: list[str]
    slots: list[list[str]]
    maps: dict[int, Tensor]
    bias: dict[int, Tensor]
    elements: Elements
    inside: Tensor


def fitting_box(item: SceneObject, rng: Random) -> Box:
    """A box for which the object is the best fit: its bounds, or of other proportions, as large and there.

    Of all sizes of an object about a box's center, the one with the box's area overlaps it best.
    """
    x0, y0, x1, y1 = drawn_bounds(item)
    stretch = math.exp(rng.uniform(-STRETCH, STRETCH)) if rng.random() < 0.6 else 1.0
    half_w, half_h = (x1 - x0) / 2 * stretch, (y1 - y0) / 2 / stretch
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    if min(x - half_w, y - half_h) < 0 or max(x + half_w, y + half_h) > 1:
        half_w, half_h = (x1 - x0) / 2, (y1 - y0) / 2
    return _box(x - half_w, y - half_h, x + half_w, y + half_h)


def _box(x0: float, y0: float, x1: float, y1: float) -> Box:
    box = clamped_box(x0, y0, x1, y1)
    if box is None:
        raise ValueError("an object lies outside its scene")
    return box


def without_color(text: str, item: SceneObject) -> str:
    """The text with the item's color no longer said before its shape."""
    text = re.sub(rf"\b{re.escape(article(item.color))} {item.shape}", article(item.shape), text)
    return re.sub(rf"\b{item.color} {item.shape}", item.shape, text)


def with_other_colors(scene: Scene, rng: Random) -> Scene:
    """The scene with most of its objects in colors of others."""

    def turned(item: SceneObject) -> SceneObject:
        if rng.random() < KEPT_COLOR:
            return item
        return msgspec.structs.replace(item, color=rng.choice([c for c in COLORS if c != item.color]))

    return msgspec.structs.replace(scene, objects=tuple(turned(item) for item in scene.objects))


def color_code(color: str, rng: Random) -> str:
    """A code for a scene's color: as it is drawn, as people's word for it looks, or between the two."""
    word = ImageColor.getrgb(WORDS[color])
    share = rng.choice((0.0, 1.0, rng.random()))
    shade = rng.randint(-8, 8)
    mixed = (drawn + share * (said - drawn) for drawn, said in zip(COLORS[color], word, strict=True))
    return "#" + "".join(f"{min(255, max(0, round(c) + shade + rng.randint(-4, 4))):02x}" for c in mixed)


def scene_elements(scene: Scene, recipe: RowsRecipe, rng: Random) -> tuple[list[Element], bool]:
    """The scene's objects as elements, and whether its texts shall leave their colors out."""
    palettes = rng.random() < recipe.palettes
    colorless = palettes and rng.random() < recipe.colorless
    pointed = rng.random() < recipe.keypoints
    loose = pointed and rng.random() < 0.5
    tight = [_box(*drawn_bounds(item)) for item in scene.objects]
    elements = []
    for slot, item in enumerate(scene.objects):
        text = object_text(item, rng)
        others = tight[:slot] + tight[slot + 1 :]
        box = loose_box(tight[slot], item.size, others, rng) if loose else fitting_box(item, rng)
        element = Element(
            id=f"e{slot}", description=without_color(text, item) if colorless else text, box=box
        )
        if palettes:
            element = with_fields(element, colors=(color_code(item.color, rng),))
        if pointed:
            points = (Keypoint("tip", min(1, max(0, x)), min(1, max(0, y))) for x, y in tips(item))
            element = with_fields(element, keypoints=tuple(points))
        elements.append(element)
    return elements, colorless


def make_batch(scenes: list[Scene], tokens: CaptionTokens, recipe: RowsRecipe, rng: Random) -> Batch:
    """A batch of these scenes' panels."""
    few = round(len(scenes) * recipe.regional)
    captions: list[str] = []
    slots: list[list[str]] = []
    maps = {side**2: torch.zeros(few, 1 + SLOTS, side**2) for side in GRIDS}
    bias = {side**2: torch.zeros(len(scenes), side**2, TEXT_LENGTH) for side in GRIDS}
    drawn: list[tuple[int, Element]] = []
    for row, scene in enumerate(scenes):
        elements, colorless = scene_elements(scene, recipe, rng)
        if row < few:
            captions.append(background_text(scene, rng))
            slots.append([element.description for element in elements])
            mixing = Mixing(0.0 if rng.random() < 0.7 else rng.uniform(0.0, 0.3))
            for side in GRIDS:
                shares = weight_maps(elements, mixing, (side, side), (LATENT_SIDE, LATENT_SIDE))
                maps[side**2][row, : len(shares)] = shares.flatten(1)
        else:
            captions.append(_caption(scene, colorless, rng))
            for side in GRIDS:
                bias[side**2][row] = _bias(captions[-1], elements, tokens, side)
        whole = Element(id="canvas", description=background_text(scene, rng), box=FULL_CANVAS)
        drawn += [(row, element) for element in [whole, *elements]]
    return Batch(captions, slots, maps, bias, _elements(drawn), _inside(drawn, len(scenes)))


def _caption(scene: Scene, colorless: bool, rng: Random) -> str:
    text = caption(scene, rng)
    for item in scene.objects if colorless else ():
        text = without_color(text, item)
    return text


def _bias(text: str, elements: list[Element], tokens: CaptionTokens, side: int) -> Tensor:
    """(cells, 77): 0 for the words a cell hears, `CLOSED` for the others and for the end token."""
    ids = tokens([text])[0].tolist()
    words = ids[1 : ids.index(tokens.eos)]
    bound = []
    for element in elements:
        variants = [tokens.ids_of(variant) for variant in label_variants(element.description)]
        bound.append(frozenset(column + 1 for column in bind(words, variants)))
    grid, latent = (side, side), (LATENT_SIDE, LATENT_SIDE)
    covered = [torch.from_numpy(region_coverage(e, grid, latent, 0.0) > 0.25).flatten() for e in elements]
    stacked = torch.stack(covered) if covered else torch.zeros(0, side**2, dtype=torch.bool)
    heard = open_columns(TEXT_LENGTH, bound, stacked, (len(words) + 1,))
    return torch.where(heard, 0.0, CLOSED)


def _elements(drawn: list[tuple[int, Element]]) -> Elements:
    size = (IMAGE_PX, IMAGE_PX)
    nothing = torch.full((1, 3), math.nan)
    colors = [unsaid_palette(element) for _, element in drawn]
    marks = [keypoint_marks(element, size) for _, element in drawn]
    return Elements(
        torch.tensor([row for row, _ in drawn]),
        torch.stack([element_mask(element, size) for _, element in drawn])[:, None],
        [element.description for _, element in drawn],
        torch.stack([nothing if color is None else color for color in colors]),
        torch.stack([torch.zeros(size) if mark is None else mark for mark in marks])[:, None],
    )


def _inside(drawn: list[tuple[int, Element]], rows: int) -> Tensor:
    side = (LATENT_SIDE, LATENT_SIDE)
    inside = torch.zeros(rows, 1, *side)
    for row, element in drawn:
        if element.box != FULL_CANVAS:
            coverage = torch.from_numpy(region_coverage(element, side, side, 0.0)).float()
            inside[row, 0] = torch.maximum(inside[row, 0], coverage)
    return inside
