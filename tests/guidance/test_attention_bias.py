"""The attention bias: its formula, and what it does inside a running UNet."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Keys, attend
from lib_ranni.guidance.attention_bias import AttentionBias, biased_attention, leaning_columns
from lib_ranni.guidance.guides import PlainGuide
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.panel.types import Element
from tests.guidance.test_session import SIZE, call, guided, latents

HEADS = 2


def bias(strength: float = 0.5, sigma: float = 5.0) -> AttentionBias:
    return AttentionBias(strength, lambda timestep: sigma)


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_without_a_push_it_is_plain_attention() -> None:
    query, keys = some(3, 12, 8), Keys(some(1, 7, 8, seed=1), some(1, 7, 8, seed=2))
    columns = some(12, 7, seed=3)
    torch.testing.assert_close(biased_attention(query, keys, HEADS, columns, 0.0), attend(query, keys, HEADS))
    zero = torch.zeros(12, 7)
    torch.testing.assert_close(biased_attention(query, keys, HEADS, zero, 3.0), attend(query, keys, HEADS))


def test_it_is_the_papers_formula() -> None:
    query, keys, columns = some(2, 12, 8), Keys(some(1, 7, 8, seed=1), some(1, 7, 8, seed=2)), some(12, 7)
    out = biased_attention(query, keys, HEADS, columns, 1.7)
    for row in range(2):
        for head in range(HEADS):
            own = slice(4 * head, 4 * head + 4)
            scores = query[row, :, own] @ keys.key[0, :, own].T / 2
            weights = (scores + 1.7 * scores.max() * columns).softmax(-1)
            torch.testing.assert_close(out[row, :, own], weights @ keys.value[0, :, own])


def test_a_row_is_the_same_in_any_batch_and_scores_may_leave_half_precision() -> None:
    query, keys, columns = some(3, 12, 8), Keys(some(1, 7, 8, seed=1), some(1, 7, 8, seed=2)), some(12, 7)
    together = biased_attention(query, keys, HEADS, columns, 2.0)
    for n in range(3):
        alone = biased_attention(query[n : n + 1], keys, HEADS, columns, 2.0)
        torch.testing.assert_close(together[n : n + 1], alone)
    half = Keys(300 * keys.key.half(), keys.value.half())
    out = biased_attention(300 * query.half(), half, HEADS, columns.half(), 2.0)
    assert out.dtype == torch.float16
    assert bool(torch.isfinite(out).all())


def test_words_are_heard_more_inside_and_less_outside() -> None:
    """With values that are the columns themselves, the answer is what each cell hears."""
    query, key = some(1, 12, 8), some(1, 8, 8, seed=1)
    value = torch.eye(8)[None]
    columns = torch.zeros(12, 8)
    columns[:6, 3], columns[6:, 3] = 1, -1
    plain = attend(query, Keys(key, value), 1)[0, :, 3]
    heard = [biased_attention(query, Keys(key, value), 1, columns, push)[0, :, 3] for push in (0.2, 1.0)]
    assert bool((plain[:6] < heard[0][:6]).all())
    assert bool((heard[0][:6] < heard[1][:6]).all())
    assert bool((plain[6:] > heard[0][6:]).all())
    assert bool((heard[0][6:] > heard[1][6:]).all())


def test_columns_lean_by_what_the_box_covers(panel, element) -> None:
    texts = panel([element(0, 0, 0.375, 1), element(0.5, 0, 1, 1), element(0, 0, 1, 1)])
    named = (frozenset({2}), frozenset({2, 5}), frozenset())
    columns = leaning_columns(texts, (0, 1, 2), named, (1, 4), (1, 4))
    assert columns.shape == (4, 7)
    assert columns[:, 2].tolist() == pytest.approx([1, 0, 1, 1])  # the second cell is half covered
    assert columns[:, 5].tolist() == pytest.approx([-1, -1, 1, 1])
    assert not bool(columns[:, [0, 1, 3, 4, 6]].any())
    only = leaning_columns(texts, (0,), named, (1, 4), (1, 4))
    assert only[:, 2].tolist() == pytest.approx([1, 0, -1, -1])
    beyond = (frozenset({99}), frozenset(), frozenset())
    assert not bool(leaning_columns(texts, (0, 1, 2), beyond, (1, 4), (1, 4)).any())


def test_the_push_wanes_with_the_noise() -> None:
    falling = AttentionBias(0.5, lambda timestep: timestep / 100)
    assert falling.push(1000) == pytest.approx(0.5 * math.log(11))
    assert falling.push(1000) > falling.push(10) > falling.push(0) == 0


def step(unet, texts, named, own: AttentionBias, negative: bool = False) -> Tensor:
    """What the UNet answers to a picture's own row under a bias."""
    row = PlainGuide([texts], 3.0).rows(0, SIZE)[0 if negative else 1]
    with GuidanceSession(unet, [texts], bias=own, named=[named]) as session:
        session.assign([row], 0.0)
        return call(unet, [row])


