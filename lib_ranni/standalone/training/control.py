"""Training of a panel conditioner for the shapes checkpoint: everything but the conditioner stays as it is.

The loss is the denoiser's own, on v, with the residual behind the first convolution. Cells inside boxes
count more, and so do high noise levels: there it is decided what will be where. A second stage goes on with
the part for colors alone, on scenes whose colors nearly no text names: beside all else there is to learn,
palettes are learned last. In many of its rows what is noised has other colors than those to be found: in
steps a picture can have turned to a wrong one, and nothing else teaches a palette to turn it back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.evaluation.scenes import Scene
from lib_ranni.guidance.panel_control import PanelConditioner, Widths, blended
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import TEXT_WIDTH, TIMESTEPS, UNET_CHANNELS
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.control_rows import (
    Batch,
    Elements,
    RowsRecipe,
    make_batch,
    with_other_colors,
)
from lib_ranni.standalone.training.denoiser import alphas_cumprod
from lib_ranni.standalone.training.latents import LatentSet, encoded_scenes
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.regions import SLOTS, Regions
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps
from lib_ranni.standalone.training.tokens import CaptionTokens

WIDTHS = Widths((8, 16, 32, 64), TEXT_WIDTH, UNET_CHANNELS[0], colors=True, keypoints=True)
KEPT_TEXTS = 20_000
LAID = "laid"
"""The folder of scenes laid out by the planner, in that of a run."""


class ControlRecipe(msgspec.Struct, frozen=True):
    """A warm-up, then a cosine to zero. `high_noise` < 1 prefers high noise levels, `inside` is the further
    weight of cells in boxes. Down to the timestep `stop` boxes and labels act, below it only palettes. So
    many of the rows as `turned` are noised from other colors than theirs, and as `laid` are of scenes laid
    out by the planner, whose objects are larger.
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
        self._residual: Tensor | None = None

    def __enter__(self) -> FrozenUNet:
        self._processors = self._unet.attn_processors
        self._unet.set_attn_processor(NarrowHeads())
        self._hook = self._unet.conv_in.register_forward_hook(self._add)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
        self._unet.set_attn_processor(self._processors)

    def _add(self, module: Any, args: Any, output: Tensor) -> Tensor:
        return output if self._residual is None else output + self._residual.to(output.dtype)

    def __call__(self, noisy: Tensor, timesteps: Tensor, residual: Tensor, given: dict[str, Any]) -> Tensor:
        """(B, 4, h, w) to v of the same shape."""
        self._residual = residual
        v: Tensor = self._unet(noisy, timesteps, **given).sample
        return v


def batch_residual(
    conditioner: PanelConditioner, elements: Elements, labels: Tensor, timesteps: Tensor, stop: float
) -> Tensor:
    """(rows, out, h, w) at the rows' timesteps: palettes, and above `stop` what boxes and labels give."""
    device, rows = labels.device, len(timesteps)
    owner, masks, palettes = (part.to(device) for part in (elements.rows, elements.masks, elements.palettes))
    parts = conditioner(masks, labels, elements.marks.to(device))
    total = parts.new_zeros(rows, *parts.shape[1:]).index_add(0, owner, parts)
    shares = (timesteps > stop).to(parts) / torch.bincount(owner, minlength=rows)
    colors = []
    for row, timestep in enumerate(timesteps.tolist()):
        own = owner == row
        colors.append(blended(conditioner.painted_colors(masks[own], palettes[own]), timestep))
    return total * shares[:, None, None, None] + torch.stack(colors)


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


class Noised(NamedTuple):
    """Latents at timesteps (B,), the v by which they become what they shall, and a weight (B, 1, 1, 1) of its
    error.
    """

    timesteps: Tensor
    noisy: Tensor
    target: Tensor
    weight: Tensor


def noised(clean: Tensor, seen: Tensor, recipe: ControlRecipe, generator: torch.Generator) -> Noised:
    """Latents (B, C, h, w) `seen`, one at a timestep of each part of the noise levels, that shall be `clean`.

    Where the two are not the same, the error counts as one of the latents: v's would grow without bound.
    """
    count, device = len(clean), clean.device
    u = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    timesteps = (u**recipe.high_noise * TIMESTEPS).long().clamp(max=TIMESTEPS - 1).to(device)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    a = alphas_cumprod().to(device)[timesteps].view(-1, 1, 1, 1)
    noisy = a.sqrt() * seen + (1 - a).sqrt() * noise
    target = (a.sqrt() * noisy - clean) / (1 - a).sqrt()
    turned = (seen != clean).flatten(1).any(1).view(-1, 1, 1, 1)
    return Noised(timesteps, noisy, target, torch.where(turned, 1 - a, 1.0))


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
    assert model.ins_color_mapping is not None
    model.ins_color_mapping.requires_grad_(True)
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
    data, states = _Data(LatentSet(folder), LatentSet(folder / LAID)), TextStates(checkpoint)
    with FrozenUNet(checkpoint) as frozen:

        def loss_of(step: int) -> Tensor:
            return _step_loss(step, recipe, model, frozen, data, states, checkpoint)

        train_steps(stage, stage.resume()["step"], loss_of, recipe.rate, progress)


def _step_loss(
    step: int,
    recipe: ControlRecipe,
    model: PanelConditioner,
    frozen: FrozenUNet,
    data: _Data,
    states: TextStates,
    checkpoint: Checkpoint,
) -> Tensor:
    """The loss of a step, all of whose choices come from its number."""
    device = next(model.parameters()).device
    rng, generator = step_chance(recipe.seed, step)
    states.forget()
    scenes, latents = data.rows(recipe, rng)
    clean = torch.from_numpy(latents).to(device).float() * checkpoint.vae.config.scaling_factor
    batch = make_batch(scenes, states.tokens, recipe.rows, rng)
    labels = states.labels(batch.elements.texts)  # in full precision, however often they were asked for
    given = unet_arguments(batch, states, device)
    seen = clean.clone()
    turned = [row for row in range(len(scenes)) if rng.random() < recipe.turned]
    if turned:
        seen[turned] = turned_latents([scenes[row] for row in turned], clean[turned], checkpoint, rng)
    timesteps, noisy, target, certain = noised(clean, seen, recipe, generator)
    with torch.autocast(device.type, torch.bfloat16):
        residual = batch_residual(model, batch.elements, labels, timesteps, recipe.stop)
        predicted = frozen(noisy, timesteps, residual, given)
    weight = 1 + recipe.inside * batch.inside.to(device)
    return (weight * certain * (predicted.float() - target) ** 2).mean() / weight.mean()
