"""Bugs of the regional tools before us that live in this layer, each as a test that ours has none.

"rpg" is RPG-DiffusionMaster, "rp" sd-webui-regional-prompter; numbers are of their issues.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import (
    Keys,
    arrange,
    make_layout,
    regional_attention,
    regional_attention_reference,
)
from lib_ranni.guidance.guides import LatentGuide, PlainGuide, Row
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import Text
from lib_ranni.guidance.weights import Mixing, weight_maps

STEP = torch.tensor(500)


def call(unet: nn.Module, rows, size, **extra) -> torch.Tensor:
    x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(9)).repeat(len(rows), 1, 1, 1)
    out = unet(x, STEP, torch.stack([row.text.context for row in rows]), **extra)
    return getattr(out, "sample", out)


def step(unet: nn.Module, session: GuidanceSession, rows, size=(8, 8)) -> torch.Tensor:
    session.assign(rows, 0.0)
    return call(unet, rows, size)


@pytest.fixture
def two(panel, element):
    return panel([element(0, 0, 0.5, 1), element(0.5, 0, 1, 1)])


def test_rpg_sd1_base_prompt_shifted_every_region_by_one(panel, element):
    """With a base on, region 0's text acted as base and the last region had none."""
    texts = panel([element(n / 3, 0, (n + 1) / 3, 1) for n in range(3)])
    maps = texts.maps((0, 1, 2), (1, 3), (1, 3))
    assert texts.positives((0, 1, 2)) == [texts.base, *texts.texts]
    wanted = torch.cat([torch.full((1, 3), 0.2), 0.8 * torch.eye(3)])
    torch.testing.assert_close(maps[:, 0], wanted)


def test_rpg_base_was_computed_even_at_base_ratio_0(ldm_unet, panel, element):
    texts = panel([element(0, 0, 0.5, 1), element(0.5, 0, 1, 1)], base_ratio=0.0)
    seen = []
    attention = ldm_unet.input_blocks[0].transformer_blocks[0].attn2
    handle = attention.to_k.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    with GuidanceSession(ldm_unet, [texts]) as session:
        step(ldm_unet, session, PlainGuide([texts], 3.0).rows(0.0, (8, 8)))
    handle.remove()
    assert not any(torch.equal(context[0], texts.base.context) for context in seen)


def test_rpg_negative_cost_as_much_as_all_regions(ldm_unet, two):
    """It was encoded once for each region, and each copy was attended to."""
    asked = []
    attention = ldm_unet.input_blocks[0].transformer_blocks[0].attn2
    with GuidanceSession(ldm_unet, [two]) as session:
        handle = attention.to_q.register_forward_hook(lambda m, args, out: asked.append(args[0].shape))
        step(ldm_unet, session, [Row(0, two.base_negative, True)])
        handle.remove()
    assert asked == [(1, 64, 8)]


def test_rpg_permanent_hook(unet, two):
    with GuidanceSession(unet, [two]) as session:
        step(unet, session, PlainGuide([two], 3.0).rows(0.0, (8, 8)))
    assert not any("forward" in module.__dict__ for module in unet.modules())


def test_rpg_image_prompt_tuple_broke_the_hook(diffusers_unet, two):
    """diffusers' IP-Adapter hands over (text, pictures) as context: say so rather than drop the pictures."""
    attention = next(m for name, m in diffusers_unet.named_modules() if name.endswith("attn2"))

    def pair(module, args, kwargs):
        both = (kwargs["encoder_hidden_states"], [torch.zeros(2, 1, 4, 16)])
        return args, {**kwargs, "encoder_hidden_states": both}

    handle = attention.register_forward_pre_hook(pair, with_kwargs=True)
    with GuidanceSession(diffusers_unet, [two]) as session, pytest.raises(GuidanceError, match="IP-Adapter"):
        step(diffusers_unet, session, PlainGuide([two], 3.0).rows(0.0, (8, 8)))
    handle.remove()


def test_rpg_sdxl_pooled_text_was_the_last_regions(panel, element):
    pooled = [Text(torch.randn(7, 16), torch.full((3,), float(n))) for n in range(3)]
    texts = panel([element(0, 0, 0.5, 1), element(0.5, 0, 1, 1)], texts=pooled[1:], base=pooled[0])
    positive = PlainGuide([texts], 3.0).rows(0.0, (8, 8))[1]
    assert positive.text.pooled is pooled[0].pooled


