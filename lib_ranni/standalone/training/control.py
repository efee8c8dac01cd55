"""Training of a panel conditioner for the shapes checkpoint: everything but the conditioner stays as it is.

The loss is the denoiser's own, on v, with the residual behind the first convolution. Cells inside boxes
count more, and so do high noise levels: there it is decided what will be where. A second stage goes on with
the part for colors alone, on scenes whose colors nearly no text names: beside all else there is to learn,
palettes are learned last. In many of its rows what is noised has other colors than those to be found, and
every batch is drawn on for a few steps: in steps a picture can turn to a wrong color, and nothing else
teaches a palette to turn it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.evaluation.scenes import Scene
from lib_ranni.guidance.panel_control import PanelConditioner, Widths
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import TEXT_WIDTH, UNET_CHANNELS
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.control_rows import (
    Batch,
    Elements,
    RowsRecipe,
    make_batch,
    with_other_colors,
)
from lib_ranni.standalone.training.latents import LatentSet, encoded_scenes
from lib_ranni.standalone.training.noise_levels import levels
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.regions import SLOTS, Regions
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps
from lib_ranni.standalone.training.tokens import CaptionTokens
from lib_ranni.standalone.training.walks import mixed, moved, noised, wanted_v

WIDTHS = Widths((8, 16, 32, 64), TEXT_WIDTH, UNET_CHANNELS[0], colors=True, keypoints=True, feedback=True)
KEPT_TEXTS = 20_000
LONGEST_STRIDE = 50
"""Timesteps of a step of drawing: 20 of them draw a picture."""
SETTLED_BELOW = 850
"""Rows that begin at higher timesteps are not drawn on: what is where is not settled yet, and a drawing that
went its own way would be taught to be a mean of what it could have been.
"""
MOST_GUIDANCE = 3.0
"""Guidance scales that a batch is drawn on by begin at 1 and end here."""
LAID = "laid"
"""The folder of scenes laid out by the planner, in that of a run."""


class ControlRecipe(msgspec.Struct, frozen=True):
    """A warm-up, then a cosine to zero. `high_noise` < 1 prefers high noise levels, `inside` is the further
    weight of cells in boxes. Down to the timestep `stop` boxes and labels act, below it only palettes. So
    many of the rows as `turned` are noised from other colors than theirs, and as `laid` are of scenes laid
    out by the planner, whose objects are larger. Each batch is drawn on for `walk` steps, of which
    `steps` and `save_every` are multiples.
    """

    steps: int = 8_000
    batch: int = 16
    learning_rate: float = 2e-3
    warmup: int = 200
    ema: float = 0.995
    high_noise: float = 0.8
    inside: float = 3.0
    stop: float = 0.0
    turned: float = 0.0
    walk: int = 1
    laid: float = 0.0
    rows: RowsRecipe = RowsRecipe()
    save_every: int = 250
    seed: int = 11

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * falling


class _Data(NamedTuple):
    """Scenes by chance, and such as are laid out by the planner."""

    scenes: LatentSet
    laid: LatentSet

    def rows(self, recipe: ControlRecipe, rng: Random) -> tuple[list[Scene], np.ndarray]:
        """The scenes of a batch, and their latents as the autoencoder has them."""
        sets = [self.laid if rng.random() < recipe.laid else self.scenes for _ in range(recipe.batch)]
        chosen = [(found, rng.randrange(len(found.scenes))) for found in sets]
        latents = np.stack([found.latents[row] for found, row in chosen])
        return [found.scenes[row] for found, row in chosen], latents


class TextStates:
    """Hidden states (77, D) of texts by the frozen text encoder, and a label's own vector among them."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._encoder = checkpoint.encoder
        self.tokens = CaptionTokens(self._encoder.tokenizer)
        self._known: dict[str, tuple[Tensor, int]] = {}

    @torch.no_grad()
    def _learn(self, texts: list[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not new:
            return
        for text in new:
            ids = self.tokens.ids_of(text)
            self._known[text] = self._encoder.hidden(ids), len(ids) + 1

    def forget(self) -> None:
        """Drop what is remembered if it has grown large."""
        if len(self._known) > KEPT_TEXTS:
            self._known.clear()

    def contexts(self, texts: list[str]) -> Tensor:
        """(len(texts), 77, D)."""
        self._learn(texts)
        return torch.stack([self._known[text][0] for text in texts])

    def labels(self, texts: list[str]) -> Tensor:
        """(len(texts), D): the state at the end token of each."""
        self._learn(texts)
        return torch.stack([self._known[text][0][self._known[text][1]] for text in texts])


class FrozenUNet:
    """The checkpoint's UNet, made to take a residual behind its first convolution while this is open."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._unet = checkpoint.unet
        self._residual: Callable[[Tensor], Tensor] | None = None

    def __enter__(self) -> FrozenUNet:
        self._processors = self._unet.attn_processors
        self._unet.set_attn_processor(NarrowHeads())
        self._hook = self._unet.conv_in.register_forward_hook(self._add)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        self._unet.set_attn_processor(self._processors)

    def _add(self, module: Any, args: Any, output: Tensor) -> Tensor:
        return output if self._residual is None else output + self._residual(output).to(output.dtype)

    def __call__(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        residual: Callable[[Tensor], Tensor] | None,
        given: dict[str, Any],
    ) -> Tensor:
        """(B, 4, h, w) to v of the same shape; `residual` is made of what the first convolution gives."""
        self._residual = residual
        v: Tensor = self._unet(noisy, timesteps, **given).sample
        return v


def batch_residual(
    conditioner: PanelConditioner,
    elements: Elements,
    labels: Tensor,
    timesteps: Tensor,
    stop: float,
    seen: Tensor,
) -> Tensor:
    """(rows, out, h, w) at the rows' timesteps: palettes, and above `stop` what boxes and labels give.

    `seen` (rows, out, h, w) is what it is added to.
    """
    device, rows = labels.device, len(timesteps)
    owner, masks, palettes = (part.to(device) for part in (elements.rows, elements.masks, elements.palettes))
    parts = conditioner(masks, labels, elements.marks.to(device))
    total = parts.new_zeros(rows, *parts.shape[1:]).index_add(0, owner, parts)
    shares = (timesteps > stop).to(parts) / torch.bincount(owner, minlength=rows)
    owned = [owner == row for row in range(rows)]
    colored = [conditioner.painted_colors(masks[own], palettes[own]) for own in owned]
    return total * shares[:, None, None, None] + conditioner.corrected(colored, timesteps.tolist(), seen)


def unet_arguments(batch: Batch, states: TextStates, device: torch.device) -> dict[str, Any]:
    """Contexts, regions and local masks, as the UNet takes them."""
    few = len(batch.slots)
    known: dict[str, int] = {"": 0}
    slots = torch.zeros(few, SLOTS, dtype=torch.long)
    for row, texts in enumerate(batch.slots):
        for slot, text in enumerate(texts):
            slots[row, slot] = known.setdefault(text, len(known))
    maps = {cells: map_.to(device) for cells, map_ in batch.maps.items()}
    regions = Regions(states.contexts(list(known)), slots, maps)
    bias = {cells: bias.to(device) for cells, bias in batch.bias.items()}
    return {
        "encoder_hidden_states": states.contexts(batch.captions),
        "cross_attention_kwargs": {"regions": regions, "bias": bias},
    }


@torch.no_grad()
def turned_latents(scenes: Sequence[Scene], clean: Tensor, checkpoint: Checkpoint, rng: Random) -> Tensor:
    """Latents (B, C, h, w) of scenes on their way from other colors to their own."""
    others = [with_other_colors(scene, rng) for scene in scenes]
    other = encoded_scenes(checkpoint.vae, others, rng) * checkpoint.vae.config.scaling_factor
    shares = torch.tensor([rng.random() for _ in scenes], device=clean.device)
    return clean.lerp(other, shares.view(-1, 1, 1, 1))


def trained_control(folder: Path, device: torch.device) -> dict[str, Any]:
    """The state of a run's conditioner; raises `ModelError` if it has none yet."""
    state = checkpointing.load(folder / "control.pt", device)
    if state is None:
        raise ModelError(f"{folder} holds no trained panel conditioner yet; let the training run first")
    return state


def train_control(folder: Path, checkpoint: Checkpoint, recipe: ControlRecipe, progress: Progress) -> None:
    """Train or resume the conditioner of the run in `folder`, whose latents are there, as `control.pt`."""
    torch.manual_seed(recipe.seed)
    model = PanelConditioner(WIDTHS).to(checkpoint.unet.device)
    _train("panel conditioner", folder / "control.pt", model, folder, checkpoint, recipe, progress)


def train_palettes(folder: Path, checkpoint: Checkpoint, recipe: ControlRecipe, progress: Progress) -> None:
    """Go on with the part for colors of the run's averaged conditioner alone, as `palettes.pt`.

    The run needs latents of scenes that are laid out, too. Raises `ModelError` if it has no conditioner yet.
    """
    device = checkpoint.unet.device
    model = PanelConditioner(WIDTHS).to(device)
    model.load_state_dict(trained_control(folder, device)["ema"])
    model.requires_grad_(False)
    for part in (model.ins_color_mapping, model.ins_color_feedback):
        assert part is not None
        part.requires_grad_(True)
    _train("palettes", folder / "palettes.pt", model, folder, checkpoint, recipe, progress)


def _train(
    name: str,
    path: Path,
    model: PanelConditioner,
    folder: Path,
    checkpoint: Checkpoint,
    recipe: ControlRecipe,
    progress: Progress,
) -> None:
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=0.0, weight_decay=0.0, betas=(0.9, 0.99))
    ema = checkpointing.Ema(model, recipe.ema)
    stage = Stage(name, path, model, optimizer, recipe.steps, recipe.save_every, ema)
    data = _Data(LatentSet(folder), LatentSet(folder / LAID))
    with FrozenUNet(checkpoint) as frozen:
        lesson = _Lesson(recipe, model, frozen, data, checkpoint)
        train_steps(stage, stage.resume()["step"], lesson.loss, recipe.rate, progress)


class _Lesson:
    """What a conditioner is taught: batches, each for a few steps on its way through the noise."""

    def __init__(
        self,
        recipe: ControlRecipe,
        model: PanelConditioner,
        frozen: FrozenUNet,
        data: _Data,
        checkpoint: Checkpoint,
    ) -> None:
        if recipe.save_every % recipe.walk or recipe.steps % recipe.walk:
            raise ValueError(
                "a state is saved between two batches: steps and save_every are multiples of walk"
            )
        self._recipe, self._model, self._frozen = recipe, model, frozen
        self._data, self._checkpoint, self._states = data, checkpoint, TextStates(checkpoint)

    def loss(self, step: int) -> Tensor:
        """The loss of a step. All choices come from the number of its batch."""
        recipe = self._recipe
        if step % recipe.walk == 0:
            self._begin(*step_chance(recipe.seed, step))
        batch, now = self._batch, self._now
        with torch.autocast(now.noisy.device.type, torch.bfloat16):
            predicted = self._frozen(now.noisy, now.timesteps, self._residual, self._given).float()
        weight = 1 + recipe.inside * batch.inside.to(predicted.device)
        if (step + 1) % recipe.walk:
            self._move(predicted.detach())
        return (weight * now.weight * (predicted - wanted_v(now, self._clean)) ** 2).mean() / weight.mean()

    def _begin(self, rng: Random, generator: torch.Generator) -> None:
        recipe, device = self._recipe, next(self._model.parameters()).device
        self._states.forget()
        scenes, latents = self._data.rows(recipe, rng)
        self._clean = torch.from_numpy(latents).to(device).float()
        self._clean *= self._checkpoint.vae.config.scaling_factor
        self._batch = batch = make_batch(scenes, self._states.tokens, recipe.rows, rng)
        self._labels = self._states.labels(batch.elements.texts)  # in full precision, however often asked for
        self._given = unet_arguments(batch, self._states, device)
        self._seen = seen = self._clean.clone()
        turned = [row for row in range(len(scenes)) if rng.random() < recipe.turned]
        if turned:
            own = [scenes[row] for row in turned]
            seen[turned] = turned_latents(own, self._clean[turned], self._checkpoint, rng)
        timesteps = levels(len(scenes), recipe.high_noise, generator).to(device)
        self._now, self._generator = noised(self._clean, seen, timesteps, generator), generator
        self._settled = timesteps < SETTLED_BELOW
        self._stride = (timesteps // recipe.walk).clamp(max=LONGEST_STRIDE)
        self._guidance = 1 + (MOST_GUIDANCE - 1) * torch.rand(len(scenes), generator=generator).to(device)

    def _residual(self, seen: Tensor) -> Tensor:
        elements, stop = self._batch.elements, self._recipe.stop
        return batch_residual(self._model, elements, self._labels, self._now.timesteps, stop, seen)

    @torch.no_grad()
    def _move(self, predicted: Tensor) -> None:
        now = self._now
        silent = {"encoder_hidden_states": self._states.contexts([""]).expand(len(predicted), -1, -1)}
        with torch.autocast(predicted.device.type, torch.bfloat16):
            plain = self._frozen(now.noisy, now.timesteps, None, silent).float()
        guided = plain.lerp(predicted, self._guidance.view(-1, 1, 1, 1))
        walked = moved(now, guided, self._stride)
        fresh = noised(self._clean, self._seen, walked.timesteps, self._generator)
        self._now = mixed(walked, fresh, self._settled)
