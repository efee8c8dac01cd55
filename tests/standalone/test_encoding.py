"""Encoding: chunks, emphasis, long and odd prompts, and equality with what transformers itself computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lib_ranni.standalone.checkpoint import Checkpoint, load_checkpoint
from lib_ranni.standalone.encoding import CHUNK, Encoder, chunks, emphasized


@pytest.fixture
def encoder(checkpoint: Checkpoint) -> Encoder:
    return checkpoint.encoder


@pytest.fixture
def pair(checkpoint: Checkpoint) -> tuple[Any, Any]:
    return checkpoint.encoder._pairs[0]


def _rows(pair: tuple[Any, Any], prompt: str) -> Tensor:
    """transformers' own (1, 77, D) for a short prompt."""
    tokenizer, model = pair
    ids = tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden: Tensor = model(ids).last_hidden_state
    return hidden


@pytest.mark.parametrize(
    "prompt", ["", "a red circle", "two blue squares above a green star, white background"]
)
def test_a_short_prompt_is_transformers_own(encoder: Encoder, pair: tuple[Any, Any], prompt: str) -> None:
    assert torch.allclose(encoder.encode(prompt).context, _rows(pair, prompt)[0], atol=1e-6)


def test_chunks_hold_75_tokens(encoder: Encoder, pair: tuple[Any, Any]) -> None:
    found = chunks("red " * 200, pair[0])
    assert [len(chunk.tokens) for chunk in found] == [75, 75, 50]
    assert encoder.count("red " * 200) == 200
    assert encoder.encode("red " * 75).context.shape[0] == 77
    assert encoder.encode("red " * 76).context.shape[0] == 154


def test_each_chunk_is_encoded_as_if_alone(encoder: Encoder, pair: tuple[Any, Any]) -> None:
    context = encoder.encode("a red circle BREAK a blue square").context
    assert context.shape[0] == 154
    assert torch.allclose(context[:77], _rows(pair, "a red circle")[0], atol=1e-6)
    assert torch.allclose(context[77:], _rows(pair, "a blue square")[0], atol=1e-6)


def test_break_makes_empty_chunks_too(pair: tuple[Any, Any]) -> None:
    assert [len(chunk.tokens) for chunk in chunks("BREAK BREAK", pair[0])] == [0, 0, 0]


def test_a_chunk_is_77_ids_with_start_end_and_padding(pair: tuple[Any, Any]) -> None:
    chunk = chunks("a (red:1.5) circle", pair[0])[0]
    ids, weights = chunk.rows(1, 2, 3)
    assert (len(ids), len(weights)) == (CHUNK + 2, CHUNK + 2)
    assert (ids[0], ids[4], set(ids[5:])) == (1, 2, {3})
    assert weights[:5] == [1.0, 1.0, 1.5, 1.0, 1.0]


def test_emphasis_scales_its_tokens_and_keeps_the_mean(encoder: Encoder) -> None:
    plain, strong = encoder.encode("a red circle").context, encoder.encode("a (red:1.6) circle").context
    assert torch.allclose(plain.mean(), strong.mean(), atol=1e-5)
    ratio = strong / plain
    factor = ratio[1].median()
    assert torch.allclose(ratio[2], 1.6 * factor.expand_as(ratio[2]), rtol=1e-3)


def test_emphasis_in_one_chunk_leaves_the_others_alone(encoder: Encoder) -> None:
    plain = encoder.encode("a red circle BREAK a blue square").context
    strong = encoder.encode("a red circle BREAK a (blue:1.6) square").context
    assert torch.equal(plain[:77], strong[:77])
    assert not torch.allclose(plain[77:], strong[77:])


def test_a_mean_near_zero_does_not_blow_up() -> None:
    hidden = torch.randn(1, 77, 64, generator=torch.Generator().manual_seed(0))
    weights = torch.ones(1, 77)
    weights[0, 3:9] = 1.4
    for mean in (0.0, 1e-9, -1e-5):
        centered = hidden - hidden.mean() + mean
        out = emphasized(centered, weights)
        assert bool(out.isfinite().all())
        assert float(out.abs().max()) <= 1.5 * float(centered.abs().max())


def test_a_weighted_mean_near_zero_does_not_blow_up() -> None:
    hidden = torch.ones(1, 2, 8) + 0.1 * torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(0))
    out = emphasized(hidden, torch.tensor([[1.0, -1.0]]) * hidden.mean(2).flip(1))
    assert float(out.abs().max()) < 10


def test_weight_zero_everywhere_is_finite(encoder: Encoder) -> None:
    assert bool(encoder.encode("(a red circle:0)").context.isfinite().all())


def test_equal_prompts_are_the_same_object(encoder: Encoder) -> None:
    first = encoder.encode("a cached prompt")
    assert encoder.encode("a cached prompt") is first
    assert encoder.encode("another prompt") is not first
    encoder.forget(above=10_000)
    assert encoder.encode("a cached prompt") is first
    encoder.forget()
    again = encoder.encode("a cached prompt")
    assert again is not first
    assert torch.equal(again.context, first.context)


@pytest.mark.parametrize(
    "prompt",
    [
        "red " * 2500,
        "x" * 10_000,
        "((((" * 2500,
        "😀🏳️‍🌈👩‍👩‍👧",
        "مرحبا \u202eabc\u202c שלום",
        "红色的圆形在蓝色的正方形左边",
        "\x00\x01\x1b[31m\r\n\t",
        "e\u0301" * 500,
        "\ufffd\ufeff\u200b",
        "\"'`“”「」\\",
    ],
)
def test_odd_prompts_are_encoded(encoder: Encoder, prompt: str) -> None:
    context = encoder.encode(prompt).context
    assert context.shape[0] % 77 == 0
    assert bool(context.isfinite().all())
    encoder.forget()


def test_xl_joins_two_encoders_and_pools_the_second(xl_folder: Any) -> None:
    encoder = load_checkpoint(xl_folder, "cpu").encoder
    text, empty = encoder.encode("a red circle"), encoder.encode("", negative=True)
    assert text.pooled is not None
    assert empty.pooled is not None
    assert (text.context.shape, text.pooled.shape) == ((77, 40), (24,))
    assert not empty.context.any()
    assert not empty.pooled.any()
    assert bool(encoder.encode("").context.any()), "only an empty negative is zeros"
    assert encoder.encode("a " * 90 + "BREAK b").context.shape == (231, 40)
