"""DiffSynth's names: its UNets are one list of blocks; the places of each in diffusers' UNets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from lib_ranni.lora.layout import PLANS, Family

_NAME = re.compile(r"blocks_(\d+)_(.+)")
_PARTS = {"act_fn_proj": "ff_net_0_proj", "ff": "ff_net_2"}


@lru_cache(maxsize=3)
def blocks(family: Family) -> Mapping[int, str]:
    """DiffSynth's index of a block -> its place in diffusers, for blocks with weights.

    Its list runs through residual block, attention, and a step that stores or takes a skip for each layer,
    and one for each change of size.
    """
    plan, found, index = PLANS[family], {}, 0
    last = len(plan.channels) - 1
    for level in range(last + 1):
        for layer in range(plan.per_level):
            found[index] = f"down_blocks_{level}_resnets_{layer}"
            if plan.depths[level]:
                index += 1
                found[index] = f"down_blocks_{level}_attentions_{layer}"
            index += 2  # what is stored for the way up
        if level < last:
            found[index] = f"down_blocks_{level}_downsamplers_0"
            index += 2
    for name in ("resnets_0", "attentions_0", "resnets_1"):
        found[index] = f"mid_block_{name}"
        index += 1
    for level in range(last + 1):
        for layer in range(plan.per_level + 1):
            index += 1  # what is taken from the way down
            found[index] = f"up_blocks_{level}_resnets_{layer}"
            if plan.depths[last - level]:
                index += 1
                found[index] = f"up_blocks_{level}_attentions_{layer}"
            index += 1
        if level < last:
            found[index] = f"up_blocks_{level}_upsamplers_0"
            index += 1
    return found


def to_diffusers(name: str, family: Family) -> str | None:
    """`blocks_7_transformer_blocks_0_attn1_to_out` -> diffusers' name with _; None for another family's."""
    match = _NAME.fullmatch(name)
    if family not in ("sd1", "sdxl"):
        return None
    block = blocks(family).get(int(match[1])) if match and len(match[1]) < 4 else None
    if not match or block is None:
        return None
    inner = match[2]
    if layer := re.fullmatch(r"(transformer_blocks_\d+)_(.+)", inner):
        part = _PARTS.get(layer[2], layer[2])
        inner = f"{layer[1]}_{part}_0" if part.endswith("to_out") else f"{layer[1]}_{part}"
    return f"{block}_{inner}"
