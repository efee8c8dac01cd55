"""What the one-step LoRA learns from: ways of the shipped checkpoint from noise to picture.

Half of the rows hear their scene by region, as attention mode asks; the others hear captions and nothing
else. The teacher gets those wrong often: it miscounts and swaps colors. For them it is guided by the
built-in planner's panel of the caption, so that the student learns from correct pictures; and since one
caption has one panel, not from a mean of many layouts.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from msgspec import Struct
from torch import Tensor
from transformers import CLIPTokenizer

from lib_ranni.evaluation.captions import caption, object_text
from lib_ranni.evaluation.scenes import Scene, random_scene
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel.types import Panel
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.standalone.checkpoint import TOKENIZER, Checkpoint
from lib_ranni.standalone.schedulers import make_scheduler
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import LATENT_SIDE, UNET_CHANNELS
from lib_ranni.standalone.training.regions import SLOTS, RegionalCaptions, Regions, regional_captions
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
    """What rows are told: context (B, 77, D), and the regions of the first of them."""

    context: Tensor
    regions: Regions


class Told(NamedTuple):
    """What a pack's rows hear: the student, and the teacher it learns from."""

    student: Heard
    teacher: Heard


class Conditions:
    """Texts of packs, encoded; the same pack always has the same."""

    def __init__(self, checkpoint: Checkpoint, recipe: TeacherRecipe) -> None:
        self._planner = BuiltinPlanner()
        self._defaults = checkpoint.defaults
        self._text = checkpoint.encoder.pairs[0][1]
        self._device = checkpoint.device
        self._recipe = recipe
        self._tokens = CaptionTokens(CLIPTokenizer.from_pretrained(TOKENIZER))

    def of(self, pack: int) -> Told:
        """What the rows of a pack hear."""
        rng = Random(self._recipe.seed * 1_000_003 + pack)
        scenes = [random_scene(rng) for _ in range(self._recipe.rows)]
        half = len(scenes) // 2
        bases, regional = regional_captions(scenes[:half], self._tokens, rng)
        captions = [_words(scene, rng) for scene in scenes[half:]]
        planned_bases, planned = planned_captions([self._panel(text) for text in captions], self._tokens)
        first = self._encoded([*bases, *captions], regional)
        second = self._encoded(planned_bases, planned)
        return Told(first, _joined(first, second, half))

    def _panel(self, text: str) -> Panel:
        panel = self._defaults.grounded(finish(self._planner.plan(PlanRequest(text))).panel)
        return panel if len(panel.elements) <= SLOTS else Panel(base=text)

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
    """The whole scene's caption, or one object's as an element's description has it."""
    if scene.objects and rng.random() < 0.2:
        return object_text(rng.choice(scene.objects), rng)
    return caption(scene, rng)


def planned_captions(panels: list[Panel], tokens: CaptionTokens) -> tuple[list[str], RegionalCaptions]:
    """The base prompts of panels, and what their regions hear; a panel has at most `SLOTS` elements."""
    grids = [LATENT_SIDE >> level for level in range(len(UNET_CHANNELS))]
    known = {"": 0}
    texts = torch.zeros(len(panels), SLOTS, dtype=torch.long)
    maps = {side * side: torch.zeros(len(panels), 1 + SLOTS, side * side) for side in grids}
    for row, panel in enumerate(panels):
        for slot, element in enumerate(panel.elements):
            texts[row, slot] = known.setdefault(element.description, len(known))
        for side in grids:
            shares = weight_maps(panel.elements, Mixing(0.0), (side, side), (LATENT_SIDE, LATENT_SIDE))
            maps[side * side][row, : len(shares)] = shares.flatten(1)
    return [panel.base for panel in panels], RegionalCaptions(tokens(list(known)), texts, maps)


def _joined(first: Heard, second: Heard, rows: int) -> Heard:
    """The first rows of one, then all rows of the other, every one of them with its regions."""
    one, two = first.regions, second.regions
    maps = {size: torch.cat([one.maps[size], two.maps[size]]) for size in one.maps}
    texts = torch.cat([one.texts, two.texts + len(one.context)])
    regions = Regions(torch.cat([one.context, two.context]), texts, maps)
    return Heard(torch.cat([first.context[:rows], second.context]), regions)


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
        made = _ways(checkpoint, conditions.of(pack).teacher, empty, recipe, recipe.seed * 7_000_003 + pack)
        state = {"ways": made.half()}
        checkpointing.save(path, state)
    ways: Tensor = state["ways"]
    return ways.float()
