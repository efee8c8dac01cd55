"""The checkpoint that the app draws with: one at a time, loaded when a picture needs it."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from lib_ranni.errors import InputError, ModelError
from lib_ranni.guidance.memory_store import MemoryStore
from lib_ranni.standalone.checkpoint import SHAPES, Checkpoint, load_checkpoint
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.paths import from_user

_KINDS = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}


class Models:
    """Keeps one checkpoint. `engine` belongs to whoever has the turn at the model."""

    def __init__(self, first: Path | None = None, device: str | None = None) -> None:
        self.first = SHAPES if first is None else from_user(first)
        self._device = device
        self._memories = MemoryStore()
        self._engine: Engine | None = None
        self._path: Path | None = None

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The one that is loaded."""
        engine = self._engine
        return None if engine is None else engine.checkpoint

    def path(self, text: str) -> Path:
        """The checkpoint that a user's text names; an empty one the first. Raises `InputError`."""
        if "\0" in text:
            raise InputError("a path cannot hold a NUL; give a checkpoint file or a diffusers folder")
        return from_user(text.strip()) if text.strip() else self.first

    def has(self, path: Path) -> bool:
        """Whether this checkpoint is loaded now."""
        return self._path == path

    def engine(self, path: Path) -> Engine:
        """The engine of a checkpoint, loaded if it is not. Raises `ModelError`."""
        if self._engine is None or self._path != path:
            if not path.exists():
                raise ModelError(f"there is no checkpoint at {path}; give a file or a diffusers folder")
            # Two large models at once may not fit.
            self._engine, self._path = None, None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._engine = Engine(load_checkpoint(path, self._device), self._memories)
            self._path = path
        return self._engine


def about(checkpoint: Checkpoint) -> str:
    """A line about a checkpoint, for people."""
    name = checkpoint.path.stem if checkpoint.path.is_file() else checkpoint.path.name
    size = checkpoint.defaults.size
    return f"{name}: {_KINDS[checkpoint.kind]}, {size} × {size} px, on {checkpoint.device}"
