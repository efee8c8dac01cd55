"""Background and style in English instructions: "make the background a beach", "in watercolor style"."""

from __future__ import annotations

from lib_ranni.planner.builtin import editing_steps as steps
from lib_ranni.planner.builtin.editing_english_complements import ComplementReader, Read
from lib_ranni.planner.builtin.english_words import english

_SCENE = ("background", "backdrop", "scene", "setting", "scenery", "location", "environment")
_WHOLE = (
    "picture",
    "image",
    "photo",
    "whole picture",
    "entire picture",
    "whole image",
    "painting",
    "drawing",
    "it",
)
_LEADS = (
    "to be",
    "be",
    "to",
    "into",
    "with",
    "by",
    "as",
    "look like",
    "look",
    "in",
    "for",
    "become",
    ":",
    "is",
)


class BaseReader(ComplementReader):
    """Reads what is to become of the whole picture."""

    def base(self, index: int) -> Read | None:
        """Another background or style."""
        start = index + self.says(index, ("the", "this"))
        scene, style = self.says(start, _SCENE), self.says(start, ("style", "art style", "whole style"))
        whole = 0 if scene or style else self.says(start, _WHOLE)
        if not (scene or style or whole):
            return None
        at = start + (scene or style or whole)
        at += self.says(at, ("of the picture", "of the image", "of the photo"))
        at += self.says(at, _LEADS)
        at += self.says(at, ("a", "an", "the style of", "like"))
        end = self.clause_end(at)
        if end <= at or (whole and not self._speaks_of_style(at, end)):
            return None
        return [steps.Rebase(self.quoted(at, end), style=not scene)], end

    def _speaks_of_style(self, start: int, end: int) -> bool:
        listed = ("style", "pictures")
        return any(english().has(name, self.word(n)) for n in range(start, end) for name in listed)

    def style(self, index: int) -> Read | None:
        """ "In watercolor style", "use a watercolor style", "background: beach"."""
        based = self.base(index)
        if based is not None:
            return based
        start = index + self.says(
            index, ("in the style of", "in a", "in an", "in", "a", "an", "the style of")
        )
        end = self.clause_end(start)
        last = self.word(end - 1)
        if end <= start or not (last == "style" or self.word(start - 1) == "of"):
            return None
        return [steps.Rebase(self.quoted(start, end), style=True)], end
