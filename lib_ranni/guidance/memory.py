"""Memory edits: a picture drawn again with a changed panel, keeping the rest of it exactly.

While a picture is drawn, what the sampler was given at each of its calls is remembered, after guidance.
When it is edited, the sampler is given

    D_k = m * new_k + (1 - m) * remembered_k        for its call k, m the region of the edit

A sampler that works cell by cell then goes the old way, bit for bit, wherever m = 0: it starts from the
same noise there and is told the same. That holds for predictions of any kind (epsilon, v, x0), as long as
the host always takes the same one, and for samplers that draw noise if the host draws the same again. It
holds not where the number of calls depends on the picture (DPM adaptive) or where another prediction goes
by us (CFG++); hosts refuse those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from msgspec import Struct
from torch import Tensor

from lib_ranni.errors import GuidanceError, MismatchError
from lib_ranni.guidance.edit_region import blend
from lib_ranni.panel.types import Panel


class Conditions(Struct, frozen=True, kw_only=True):
    """What must be the same for a memory to be of use; `others` are the host's, by the names people know.

    `width` and `height` are pixels. `checkpoint` is a hash, or whatever tells two of them apart.
    """

    seed: int
    width: int
    height: int
    sampler: str
    steps: int
    cfg: float
    checkpoint: str
    others: dict[str, str] = {}

    def require(self, other: Conditions) -> None:
        """Raise `MismatchError` that names what `other`, a request's, has otherwise."""
        pairs = [*_named(self).items(), *((name, "none") for name in other.others if name not in self.others)]
        asked = _named(other)
        wrong = [
            f"{name} {was} (not {asked.get(name, 'none')})"
            for name, was in pairs
            if asked.get(name, "none") != was
        ]
        if wrong:
            raise MismatchError(
                f"the picture to edit was drawn with {', '.join(wrong)}; "
                "edit it with the same settings, or draw a picture of its own"
            )


def _named(conditions: Conditions) -> dict[str, str]:
    fields = [name for name in conditions.__struct_fields__ if name != "others"]
    own = {name: getattr(conditions, name) for name in fields}
    return {
        name: f"{value:.10g}" if isinstance(value, float) else str(value) for name, value in own.items()
    } | (conditions.others)


@dataclass(frozen=True, eq=False)
class Memory:
    """One picture as it came about. Its tensors are on the CPU, in the number type that the host gave.

    `name` tells it from all others of its owner; `before` names the picture that this is an edit of, or
    nothing. `start` (C, h, w) is the noise, `predictions` (calls, C, h, w) what the sampler was given,
    `finished` (C, h, w) the latent at the end, `pixels` (H, W, 3) uint8 the picture.
    """

    name: str
    made_with: Conditions
    panel: Panel
    start: Tensor
    predictions: Tensor
    finished: Tensor
    pixels: Tensor
    before: str = ""

    @property
    def nbytes(self) -> int:
        """How much room its tensors take."""
        tensors = (self.start, self.predictions, self.finished, self.pixels)
        return sum(tensor.nbytes for tensor in tensors)

    def require(self, conditions: Conditions, panel: Panel) -> None:
        """Raise `MismatchError` unless this is the memory of a picture of that panel, so drawn."""
        self.made_with.require(conditions)
        if self.panel != panel:
            raise MismatchError(
                "the picture that is remembered shows another panel than the one to edit; draw that one first"
            )


class Trace(NamedTuple):
    """How one run of a sampler went, as `Memory` has it."""

    start: Tensor
    predictions: Tensor
    finished: Tensor


class Recording:
    """What one generation of some pictures will be remembered by. One that is broken off leaves nothing."""

    def __init__(self) -> None:
        self._start: Tensor | None = None
        self._predictions: list[Tensor] = []

    def start(self, noise: Tensor) -> None:
        """The noise (pictures, C, h, w) that sampling starts from."""
        self._start, self._predictions = _kept(noise), []

    def step(self, prediction: Tensor) -> None:
        """What the sampler is given at its next call, (pictures, C, h, w)."""
        self._predictions.append(_kept(prediction))

    def traces(self, latents: Tensor) -> list[Trace]:
        """How each of the pictures came about, whose finished latents (pictures, C, h, w) are given."""
        if self._start is None or not self._predictions:
            raise GuidanceError("nothing was recorded: call `start`, and `step` for each call of the sampler")
        predictions = torch.stack(self._predictions, dim=1)
        finished = _kept(latents)
        return [
            Trace(self._start[n].clone(), predictions[n].clone(), finished[n].clone())
            for n in range(len(finished))
        ]


def _kept(tensor: Tensor) -> Tensor:
    """A copy on the CPU; in any other number type it would no longer be exact."""
    return tensor.detach().to("cpu", copy=True)


class Keeping:
    """One generation that edits some pictures: puts the remembered where no region is."""

    def __init__(self, memories: Sequence[Memory | Trace], regions: Sequence[Tensor]) -> None:
        if not memories or len(memories) != len(regions):
            raise GuidanceError(
                f"{len(memories)} memories and {len(regions)} regions were given; "
                "an edit needs one of each for every picture"
            )
        calls = {len(memory.predictions) for memory in memories}
        if len(calls) > 1:
            raise MismatchError(
                "the pictures to edit were drawn in different numbers of steps; edit one by one"
            )
        self._regions = torch.stack([region.float() for region in regions])[:, None]
        self._start = torch.stack([memory.start for memory in memories])
        self._predictions = torch.stack([memory.predictions for memory in memories], dim=1)
        self._call = 0

    def start(self, noise: Tensor) -> Tensor:
        """The noise (pictures, C, h, w) to start from: the remembered one, and `noise` wherever is edited."""
        self._require(noise, self._start)
        self._call = 0
        region = self._regions.to(noise.device)
        return torch.where(region > 0, noise, self._start.to(noise))

    def step(self, prediction: Tensor) -> Tensor:
        """What the sampler is to be given at its next call instead of this, (pictures, C, h, w)."""
        if self._call == len(self._predictions):
            raise MismatchError(
                f"the picture to edit was drawn in {self._call} calls of the model and this one takes more; "
                "edit it with the same sampler and steps"
            )
        kept = self._predictions[self._call]
        self._require(prediction, kept)
        self._call += 1
        return blend(kept.to(prediction), prediction, self._regions.to(prediction))

    def _require(self, given: Tensor, kept: Tensor) -> None:
        if given.shape != kept.shape or self._regions.shape[-2:] != kept.shape[-2:]:
            raise MismatchError(
                f"latents of {tuple(given.shape)} do not fit remembered ones of {tuple(kept.shape)}; "
                "edit a picture in its own size and number"
            )
