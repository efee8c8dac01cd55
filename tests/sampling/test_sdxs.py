"""SDXS' compact UNet as its published configuration builds it: no middle block, one block a level."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

CONFIG = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "mid_block_type": None,
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}


def test_it_has_as_many_parameters_as_its_file_on_the_hub() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**CONFIG)
    count = sum(parameter.numel() for parameter in unet.parameters())
    assert round(count / 1e6, 1) == 315.7
    assert round(4 * count / 1e9, 2) == 1.26
    assert unet.mid_block is None
