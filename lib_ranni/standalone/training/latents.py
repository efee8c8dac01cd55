"""The denoiser's training set: scenes encoded once, kept in shards so that an interrupted run resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import torch
from diffusers import AutoencoderKL

from lib_ranni.evaluation.scenes import Scene, random_scene, render
from lib_ranni.standalone.training.architecture import IMAGE_PX
from lib_ranni.standalone.training.progress import Progress

SHARD = 1024
"""Scenes in a shard."""


def _shards(folder: Path) -> list[Path]:
    return sorted((folder / "latents").glob("*.npz"))


@torch.no_grad()
def encoded(vae: Any, images: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) in -1..1 to latents (B, 4, H/8, W/8), float32, as the autoencoder has them."""
    with torch.autocast(images.device.type, torch.bfloat16):
        mode: torch.Tensor = vae.encode(images).latent_dist.mode()
    return mode.float()


def encoded_scenes(vae: Any, scenes: Sequence[Scene], rng: Random | None = None) -> torch.Tensor:
    """Scenes, drawn with the jitter of `rng` if there is one, to latents as `encoded` gives them."""
    arrays = np.stack([np.asarray(render(scene, IMAGE_PX, rng=rng)) for scene in scenes])
    images = torch.from_numpy(arrays).to(vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1
    return encoded(vae, images)


SceneSource = Callable[[Random], Scene]
"""A scene by chance."""


@torch.no_grad()
def encode_shard(
    path: Path, index: int, model: AutoencoderKL, seed: int, source: SceneSource = random_scene
) -> None:
    """Draw and encode scenes `index * SHARD ...`; the file appears only when it is complete."""
    rng = Random(seed * 1_000_003 + index)
    scenes: list[Scene] = []
    latents: list[np.ndarray] = []
    for _ in range(SHARD // 32):
        chunk = [source(rng) for _ in range(32)]
        scenes += chunk
        latents.append(encoded_scenes(model, chunk, rng).cpu().numpy().astype(np.float16))
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            latents=np.concatenate(latents),
            scenes=np.frombuffer(msgspec.json.encode(scenes), dtype=np.uint8),
        )
    partial.replace(path)


def encode_scenes(
    folder: Path,
    count: int,
    model: AutoencoderKL,
    seed: int,
    progress: Progress,
    source: SceneSource = random_scene,
) -> None:
    """Make sure that the run in `folder` has at least `count` encoded scenes of a source."""
    (folder / "latents").mkdir(parents=True, exist_ok=True)
    shards = -(-count // SHARD)
    for index in range(shards):
        path = folder / "latents" / f"{index:04d}.npz"
        if not path.exists():
            encode_shard(path, index, model, seed, source)
        progress.step("encoding scenes", index + 1, shards, 0.0)


class LatentSet:
    """All shards of a run that exist by now, in memory: about 2 KB a scene."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self.latents = np.empty((0, 4, IMAGE_PX // 8, IMAGE_PX // 8), np.float16)
        self.scenes: list[Scene] = []
        self.refresh()

    def refresh(self) -> None:
        """Read shards written since the last look."""
        new = [path for path in _shards(self._folder) if path not in self._files]
        parts = [self.latents]
        for path in new:
            with np.load(path) as shard:
                parts.append(shard["latents"])
                self.scenes += msgspec.json.decode(shard["scenes"].tobytes(), type=list[Scene])
        self.latents = np.concatenate(parts)
        self._files += new

    def scale_factor(self) -> float:
        """1 / standard deviation of the latents: what the denoiser's inputs are multiplied by."""
        return float(1 / self.latents[: 8 * SHARD].astype(np.float32).std())
