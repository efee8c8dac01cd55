"""Memory edits in the app: which of a page's pictures the next ones edit."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from lib_ranni.errors import MismatchError
from lib_ranni.guidance.edit_region import verdict
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.editing import conditions, edited_region
from lib_ranni.standalone.metadata import single
from lib_ranni.standalone.requests import MAX_EDITS, Request

_ANYWAY = ("panels", "before", "seed", "prompt", "negative")
"""Fields that two requests of the same picture may differ in, or that are compared otherwise."""


class Shown(NamedTuple):
    """A page's pictures as requests: all of them, the newest first; the chosen; those of the last press."""

    pictures: tuple[Request, ...] = ()
    chosen: Request | None = None
    last: tuple[Request, ...] = ()


def edits(
    request: Request, shown: Shown, checkpoint: Checkpoint, *, any_seed: bool
) -> tuple[tuple[Request, ...], tuple[str, ...]]:
    """The requests of a request's pictures, each an edit of what it keeps most of, and what is to be told.

    Where any seed will do, that is the seed of the chosen picture or of the last ones, if that is an edit.
    """
    own = tuple(single(request, n) for n in range(request.batch))
    if shown.chosen is None:
        return own, ()
    before = [shown.chosen] if len(own) == 1 else shown.last
    if any_seed and len(own) <= len(before):
        again = tuple(
            msgspec.structs.replace(one, seed=old.seed) for one, old in zip(own, before, strict=False)
        )
        found = tuple(_edit(one, shown, checkpoint) for one in again)
        # The very same pictures once more are not what any seed is asked for; earlier ones are, by undoing.
        if all(found) and any(one != old for one, old in zip(found, before, strict=False)):
            return tuple(one for one in found if one is not None), ()
        return own, _why(again[0], shown.chosen, checkpoint)
    found = tuple(_edit(one, shown, checkpoint) for one in own)
    told = () if any(found) else _why(own[0], shown.chosen, checkpoint)
    return tuple(edit or one for edit, one in zip(found, own, strict=True)), told


def _edit(own: Request, shown: Shown, checkpoint: Checkpoint) -> Request | None:
    """A picture as an edit of that one of which most is kept; itself, if it was drawn just so."""
    best, least = None, 1.0
    for before in shown.pictures:
        if not _fits(own, before, checkpoint):
            continue
        edited = _edited(own, before, checkpoint)
        share = float(edited_region(edited, before, checkpoint, 0).mean())
        if share == 0.0 and not _is_same_way(own, before):
            continue
        if share < least:
            best, least = (before if share == 0.0 else edited), share
    return best


def _edited(own: Request, before: Request, checkpoint: Checkpoint) -> Request:
    panel = checkpoint.defaults.grounded_edit(before.panels[0], own.panels[0])
    return msgspec.structs.replace(own, panels=(panel,), before=before)


def _fits(own: Request, before: Request, checkpoint: Checkpoint) -> bool:
    """Whether a picture can be edited into another: drawn alike, and said alike where no panel says it."""
    if before.edits >= MAX_EDITS or (own.model, own.negative) != (before.model, before.negative):
        return False
    by_prompt = "plain" in (own.mode, before.mode)
    alike = conditions(before, checkpoint, 0) == conditions(own, checkpoint, 0)
    return alike and (not by_prompt or own.prompt == before.prompt)


def _is_same_way(own: Request, before: Request) -> bool:
    """Whether all other settings are the same; those of an edit count only where one was made."""
    margins = () if before.before is not None else ("edit_margin", "edit_feather")
    names = (name for name in Request.__struct_fields__ if name not in (*_ANYWAY, *margins))
    return all(getattr(own, name) == getattr(before, name) for name in names)


def _why(own: Request, before: Request, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Why nothing is kept of a picture."""
    try:
        conditions(before, checkpoint, 0).require(conditions(own, checkpoint, 0))
    except MismatchError as error:
        return (f"nothing is kept: {error}",)
    region = edited_region(_edited(own, before, checkpoint), before, checkpoint, 0)
    return (verdict(region),) if bool((region == 1).all()) else ()
