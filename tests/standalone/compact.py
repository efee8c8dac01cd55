"""Small models of random weights in SDXS' shape, as diffusers saves them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lib_ranni.standalone.checkpoint import SHAPES, TOKENIZER

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CHANNELS = (32, 64, 128)
KINDS = ("dreamshaper", "0.9")
"""As the two models that were published: with CLIP, and with OpenCLIP and cross-attention everywhere."""


def _unet(kind: str, width: int) -> Any:
    from diffusers import UNet2DConditionModel

    newer = kind == "0.9"
    levels = len(CHANNELS)
    finest = "CrossAttn" if newer else ""
    torch.manual_seed(4)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=(f"{finest}DownBlock2D", *["CrossAttnDownBlock2D"] * (levels - 1)),
        mid_block_type=None,
        up_block_types=(*["CrossAttnUpBlock2D"] * (levels - 1), f"{finest}UpBlock2D"),
        attention_head_dim=(2, 4, 8) if newer else 4,
        cross_attention_dim=width,
        use_linear_projection=newer,
        only_cross_attention=(True, False, False) if newer else False,
    )
    return moved(unet)


def moved(network: Any) -> Any:
    """The same, as if training had moved its norms and biases: ones and zeros would hide what is mixed up."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return network


def open_clip_config(tokenizer: CLIPTokenizer, layers: int) -> CLIPTextConfig:
    """OpenCLIP's ViT-S-32-alt, which has 10 layers."""
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=1024,
        projection_dim=256,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=77,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _text(kind: str, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    torch.manual_seed(1)
    if kind == "dreamshaper":
        config = CLIPTextConfig.from_pretrained(SHAPES / "text_encoder")
    else:
        # Without the last layer, as Stable Diffusion 2 takes ViT-H-14.
        config = open_clip_config(tokenizer, 9)
    model = CLIPTextModel(config)
    # The host's emphasis divides by the output's mean.
    torch.nn.init.constant_(model.text_model.final_layer_norm.bias, 0.25)
    return model


def make_pipeline(kind: str = "dreamshaper") -> Any:
    """A pipeline of one of the KINDS, with a tiny autoencoder."""
    from diffusers import AutoencoderTiny, DEISMultistepScheduler, StableDiffusionPipeline

    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!" if kind == "0.9" else "<|endoftext|>")
    text = _text(kind, tokenizer)
    unet = _unet(kind, text.config.hidden_size)
    torch.manual_seed(2)
    return StableDiffusionPipeline(
        vae=AutoencoderTiny(),
        unet=unet,
        text_encoder=text,
        tokenizer=tokenizer,
        scheduler=DEISMultistepScheduler(**BETAS, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(pipeline: Any, folder: Path) -> Path:
    with warnings.catch_warnings():
        # diffusers writes safetensors through calls that newer torch warns about.
        warnings.simplefilter("ignore")
        pipeline.save_pretrained(str(folder))
    return folder
