"""Training of a panel conditioner for the shapes checkpoint: everything but the conditioner stays as it is.

The loss is the denoiser's own, on v, with the residual behind the first convolution. Cells inside boxes
count more, and so do high noise levels: there it is decided what will be where.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from lib_ranni.guidance.panel_control import PanelConditioner, Widths
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import TEXT_WIDTH, TIMESTEPS, UNET_CHANNELS
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.control_rows import Batch, Elements, RowsRecipe, make_batch
from lib_ranni.standalone.training.denoiser import alphas_cumprod
from lib_ranni.standalone.training.latents import LatentSet
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.regions import SLOTS, Regions
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps
from lib_ranni.standalone.training.tokens import CaptionTokens

WIDTHS = Widths((8, 16, 32, 64), TEXT_WIDTH, UNET_CHANNELS[0], colors=True, keypoints=True)
KEPT_TEXTS = 20_000


class ControlRecipe(msgspec.Struct, frozen=True):
    """A warm-up, then a cosine to zero. `high_noise` < 1 prefers high noise levels, `inside` is the further
    weight of cells in boxes.
    """

    steps: int = 8_000
    batch: int = 16
    learning_rate: float = 2e-3
    warmup: int = 200
    ema: float = 0.995
    high_noise: float = 0.8
    inside: float = 3.0
    rows: RowsRecipe = RowsRecipe()
    save_every: int = 250
    seed: int = 11

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * falling


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


def batch_residual(conditioner: PanelConditioner, elements: Elements, labels: Tensor, rows: int) -> Tensor:
    """(rows, out, h, w): the mean over each row's elements."""
    device = labels.device
    owner = elements.rows.to(device)
    parts = conditioner(
        elements.masks.to(device), labels, elements.palettes.to(device), elements.marks.to(device)
    )
    total = parts.new_zeros(rows, *parts.shape[1:]).index_add(0, owner, parts)
    return total / torch.bincount(owner, minlength=rows)[:, None, None, None]


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


def _loss(
    frozen: FrozenUNet,
    residual: Tensor,
    clean: Tensor,
    batch: Batch,
    given: dict[str, Any],
    recipe: ControlRecipe,
    generator: torch.Generator,
) -> Tensor:
    count, device = len(clean), clean.device
    u = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    timesteps = (u**recipe.high_noise * TIMESTEPS).long().clamp(max=TIMESTEPS - 1).to(device)
    noise = torch.randn(clean.shape, generator=generator).to(device)
    a = alphas_cumprod().to(device)[timesteps].view(-1, 1, 1, 1)
    noisy, target = a.sqrt() * clean + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * clean
    with torch.autocast(device.type, torch.bfloat16):
        predicted = frozen(noisy, timesteps, residual, given)
    weight = 1 + recipe.inside * batch.inside.to(device)
    return (weight * (predicted.float() - target) ** 2).mean() / weight.mean()


def train_control(
    folder: Path,
    checkpoint: Checkpoint,
    recipe: ControlRecipe,
    device: torch.device,
    progress: Progress,
) -> None:
    """Train or resume the conditioner of the run in `folder`, whose latents are there, as `control.pt`."""
    torch.manual_seed(recipe.seed)
    model = PanelConditioner(WIDTHS).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, betas=(0.9, 0.99))
    ema = checkpointing.Ema(model, recipe.ema)
    stage = Stage(
        "panel conditioner", folder / "control.pt", model, optimizer, recipe.steps, recipe.save_every, ema
    )
    data, states, scale = LatentSet(folder), TextStates(checkpoint), checkpoint.vae.config.scaling_factor
    with FrozenUNet(checkpoint) as frozen:

        def loss_of(step: int) -> Tensor:
            return _step_loss(step, recipe, model, frozen, data, states, scale)

        train_steps(stage, stage.resume()["step"], loss_of, recipe.rate, progress)


def _step_loss(
    step: int,
    recipe: ControlRecipe,
    model: PanelConditioner,
    frozen: FrozenUNet,
    data: LatentSet,
    states: TextStates,
    scale: float,
) -> Tensor:
    """The loss of a step, all of whose choices come from its number."""
    device = next(model.parameters()).device
    rng, generator = step_chance(recipe.seed, step)
    states.forget()
    rows = [rng.randrange(len(data.scenes)) for _ in range(recipe.batch)]
    clean = torch.from_numpy(data.latents[rows]).to(device).float() * scale
    batch = make_batch([data.scenes[row] for row in rows], states.tokens, recipe.rows, rng)
    labels = states.labels(batch.elements.texts)  # in full precision, however often they were asked for
    with torch.autocast(device.type, torch.bfloat16):
        residual = batch_residual(model, batch.elements, labels, len(rows))
    given = unet_arguments(batch, states, device)
    return _loss(frozen, residual, clean, batch, given, recipe, generator)
