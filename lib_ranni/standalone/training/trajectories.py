"""What the one-step LoRA learns from: ways of the shipped checkpoint from noise to picture.

Half of the rows hear their scene by region, as attention mode asks, some a single object's or the
background's words, as latent mode does, the others whole captions.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from msgspec import Struct
from torch import Tensor
from transformers import CLIPTokenizer

from lib_ranni.evaluation.captions import background_text, caption, object_text
from lib_ranni.evaluation.scenes import Scene, random_scene
from lib_ranni.standalone.checkpoint import TOKENIZER, Checkpoint
from lib_ranni.standalone.schedulers import make_scheduler
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import LATENT_SIDE
from lib_ranni.standalone.training.regions import RegionalCaptions, Regions, regional_captions
from lib_ranni.standalone.training.tokens import CaptionTokens

LEVELS = (999, 699, 499, 299)
"""Timesteps at which a way is kept; the teacher's grid must hold them."""


class TeacherRecipe(Struct, frozen=True):
    """Packs of `rows` ways, drawn by DPM-Solver++ (2M) with the guidance the pictures are measured with.

    `first` packs are there from the start, and another after every `reuse` steps of the student.
    """

    first: int = 24
    reuse: int = 8
    rows: int = 32
    steps: int = 10
    cfg: float = 4.0
    seed: int = 11

    def packs(self, step: int) -> int:
        """How many packs a step of the student may choose from."""
        return self.first + step // self.reuse


class Heard(NamedTuple):
    """What the rows of a pack are told: context (B, 77, D), and the regions of the first rows."""

    context: Tensor
    regions: Regions


class Conditions:
    """Texts of packs, encoded; the same pack always has the same."""

    def __init__(self, checkpoint: Checkpoint, recipe: TeacherRecipe) -> None:
        self._text = checkpoint.encoder.pairs[0][1]
        self._device = checkpoint.device
        self._recipe = recipe
        self._tokens = CaptionTokens(CLIPTokenizer.from_pretrained(TOKENIZER))

    def of(self, pack: int) -> Heard:
        """What the rows of a pack hear."""
        rng = Random(self._recipe.seed * 1_000_003 + pack)
        scenes = [random_scene(rng) for _ in range(self._recipe.rows)]
        half = len(scenes) // 2
        bases, regional = regional_captions(scenes[:half], self._tokens, rng)
        captions = bases + [_words(scene, rng) for scene in scenes[half:]]
        return self._encoded(captions, regional)

    def empty(self, rows: int) -> Tensor:
        """The context (rows, 77, D) of an empty prompt."""
        return self._hidden([""]).expand(rows, -1, -1)

    def _hidden(self, captions: list[str] | Tensor) -> Tensor:
        ids = captions if isinstance(captions, Tensor) else self._tokens(captions)
        with torch.no_grad():
            hidden: Tensor = self._text(ids.to(self._device)).last_hidden_state
        return hidden

    def _encoded(self, captions: list[str], regional: RegionalCaptions) -> Heard:
        there = regional.to(self._device)
        own = self._hidden(there.ids)
        return Heard(self._hidden(captions), Regions(own, there.texts, there.maps))


def _words(scene: Scene, rng: Random) -> str:
    """The whole scene's caption, or one part's."""
    chance = rng.random()
    if chance < 0.15 and scene.objects:
        return object_text(rng.choice(scene.objects), rng)
    return background_text(scene, rng) if chance < 0.2 else caption(scene, rng)


@torch.no_grad()
def _ways(checkpoint: Checkpoint, heard: Heard, empty: Tensor, recipe: TeacherRecipe, seed: int) -> Tensor:
    """(len(LEVELS) + 1, B, 4, side, side): where the teacher is at each level, and where it ends."""
    scheduler = make_scheduler("dpmpp-2m", {**checkpoint.scheduler, "timestep_spacing": "trailing"})
    scheduler.set_timesteps(recipe.steps)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(len(heard.context), 4, LATENT_SIDE, LATENT_SIDE, generator=generator)
    x = x.to(checkpoint.device)
    context, kwargs = torch.cat([heard.context, empty]), {"regions": heard.regions}
    kept: dict[int, Tensor] = {}
    for t in scheduler.timesteps:
        kept[int(t)] = x
        with torch.autocast(x.device.type, torch.bfloat16):
            v: Any = checkpoint.unet(torch.cat([x, x]), t, context, cross_attention_kwargs=kwargs).sample
        positive, negative = v.float().chunk(2)
        x = scheduler.step(negative + recipe.cfg * (positive - negative), t, x).prev_sample
    return torch.stack([*(kept[level] for level in LEVELS), x])


def ways_of(
    folder: Path, pack: int, checkpoint: Checkpoint, conditions: Conditions, recipe: TeacherRecipe
) -> Tensor:
    """A pack of the run in `folder`, made when it is first asked for; attention must be `NarrowHeads`."""
    path = folder / "ways" / f"{pack:05d}.pt"
    if (state := checkpointing.load(path, checkpoint.device)) is None:
        empty = conditions.empty(recipe.rows)
        made = _ways(checkpoint, conditions.of(pack), empty, recipe, recipe.seed * 7_000_003 + pack)
        state = {"ways": made.half()}
        checkpointing.save(path, state)
    ways: Tensor = state["ways"]
    return ways.float()
