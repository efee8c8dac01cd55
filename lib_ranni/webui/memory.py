"""Memory edits in the host: pictures are remembered as they are drawn, and edits keep the rest of them.

What an edit is made of is found by itself: of all pictures that its owner has drawn with the same settings,
the one of which most can be kept. So the next picture edits the last one, an undone change brings the earlier
picture back, and a picture from further back is edited from itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import torch
from modules import shared
from torch import Tensor

from lib_ranni.errors import MismatchError
from lib_ranni.guidance.edit_region import composite, edit_region, verdict
from lib_ranni.guidance.memory import Keeping, Memory, Recording, Trace
from lib_ranni.guidance.memory_store import MemoryStore
from lib_ranni.panel.types import Panel, with_fields
from lib_ranni.panel.writing import to_document
from lib_ranni.service.request import Request, Settings
from lib_ranni.webui import settings
from lib_ranni.webui.memory_conditions import conditions, require_fit_sampler
from lib_ranni.webui.passes import at_next_run

INFOTEXT = "Ranni edits"
"""Key of an infotext under which the pictures stand that led to an edited one, the first in front."""

_CELL_PX = 8
_USUAL = Settings()

_STORE = MemoryStore()
"""Lives as long as the host's process, through reloads of its page."""


class Drawn(NamedTuple):
    """A picture of a chain of edits; the first has no margins."""

    panel: Panel
    margin: int | None = None
    feather: int | None = None

    def document(self) -> dict[str, Any]:
        """As an infotext has it."""
        own = {"margin": self.margin, "feather": self.feather} if self.margin is not None else {}
        return {"panel": to_document(self.panel), **own}


@dataclass(frozen=True, eq=False)
class Picture(Memory):
    """What is remembered of a picture: of its first pass as a `Memory`, and of the `later` ones.

    `chain` leads from a first picture to this one; it is the `number`-th of a `job`.
    """

    later: tuple[Trace, ...] = ()
    guidance: Settings = _USUAL
    chain: tuple[Drawn, ...] = ()
    job: str = ""
    number: int = 0

    @property
    def nbytes(self) -> int:
        """How much room its tensors take."""
        return super().nbytes + sum(tensor.nbytes for trace in self.later for tensor in trace)

    def run(self, number: int) -> Memory | Trace:
        """How a pass went. Raises `MismatchError` where there was none."""
        if number > len(self.later):
            raise MismatchError("the picture to edit was drawn in fewer passes; draw one of its own")
        return self.later[number - 1] if number else self


class _Run:
    """One run of a sampler, for all pictures of a batch; `regions` is None for those that are no edits."""

    def __init__(self, regions: Sequence[Tensor | None], kept: Sequence[Memory | Trace | None]) -> None:
        self.regions = regions
        self.traces: list[Trace] = []
        self._recording = Recording()
        pairs = zip(kept, regions, strict=True)
        self._keeping = [
            None if one is None or region is None else Keeping([one], [region]) for one, region in pairs
        ]

    def start(self, x: Tensor) -> None:
        """The latents (pictures, C, h, w) to start from; of edits they are changed in place."""
        for keeping, own in zip(self._keeping, x.split(1), strict=True):
            if keeping is not None and not torch.equal(start := keeping.start(own), own):
                own.copy_(start)
        self._recording.start(x)

    def step(self, prediction: Tensor) -> Tensor:
        """What the sampler is given, (pictures, C, h, w)."""
        rows = [
            own if keeping is None else keeping.step(own)
            for keeping, own in zip(self._keeping, prediction.split(1), strict=True)
        ]
        prediction = torch.cat(rows)
        self._recording.step(prediction)
        return prediction

    def end(self, latents: Tensor) -> None:
        """The finished latents."""
        self.traces = self._recording.traces(latents)


