"""What the one-step LoRA learns from: pictures, what is said of them, and noise that stands for them.

A batch has rows of four kinds. The first hear a scene of the run's by region, each object's text in a box
that fits it, as attention mode asks. Two kinds are of packs: captions of several objects, laid out by the
built-in planner; some hear that panel by region, the others the caption and nothing else. The last hear a
caption of one object, which is in the middle unless the caption says otherwise. Where no text names the
background, noise does.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor

from lib_ranni.evaluation.captions import background_text, caption, object_text
from lib_ranni.evaluation.scenes import COLORS, SHAPES, Scene, random_scene
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel.types import Element, Panel
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import LATENT_SIDE
from lib_ranni.standalone.training.control_rows import GRIDS, fitting_box
from lib_ranni.standalone.training.latents import LatentSet, SceneSource, encoded_scenes
from lib_ranni.standalone.training.layout_noise import Likeness
from lib_ranni.standalone.training.layouts import (
    SIZED,
    all_lone_scenes,
    lone_scenes,
    panel_scene,
    possible_backgrounds,
)
from lib_ranni.standalone.training.regions import SLOTS


class RowsRecipe(msgspec.Struct, frozen=True):
    """Rows of a batch: scenes of the run by region, packs by region, packs by caption, objects alone.

    `first` packs are there from the start, and another after every `reuse` steps.
    """

    scenes: int = 4
    panels: int = 4
    captions: int = 6
    lone: int = 18
    first: int = 24
    reuse: int = 8
    seed: int = 11

    def packs(self, step: int) -> int:
        """How many packs a step may choose from."""
        return self.first + step // self.reuse


class Row(NamedTuple):
    """A text for the whole canvas, and the elements that are heard by region."""

    text: str
    elements: tuple[Element, ...] = ()


class Batch(NamedTuple):
    """Rows, the latents (B, 4, h, w) of their pictures and noise of the same shape that stands for them.

    `maps` (R, 1 + SLOTS, cells), by a layer's cells, are the shares of base and elements in the first rows.
    """

    rows: list[Row]
    latents: Tensor
    noise: Tensor
    maps: dict[int, Tensor]


class Laid(NamedTuple):
    """A caption, its panel, and the scene that follows the panel to the letter."""

    caption: str
    panel: Panel
    scene: Scene


def laid_out(rng: Random, planner: BuiltinPlanner) -> Laid:
    """A caption by chance, laid out."""
    while True:
        scene = random_scene(rng)
        text = caption(scene, rng)
        panel = finish(planner.plan(PlanRequest(text))).panel
        if not 1 < len(panel.elements) <= SLOTS:
            continue
        colors = {item.color for item in scene.objects}
        found = panel_scene(panel.elements, rng.choice(possible_backgrounds(text, colors)))
        if found is not None:
            return Laid(text, panel, found)


def laid_scenes() -> SceneSource:
    """Scenes of captions by chance, laid out."""
    planner = BuiltinPlanner()
    return lambda rng: laid_out(rng, planner).scene


def on_other_backgrounds(scene: Scene, text: str) -> list[Scene]:
    """The scene as it might be too, where a text names no background."""
    backgrounds = possible_backgrounds(text, {item.color for item in scene.objects})
    return [Scene(name, scene.objects) for name in backgrounds if name != scene.background]


class Rows:
    """Batches of a run, each of them made by the number of its step alone."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, recipe: RowsRecipe) -> None:
        self._folder = folder
        self._checkpoint = checkpoint
        self._recipe = recipe
        self._planner = BuiltinPlanner()
        self._data = LatentSet(folder)
        self._likeness = Likeness(self._data, checkpoint.vae.config.scaling_factor)
        self._packs: dict[int, tuple[list[Laid], Tensor]] = {}
        self._lone: dict[str, dict[Scene, Tensor]] = {}

    def batch(self, step: int, rng: Random, generator: torch.Generator) -> Batch:
        """The batch of a step, whose choices are drawn from `rng` and noise from `generator`."""
        made = [*self._of_scenes(rng, generator), *self._of_pack(step, rng, generator)]
        made += [self._alone(rng, generator) for _ in range(self._recipe.lone)]
        rows, latents, noise = zip(*made, strict=True)
        regional = self._recipe.scenes + self._recipe.panels
        return Batch(list(rows), torch.stack(latents), torch.stack(noise), _maps(list(rows[:regional])))

    def _noise(self, scene: Scene, text: str, generator: torch.Generator) -> Tensor:
        return self._likeness.noise_for(scene, on_other_backgrounds(scene, text), generator)

    def _of_scenes(self, rng: Random, generator: torch.Generator) -> list[tuple[Row, Tensor, Tensor]]:
        scale, made = self._checkpoint.vae.config.scaling_factor, []
        for _ in range(self._recipe.scenes):
            index = rng.randrange(len(self._data.scenes))
            scene = self._data.scenes[index]
            elements = tuple(
                Element(id=f"e{slot}", description=object_text(item, rng), box=fitting_box(item, rng))
                for slot, item in enumerate(scene.objects)
            )
            text = background_text(scene, rng)
            latents = torch.from_numpy(self._data.latents[index]).float() * scale
            made.append((Row(text, elements), latents, self._noise(scene, text, generator)))
        return made

    def _of_pack(
        self, step: int, rng: Random, generator: torch.Generator
    ) -> list[tuple[Row, Tensor, Tensor]]:
        laid, latents = self._pack(rng.randrange(self._recipe.packs(step)))
        made = []
        for index, one in enumerate(laid):
            row = Row(one.caption)
            if index < self._recipe.panels:
                row = Row(self._checkpoint.defaults.grounded(one.panel).base, one.panel.elements)
            made.append((row, latents[index].float(), self._noise(one.scene, one.caption, generator)))
        return made

    def _pack(self, pack: int) -> tuple[list[Laid], Tensor]:
        """A pack's rows and latents, drawn when it is first asked for."""
        if pack not in self._packs:
            rng = Random(self._recipe.seed * 1_000_003 + pack)
            count = self._recipe.panels + self._recipe.captions
            laid = [laid_out(rng, self._planner) for _ in range(count)]
            kept = self._kept(f"packs/{pack:05d}", [one.scene for one in laid])
            self._packs[pack] = laid, kept
        return self._packs[pack]

    def _alone(self, rng: Random, generator: torch.Generator) -> tuple[Row, Tensor, Tensor]:
        shape, color = rng.choice(SHAPES), rng.choice(tuple(COLORS))
        drawn = self._drawn_alone(shape, color)
        text = _text_of_one(list(drawn), rng)
        noise = torch.randn(4, LATENT_SIDE, LATENT_SIDE, generator=generator)
        scene = self._likeness.likeliest(noise, lone_scenes(shape, color, text))
        return Row(text), drawn[scene].float(), noise

    def _drawn_alone(self, shape: str, color: str) -> dict[Scene, Tensor]:
        """Latents of an object at all places and on all backgrounds, drawn when it is first asked for."""
        name = f"{color} {shape}"
        if name not in self._lone:
            scenes = all_lone_scenes(shape, color)
            latents = self._kept(f"lone/{name.replace(' ', '-')}", scenes)
            self._lone[name] = dict(zip(scenes, latents, strict=True))
        return self._lone[name]

    def _kept(self, name: str, scenes: list[Scene]) -> Tensor:
        """Latents of scenes in half precision, from the run's folder if they are there."""
        path = self._folder / f"{name}.pt"
        state = checkpointing.load(path, torch.device("cpu"))
        if state is None:
            state = {"latents": torch.cat([self._encoded(part) for part in _split(scenes, 32)]).half()}
            checkpointing.save(path, state)
        latents: Tensor = state["latents"]
        return latents

    def _encoded(self, scenes: list[Scene]) -> Tensor:
        vae: Any = self._checkpoint.vae
        return encoded_scenes(vae, scenes).cpu() * float(vae.config.scaling_factor)


def _text_of_one(scenes: list[Scene], rng: Random) -> str:
    """A text of one of the scenes; one in four names a size, which captions by chance seldom do."""
    sized = rng.random() < 0.25
    while True:
        size = rng.choice(sorted({scene.objects[0].size for scene in scenes}))
        scene = rng.choice([scene for scene in scenes if scene.objects[0].size == size])
        text = caption(scene, rng) if rng.random() < 0.7 else object_text(scene.objects[0], rng)
        if not sized or SIZED.search(text):
            return text


def _split(scenes: list[Scene], size: int) -> list[list[Scene]]:
    return [scenes[start : start + size] for start in range(0, len(scenes), size)]


def _maps(rows: list[Row]) -> dict[int, Tensor]:
    """Shares (R, 1 + SLOTS, cells) of base and elements, by a layer's cells."""
    maps = {side**2: torch.zeros(len(rows), 1 + SLOTS, side**2) for side in GRIDS}
    for index, row in enumerate(rows):
        for side in GRIDS:
            shares = weight_maps(list(row.elements), Mixing(0.0), (side, side), (LATENT_SIDE, LATENT_SIDE))
            maps[side**2][index, : len(shares)] = shares.flatten(1)
    return maps