def test_rpg_single_region_crashed(unet, panel, element):
    texts = panel([element(0.2, 0.2, 0.8, 0.8)])
    rows = PlainGuide([texts], 3.0).rows(0.0, (8, 8))
    with GuidanceSession(unet, [texts]) as session:
        guided = step(unet, session, rows)
    assert not torch.allclose(guided, call(unet, rows, (8, 8)), atol=1e-4)


@pytest.mark.parametrize("side", [8, 15, 16, 61, 64])
@pytest.mark.parametrize("count", [3, 6, 7, 10])
def test_rpg_float_sum_shortfall_at_the_last_border(element, count, side):
    """Cumulated ends such as 0.9999 left a column out."""
    ends = [sum([1 / count] * n) for n in range(count)] + [0.9999999]
    columns = [element(low, 0, high, 1) for low, high in itertools.pairwise(ends)]
    maps = weight_maps(columns, Mixing(0.0), (side, side), (side, side))
    torch.testing.assert_close(maps[1:].sum(0), torch.ones(side, side), atol=1e-5, rtol=0)


def test_rp_57_thin_regions_vanished_at_deep_levels(element):
    """Floor and nearest sampling dropped what is narrower than a token."""
    thin = element(0.31, 0.1, 0.36, 0.9)
    for cells in (64, 32, 16, 8):
        maps = weight_maps([thin], Mixing(0.2), (cells, cells), (64, 64))
        assert float(maps[1].max()) == pytest.approx(0.8)


def test_rp_uncovered_area_went_to_the_first_region(element):
    maps = weight_maps([element(0, 0, 0.5, 0.5)], Mixing(0.2), (8, 8), (8, 8))
    assert bool((maps[0, 4:] == 1).all())
    assert not maps[1, 4:].any()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3, 0, 1], [0, 2, 1, 3], [3, 1, 0, 2]])
def test_rp_38_positive_and_negative_were_guessed_from_their_order(unet, panel, element, order):
    """Rows are what the host says, in whatever order, together or alone."""
    panels = [
        panel([element(0, 0, 0.5, 1)], seed=1),
        panel([element(0, 0, 1, 0.5), element(0, 0.5, 1, 1)], seed=2),
    ]
    rows = PlainGuide(panels, 3.0).rows(0.0, (8, 8))
    with GuidanceSession(unet, panels) as session:
        wanted = step(unet, session, rows)
        shuffled = step(unet, session, [rows[n] for n in order])
        alone = torch.cat([step(unet, session, [rows[n]]) for n in order])
    torch.testing.assert_close(shuffled, wanted[order], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone, wanted[order], atol=1e-5, rtol=1e-4)


def test_rp_335_skipped_negative_made_regions_vanish(unet, two):
    rows = PlainGuide([two], 3.0).rows(0.0, (8, 8))
    with GuidanceSession(unet, [two]) as session:
        both = step(unet, session, rows)
        skipped = step(unet, session, rows[1:])
        again = step(unet, session, rows)
    torch.testing.assert_close(skipped[0], both[1], atol=1e-5, rtol=1e-4)
    assert torch.equal(again, both)


def test_rp_heads_were_halved_in_split_batches():
    """Eight heads of 40 were taken for four of 80: 12 % off."""
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, n, 320, generator=draw) for n in (64, 77, 77))
    maps = torch.ones(1, 64)
    got = regional_attention(query, arrange([Keys(key, value)], make_layout(maps)), 8)
    wanted = regional_attention_reference(query, [Keys(key, value)], maps, 8)
    halved = regional_attention_reference(query, [Keys(key, value)], maps, 4)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(got, halved, atol=1e-3)


@pytest.mark.parametrize("lengths", [(77, 77), (75, 150), (154, 77), (1, 231)])
def test_rp_73_249_403_long_texts_shifted_later_regions(ldm_unet, panel, element, text, lengths):
    """Each region has its text whole, of whatever length, and no other region's."""
    own = [text(n, length) for n, length in enumerate(lengths)]
    texts = panel([element(0, 0, 0.5, 1), element(0.5, 0, 1, 1)], 0.0, texts=own)
    answers = []
    attention = ldm_unet.input_blocks[0].transformer_blocks[0].attn2
    handle = attention.register_forward_hook(
        lambda m, args, out: answers.append(out[-1].unflatten(0, (8, 8)))
    )
    with GuidanceSession(ldm_unet, [texts]) as session:
        step(ldm_unet, session, PlainGuide([texts], 3.0).rows(0.0, (8, 8)))
    for one in own:
        call(ldm_unet, [Row(0, one, False)], (8, 8))
    handle.remove()
    torch.testing.assert_close(answers[0][:, :4], answers[1][:, :4])
    torch.testing.assert_close(answers[0][:, 4:], answers[2][:, 4:])