class JobMemory:
    """What one job remembers, and what it edits. `panel` gives that of a picture of the job by its number,
    `seen` what a pass sees of one; `warn` tells the user why something is not remembered or not edited.
    """

    def __init__(
        self,
        p: Any,
        request: Request,
        panel: Callable[[int], Panel],
        seen: Callable[[Panel], Panel],
        warn: Callable[[str, Exception | None], None],
    ) -> None:
        require_fit_sampler(p.sampler_name)
        self._p, self._request, self._panel, self._seen, self._warn = p, request, panel, seen, warn
        kind = "img2img" if hasattr(p, "init_images") else "txt2img"
        self._owner = f"{kind} {request.memory.key}"
        self._job = uuid.uuid4().hex
        self._runs: list[_Run] = []
        self._is_broken = False
        _STORE.limit(settings.memory_bytes())
        self._bases = self._found()
        # By now: while it draws, the host changes some of what they are taken from.
        self._conditions = [conditions(p, number, seed) for number, seed in enumerate(p.all_seeds)]

    def told(self) -> str:
        """How much of the pictures is drawn anew, or that there is none to edit; nothing where it is told."""
        if _STORE.present(self._owner) is None:
            return "no picture was remembered yet; the next edit keeps the rest of this one"
        found = []
        for number, base in enumerate(self._bases):
            which = f"picture {number + 1}" if len(self._bases) > 1 else "the picture"
            if base is not None:
                region = self._region(base, number)
                percent = f"{100 * float(region.mean()):.0f} % of {which} is drawn anew, the rest is kept"
                found.append(verdict(region, which) or percent)
        return "; ".join(found)

    def edits(self, number: int) -> str | None:
        """What led to a picture of the job, as its infotext says it; None if it is a first one."""
        base = self._bases[number]
        if base is None or len(chain := self._chain(base, number)) == 1:
            return None
        return msgspec.json.encode([drawn.document() for drawn in chain[:-1]]).decode("utf-8")

    def begin_batch(self) -> None:
        """The passes of other pictures follow."""
        self._runs, self._is_broken = [], False

    def start_pass(self, x: Tensor) -> None:
        """Follow the run of the sampler that is about to begin from `x` (pictures, C, h, w)."""
        if self._is_broken:
            return
        try:
            numbers = self._numbers(len(x))
            bases = [self._bases[number] for number in numbers]
            pairs = list(zip(bases, numbers, strict=True))
            size = (x.shape[-2], x.shape[-1])
            regions = [None if base is None else self._region(base, n, size) for base, n in pairs]
            kept = [None if base is None else base.run(len(self._runs)) for base in bases]
            run = _Run(regions, kept)
            run.start(x)
            self._runs.append(run)
            at_next_run(self._p.sampler, lambda denoiser, go: self._around(run, denoiser, go))
        except Exception as error:
            self._give_up(error)

    def end_batch(self, images: Tensor) -> None:
        """The pictures (pictures, 3, H, W) in 0..1 are decoded: put the kept pixels back, and remember."""
        is_cut = shared.state.interrupted or shared.state.skipped
        if self._is_broken or is_cut or not all(run.traces for run in self._runs) or not self._runs:
            return
        try:
            for n, number in enumerate(self._numbers(len(images))):
                self._end(images[n], n, number)
        except Exception as error:
            self._give_up(error)

    def _end(self, image: Tensor, n: int, number: int) -> None:
        """One picture (3, H, W), the n-th of the batch."""
        # As the host makes whole numbers of them.
        pixels = (255.0 * image).byte().permute(1, 2, 0).cpu()
        base, region = self._bases[number], self._runs[-1].regions[n]
        if base is not None and region is not None:
            pixels = composite(base.pixels, pixels, region)
            image.copy_(((pixels.permute(2, 0, 1) + 0.5) / 255.0).clamp(max=1.0))
            if not bool(region.any()):
                _STORE.put(self._owner, replace(base, job=self._job, number=number))
                return
        first, *later = (run.traces[n] for run in self._runs)
        picture = Picture(
            name=uuid.uuid4().hex,
            made_with=self._conditions[number],
            panel=self._panel(number),
            **first._asdict(),
            pixels=pixels,
            before="" if base is None else base.name,
            later=tuple(later),
            guidance=self._request.guidance,
            chain=self._chain(base, number),
            job=self._job,
            number=number,
        )
        if not _STORE.put(self._owner, picture):
            needed = f"{picture.nbytes / 2**20:.1f} MB"
            self._warn(
                f"the picture is not remembered: it needs {needed}, more than Settings > Ranni allow", None
            )

    def _around(self, run: _Run, denoiser: Any, go: Callable[[], Any]) -> Any:
        """A run of the sampler, with what its denoiser answers in our hands."""
        own, original = denoiser.__dict__.get("forward"), denoiser.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            try:
                answer = original(*args, **kwargs)
            except BaseException:  # the host's own interruption is no `Exception`
                self._is_broken = True
                raise
            return self._attempt(lambda: run.step(answer), answer)

        denoiser.forward = forward
        try:
            latents = go()
        finally:
            if own is None:
                denoiser.__dict__.pop("forward", None)
            else:
                denoiser.forward = own
        self._attempt(lambda: run.end(latents), None)
        return latents

    def _attempt(self, action: Callable[[], Any], otherwise: Any) -> Any:
        if not self._is_broken:
            try:
                return action()
            except Exception as error:
                self._give_up(error)
        return otherwise

    def _give_up(self, error: Exception) -> None:
        self._is_broken = True
        self._warn(f"the rest of this picture is drawn without memory: {error}", error)

    def _numbers(self, count: int) -> range:
        """Of the pictures of the current batch, within the job."""
        first = self._p.iteration * self._p.batch_size
        return range(first, first + count)

    def _found(self) -> list[Picture | None]:
        """For each picture of the job the one that it edits.

        Where any seed will do, that is the seed of the pictures before, if the panel was changed.
        """
        p = self._p
        own: list[int] = list(p.all_seeds)
        present = _STORE.present(self._owner)
        if not isinstance(present, Picture):
            return [None] * len(own)
        seeds = self._seeds_before(present, len(own)) if _is_any(p.seed) else None
        found = [self._nearest(number, seed) for number, seed in enumerate(seeds or own)]
        if not any(found):
            self._tell_why(present, (seeds or own)[0])
        if seeds is None:
            return found
        # The very same pictures once more are not what any seed is asked for; earlier ones are, by undoing.
        fresh = [
            base is not None and (base.job != present.job or bool(self._region(base, number).any()))
            for number, base in enumerate(found)
        ]
        if not all(found) or not any(fresh):
            return [None] * len(own)
        p.all_seeds = seeds
        return found

    def _seeds_before(self, present: Picture, count: int) -> list[int] | None:
        mine = [one for one in _STORE.of(self._owner) if isinstance(one, Picture) and one.job == present.job]
        seeds = [one.made_with.seed for one in sorted(mine, key=lambda one: one.number)]
        return seeds[:count] if count <= len(seeds) else None

    def _nearest(self, number: int, seed: int) -> Picture | None:
        """The picture of which an edit keeps most, the latest of equals; None if nothing of any is kept."""
        wanted = conditions(self._p, number, seed)
        best, least = None, 1.0
        for memory in _STORE.of(self._owner):
            if not isinstance(memory, Picture) or memory.made_with != wanted:
                continue
            share = float(self._region(memory, number).mean())
            # With nothing to edit, it is the same picture only if it was drawn in the same way.
            if share <= least and share < 1.0 and (share > 0.0 or self._is_same_way(memory)):
                best, least = memory, share
        return best

    def _is_same_way(self, memory: Picture) -> bool:
        own = self._request.memory
        _, margin, feather = memory.chain[-1]
        edited = margin is None or (margin, feather) == (own.margin, own.feather)
        return edited and memory.guidance == self._request.guidance

    def _tell_why(self, present: Picture, seed: int) -> None:
        try:
            present.made_with.require(conditions(self._p, 0, seed))
        except MismatchError as error:
            self._warn(f"nothing is kept: {error}", error)
            return
        region = self._region(present, 0)
        if bool((region == 1).all()):
            self._warn(verdict(region), None)

    def _region(self, base: Picture, number: int, size: tuple[int, int] | None = None) -> Tensor:
        """(h, w) in 0..1: where a picture is drawn anew; on the latents of a pass, or of the canvas."""
        p, own = self._p, self._request.memory
        old, new = base.panel, self._panel(number)
        if p.all_prompts[number].strip():
            new = with_fields(new, base=old.base)  # the prompt stands in for it
        if size is None:
            size = (max(1, p.height // _CELL_PX), max(1, p.width // _CELL_PX))
        else:
            old, new = self._seen(old), self._seen(new)
        return edit_region(old, new, size, margin=own.margin, feather=own.feather)

    def _chain(self, base: Picture | None, number: int) -> tuple[Drawn, ...]:
        panel, own = self._panel(number), self._request.memory
        if base is None:
            return (Drawn(panel),)
        if not bool(self._region(base, number).any()):
            return base.chain
        return (*base.chain, Drawn(panel, own.margin, own.feather))


def _is_any(seed: Any) -> bool:
    """Whether a seed, as the host was given it, leaves the choice to the host."""
    return seed is None or str(seed).strip() in ("", "-1")
