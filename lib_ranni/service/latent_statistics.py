"""Latent priors of a model: what its autoencoder makes of pictures, or what it drew, on average."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.sampling.priors import Prior, Statistics

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

Encode = Callable[[Tensor], Tensor]
"""A picture (1, 3, h, w), its values in -1..1, to its scaled latents (1, C, h/8, w/8)."""


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and those below it, by name. Raises `InputError` if there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    return found


def show_pictures(
    statistics: Statistics, encode: Encode, pictures: Sequence[Path], side: int
) -> Iterator[int]:
    """Take note of pictures, each scaled and cropped to a square of `side` pixels; how many are done.

    Raises `InputError` for a file that is no picture.
    """
    for done, path in enumerate(pictures, 1):
        with torch.no_grad():
            statistics.add(encode(_square(path, side)))
        yield done


def picture_prior(
    encode: Encode,
    pictures: Sequence[Path],
    side: int,
    grid: tuple[int, int] | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Prior:
    """Statistics of pictures; `on_step(done, total)` follows each."""
    seen = Statistics(grid)
    for done in show_pictures(seen, encode, pictures, side):
        if on_step is not None:
            on_step(done, len(pictures))
    return seen.prior(f"{len(pictures)} pictures", "pictures")


def _square(path: Path, side: int) -> Tensor:
    """(1, 3, side, side) in -1..1, of the middle of a picture."""
    try:
        with Image.open(path) as picture:
            whole = picture.convert("RGB")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a picture that can be read: {error}") from error
    short = min(whole.size)
    left, top = (whole.width - short) // 2, (whole.height - short) // 2
    cut = whole.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.LANCZOS)
    values = torch.frombuffer(bytearray(cut.tobytes()), dtype=torch.uint8).view(side, side, 3)
    return values.permute(2, 0, 1)[None].float() / 127.5 - 1


class Gathering:
    """Statistics of the next pictures that a host finishes. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Statistics | None = None
        self._wanted = 0

    @property
    def done(self) -> int:
        """Pictures that were taken note of."""
        seen = self._seen
        return 0 if seen is None else seen.count

    @property
    def wanted(self) -> int:
        """How many are to be; 0 where none are."""
        return self._wanted

    def start(self, wanted: int) -> None:
        """Forget those before, and take note of this many. Raises `InputError` for fewer than 2."""
        if wanted < 2:
            raise InputError("a latent prior takes 2 pictures or more")
        with self._lock:
            self._seen, self._wanted = Statistics(), wanted

    def add(self, latents: Tensor) -> None:
        """Finished latents (B, C, h, w); nothing where none are wanted. Those not finite are left out."""
        with self._lock:
            room = self._wanted - self.done
            if self._seen is None or room <= 0:
                return
            whole = [latent for latent in latents[:room] if bool(torch.isfinite(latent).all())]
            if whole:
                self._seen.add(torch.stack(whole))

    def stop(self) -> Prior:
        """The prior of those seen so far; no more are wanted. Raises `InputError` for fewer than 2."""
        with self._lock:
            seen, self._seen, self._wanted = self._seen or Statistics(), None, 0
        return seen.prior(f"{seen.count} generations", "generations")
