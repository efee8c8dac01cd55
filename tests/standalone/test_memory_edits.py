"""Memory edits in the engine: exact outside the region with real samplers, odd sizes, batches, chains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_ranni.errors import InputError, MismatchError
from lib_ranni.guidance.edit_region import edit_region
from lib_ranni.guidance.memory_store import MemoryStore
from lib_ranni.panel import edits
from lib_ranni.panel.reading import load
from lib_ranni.panel.types import Box, Panel, with_fields
from lib_ranni.panel.writing import to_json as panel_json
from lib_ranni.standalone.checkpoint import Checkpoint, Defaults
from lib_ranni.standalone.engine import Engine, Generation
from lib_ranni.standalone.metadata import infotext, read_png, save_png
from lib_ranni.standalone.requests import MAX_EDITS, Request, checked, from_json, to_json
from tests.standalone.drawing import changed, difference, element, request
from tests.standalone.running import Run

SMALL, CORNER = Box(0.05, 0.1, 0.3, 0.5), Box(0.7, 0.6, 0.95, 0.95)
BEFORE = Panel(
    base="plain background", elements=(element(1, "a red circle", SMALL), element(2, "a blue square", CORNER))
)
AFTER = edits.replace(BEFORE, "e2", "a green star")


@pytest.fixture
def engine(checkpoint: Checkpoint) -> Engine:
    return Engine(checkpoint)


def _edit(before: Request, *panels: Panel, **fields: Any) -> Request:
    return changed(before, panels=panels, before=before, **fields)


def _kept(region: torch.Tensor) -> np.ndarray[Any, Any]:
    """(H, W) bool: the pixels of the cells that an edit leaves alone."""
    return (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()


def _require_exact(before: Generation, after: Generation) -> None:
    """Nothing may differ where no region is; something must where one is."""
    for old, new, region in zip(before.memories, after.memories, after.regions, strict=True):
        outside = (region == 0).expand_as(old.finished)
        assert 0 < int(outside.sum()) < outside.numel()
        assert torch.equal(old.finished[outside], new.finished[outside])
        assert not torch.equal(old.finished, new.finished)
    for one, other, region in zip(before.images, after.images, after.regions, strict=True):
        levels = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max(2)
        assert levels[_kept(region)].max() == 0
        assert levels.max() > 0


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        *(("ddim", 8), ("euler", 8)),
        *((name, 3) for name in ("dpmpp-2m", "unipc", "heun", "dpmpp-2m-sde")),
    ],
)
def test_the_rest_is_kept_exactly_at_an_odd_size(engine: Engine, sampler: str, steps: int) -> None:
    given = request(BEFORE, sampler=sampler, steps=steps, width=104, height=72)
    before = engine.generate(given, remember=True)
    after = engine.generate(_edit(given, AFTER), memories=before.memories, remember=True)
    _require_exact(before, after)


@pytest.mark.parametrize("mode", ["plain", "latent"])
def test_the_rest_is_kept_in_every_mode(engine: Engine, mode: str) -> None:
    given = request(BEFORE, mode=mode, steps=2, width=64, height=104)
    before = engine.generate(given, remember=True)
    _require_exact(before, engine.generate(_edit(given, AFTER), memories=before.memories, remember=True))


def test_the_rest_is_kept_with_a_preset(engine: Engine) -> None:
    given = request(BEFORE, preset="lcm", steps=2, cfg=1.0, prior="default", width=104, height=72)
    before = engine.generate(given, remember=True)
    _require_exact(before, engine.generate(_edit(given, AFTER), memories=before.memories, remember=True))


def test_every_picture_of_a_batch_is_edited_on_its_own(engine: Engine) -> None:
    moved = edits.move(BEFORE, "e1", (0.2, 0.0))
    given = request(BEFORE, BEFORE, steps=2, width=104, height=72)
    before = engine.generate(given, remember=True)
    after = engine.generate(_edit(given, AFTER, moved), memories=before.memories, remember=True)
    _require_exact(before, after)
    assert not torch.equal(after.regions[0], after.regions[1])
    same = engine.generate(_edit(given, BEFORE, moved), memories=before.memories)
    assert difference(before.images[0], same.images[0]) == 0
    assert difference(after.images[1], same.images[1]) <= 1
    assert same.warnings == ("nothing that picture 1 shows was changed: it stays as it was",)


def test_an_element_takes_its_own_noise_along(engine: Engine) -> None:
    """Its noise is part of the start, which must be the old one wherever the picture is kept."""
    own = with_fields(BEFORE, elements=(element(1, "a red circle", SMALL, seed=5), BEFORE.elements[1]))
    given = request(own, steps=2, width=128, height=64)
    before = engine.generate(given, remember=True)
    after = engine.generate(
        _edit(given, edits.move(own, "e1", (0.2, 0.1))), memories=before.memories, remember=True
    )
    _require_exact(before, after)


def test_remembering_changes_no_picture(engine: Engine) -> None:
    given = request(BEFORE, steps=2)
    remembered = engine.generate(given, remember=True)
    plain = engine.generate(given)
    assert difference(remembered.images[0], plain.images[0]) == 0
    assert (len(remembered.memories), plain.memories, plain.regions) == (1, (), ())
    assert torch.equal(remembered.memories[0].pixels, torch.from_numpy(np.array(plain.images[0])))


def test_a_chain_of_edits_is_drawn_again_from_its_request_alone(engine: Engine) -> None:
    """ranni 9: a region without the picture it belongs to was silently drawn anew."""
    first = request(BEFORE, steps=2)
    second = _edit(first, AFTER)
    third = _edit(second, edits.move(AFTER, "e1", (0.0, 0.3)), edit_margin=0, edit_feather=2)
    drawn = engine.generate(first, remember=True)
    drawn = engine.generate(second, memories=drawn.memories, remember=True)
    drawn = engine.generate(third, memories=drawn.memories)
    calls: list[tuple[int, int]] = []
    again = engine.generate(from_json(to_json(third)), lambda *done: calls.append(done))
    assert difference(drawn.images[0], again.images[0]) == 0
    assert calls == [(1, 2), (2, 2)] * 3


def test_a_store_spares_drawing_again_and_goes_back(checkpoint: Checkpoint) -> None:
    store = MemoryStore()
    engine, calls = Engine(checkpoint, store), []
    first = request(BEFORE, steps=2)
    second = _edit(first, AFTER)
    before = engine.generate(first, owner="ann")
    after = engine.generate(second, lambda *done: calls.append(done), owner="ann")
    assert calls == [(1, 2), (2, 2)]
    present, earlier = store.present("ann"), store.undo("ann")
    assert present is not None
    assert difference(Image.fromarray(present.pixels.numpy()), after.images[0]) == 0
    assert difference(Image.fromarray(earlier.pixels.numpy()), before.images[0]) == 0
    assert store.redo("ann").name == present.name
    engine.generate(second, lambda *done: calls.append(done), owner="bob")
    assert len(calls) == 6
    assert torch.equal(store.undo("bob").finished, earlier.finished)


def test_a_drawing_that_is_broken_off_leaves_no_memory(checkpoint: Checkpoint) -> None:
    store = MemoryStore()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Engine(checkpoint, store).generate(request(BEFORE, steps=2), stop, owner="ann")
    assert (store.present("ann"), store.nbytes) == (None, 0)


def test_nothing_is_stored_for_nobody(checkpoint: Checkpoint) -> None:
    store = MemoryStore()
    assert Engine(checkpoint, store).generate(request(BEFORE, steps=1)).memories == ()
    assert store.nbytes == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": 12}, "seed 11 (not 12)"),
        ({"steps": 3}, "steps 2 (not 3)"),
        ({"width": 72}, "width 64 (not 72)"),
        ({"cfg": 2.0}, "cfg 3 (not 2)"),
        ({"sampler": "euler"}, "sampler ddim (not euler)"),
        ({"preset": "lcm"}, "sampler ddim (not lcm)"),
        ({"batch": 2}, "1 pictures cannot become 2"),
    ],
)
def test_an_edit_with_other_settings_is_refused_before_anything_is_drawn(
    engine: Engine, fields: dict[str, Any], said: str
) -> None:
    calls: list[int] = []
    with pytest.raises(MismatchError) as caught:
        engine.generate(_edit(request(BEFORE, steps=2), AFTER, **fields), lambda n, _: calls.append(n))
    assert said in str(caught.value)
    assert calls == []


def test_memories_of_something_else_are_refused(engine: Engine) -> None:
    given = request(BEFORE, steps=1)
    memories = engine.generate(given, remember=True).memories
    with pytest.raises(MismatchError, match="another panel"):
        engine.generate(_edit(changed(given, panels=(AFTER,)), BEFORE), memories=memories)
    with pytest.raises(MismatchError, match="1 pictures are edited, 2 are remembered"):
        engine.generate(_edit(given, AFTER), memories=memories * 2)
    with pytest.raises(InputError, match="edits nothing"):
        engine.generate(given, memories=memories)


def test_a_request_with_too_many_edits_is_refused() -> None:
    made = request(BEFORE)
    for _ in range(MAX_EDITS):
        made = _edit(made, AFTER)
    assert checked(made).edits == MAX_EDITS
    with pytest.raises(InputError, match="at most"):
        checked(_edit(made, AFTER))
    with pytest.raises(InputError, match="steps"):
        checked(_edit(request(BEFORE, steps=0), AFTER))
    with pytest.raises(InputError, match="edit_margin"):
        checked(_edit(request(BEFORE), AFTER, edit_margin=65))


def test_a_base_that_nobody_wrote_is_no_change_of_its_own(checkpoint: Checkpoint) -> None:
    bare = with_fields(BEFORE, base="")
    defaults = Defaults()
    drawn = defaults.grounded(bare)
    assert drawn.base == "a red circle, a blue square"
    edited = defaults.grounded_edit(drawn, edits.replace(drawn, "e2", "a green star"))
    assert edited.base == "a red circle, a green star"
    assert defaults.is_own_base(drawn)
    assert defaults.is_own_base(edited)
    written = with_fields(drawn, base="a meadow")
    assert defaults.grounded_edit(drawn, written) == written
    assert not defaults.is_own_base(written)

    given = request(drawn, steps=1, width=128)
    done = Engine(checkpoint).generate(_edit(given, edited))
    assert torch.equal(done.regions[0], edit_region(BEFORE, AFTER, (8, 16)))
    done = Engine(checkpoint).generate(_edit(given, with_fields(edited, base="black background")))
    assert done.warnings == ("the edit reaches all of the picture: it is drawn anew as a whole",)


def test_a_file_carries_its_edits(checkpoint: Checkpoint, tmp_path: Path) -> None:
    made = _edit(request(BEFORE, BEFORE, seeds=(4, 9), steps=1), AFTER)
    done = Engine(checkpoint).generate(made)
    save_png(done.images[1], tmp_path / "b.png", made, 1)
    read = read_png(tmp_path / "b.png")
    assert (read.edits, read.seed, read.panels) == (1, 9, (AFTER,))
    assert read.before == request(BEFORE, seed=9, steps=1)
    assert "Ranni edits: 1" in infotext(read)
    assert difference(Engine(checkpoint).generate(read).images[0], done.images[1]) <= 1


def test_generate_edits_a_picture(run: Run, tmp_path: Path) -> None:
    (tmp_path / "before.json").write_text(panel_json(BEFORE), encoding="utf-8")
    (tmp_path / "after.json").write_text(panel_json(AFTER), encoding="utf-8")
    size = ("--size", "136x72", "--batch", 2)
    first = run("generate", "--panel", "before.json", "--steps", 2, *size, "--seed", 2, "--json")
    old = first.json["images"][1]
    words = ("generate", "--edit", old, "--panel", "after.json", "--edit-margin", 0, "--edit-feather", 0)
    done = run(*words, "--json")
    new = done.json["images"][0]
    assert (done.json["seeds"], load(done.json["panel"]), "note" in done.err) == ([3], AFTER, False)
    region = edit_region(BEFORE, AFTER, (9, 17), margin=0, feather=0)
    with Image.open(old) as one, Image.open(new) as other:
        levels = np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max(2)
    assert levels[_kept(region)].max() == 0
    assert levels.max() > 20
    again = run("generate", "--from", new, "--json").json["images"][0]
    with Image.open(again) as one, Image.open(new) as other:
        assert difference(one, other) <= 1
    shorter = run("generate", "--from", new, "--steps", 1, "--json").json["images"][0]
    assert (read_png(Path(shorter)).steps, read_png(Path(shorter)).edits) == (1, 1)
    afresh = run("generate", "--from", new, "--panel", "before.json", "--json").json["images"][0]
    assert read_png(Path(afresh)).edits == 0


def test_generate_says_what_an_edit_cannot_be(run: Run) -> None:
    old = run("generate", "a red circle", "--steps", 1, "--size", "64x64", "--json").json["images"][0]
    Path("panel.json").write_text(panel_json(AFTER), encoding="utf-8")
    assert "needs --panel" in run("generate", "--edit", old).complaint
    assert "needs --panel" in run("generate", "a cat", "--edit", old).complaint
    assert "--edit takes" in run("generate", "--edit", old, "--from", old, "--panel", "panel.json").complaint
    words = ("generate", "--edit", old, "--panel", "panel.json")
    assert "steps 1 (not 4)" in run(*words, "--steps", 4).complaint
    with Image.open(old) as picture:
        picture.load()
        repainted = Image.new("RGB", picture.size, "red")
    save_png(repainted, Path("red.png"), read_png(Path(old)))
    done = run("generate", "--edit", "red.png", "--panel", "panel.json")
    assert done.code == 0
    assert "comes out otherwise" in done.err
