"""Which picture noise stands for: the one of all that fit a text that it looks most like.

Regression from noise to pictures gives the mean of all pictures that fit, unless the noise decides among
them. A denoiser at the last timestep t already weighs them: noise n speaks for a picture x0 as
exp(-|n - c x0|^2 / 2) with c^2 = a_t / (1 - a_t). Taking the likeliest one of a finite set for each n pairs
noise and pictures as optimal transport does (Pooladian et al. 2023; Tong et al. 2024, within a batch), and
what is left to learn is to sharpen a decision that the denoiser makes anyway.

Pictures are compared by coarse latents: each cell is a mixture of the flat colors that meet in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS, Scene, SceneObject, render
from lib_ranni.standalone.training.architecture import LATENT_SIDE, TIMESTEPS
from lib_ranni.standalone.training.denoiser import alphas_cumprod
from lib_ranni.standalone.training.latents import LatentSet

SEEN = 1000
"""Scenes that tell what colors are in latents."""
NOTHING = 0.01
"""A cell that is covered by less is not."""
TRIES = 64
"""Noises among which one that stands for a given picture is looked for."""


@lru_cache(maxsize=20_000)
def _coverage(shape: str, x: float, y: float, size: float) -> Tensor:
    """(side, side): how much of each latent cell an object covers."""
    black = render(Scene("white", (SceneObject(shape, "black", x, y, size),)), 4 * LATENT_SIDE)
    white, ink = BACKGROUNDS["white"][0], COLORS["black"][0]
    gray = np.asarray(black.convert("L").resize((LATENT_SIDE, LATENT_SIDE), Image.Resampling.BOX))
    return torch.from_numpy((white - gray.astype(np.float32)) / (white - ink))


class Likeness:
    """Compares noise with scenes in the latents of an autoencoder."""

    def __init__(self, data: LatentSet, scale: float) -> None:
        """From scenes and their latents, which `scale` brings to about unit variance."""
        self._ground, self._fill = _flat_latents(data, scale)
        a = float(alphas_cumprod()[TIMESTEPS - 1])
        self._share = (a / (1 - a)) ** 0.5

    def _coarse(self, scene: Scene) -> Tensor:
        """(4, side, side): a scene's latents, about."""
        latents = self._ground[scene.background][:, None, None].expand(-1, LATENT_SIDE, LATENT_SIDE)
        for item in scene.objects:
            covered = _coverage(item.shape, item.x, item.y, item.size)
            latents = latents + covered * (self._fill[item.color][:, None, None] - latents)
        return latents

    def scores(self, noise: Tensor, scenes: Sequence[Scene]) -> Tensor:
        """(N, len(scenes)) log-likelihoods, up to a constant, of noise (N, 4, side, side)."""
        shown = self._share * torch.stack([self._coarse(scene) for scene in scenes]).flatten(1)
        return noise.flatten(1) @ shown.T - shown.square().sum(1) / 2

    def likeliest(self, noise: Tensor, scenes: Sequence[Scene]) -> Scene:
        """The scene that noise (4, side, side) stands for."""
        return scenes[int(self.scores(noise[None], scenes).argmax())]

    def noise_for(self, scene: Scene, others: Sequence[Scene], generator: torch.Generator) -> Tensor:
        """New noise (4, side, side) that stands for the scene rather than for any of the others.

        It is the one that does best of some; hardly ever does none.
        """
        count = TRIES if others else 1
        noise = torch.randn(count, 4, LATENT_SIDE, LATENT_SIDE, generator=generator)
        if not others:
            return noise[0]
        scores = self.scores(noise, [scene, *others])
        lead = scores[:, 0] - scores[:, 1:].amax(1)
        # The first that will do: the best would be no common noise.
        standing = (lead > 0).nonzero()
        return noise[int(standing[0]) if len(standing) else int(lead.argmax())]


def _flat_latents(data: LatentSet, scale: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Latents (4,) of backgrounds and fills: the mean over cells of scenes that show nothing else.

    A plain picture would not do: an encoder that normalises over the canvas sees another color in it.
    """
    ground: dict[str, list[Tensor]] = {name: [] for name in BACKGROUNDS}
    fill: dict[str, list[Tensor]] = {name: [] for name in COLORS}
    for scene, latents in zip(data.scenes[:SEEN], data.latents[:SEEN], strict=False):
        cells = torch.from_numpy(latents).float() * scale
        covered = [_coverage(item.shape, item.x, item.y, item.size) for item in scene.objects]
        bare = torch.stack([_near(cover) for cover in covered]).amax(0) < NOTHING if covered else None
        if bare is not None and bool(bare.any()):
            ground[scene.background].append(cells[:, bare].mean(1))
        for item, cover in zip(scene.objects, covered, strict=True):
            inside = _near(1 - cover) < NOTHING
            if bool(inside.any()):
                fill[item.color].append(cells[:, inside].mean(1))
    means = tuple(
        {name: torch.stack(found).mean(0) if found else torch.zeros(4) for name, found in kind.items()}
        for kind in (ground, fill)
    )
    return means[0], means[1]


def _near(cover: Tensor) -> Tensor:
    """The most that a cell or one beside it is covered."""
    return F.max_pool2d(cover[None], 3, stride=1, padding=1)[0]
