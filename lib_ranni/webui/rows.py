"""Which row of the host's batch is what.

`CFGDenoiser.forward` lays its rows out as all conditioned ones, picture by picture, then all negative ones,
and its calls of the model go through them in that order, whatever the settings for batching and padding
are. So rows are counted, never guessed from shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Role(NamedTuple):
    """What a row is: a part (they are joined by AND) of a picture's prompt, or its negative prompt."""

    image: int
    part: int
    negative: bool


class StepRows:
    """The rows of one step. `parts` says of how many parts each picture's prompt is made."""

    def __init__(self, parts: Sequence[int]) -> None:
        self.images = len(parts)
        self.roles = [Role(n, part, False) for n, count in enumerate(parts) for part in range(count)]
        self.roles += [Role(n, 0, True) for n in range(self.images)]
        self._taken = 0

    def take(self, count: int) -> list[Role]:
        """The roles of the next `count` rows that the model is called with."""
        roles = self.roles[self._taken : self._taken + count]
        self._taken += count
        return roles

    @property
    def skipped_negatives(self) -> bool:
        """Whether, now that all calls are done, the negative rows were left out."""
        return self._taken <= len(self.roles) - self.images

    def base(self, image: int) -> int:
        """The row of the first part of a picture's prompt, for which the panel stands in."""
        return self.roles.index(Role(image, 0, False))

    def negative(self, image: int) -> int:
        """The row of a picture's negative prompt."""
        return len(self.roles) - self.images + image
