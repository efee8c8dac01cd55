"""What belongs to one open page: its pictures, and the drawing under way."""

from __future__ import annotations

import uuid

from lib_ranni.standalone.app.drawing import Drawing, Kept
from lib_ranni.standalone.app.keeping import Shown

MOST_PICTURES = 100
"""Pictures that a page shows; older ones stay on the disk."""


class Session:
    """One open page. Newest pictures come first, as the page shows them."""

    def __init__(self) -> None:
        self.pictures: list[Kept] = []
        self.chosen: Kept | None = None
        self.drawing: Drawing | None = None
        self.owner = uuid.uuid4().hex
        self._taken = 0
        self._is_marked = False

    @property
    def shown(self) -> Shown:
        """The page's pictures, for what edits them."""
        last = () if self.drawing is None else self.drawing.pictures
        return Shown(
            tuple(kept.request for kept in self.pictures),
            None if self.chosen is None else self.chosen.request,
            tuple(kept.request for kept in last),
        )

    @property
    def is_drawing(self) -> bool:
        """Whether something of this page is under way."""
        return self.drawing is not None and not self.drawing.is_over

    def begin(self, drawing: Drawing) -> None:
        """Follow this drawing from now on."""
        self.drawing, self._taken = drawing, 0
        drawing.start()

    def take(self) -> bool:
        """Put what the drawing has finished since the last call in front; whether there was anything.

        The newest picture becomes the chosen one.
        """
        made = () if self.drawing is None else self.drawing.pictures
        fresh, self._taken = made[self._taken :], len(made)
        self.pictures[:0] = reversed(fresh)
        del self.pictures[MOST_PICTURES:]
        if fresh:
            self.chosen = self.pictures[0]
        return bool(fresh)

    def choose(self, name: str) -> None:
        """The picture whose file has this name becomes the chosen one; another name changes nothing."""
        self._is_marked = True
        self.chosen = next((kept for kept in self.pictures if kept.path.name == name), self.chosen)

    def unmark(self) -> bool:
        """Forget that the gallery marks a picture; whether it does."""
        was, self._is_marked = self._is_marked, False
        return was
