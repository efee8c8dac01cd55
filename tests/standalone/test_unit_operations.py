"""The six unit operations end to end with the shipped checkpoint: in words and by hand, with pictures."""

from __future__ import annotations

import pytest

from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import EditRequest, finish
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.engine import Engine, Generation
from tests.standalone.drawing import changed
from tests.unit_operations import BEFORE, OPERATIONS, require_edited


@pytest.fixture(scope="module")
def before(checkpoint: Checkpoint) -> Generation:
    first = checkpoint.defaults.request([BEFORE], seed=5, steps=12)
    return Engine(checkpoint).generate(first, remember=True)


@pytest.mark.parametrize("way", ["in words", "by hand"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_done_and_the_rest_is_kept(
    checkpoint: Checkpoint, before: Generation, operation: str, way: str
) -> None:
    words, by_hand = OPERATIONS[operation]
    told = finish(BuiltinPlanner().edit(EditRequest(BEFORE, words))).panel
    panel = told if way == "in words" else by_hand(BEFORE)
    asked = changed(before.request, panels=(panel,), before=before.request)
    drawn = Engine(checkpoint).generate(asked, memories=before.memories)
    assert drawn.warnings == ()
    require_edited(operation, panel, before.images[0], drawn.images[0])
