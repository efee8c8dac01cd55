"""What the one-step LoRA learns from: scenes, what is said of them, and noise that says the rest.

A batch has rows of three kinds. The first hear a scene of the run's by region, each object's text in a box
that fits it, as attention mode asks. The others are of packs: captions laid out by the built-in planner,
drawn and encoded; some hear that panel by region, the rest the caption and nothing else. One caption has
one panel; only where an object alone is, its size and an unnamed background are left to the noise.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from lib_ranni.evaluation.captions import background_text, caption, object_text
from lib_ranni.evaluation.scenes import Scene, random_scene, render
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel.types import Element, Panel
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import IMAGE_PX, LATENT_SIDE, UNET_CHANNELS
from lib_ranni.standalone.training.control_rows import fitting_box
from lib_ranni.standalone.training.latents import LatentSet
from lib_ranni.standalone.training.layout_noise import Reading, random_reading
from lib_ranni.standalone.training.layouts import moved, named_background, scene_of
from lib_ranni.standalone.training.regions import SLOTS

GRIDS = tuple(LATENT_SIDE >> level for level in range(len(UNET_CHANNELS)))


class RowsRecipe(msgspec.Struct, frozen=True):
    """Rows of a batch: of the run's scenes by region, of a pack by region, of a pack by caption.

    `first` packs are there from the start, and another after every `reuse` steps.
    """

    scenes: int = 5
    panels: int = 5
    captions: int = 22
    first: int = 24
    reuse: int = 8
    seed: int = 11

    @property
    def all(self) -> int:
        """Rows of a batch."""
        return self.scenes + self.panels + self.captions

    def packs(self, step: int) -> int:
        """How many packs a step may choose from."""
        return self.first + step // self.reuse


class Row(NamedTuple):
    """A text for the whole canvas, the elements that are heard by region, and what the noise must say."""

    text: str
    elements: tuple[Element, ...]
    reading: Reading


class Batch(NamedTuple):
    """Rows, the latents (B, 4, h, w) of their pictures, and what each text has of a layer's cells."""

    rows: list[Row]
    latents: Tensor
    maps: dict[int, Tensor]


class Laid(NamedTuple):
    """A caption's panel somewhere on the canvas, and the scene that follows it to the letter."""

    caption: str
    panel: Panel
    scene: Scene
    reading: Reading


def laid_out(rng: Random, planner: BuiltinPlanner) -> Laid:
    """A caption by chance, laid out."""
    while True:
        scene = random_scene(rng)
        text = caption(scene, rng)
        if scene.objects and rng.random() < 0.2:
            text = object_text(rng.choice(scene.objects), rng)
        panel = finish(planner.plan(PlanRequest(text))).panel
        if len(panel.elements) > SLOTS:
            continue
        reading = random_reading(rng)
        elements = moved(panel.elements, text, reading)
        colors = {item.color for item in scene.objects}
        background = named_background(text) or reading.background(colors)
        found = scene_of(elements, background)
        if found is not None:
            return Laid(text, msgspec.structs.replace(panel, elements=tuple(elements)), found, reading)


class Rows:
    """Batches of a run, each of them made by the number of its step alone."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, recipe: RowsRecipe) -> None:
        self._folder = folder
        self._checkpoint = checkpoint
        self._recipe = recipe
        self._planner = BuiltinPlanner()
        self._data = LatentSet(folder)
        self._packs: dict[int, tuple[list[Laid], Tensor]] = {}

    def batch(self, step: int, rng: Random) -> Batch:
        """The batch of a step, whose choices are drawn from `rng`."""
        recipe = self._recipe
        rows, latents = self._of_scenes(rng)
        laid, drawn = self._pack(rng.randrange(recipe.packs(step)))
        for index, one in enumerate(laid):
            if index < recipe.panels:
                base = self._checkpoint.defaults.grounded(one.panel).base
                rows.append(Row(base, one.panel.elements, one.reading))
            else:
                rows.append(Row(one.caption, (), one.reading))
        return Batch(rows, torch.cat([latents, drawn]), _maps(rows[: recipe.scenes + recipe.panels]))

    def _of_scenes(self, rng: Random) -> tuple[list[Row], Tensor]:
        chosen = [rng.randrange(len(self._data.scenes)) for _ in range(self._recipe.scenes)]
        rows = []
        for index in chosen:
            scene = self._data.scenes[index]
            elements = tuple(
                Element(id=f"e{slot}", description=object_text(item, rng), box=fitting_box(item, rng))
                for slot, item in enumerate(scene.objects)
            )
            text = background_text(scene, rng)
            reading = random_reading(rng)
            if named_background(text) is None:
                reading = reading.calling_for(scene.background, {item.color for item in scene.objects})
            rows.append(Row(text, elements, reading))
        scale = self._checkpoint.vae.config.scaling_factor
        return rows, torch.from_numpy(self._data.latents[chosen]).float() * scale

    def _pack(self, pack: int) -> tuple[list[Laid], Tensor]:
        """A pack's rows and latents, drawn when it is first asked for."""
        if pack not in self._packs:
            rng = Random(self._recipe.seed * 1_000_003 + pack)
            count = self._recipe.panels + self._recipe.captions
            laid = [laid_out(rng, self._planner) for _ in range(count)]
            path = self._folder / "packs" / f"{pack:05d}.pt"
            state = checkpointing.load(path, torch.device("cpu"))
            if state is None:
                state = {"latents": self._encoded([one.scene for one in laid]).half()}
                checkpointing.save(path, state)
            self._packs[pack] = laid, state["latents"]
        laid, latents = self._packs[pack]
        return laid, latents.float()

    @torch.no_grad()
    def _encoded(self, scenes: list[Scene]) -> Tensor:
        vae: Any = self._checkpoint.vae
        arrays = np.stack([np.asarray(render(scene, IMAGE_PX)) for scene in scenes])
        images = torch.from_numpy(arrays).to(vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.autocast(images.device.type, torch.bfloat16):
            mode: Tensor = vae.encode(images).latent_dist.mode()
        return mode.float().cpu() * vae.config.scaling_factor


def _maps(rows: list[Row]) -> dict[int, Tensor]:
    """Shares (R, 1 + SLOTS, cells) of base and elements, by a layer's cells."""
    maps = {side**2: torch.zeros(len(rows), 1 + SLOTS, side**2) for side in GRIDS}
    for row, (_, elements, _) in enumerate(rows):
        for side in GRIDS:
            shares = weight_maps(list(elements), Mixing(0.0), (side, side), (LATENT_SIDE, LATENT_SIDE))
            maps[side**2][row, : len(shares)] = shares.flatten(1)
    return maps
