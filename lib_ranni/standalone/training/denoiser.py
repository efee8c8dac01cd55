"""Training of the shapes checkpoint's denoiser and text encoder, jointly and from scratch.

v-prediction on the Stable Diffusion schedule (Salimans & Ho 2022, eq. for v): with a CPU's budget of
steps an epsilon model never learns the background, because at t = 999 its error is amplified 14.6 times.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec
import torch
import torch.nn.functional as F
from transformers import CLIPTokenizer

from lib_ranni.evaluation.captions import caption
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import (
    BETA_END,
    BETA_START,
    TIMESTEPS,
    make_text_encoder,
    make_unet,
)
from lib_ranni.standalone.training.attention import NarrowHeads
from lib_ranni.standalone.training.latents import LatentSet
from lib_ranni.standalone.training.noise_levels import ExpectedLoss, levels
from lib_ranni.standalone.training.parts import part_captions
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.regions import RegionalCaptions, Regions, regional_captions
from lib_ranni.standalone.training.steps import Stage, step_chance, train_steps, trapezoid
from lib_ranni.standalone.training.tokens import CaptionTokens, with_unknown_words


class DenoiserRecipe(msgspec.Struct, frozen=True):
    """Warm-up, a long constant stretch, and a linear decay to zero over the last `decay` of the steps."""

    steps: int = 20_000
    batch: int = 32
    learning_rate: float = 6e-4
    warmup: int = 500
    decay: float = 0.25
    ema: float = 0.9995
    drop_caption: float = 0.1
    unknown_words: float = 0.08
    regional: float = 0.4
    parts: float = 0.25
    save_every: int = 250
    seed: int = 7

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        return trapezoid(step, self.steps, self.learning_rate, self.warmup, self.decay)


class Denoiser(torch.nn.Module):
    """UNet and text encoder under one roof: they are trained, averaged and saved together."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = make_unet()
        self.text = make_text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)

    def forward(
        self,
        noisy: torch.Tensor,
        timesteps: torch.Tensor,
        ids: torch.Tensor,
        regional: RegionalCaptions | None = None,
    ) -> torch.Tensor:
        """(B, 4, h, w), (B,), token ids (B, 77) to v (B, 4, h, w)."""
        if regional is None:
            return self.unet(noisy, timesteps, self.text(ids).last_hidden_state).sample
        hidden = self.text(torch.cat([ids, regional.ids])).last_hidden_state
        context, own = hidden[: len(ids)], hidden[len(ids) :]
        regions = Regions(own, regional.texts, regional.maps)
        return self.unet(noisy, timesteps, context, cross_attention_kwargs={"regions": regions}).sample


def alphas_cumprod() -> torch.Tensor:
    """Stable Diffusion's scaled-linear schedule, (1000,)."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def signal(timesteps: torch.Tensor) -> torch.Tensor:
    """The schedule's cumulative alphas at timesteps (B,), as (B, 1, 1, 1)."""
    return alphas_cumprod().to(timesteps.device)[timesteps].view(-1, 1, 1, 1)


def _captions(data: LatentSet, rows: list[int], recipe: DenoiserRecipe, rng: Random) -> list[str]:
    texts = []
    for row in rows:
        text = caption(data.scenes[row], rng)
        chance = rng.random()
        if chance < recipe.drop_caption:
            text = ""
        elif chance < recipe.drop_caption + recipe.unknown_words:
            text = with_unknown_words(text, rng)
        texts.append(text)
    return texts


def _loss(
    model: Denoiser,
    clean: torch.Tensor,
    ids: torch.Tensor,
    alphas: torch.Tensor,
    generator: torch.Generator,
    expected: ExpectedLoss,
    regional: RegionalCaptions | None = None,
    places: torch.Tensor | None = None,
) -> tuple[torch.Tensor, float]:
    """What is minimised, and the plain mean of the losses that a log can compare.

    `regional` belongs to the first rows; `places` (P, 1, h, w), where the texts hold, to those after them.
    """
    count = len(clean)
    timesteps = levels(count, 1.0, generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    a = alphas[timesteps].view(-1, 1, 1, 1)
    noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
    target = a.sqrt() * noise - (1 - a).sqrt() * clean
    with torch.autocast(clean.device.type, torch.bfloat16):
        predicted = model(noisy, timesteps, ids, regional)
    errors = F.mse_loss(predicted.float(), target, reduction="none").mean(1, keepdim=True)
    kinds = torch.zeros(count, dtype=torch.long)
    few = 0 if regional is None else len(regional.texts)
    kinds[:few] = 1
    shares = torch.ones_like(errors)
    if places is not None:
        kinds[few : few + len(places)] = 2
        shares[few : few + len(places)] = places
    # A background may be left no cell.
    losses = (shares * errors).sum((1, 2, 3)) / shares.sum((1, 2, 3)).clamp(min=1)
    weights = expected.weights(timesteps, kinds)
    expected.update(timesteps, kinds, losses)
    return (weights * losses).mean(), losses.mean().item()


def train_denoiser(
    folder: Path, tokenizer: CLIPTokenizer, recipe: DenoiserRecipe, device: torch.device, progress: Progress
) -> None:
    """Train or resume the denoiser of the run in `folder`; its state is saved as `denoiser.pt`."""
    torch.manual_seed(recipe.seed)
    data = LatentSet(folder)
    tokens = CaptionTokens(tokenizer)
    alphas = alphas_cumprod().to(device)
    model = Denoiser(tokenizer).to(device)
    model.unet.set_attn_processor(NarrowHeads())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.0, weight_decay=0.01, betas=(0.9, 0.99), fused=True
    )
    ema = checkpointing.Ema(model, recipe.ema)
    path = folder / "denoiser.pt"
    stage = Stage("denoiser", path, model, optimizer, recipe.steps, recipe.save_every, ema)
    state = {"scale": data.scale_factor()} | stage.resume()
    scale, expected = state["scale"], ExpectedLoss(state.get("expected"))
    model.train()

    def loss_of(step: int) -> tuple[torch.Tensor, float]:
        rng, generator = step_chance(recipe.seed, step)
        if step % 500 == 0:
            data.refresh()
        rows = [rng.randrange(len(data.scenes)) for _ in range(recipe.batch)]
        clean = torch.from_numpy(data.latents[rows]).to(device).float() * scale
        captions, regional, places = _texts(data, rows, recipe, tokens, rng, device)
        ids = tokens(captions).to(device)
        return _loss(model, clean, ids, alphas, generator, expected, regional, places)

    extra = {"scale": scale, "expected": expected.table}
    train_steps(stage, state["step"], loss_of, recipe.rate, progress, extra=extra)


def _texts(
    data: LatentSet,
    rows: list[int],
    recipe: DenoiserRecipe,
    tokens: CaptionTokens,
    rng: Random,
    device: torch.device,
) -> tuple[list[str], RegionalCaptions | None, torch.Tensor | None]:
    """What each row hears: the first by region, those after them of one part and where, the others whole."""
    captions = _captions(data, rows, recipe, rng)
    regional = None
    if (few := round(recipe.batch * recipe.regional)) > 0:
        scenes = [data.scenes[row] for row in rows[:few]]
        captions[:few], regional = regional_captions(scenes, tokens, rng)
        regional = regional.to(device)
    places = None
    if (some := round(recipe.batch * recipe.parts)) > 0:
        scenes = [data.scenes[row] for row in rows[few : few + some]]
        captions[few : few + some], places = part_captions(scenes, rng)
        places = places.to(device)
    return captions, regional, places
