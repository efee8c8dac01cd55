"""Choosing tokens and turning them into text, apart from any model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import PlannerError
from lib_ranni.planner.local.decoding import Sampling, TextPieces, choose
from tests.planner.local_models import byte_tokenizer

_TOKENIZER = byte_tokenizer()


def _decode(ids: list[int]) -> str:
    text: str = _TOKENIZER.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def _shares(scores: torch.Tensor, sampling: Sampling, draws: int = 1500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    counts = torch.zeros(len(scores))
    for _ in range(draws):
        counts[choose(scores, sampling, generator)] += 1
    return counts / draws


def test_draws_follow_the_temperature() -> None:
    scores = torch.tensor([1.0, 3.0, 2.0, -1.0])
    for temperature in (0.5, 1.0, 2.0):
        shares = _shares(scores, Sampling(temperature, 0, 1.0))
        assert shares == pytest.approx((scores / temperature).softmax(-1), abs=0.05)


def test_the_unlikely_are_left_out() -> None:
    scores = torch.tensor([0.1, 0.5, 0.25, 0.15]).log()
    by_rank = _shares(scores, Sampling(1.0, 2, 1.0))
    first_two = pytest.approx(torch.tensor([0, 2 / 3, 1 / 3, 0]), abs=0.05)
    assert by_rank == first_two
    # 0.5 + 0.25 reach 0.7 together; 0.5 alone reaches 0.49.
    assert _shares(scores, Sampling(1.0, 0, 0.7)) == first_two
    assert _shares(scores, Sampling(1.0, 0, 0.49))[1] == 1


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0, 1, 1.0), Sampling(1.0, 50, 0.0)])
def test_the_likeliest_is_taken_where_no_other_may_be(sampling: Sampling) -> None:
    assert _shares(torch.tensor([1.0, 1.2, 1.1]), sampling, 50)[1] == 1


def test_no_numbers_are_an_error_that_names_the_precision() -> None:
    with pytest.raises(PlannerError, match="fp32"):
        choose(torch.tensor([float("nan"), 1.0]), Sampling(), torch.Generator())


@given(st.text(max_size=40))
def test_pieces_make_the_text_again(text: str) -> None:
    pieces = TextPieces(_decode)
    ids = _TOKENIZER.encode(text, add_special_tokens=False)
    told = [pieces.add(number) for number in ids]
    told.append(pieces.rest())
    assert "".join(told) == text
    # Every character comes whole, and no later than its last byte.
    assert told[-1] == "" or text.endswith("\N{REPLACEMENT CHARACTER}")


def test_bytes_that_are_no_text_do_not_hold_up_what_follows() -> None:
    pieces = TextPieces(_decode)
    stray = _TOKENIZER.encode("é", add_special_tokens=False)[1]
    told = "".join(pieces.add(number) for number in [stray] * 20)
    assert told.count("\N{REPLACEMENT CHARACTER}") >= 8


def test_a_blank_before_a_word_is_kept_where_decoding_drops_it_at_the_start() -> None:
    # As SentencePiece does: every word has its blank, and the first one of a text loses it.
    words = ["▁a", "▁dog", "s", "▁run"]

    def decode(ids: list[int]) -> str:
        return "".join(words[number] for number in ids).replace("▁", " ").removeprefix(" ")

    pieces = TextPieces(decode)
    assert [pieces.add(number) for number in range(4)] == ["a", " dog", "s", " run"]
