"""The fast regional attention against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.guidance import attention
from lib_ranni.guidance.attention import (
    Keys,
    arrange,
    attend,
    make_layout,
    regional_attention,
    regional_attention_reference,
)

HEADS, CHANNELS = 2, 12


def random_maps(texts: int, h: int, w: int, soft: bool, draw: torch.Generator, dtype: torch.dtype):
    """Blobs and boxes with hard or soft shares; they sum to 1 over texts; some texts may act nowhere."""
    maps = torch.zeros(texts, h, w, dtype=dtype)
    for n in range(texts):
        top, left = (int(torch.randint(0, side, (), generator=draw)) for side in (h, w))
        maps[n, top : top + h // 2 + 1, left : left + w // 2 + 1] = 1
        if soft:
            maps[n] *= torch.rand(h, w, generator=draw, dtype=dtype)
    maps[0][maps.sum(0) == 0] = 1
    return (maps / maps.sum(0)).flatten(1)


def random_keys(
    texts: int, batch: int, draw: torch.Generator, dtype: torch.dtype, *, alike: bool = False
) -> list[Keys]:
    """Texts of different lengths, or all of one."""

    def one(n: int) -> torch.Tensor:
        length = 3 if alike else 3 + n
        return torch.randn(batch, length, CHANNELS, generator=draw, dtype=dtype)

    return [Keys(one(n), one(n)) for n in range(texts)]


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 2**31),
    texts=st.integers(1, 6),
    h=st.integers(1, 13),
    w=st.integers(1, 13),
    soft=st.booleans(),
    batch=st.integers(1, 3),
    own_keys=st.booleans(),
    alike=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_fast_equals_reference(seed, texts, h, w, soft, batch, own_keys, alike, dtype):
    draw = torch.Generator().manual_seed(seed)
    maps = random_maps(texts, h, w, soft, draw, dtype)
    keys = random_keys(texts, batch if own_keys else 1, draw, dtype, alike=alike)
    query = torch.randn(batch, h * w, CHANNELS, generator=draw, dtype=dtype)
    before = query.clone()
    fast = regional_attention(query, arrange(keys, make_layout(maps)), HEADS)
    slow = regional_attention_reference(query, keys, maps, HEADS)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)
    assert torch.equal(query, before)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_attend_is_scaled_dot_product_attention(scale):
    draw = torch.Generator().manual_seed(0)
    query, keys = torch.randn(2, 5, CHANNELS, generator=draw), random_keys(1, 1, draw, torch.float32)
    ones = torch.ones(1, 5)
    wanted = regional_attention_reference(query, keys, ones, HEADS, scale)
    torch.testing.assert_close(attend(query, keys[0], HEADS, scale), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("alike", "calls"), [(False, [(2, 16)] * 4 + [(2, 64)]), (True, [(2, 64), (8, 16)])])
def test_queries_are_cropped_to_their_regions(monkeypatch, alike, calls):
    """Disjoint regions cost together what one text costs: the rule behind the overhead's limit.

    Equally large ones, with texts of one length, share a call.
    """
    asked = []

    def counting(query, *rest):
        asked.append(tuple(query.shape[:2]))
        return attend(query, *rest)

    monkeypatch.setattr(attention, "attend", counting)
    maps = torch.zeros(5, 64)
    for n in range(4):
        maps[1 + n, 16 * n : 16 * (n + 1)] = 0.8
    maps[0] = 0.2
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(2, 64, CHANNELS, generator=draw)
    keys = random_keys(5, 1, draw, torch.float32, alike=alike)
    out = regional_attention(query, arrange(keys, make_layout(maps)), HEADS)
    assert sorted(asked) == calls
    slow = regional_attention_reference(query, keys, maps, HEADS)
    torch.testing.assert_close(out, slow, atol=1e-5, rtol=1e-5)


def test_a_text_that_acts_nowhere_costs_nothing():
    maps = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    layout = make_layout(maps)
    assert [whole.text for whole in layout.wholes] == [1]
    assert layout.counts == ()
    assert layout.picks == ()


def test_shares_of_1_are_not_multiplied():
    layout = make_layout(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert [pick.weight for pick in layout.picks] == [None]


def test_there_are_as_many_gathers_as_texts_overlap():
    maps = torch.tensor([[0.5, 0.0, 0.0], [0.5, 1.0, 0.2], [0.0, 0.0, 0.8]])
    layout = make_layout(maps)
    assert len(layout.picks) == 1
    assert [whole.text for whole in layout.wholes] == [1]
    dense = make_layout(torch.tensor([[0.5, 0.5, 0.0], [0.3, 0.0, 0.4], [0.2, 0.5, 0.0], [0.0, 0.0, 0.6]]))
    assert len(dense.picks) == 3
    assert sum(count for _, count in dense.counts) == 7


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_flow_through_the_mix(dtype):
    """For guidance by gradients, and for training what stands on this layer."""
    draw = torch.Generator().manual_seed(3)
    maps = random_maps(3, 4, 4, True, draw, dtype)
    keys = random_keys(3, 1, draw, dtype)
    query = torch.randn(1, 16, CHANNELS, generator=draw, dtype=dtype, requires_grad=True)
    regional_attention(query, arrange(keys, make_layout(maps)), HEADS).square().sum().backward()
    fast = query.grad.clone()
    query.grad = None
    regional_attention_reference(query, keys, maps, HEADS).square().sum().backward()
    torch.testing.assert_close(fast, query.grad, atol=1e-5, rtol=1e-5)
