"""Rows of a training batch that hear of one part of their scene, and answer for that part only.

In latent mode each region's text is denoised on the whole canvas and only its box is kept. A model that
only ever saw whole captions takes such a text for all there is in the picture: it paints the neighbours
over, and the object not where its box is. Captions found in the wild name but part of their picture, so
large models have no such belief; this one is taught by rows whose text names one object, or the
background, and whose loss counts nowhere else.
"""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from lib_ranni.evaluation.captions import background_text
from lib_ranni.evaluation.scenes import Scene
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.standalone.training.architecture import LATENT_SIDE
from lib_ranni.standalone.training.regions import element_of_each

BACKGROUNDS = 0.25
"""Share of the rows that hear of the background."""


def part_captions(scenes: list[Scene], rng: Random) -> tuple[list[str], Tensor]:
    """A text for one part of each scene, and where it holds, (R, 1, side, side) in 0..1."""
    side = (LATENT_SIDE, LATENT_SIDE)
    texts, places = [], []
    for scene in scenes:
        elements = element_of_each(scene, rng)
        if not elements or rng.random() < BACKGROUNDS:
            texts.append(background_text(scene, rng))
            places.append(weight_maps(elements, Mixing(0.0), side, side)[:1])
        else:
            chosen = rng.choice(elements)
            texts.append(chosen.description)
            places.append(weight_maps([chosen], Mixing(0.0), side, side)[1:])
    return texts, torch.stack(places)
