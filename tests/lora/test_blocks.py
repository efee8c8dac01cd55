"""Blocks of modules, and what texts like `content,style=0.5` say about them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.lora.blocks import ALL, BlockScales, block_of, parse_blocks
from lib_ranni.lora.layout import FAMILIES, Target, table


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("conv_in", "in"),
        ("conv_out", "out"),
        ("conv_norm_out", "out"),
        ("time_embedding_linear_1", "embed"),
        ("add_embedding_linear_2", "embed"),
        ("down_blocks_2_attentions_1_proj_in", "down2.1"),
        ("down_blocks_0_resnets_0_conv1", "down0.0"),
        ("down_blocks_0_downsamplers_0_conv", "down0.sampler"),
        ("mid_block_resnets_1_conv2", "mid"),
        ("up_blocks_3_attentions_2_proj_out", "up3.2"),
        ("up_blocks_0_upsamplers_0_conv", "up0.sampler"),
        ("input_blocks_4_1_proj_in", "in4"),
        ("middle_block_1_proj_in", "mid"),
    ],
)
def test_the_block_of_a_module(name: str, block: str) -> None:
    assert block_of(Target("unet", name)) == block


def test_every_module_of_every_family_has_a_block() -> None:
    for family in FAMILIES:
        counts = Counter(map(block_of, table(family)))
        assert set(counts) >= {"te1", "in", "out", "embed", "up0.0"}
        assert sum(counts.values()) == len(table(family))


def _scale(text: str, block: str) -> float:
    names = {"up0.0": "up_blocks_0_attentions_0_x", "up0.1": "up_blocks_0_attentions_1_x", "in": "conv_in"}
    target = Target("te1", "x") if block == "te1" else Target("unet", names.get(block, block))
    return parse_blocks(text).of(target)


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("", {"up0.0": 1, "up0.1": 1, "te1": 1}),
        ("content", {"up0.0": 1, "up0.1": 0, "te1": 0, "in": 0}),
        ("content, STYLE=0.5", {"up0.0": 1, "up0.1": 0.5, "te1": 0}),
        ("style=0.5", {"up0.0": 1, "up0.1": 0.5, "te1": 1}),
        ("text=0", {"up0.0": 1, "te1": 0, "time_embedding_linear_1": 1}),
        ("unet", {"up0.0": 1, "te1": 0, "time_embedding_linear_1": 1, "in": 1}),
        ("up0.1=2,up*=-1,*=0", {"up0.0": -1, "up0.1": 2, "te1": 0}),
        ("up0.?=3", {"up0.0": 3, "in": 1}),
    ],
)
def test_scales_by_block(text: str, scales: dict[str, float]) -> None:
    assert {block: _scale(text, block) for block in scales} == scales


@pytest.mark.parametrize("text", ["up0.1=x", "up0.1=nan", "up0.1=1e9", "=1", "Up 0", "a/b", "é"])
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_blocks(text)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        scales = parse_blocks(text)
    except InputError:
        return
    assert abs(scales.of(Target("unet", "conv_in"))) <= 100


def test_all_is_all() -> None:
    assert ALL.all_kept
    assert BlockScales((("up*", 1.0),)).all_kept
    assert not parse_blocks("content").all_kept