class Shrinking(nn.Module):
    """A UNet whose inner grid no halving makes, as Kohya's high-resolution fix does."""

    def __init__(self, inner: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.inner, self.size = inner, size

    def forward(self, x, timesteps=None, context=None):
        small = nn.functional.interpolate(x, size=self.size)
        return nn.functional.interpolate(self.inner(small, timesteps, context), size=x.shape[-2:])


@pytest.mark.parametrize("size", [(7, 7), (11, 5), (16, 16)])
def test_rp_322_289_token_grid_was_inferred_from_the_picture(ldm_unet, panel, element, size):
    base = panel([]).base
    elements = [element(0, 0, 0.4, 1), element(0.4, 0, 1, 1)]
    same = panel(elements, texts=[Text(base.context.clone()) for _ in elements])
    unet = Shrinking(ldm_unet, size)
    rows = PlainGuide([same], 3.0).rows(0.0, (16, 16))
    with GuidanceSession(unet, [same]) as session:
        guided = step(unet, session, rows, (16, 16))
    torch.testing.assert_close(guided, call(unet, rows, (16, 16)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (5, 31), (24, 7)])
def test_rp_53_139_140_360_odd_sizes_and_a_second_pass_at_another_size(unet, two, size):
    rows = PlainGuide([two], 3.0).rows(0.0, size)
    with GuidanceSession(unet, [two]) as session:
        step(unet, session, rows, (8, 8))
        second = step(unet, session, rows, size)
    with GuidanceSession(unet, [two]) as session:
        fresh = step(unet, session, rows, size)
    assert torch.equal(second, fresh)
    assert not torch.allclose(second, call(unet, rows, size), atol=1e-4)


def test_rp_387_second_batch_ignored_regions(unet, two):
    rows = PlainGuide([two], 3.0).rows(0.0, (8, 8))
    results = []
    for _ in range(2):
        with GuidanceSession(unet, [two]) as session:
            results.append(step(unet, session, rows))
    assert torch.equal(*results)


def test_rp_adetailer_662_a_nested_generation_lost_the_outer_regions(unet, two, panel, element):
    """A generation inside another one is guided by its own panel, and the outer one goes on after it."""
    other = panel([element(0, 0, 1, 0.5)], seed=5)
    rows, inner_rows = (PlainGuide([p], 3.0).rows(0.0, (8, 8)) for p in (two, other))
    plain = call(unet, inner_rows, (8, 8))
    with GuidanceSession(unet, [other]) as session:
        alone = step(unet, session, inner_rows)
    with GuidanceSession(unet, [two]) as outer:
        before = step(unet, outer, rows)
        assert torch.equal(call(unet, inner_rows, (8, 8)), plain)
        with GuidanceSession(unet, [other]) as inner:
            assert torch.equal(step(unet, inner, inner_rows), alone)
        assert torch.equal(step(unet, outer, rows), before)
    assert not any("forward" in module.__dict__ for module in unet.modules())


def test_rp_latent_rows_were_picked_from_another_picture_in_a_batch(panel, element):
    """Region-major and image-major orders were mixed up, wrong for more than one picture."""
    panels = [panel([element(0, 0, 1, 1)] * n, seed=n, base_ratio=0.5) for n in (1, 2, 3)]
    rows = LatentGuide(panels, 7.0).rows(0.0, (4, 4))
    assert [row.image for row in rows] == sorted(row.image for row in rows)
    for row in rows:
        own = panels[row.image]
        assert row.text in ([own.base_negative] if row.negative else [own.base, *own.texts])


def test_rp_masks_were_resized_in_every_layer_at_every_call(unet, two, monkeypatch):
    made = []
    original = type(two).maps
    monkeypatch.setattr(type(two), "maps", lambda self, *args: made.append(args) or original(self, *args))
    rows = PlainGuide([two], 3.0).rows(0.0, (8, 8))
    with GuidanceSession(unet, [two]) as session:
        step(unet, session, rows)
        first = len(made)
        step(unet, session, rows)
    assert first > 0
    assert len(made) == first
