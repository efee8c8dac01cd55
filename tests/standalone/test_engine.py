"""The engine on the shipped checkpoint: the identities of the design, determinism, sizes, samplers, hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lib_ranni.errors import InputError
from lib_ranni.panel.types import Box, Lora, Mask, Panel
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.engine import MAX_ROWS, Engine
from lib_ranni.standalone.schedulers import SAMPLERS
from tests.standalone.drawing import LEFT, RIGHT, Recorder, difference, element, request, two

GUIDED = ("attention", "latent")
TEXT = "a red circle and a blue square"


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-4, atol=1e-4)


def _hooks(unet: Any) -> list[str]:
    """Everything that a session could have left behind."""
    left = []
    for name, module in unet.named_modules():
        if "forward" in module.__dict__ or module._forward_pre_hooks or module._forward_hooks:
            left.append(name)
    return left


@pytest.mark.parametrize("mode", GUIDED)
def test_identical_text_everywhere_is_the_plain_prompt(recorder: Recorder, mode: str) -> None:
    thirds = (Box(0, 0, 0.4, 0.7), Box(0.3, 0.2, 1, 0.6), Box(0.1, 0.5, 0.9, 1))
    panel = Panel(base=TEXT, elements=tuple(element(n, TEXT, box) for n, box in enumerate(thirds)))
    plain = recorder.latents_of(request(panel, mode="plain", prompt=TEXT))
    for ratio, feather, overlap in ((0.2, 0.0, "front"), (0.5, 0.3, "blend"), (0.0, 0.1, "front")):
        made = request(panel, mode=mode, base_ratio=ratio, feather=feather, overlap=overlap)
        assert _same(recorder.latents_of(made), plain)


@pytest.mark.parametrize("mode", GUIDED)
def test_base_ratio_one_is_the_plain_base_prompt(recorder: Recorder, mode: str) -> None:
    plain = recorder.generate(request(mode="plain", prompt=two().base))
    latents = recorder.latents
    guided = recorder.generate(request(mode=mode, base_ratio=1.0))
    assert torch.allclose(recorder.latents, latents, rtol=1e-5, atol=1e-5)
    assert difference(plain.images[0], guided.images[0]) <= 1


@pytest.mark.parametrize("mode", GUIDED)
def test_one_full_canvas_region_without_base_is_its_plain_prompt(recorder: Recorder, mode: str) -> None:
    panel = Panel(base="a green star", elements=(element(1, TEXT),))
    plain = recorder.latents_of(request(panel, mode="plain", prompt=TEXT))
    assert _same(recorder.latents_of(request(panel, mode=mode, base_ratio=0.0)), plain)


@pytest.mark.parametrize("mode", GUIDED)
def test_no_elements_is_the_plain_base(recorder: Recorder, mode: str) -> None:
    panel = Panel(base=TEXT)
    plain = recorder.latents_of(request(panel, mode="plain", prompt=TEXT))
    assert torch.equal(recorder.latents_of(request(panel, mode=mode)), plain)


@pytest.mark.parametrize("mode", GUIDED)
def test_a_requests_span_holds_for_all_elements(recorder: Recorder, mode: str) -> None:
    plain = recorder.latents_of(request(mode="plain", prompt=two().base))
    spans = tuple(element(n, e.description, e.box, start=0.25, end=0.5) for n, e in enumerate(two().elements))
    given = recorder.latents_of(request(Panel(base=two().base, elements=spans), mode=mode))
    assert torch.equal(recorder.latents_of(request(mode=mode, start=0.25, end=0.5)), given)
    assert not _same(given, plain)
    assert torch.equal(recorder.latents_of(request(mode=mode, start=0.5, end=0.5)), plain)


@pytest.mark.parametrize("mode", GUIDED)
def test_guidance_depends_on_which_region_says_what(recorder: Recorder, mode: str) -> None:
    plain = recorder.latents_of(request(mode="plain", prompt=two().base))
    swapped = Panel(
        base=two().base, elements=(element(1, "a blue square", LEFT), element(2, "a red circle", RIGHT))
    )
    guided, other = recorder.latents_of(request(mode=mode)), recorder.latents_of(request(swapped, mode=mode))
    assert not _same(guided, plain)
    assert not _same(guided, other)


@pytest.mark.parametrize("mode", ["plain", *GUIDED])
def test_the_same_request_is_the_same_picture(checkpoint: Checkpoint, recorder: Recorder, mode: str) -> None:
    made = request(mode=mode, sampler="euler-a")
    first = recorder.latents_of(made)
    checkpoint.encoder.forget()
    assert torch.equal(Recorder(checkpoint).latents_of(made), first)
    assert not _same(recorder.latents_of(request(mode=mode, sampler="euler-a", seed=12)), first)


@pytest.mark.parametrize("mode", ["plain", *GUIDED])
@pytest.mark.parametrize("sampler", ["ddim", "euler-a"])
def test_each_picture_of_a_batch_depends_on_itself_alone(recorder: Recorder, mode: str, sampler: str) -> None:
    panels = (
        two(),
        Panel(base="a green star"),
        Panel(base=TEXT, elements=(element(1, "a red circle", RIGHT, negative="blue", start=0.3),)),
        Panel(base="long " * 80, elements=(element(1, "a (red:1.3) circle", LEFT, seed=4, end=0.6),)),
    )
    seeds = (7, 7, 3, 900)
    batch = recorder.latents_of(request(*panels, seeds=seeds, mode=mode, sampler=sampler))
    for n, (panel, seed) in enumerate(zip(panels, seeds, strict=True)):
        alone = recorder.latents_of(request(panel, seed=seed, mode=mode, sampler=sampler))
        assert _same(batch[n], alone[0]), n


@pytest.mark.parametrize("mode", GUIDED)
@pytest.mark.parametrize(("width", "height"), [(136, 72), (64, 128), (72, 136), (200, 64)])
def test_any_size(recorder: Recorder, mode: str, width: int, height: int) -> None:
    made = request(mode=mode, width=width, height=height, steps=2, base_ratio=1.0, feather=0.1)
    guided = recorder.generate(made)
    assert guided.images[0].size == (width, height)
    plain = recorder.latents_of(request(mode="plain", prompt=two().base, width=width, height=height, steps=2))
    assert _same(recorder.latents_of(made), plain)
    assert bool(recorder.latents_of(request(mode=mode, width=width, height=height, steps=2)).isfinite().all())


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_runs(recorder: Recorder, sampler: str) -> None:
    calls: list[tuple[int, int]] = []
    latents = recorder.latents_of(request(sampler=sampler, steps=5), lambda *call: calls.append(call))
    assert bool(latents.isfinite().all())
    assert 0.1 < float(latents.std()) < 5
    total = calls[0][1]
    assert total >= 5 or sampler == "lcm"
    assert calls == [(n + 1, total) for n in range(total)]


@pytest.mark.parametrize("mode", GUIDED)
@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_hooks_are_gone_after_an_exception(
    checkpoint: Checkpoint, recorder: Recorder, mode: str, error: BaseException
) -> None:
    before = recorder.latents_of(request(mode=mode))

    def stop(done: int, total: int) -> None:
        if mode == "attention":
            assert _hooks(checkpoint.unet), "the session is open while sampling"
        if done == 2:
            raise error

    with pytest.raises(type(error)):
        recorder.generate(request(mode=mode), stop)
    assert _hooks(checkpoint.unet) == []
    assert torch.equal(recorder.latents_of(request(mode=mode)), before)


def test_hooks_are_gone_after_an_exception_inside_the_unet(
    checkpoint: Checkpoint, recorder: Recorder
) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("inside")

    handle = checkpoint.unet.up_blocks[0].register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="inside"):
            recorder.generate(request())
    finally:
        handle.remove()
    assert _hooks(checkpoint.unet) == []


@pytest.mark.parametrize("mode", GUIDED)
def test_an_element_acts_from_start_to_end(recorder: Recorder, mode: str) -> None:
    def latents(**fields: Any) -> Tensor:
        panel = Panel(base=TEXT, elements=(element(1, "a green star", LEFT, **fields),))
        return recorder.latents_of(request(panel, mode=mode, steps=5))

    always, plain = latents(), recorder.latents_of(request(mode="plain", prompt=TEXT, steps=5))
    first_half, second_half = latents(end=0.5), latents(start=0.5)
    assert torch.equal(latents(start=0.95), plain), "it would begin after the last step's start"
    assert torch.equal(latents(weight=0.0), plain)
    for other in (always, plain, second_half):
        assert not _same(first_half, other)
    assert _same(latents(start=0.0, end=1.0), always)


def test_an_elements_seed_is_its_boxs_noise(recorder: Recorder) -> None:
    def latents(seed: int | None, box: Box = LEFT, picture_seed: int = 11) -> Tensor:
        panel = Panel(base=TEXT, elements=(element(1, "a green star", box, seed=seed),))
        return recorder.latents_of(request(panel, seed=picture_seed, steps=1))

    assert not _same(latents(5), latents(None))
    assert not _same(latents(5), latents(6))
    assert torch.equal(latents(5), latents(5))
    plain = Panel(base=TEXT, elements=(element(1, "a green star", LEFT, seed=5),))
    unseeded = Panel(base=TEXT, elements=(element(1, "a green star", LEFT),))
    first = recorder.latents_of(request(plain, mode="plain"))
    assert torch.equal(first, recorder.latents_of(request(unseeded, mode="plain")))


def test_noise_moves_along_with_its_element() -> None:
    from lib_ranni.standalone.engine import _noise

    def noise(box: Box) -> Tensor:
        panel = Panel(elements=(element(1, "x", box, seed=5),))
        return _noise(request(panel, width=128, height=128), 0, torch.Generator().manual_seed(0))

    first, moved = noise(Box(0, 0, 0.5, 0.5)), noise(Box(0.25, 0.5, 0.75, 1.0))
    assert torch.equal(first[:, :8, :8], moved[:, 8:, 4:12])
    assert torch.equal(first[:, 8:, 12:], noise(Box(0, 0, 0.25, 0.25))[:, 8:, 12:])


@pytest.mark.parametrize("mode", ["plain", *GUIDED])
def test_negatives_of_request_and_panel_add_up(recorder: Recorder, mode: str) -> None:
    def latents(panel_negative: str, negative: str) -> Tensor:
        panel = Panel(base=TEXT, negative=panel_negative, elements=(element(1, "a green star", LEFT),))
        return recorder.latents_of(request(panel, mode=mode, negative=negative))

    none = latents("", "")
    assert torch.equal(latents("red", ""), latents("", "red"))
    assert torch.equal(latents("red", "blue"), latents("", "blue, red"))
    assert not _same(none, latents("", "red"))


@pytest.mark.parametrize("mode", GUIDED)
def test_an_elements_negative_acts_in_its_place(recorder: Recorder, mode: str) -> None:
    def latents(**fields: Any) -> Tensor:
        panel = Panel(base=TEXT, elements=(element(1, "a green star", LEFT, **fields),))
        return recorder.latents_of(request(panel, mode=mode, cfg=4.0, steps=2))

    assert not _same(latents(), latents(negative="blue"))


@pytest.mark.parametrize("mode", ["plain", *GUIDED])
def test_scale_one_runs_no_negative_rows(checkpoint: Checkpoint, recorder: Recorder, mode: str) -> None:
    rows: list[int] = []
    handle = checkpoint.unet.register_forward_pre_hook(lambda unet, args: rows.append(len(args[0])))
    try:
        off = recorder.latents_of(request(mode=mode, cfg=1.0, steps=2))
        single = rows[0]
        recorder.generate(request(mode=mode, cfg=1.0, steps=2, negative="fog"))
    finally:
        handle.remove()
    assert rows == [single] * 4
    assert single == (3 if mode == "latent" else 1)
    assert torch.equal(off, recorder.latents), "without negative rows a negative does nothing"


@pytest.mark.parametrize("mode", GUIDED)
def test_many_elements(checkpoint: Checkpoint, recorder: Recorder, mode: str) -> None:
    boxes = [Box(x / 6, y / 4, (x + 1) / 6, (y + 1) / 4) for y in range(4) for x in range(6)]
    panel = Panel(base=TEXT, elements=tuple(element(n, f"a thing {n}", b) for n, b in enumerate(boxes)))
    rows: list[int] = []
    handle = checkpoint.unet.register_forward_pre_hook(lambda unet, args: rows.append(len(args[0])))
    try:
        latents = recorder.latents_of(request(panel, panel, mode=mode, steps=2))
    finally:
        handle.remove()
    assert bool(latents.isfinite().all())
    assert max(rows) <= MAX_ROWS
    assert sum(rows) == (2 * 2 * 26 if mode == "latent" else 2 * 2 * 2)


@pytest.mark.parametrize("mode", GUIDED)
def test_masks_and_tiny_and_overlapping_boxes(recorder: Recorder, mode: str) -> None:
    ring = Mask(4, 4, (5, 2, 2, 2, 5))
    panel = Panel(
        base=TEXT,
        elements=(
            element(1, "a green star", LEFT, mask=ring),
            element(2, "a red circle", Box(0.5, 0.5, 0.501, 0.501)),
            element(3, "a blue square", Box(0.2, 0.2, 0.9, 0.9), weight=2.0, base_ratio=0.0),
        ),
    )
    assert bool(recorder.latents_of(request(panel, mode=mode, steps=2, feather=0.2)).isfinite().all())


def test_a_generation_says_what_it_did(recorder: Recorder) -> None:
    made = recorder.generate(request(batch=2, seeds=(4, 9)))
    assert made.seeds == (4, 9)
    assert made.seconds > 0
    assert made.warnings == ()
    assert all(np.asarray(picture).shape == (64, 64, 3) for picture in made.images)


def test_loras_of_elements_are_warned_about(recorder: Recorder) -> None:
    panel = Panel(base=TEXT, elements=(element(1, "x", LEFT, lora=(Lora("ink"), Lora("clay"))),))
    assert "clay, ink" in recorder.generate(request(panel, steps=1)).warnings[0]
    assert recorder.generate(request(panel, steps=1, mode="plain")).warnings == ()


def test_a_request_out_of_range_is_refused_before_drawing(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="sampler"):
        Engine(checkpoint).generate(request(sampler="nope"))
    with pytest.raises(InputError, match="panels"):
        Engine(checkpoint).generate(request(two(), two(), batch=3))