def mixing_nothing(panel, text, elements: list[Element]):
    """A picture whose elements have no words of their own, as in plain mode."""
    base = text(90)
    return panel(elements, base=base, texts=[base] * len(elements))


def test_a_plain_prompt_is_biased(unet, panel, element, text) -> None:
    texts = mixing_nothing(panel, text, [element(0, 0, 0.5, 1)])
    rows = PlainGuide([texts], 3.0).rows(0, SIZE)
    plain = call(unet, rows[1:])
    named = (frozenset({2, 3}),)
    assert not torch.allclose(step(unet, texts, named, bias()), plain, atol=1e-4)
    torch.testing.assert_close(step(unet, texts, named, bias(sigma=0.0)), plain)
    # Nothing is named, or the row is the other side's: the model's own answer, bit for bit.
    assert torch.equal(step(unet, texts, (frozenset(),), bias()), plain)
    assert torch.equal(step(unet, texts, named, bias(), negative=True), call(unet, rows[:1]))


def test_regions_go_on_beside_a_biased_base(unet, panel, element) -> None:
    """Where the push is nothing it is attention mode, at any share of the base."""
    for ratio in (0.0, 0.3, 1.0):
        texts = panel([element(0, 0, 0.5, 1), element(0.3, 0.2, 0.9, 1)], base_ratio=ratio)
        named = (frozenset({2}), frozenset({4}))
        rows = PlainGuide([texts], 3.0).rows(0, SIZE)
        expected = guided(unet, [texts])
        for own, alike in ((bias(sigma=0.0), True), (bias(), False)):
            with GuidanceSession(unet, [texts], bias=own, named=[named]) as session:
                session.assign(rows, 0.0)
                got = PlainGuide([texts], 3.0).combine(call(unet, rows), 0.0)
            assert torch.allclose(got, expected, atol=1e-4) is alike


def test_pictures_of_a_batch_have_their_own_words(unet, panel, element, text) -> None:
    both = [mixing_nothing(panel, text, [element(0, 0, 0.5, 1)]) for _ in range(2)]
    named = [(frozenset({2}),), (frozenset({5}),)]
    rows = PlainGuide(both, 1.0).rows(0, SIZE)
    with GuidanceSession(unet, both, bias=bias(), named=named) as session:
        session.assign(rows, 0.0)
        together = call(unet, rows)
    for n in range(2):
        alone = step(unet, both[n], named[n], bias())
        torch.testing.assert_close(together[n : n + 1], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-4)


def test_a_call_without_a_timestep_is_an_error(ldm_unet, panel, element, text) -> None:
    texts = mixing_nothing(panel, text, [element(0, 0, 0.5, 1)])
    rows = PlainGuide([texts], 1.0).rows(0, SIZE)
    with GuidanceSession(ldm_unet, [texts], bias=bias(), named=[(frozenset({2}),)]) as session:
        session.assign(rows, 0.0)
        with pytest.raises(GuidanceError, match="without a timestep"):
            ldm_unet(latents(1), context=rows[0].text.context[None])
    told: list[Exception] = []
    plain = ldm_unet(latents(1), context=rows[0].text.context[None])
    own = {"bias": bias(), "named": [(frozenset({2}),)], "on_error": told.append}
    with GuidanceSession(ldm_unet, [texts], **own) as session:
        session.assign(rows, 0.0)
        assert torch.equal(ldm_unet(latents(1), context=rows[0].text.context[None]), plain)
    assert len(told) == 1
