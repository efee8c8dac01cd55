"""Memory edits in the engine: what a request's pictures are remembered by, and the drawing of an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lib_ranni.errors import InputError, MismatchError
from lib_ranni.guidance.edit_region import composite, edit_region, verdict
from lib_ranni.guidance.memory import Conditions, Keeping, Memory, Recording
from lib_ranni.panel.types import with_fields
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.metadata import single
from lib_ranni.standalone.requests import Request, to_json

_ROUNDING = 2
"""Levels, of 255, by which one picture may differ from itself drawn again."""


def conditions(request: Request, checkpoint: Checkpoint, image: int) -> Conditions:
    """What an edit of a picture must share with it. Guidance may differ: it acts where the edit is."""
    others = {
        "LoRAs": ", ".join(f"{lora.name}:{lora.weight:g}" for lora in request.loras),
        "gamma": "" if request.gamma is None or not request.preset else f"{request.gamma:g}",
        "prior": f"{request.prior}:{request.prior_weight:g}" if request.preset and request.prior else "",
        "decoder": request.decoder,
    }
    return Conditions(
        seed=request.seed_of(image),
        width=request.width,
        height=request.height,
        sampler=request.preset or request.sampler,
        steps=request.steps,
        cfg=request.cfg,
        checkpoint=_fingerprint(checkpoint.path),
        others={name: value for name, value in others.items() if value},
    )


def _fingerprint(path: Path) -> str:
    """What tells checkpoints apart: names, sizes and times of the files; reading them would take long."""
    files = sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]
    facts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return sha256(repr(facts).encode()).hexdigest()[:10]


def memory_name(request: Request, image: int) -> str:
    """The name of a picture's memory: equal for equal requests, edits before them included."""
    return sha256(to_json(single(request, image)).encode()).hexdigest()


def require_same(request: Request, checkpoint: Checkpoint) -> None:
    """Raise `MismatchError` if the pictures that a request edits were drawn otherwise."""
    before = request.before
    if before is None:
        return
    if before.batch != request.batch:
        raise MismatchError(
            f"{before.batch} pictures cannot become {request.batch} by an edit; edit them in their number"
        )
    for image in range(request.batch):
        conditions(before, checkpoint, image).require(conditions(request, checkpoint, image))


def edited_region(request: Request, before: Request, checkpoint: Checkpoint, image: int) -> Tensor:
    """(h, w) in 0..1: where an edit of a picture draws it anew."""
    defaults = checkpoint.defaults
    old, new = before.panel(image), request.panel(image)
    if defaults.is_own_base(old) and defaults.is_own_base(new):
        # A base that nobody wrote follows the elements and is no change of its own.
        new = with_fields(new, base=old.base)
    size = (request.height // 8, request.width // 8)
    return edit_region(old, new, size, margin=request.edit_margin, feather=request.edit_feather)


class Editing:
    """One generation as far as memory goes: what it keeps, if it is an edit, and what it leaves behind."""

    def __init__(
        self, checkpoint: Checkpoint, request: Request, memories: Sequence[Memory], *, remember: bool
    ) -> None:
        self._checkpoint = checkpoint
        self._request = request
        self._memories = tuple(memories)
        self._recording = Recording() if remember else None
        self.regions: tuple[Tensor, ...] = ()
        self._keeping: Keeping | None = None
        if request.before is not None:
            self._require(request.before)
            before = request.before
            self.regions = tuple(edited_region(request, before, checkpoint, n) for n in range(request.batch))
            self._keeping = Keeping(self._memories, self.regions)
        elif memories:
            raise InputError("memories were given to a request that edits nothing; set its `before`")

    def _require(self, before: Request) -> None:
        require_same(self._request, self._checkpoint)
        if len(self._memories) != before.batch:
            raise MismatchError(f"{before.batch} pictures are edited, {len(self._memories)} are remembered")
        for image, memory in enumerate(self._memories):
            memory.require(conditions(before, self._checkpoint, image), before.panel(image))

    def start(self, noise: Tensor) -> Tensor:
        """The noise (pictures, 4, h, w) to start from."""
        if self._keeping is not None:
            noise = self._keeping.start(noise)
        if self._recording is not None:
            self._recording.start(noise)
        return noise

    def step(self, prediction: Tensor) -> Tensor:
        """The prediction (pictures, 4, h, w) to go on with."""
        if self._keeping is not None:
            prediction = self._keeping.step(prediction)
        if self._recording is not None:
            self._recording.step(prediction)
        return prediction

    def pictures(self, images: Sequence[Image.Image]) -> tuple[Image.Image, ...]:
        """The decoded pictures; of an edit, with the old pixels wherever it does not reach."""
        if self._keeping is None:
            return tuple(images)
        return tuple(
            Image.fromarray(composite(memory.pixels, _pixels(image), region).numpy())
            for memory, image, region in zip(self._memories, images, self.regions, strict=True)
        )

    def remembered(self, latents: Tensor, images: Sequence[Image.Image]) -> tuple[Memory, ...]:
        """The memories of the finished latents (pictures, 4, h, w) and their pictures; none if not asked."""
        if self._recording is None:
            return ()
        request = self._request
        return tuple(
            Memory(
                memory_name(request, n),
                conditions(request, self._checkpoint, n),
                request.panel(n),
                *trace,
                _pixels(images[n]),
                "" if request.before is None else memory_name(request.before, n),
            )
            for n, trace in enumerate(self._recording.traces(latents))
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an edit has to say for itself."""
        several = len(self.regions) > 1
        said = (
            verdict(region, f"picture {n + 1}" if several else "the picture")
            for n, region in enumerate(self.regions)
        )
        return tuple(text for text in said if text)


def with_picture(memory: Memory, picture: Image.Image) -> Memory | None:
    """The memory with the pixels of the picture as it was saved; None if it is not the same picture.

    One that was drawn in a batch may differ from itself by rounding.
    """
    pixels = _pixels(picture.convert("RGB"))
    if pixels.shape != memory.pixels.shape or (pixels.int() - memory.pixels.int()).abs().max() > _ROUNDING:
        return None
    return replace(memory, pixels=pixels)


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))
