"""Memory edits: regions of any panel and size, exactness of what is kept, refusals, upstream's bugs.

"ranni" numbers are the rows of section 5.3 of our digest of ali-vilab/Ranni.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib_ranni.errors import GuidanceError, MismatchError, MissingError
from lib_ranni.guidance.edit_region import blend, composite, edit_region
from lib_ranni.guidance.memory import Conditions, Keeping, Memory, Recording
from lib_ranni.guidance.memory_store import MemoryStore
from lib_ranni.panel import edits
from lib_ranni.panel.formats import import_panel
from lib_ranni.panel.types import Box, Element, Keypoint, Mask, Panel, Provenance, with_fields

STEPS = 5


def _element(number: int, box: tuple[float, float, float, float], **fields: Any) -> Element:
    return Element(**{"id": f"e{number}", "description": f"thing {number}", "box": Box(*box), **fields})


def _panel(*elements: Element, base: str = "a room") -> Panel:
    return Panel(base=base, elements=elements)


LEFT, RIGHT = _element(1, (0.1, 0.2, 0.3, 0.5)), _element(2, (0.6, 0.5, 0.9, 0.9))
TWO = _panel(LEFT, RIGHT)


def _from_pixels(cx: int, cy: int, w: int, h: int, side: int = 768) -> tuple[float, float, float, float]:
    """Ranni's center and size in pixels as our corners."""
    x0, y0 = (cx - w // 2) / side, (cy - h // 2) / side
    return x0, y0, x0 + w / side, y0 + h / side


@st.composite
def _boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Corners on hundredths, so that no cell is touched by less than rounding."""
    x0, y0 = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    x1, y1 = draw(st.integers(x0 + 1, 100)), draw(st.integers(y0 + 1, 100))
    return x0 / 100, y0 / 100, x1 / 100, y1 / 100


_sides = st.integers(1, 33)


def _expected(boxes: Sequence[Box], h: int, w: int, margin: int, feather: int) -> Tensor:
    """The region by the distance of each cell to the nearest touched one, cell after cell."""
    touched = [
        (y, x)
        for box in boxes
        for y in range(floor(box.y0 * h + 1e-9), ceil(box.y1 * h - 1e-9))
        for x in range(floor(box.x0 * w + 1e-9), ceil(box.x1 * w - 1e-9))
    ]
    region = torch.zeros(h, w)
    for y in range(h):
        for x in range(w):
            distance = min(max(abs(y - a), abs(x - b)) for a, b in set(touched))
            region[y, x] = min(1.0, max(0.0, 1 - (distance - margin) / (feather + 1)))
    return region


@given(_boxes(), _boxes(), _sides, _sides, st.integers(0, 3), st.integers(0, 3))
def test_a_region_is_the_boxes_before_and_after_with_margin_and_soft_edge(
    old: tuple[float, ...], new: tuple[float, ...], h: int, w: int, margin: int, feather: int
) -> None:
    before = _panel(_element(1, old), _element(2, (0.4, 0.4, 0.6, 0.6)))
    after = edits.place(before, "e1", Box(*new))
    region = edit_region(before, after, (h, w), margin=margin, feather=feather)
    assert region.dtype == torch.float32
    if old == new:
        assert not region.any()
        return
    wanted = _expected([Box(*old), Box(*new)], h, w, margin, feather)
    torch.testing.assert_close(region, wanted, rtol=0, atol=1e-6)
    # What is exactly kept and exactly new must not depend on rounding.
    assert torch.equal(region == 0, wanted <= 1e-6)
    assert torch.equal(region == 1, wanted >= 1 - 1e-6)
    assert torch.equal(region, edit_region(after, before, (h, w), margin=margin, feather=feather))


@pytest.mark.parametrize(
    ("change", "boxes"),
    [
        (lambda p: edits.add(p, "a cat", Box(0.4, 0, 0.6, 0.2)), [Box(0.4, 0, 0.6, 0.2)]),
        (lambda p: edits.remove(p, "e2"), [RIGHT.box]),
        (lambda p: edits.replace(p, "e1", "a dog"), [LEFT.box]),
        (lambda p: edits.reattribute(p, "e1", colors=("#ff0000",)), [LEFT.box]),
        (lambda p: edits.resize(p, "e1", 2.0), [LEFT.box, Box(0, 0.05, 0.4, 0.65)]),
        (lambda p: edits.move(p, "e1", (0.3, 0.0)), [LEFT.box, Box(0.4, 0.2, 0.6, 0.5)]),
    ],
    ids=["add", "remove", "replace", "re-attribute", "resize", "move"],
)
def test_the_six_operations(change: Callable[[Panel], Panel], boxes: list[Box]) -> None:
    region = edit_region(TWO, change(TWO), (20, 20), margin=0, feather=0)
    assert torch.equal(region, _expected(boxes, 20, 20, 0, 0))


@pytest.mark.parametrize(
    "fields",
    [
        {"negative": "fog"},
        {"weight": 2.0},
        {"base_ratio": 0.5},
        {"start": 0.5},
        {"seed": 4},
        {"keypoints": (Keypoint("eye", 0.2, 0.3),)},
    ],
)
def test_every_setting_that_a_picture_shows_is_an_edit(fields: dict[str, Any]) -> None:
    after = _panel(with_fields(LEFT, **fields), RIGHT)
    wanted = _expected([LEFT.box], 10, 10, 1, 1)
    assert torch.equal(edit_region(TWO, after, (10, 10)), wanted)


def test_what_no_picture_shows_is_no_edit() -> None:
    after = with_fields(
        _panel(with_fields(LEFT, locked=True, extra={"a": 1}), RIGHT),
        provenance=Provenance(planner="x", prompt="y", edited=True),
        aspect=2.0,
    )
    assert not edit_region(TWO, after, (10, 10)).any()


def test_masks_count_by_their_pixels() -> None:
    corner = Mask(2, 2, (3, 1))
    after = _panel(with_fields(LEFT, mask=corner), RIGHT)
    region = edit_region(_panel(RIGHT), after, (8, 8), margin=0, feather=0)
    wanted = torch.zeros(8, 8)
    wanted[4:, 4:] = 1
    assert torch.equal(region, wanted)


def test_another_order_matters_where_elements_overlap() -> None:
    one, other = _element(1, (0, 0, 0.5, 0.5)), _element(2, (0.25, 0.25, 0.75, 0.75))
    far = _element(3, (0.8, 0.8, 1, 1))
    region = edit_region(_panel(one, other, far), _panel(far, other, one), (8, 8), margin=0, feather=0)
    assert torch.equal(region, _expected([Box(0.25, 0.25, 0.5, 0.5)], 8, 8, 0, 0))


@pytest.mark.parametrize(("margin", "feather"), [(-1, 0), (0, -1), (65, 0), (0, 65)])
def test_margins_out_of_range_are_refused(margin: int, feather: int) -> None:
    with pytest.raises(GuidanceError, match=r"0\.\.64"):
        edit_region(TWO, TWO, (8, 8), margin=margin, feather=feather)


def test_blend_takes_over_bits_where_it_does_not_mix() -> None:
    kept = torch.tensor([-0.0, 1.1, 2.3, 3.0])
    anew = torch.tensor([float("nan"), float("inf"), -0.0, 5.0])
    out = blend(kept, anew, torch.tensor([0.0, 0.0, 1.0, 0.25]))
    bits = torch.tensor([-0.0, 1.1, -0.0, 3.5]).view(torch.int32)
    assert torch.equal(out.view(torch.int32), bits)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_a_composite_keeps_every_pixel_of_a_kept_cell(h: int, w: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    region = torch.randint(0, 3, (h, w), generator=generator) / 2
    before, after = torch.randint(0, 256, (2, 8 * h, 8 * w, 3), generator=generator).byte()
    both = composite(before, after, region)
    kept = (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(both[kept], before[kept])
    if bool((region == 1).all()):
        assert torch.equal(both, after)
    low, high = torch.minimum(before, after), torch.maximum(before, after)
    assert bool(((both >= low) & (both <= high)).all())


def test_pictures_of_two_sizes_make_no_composite() -> None:
    with pytest.raises(GuidanceError, match="put together"):
        composite(torch.zeros(8, 8, 3).byte(), torch.zeros(8, 16, 3).byte(), torch.zeros(1, 1))


def _conditions(**fields: Any) -> Conditions:
    usual: dict[str, Any] = {
        "seed": 1,
        "width": 80,
        "height": 80,
        "sampler": "Euler",
        "steps": STEPS,
        "cfg": 7.0,
    }
    return Conditions(**{**usual, "checkpoint": "abc", **fields})


def _answer(x: Tensor, panel: Panel, step: int) -> Tensor:
    """A denoiser that looks at the whole latent and at the panel, as a UNet does."""
    said = float(sum(len(e.description) * (1 + e.box.x0) for e in panel.elements) + len(panel.base))
    return 0.3 * x + 0.2 * x.mean((1, 2, 3), keepdim=True) + 0.01 * said + 0.05 * step


def _draw(
    panels: Sequence[Panel], memories: Sequence[Memory] = (), seed: int = 1, name: str = "a", **region: int
) -> list[Memory]:
    """Sampling as a host does it: two-step memory in the sampler, one call a step."""
    x = torch.randn(len(panels), 4, 10, 10, generator=torch.Generator().manual_seed(seed))
    regions = [edit_region(m.panel, p, (10, 10), **region) for m, p in zip(memories, panels, strict=False)]
    keeping, recording = Keeping(memories, regions) if memories else None, Recording()
    x = keeping.start(x) if keeping else x
    recording.start(x)
    previous = None
    for step in range(STEPS):
        answer = torch.cat([_answer(x[n : n + 1], panel, step) for n, panel in enumerate(panels)])
        answer = keeping.step(answer) if keeping else answer
        recording.step(answer)
        x = x - 0.2 * (answer if previous is None else 1.5 * answer - 0.5 * previous)
        previous = answer
    pixels = torch.zeros(80, 80, 3).byte()
    before = memories[0].name if memories else ""
    return [
        Memory(name, _conditions(seed=seed), panel, *tensors, pixels, before)
        for panel, tensors in zip(panels, recording.traces(x), strict=True)
    ]


def test_what_is_kept_is_kept_to_the_bit_and_the_rest_is_drawn_anew() -> None:
    after = edits.move(TWO, "e1", (0.3, 0.0))
    drawn = _draw([TWO])
    edited = _draw([after], drawn)
    region = edit_region(TWO, after, (10, 10))
    kept = (region == 0).expand(4, -1, -1)
    assert 0 < int(kept.sum()) < kept.numel()
    assert torch.equal(edited[0].finished[kept], drawn[0].finished[kept])
    assert torch.equal(edited[0].predictions[:, kept], drawn[0].predictions[:, kept])
    assert not torch.isclose(edited[0].finished[~kept], drawn[0].finished[~kept]).any()
    anew = (region == 1).expand(4, -1, -1)
    assert not torch.isclose(edited[0].finished[anew], drawn[0].finished[anew], atol=1e-3).any()


def test_each_picture_of_a_batch_has_its_own_region() -> None:
    drawn = _draw([TWO, TWO])
    after = [TWO, edits.remove(TWO, "e1")]
    edited = _draw(after, drawn)
    assert torch.equal(edited[0].finished, drawn[0].finished)
    assert not torch.equal(edited[1].finished, drawn[1].finished)


def test_edits_follow_one_another() -> None:
    drawn = _draw([TWO])
    first, second = edits.remove(TWO, "e1"), edits.remove(edits.remove(TWO, "e1"), "e2")
    once = _draw([first], drawn, margin=0, feather=0)
    twice = _draw([second], once, margin=0, feather=0)
    regions = (
        edit_region(TWO, first, (10, 10), margin=0, feather=0),
        edit_region(first, second, (10, 10), margin=0, feather=0),
    )
    only_first = ((regions[0] == 1) & (regions[1] == 0)).expand(4, -1, -1)
    assert torch.equal(twice[0].finished[only_first], once[0].finished[only_first])
    untouched = ((regions[0] == 0) & (regions[1] == 0)).expand(4, -1, -1)
    assert torch.equal(twice[0].finished[untouched], drawn[0].finished[untouched])


def test_a_memory_is_a_copy_in_the_hosts_number_type() -> None:
    recording, x = Recording(), torch.ones(1, 4, 2, 2, dtype=torch.float16)
    recording.start(x)
    recording.step(x)
    x += 1
    start, predictions, finished = recording.traces(x)[0]
    assert (float(start.max()), float(predictions.max()), float(finished.max())) == (1, 1, 2)
    assert start.dtype == predictions.dtype == finished.dtype == torch.float16


def test_noise_that_cannot_be_drawn_again_is_remembered() -> None:
    drawn = _draw([TWO])
    region = edit_region(TWO, edits.remove(TWO, "e1"), (10, 10))
    other = torch.full((1, 4, 10, 10), 9.0)
    start = Keeping(drawn, [region]).start(other)[0]
    assert torch.equal(start[:, region == 0], drawn[0].start[:, region == 0])
    assert bool((start[:, region > 0] == 9).all())


def test_nothing_recorded_is_no_memory() -> None:
    with pytest.raises(GuidanceError, match="nothing was recorded"):
        Recording().traces(torch.zeros(1, 4, 2, 2))


# Refusals


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": 2}, "seed 1 (not 2)"),
        ({"width": 64, "steps": 9}, f"width 80 (not 64), steps {STEPS} (not 9)"),
        ({"sampler": "DDIM"}, "sampler Euler (not DDIM)"),
        ({"cfg": 7.25}, "cfg 7 (not 7.25)"),
        ({"checkpoint": "def"}, "checkpoint abc (not def)"),
        ({"others": {"LoRAs": "x:1"}}, "LoRAs none (not x:1)"),
    ],
)
def test_another_setting_is_named(fields: dict[str, Any], said: str) -> None:
    memory = _draw([TWO])[0]
    with pytest.raises(MismatchError) as caught:
        memory.require(_conditions(**fields), TWO)
    assert said in str(caught.value)
    with pytest.raises(MismatchError):
        _conditions(**fields).require(_conditions())
    memory.require(_conditions(), TWO)


def test_the_memory_of_another_panel_is_refused() -> None:
    with pytest.raises(MismatchError, match="another panel"):
        _draw([TWO])[0].require(_conditions(), edits.remove(TWO, "e1"))


def test_latents_of_another_size_are_refused() -> None:
    keeping = Keeping(_draw([TWO]), [torch.ones(10, 10)])
    with pytest.raises(MismatchError, match="do not fit"):
        keeping.start(torch.zeros(1, 4, 12, 10))
    with pytest.raises(MismatchError, match="do not fit"):
        keeping.step(torch.zeros(2, 4, 10, 10))
    with pytest.raises(MismatchError, match="do not fit"):
        Keeping(_draw([TWO]), [torch.ones(5, 5)]).start(torch.zeros(1, 4, 10, 10))


def test_more_steps_than_were_drawn_are_refused_in_words() -> None:
    """ranni raised IndexError."""
    keeping = Keeping(_draw([TWO]), [torch.ones(10, 10)])
    for _ in range(STEPS):
        keeping.step(torch.zeros(1, 4, 10, 10))
    with pytest.raises(MismatchError, match=f"{STEPS} calls"):
        keeping.step(torch.zeros(1, 4, 10, 10))


# Upstream's bugs


def test_ranni_1_memory_without_a_change_raised_unbound_local_error() -> None:
    """The box "with memory" was ticked before the panels had been compared."""
    drawn = _draw([TWO])
    assert torch.equal(_draw([TWO], drawn)[0].finished, drawn[0].finished)


@pytest.mark.parametrize(("box", "cells"), [((384, 205, 300, 400), 40 * 52), ((150, 400, 290, 300), 38 * 40)])
def test_ranni_2_boxes_near_the_top_or_left_were_not_edited(box: tuple[int, ...], cells: int) -> None:
    after = _panel(LEFT, RIGHT, _element(3, _from_pixels(*box)))
    assert int(edit_region(TWO, after, (96, 96), feather=0).sum()) == cells


@pytest.mark.parametrize("fields", [{"base": "a garden"}, {"negative": "blur"}])
def test_ranni_3_another_base_edited_a_corner_instead_of_all(fields: dict[str, str]) -> None:
    assert bool((edit_region(TWO, with_fields(TWO, **fields), (96, 96)) == 1).all())


def test_ranni_4_a_box_partly_off_the_canvas_had_no_mask() -> None:
    panel = import_panel("(dog,[60,50,200,300])").panel
    region = edit_region(Panel(), panel, (96, 96), margin=0, feather=0)
    assert torch.equal(region, _expected([Box(0, 0, 160 / 768, 200 / 768)], 96, 96, 0, 0))


def test_ranni_5_comparing_twice_lost_the_first_edit() -> None:
    """What counts is the panel of the picture that is remembered, however often panels are compared."""
    drawn = _draw([TWO])[0]
    first = edits.remove(TWO, "e1")
    edit_region(drawn.panel, first, (10, 10))
    both = edits.replace(first, "e2", "a dog")
    region = edit_region(drawn.panel, both, (10, 10), margin=0, feather=0)
    assert torch.equal(region, _expected([LEFT.box, RIGHT.box], 10, 10, 0, 0))


def test_ranni_6_comparing_before_anything_was_drawn_raised_name_error() -> None:
    store = MemoryStore()
    assert store.present("u") is None
    with pytest.raises(MissingError, match="no earlier picture"):
        store.undo("u")
    assert int(edit_region(Panel(), TWO, (10, 10)).sum()) > 0


def test_ranni_7_planning_made_a_difference_that_nobody_asked_for() -> None:
    """The label of the whole canvas was a component of the page instead of its text."""
    again = with_fields(TWO, provenance=Provenance(planner="builtin", prompt="two things", seed=3))
    assert not edit_region(TWO, again, (96, 96)).any()


def test_ranni_8_memories_outlived_their_picture_and_were_everybodys() -> None:
    store = MemoryStore()
    store.put("ann", _draw([TWO], name="old")[0])
    store.put("ann", _draw([TWO], seed=2, name="fresh")[0])
    present = store.present("ann")
    assert present is not None
    assert (present.name, present.made_with.seed, store.present("bob")) == ("fresh", 2, None)
    with pytest.raises(MismatchError, match="seed"):
        present.require(_conditions(seed=1), TWO)
    with pytest.raises(MissingError):
        store.undo("ann")


def test_ranni_9_a_region_without_a_picture_was_silently_drawn_anew() -> None:
    with pytest.raises(GuidanceError, match="0 memories and 1 regions"):
        Keeping([], [torch.ones(10, 10)])


def test_ranni_kept_the_latent_of_one_step_too_early() -> None:
    """After step i the kept cells had the latent from before it; the finished one was never reached."""
    drawn = _draw([TWO])[0]
    edited = _draw([edits.remove(TWO, "e1")], [drawn])[0]
    kept = (edit_region(TWO, edited.panel, (10, 10)) == 0).expand(4, -1, -1)
    assert torch.equal(edited.finished[kept], drawn.finished[kept])
