"""The networks of the shapes checkpoint: Stable Diffusion 1.x in shape, a hundredth of it in size.

Everything here must be expressible in the original latent-diffusion layout, because the file is meant
to be loaded by any Stable Diffusion 1.x host: three resolutions with a transformer at each, an 8× KL
autoencoder with four latent channels, and a CLIP text model.

GroupNorm in that layout always has 32 groups. With 32 channels it would be instance norm, which
erases each channel's mean and with it the color of a plain background, so no layer is narrower than 64.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

IMAGE_PX = 128
LATENT_SIDE = IMAGE_PX // 8
TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.0120

VAE_CHANNELS = (64, 64, 64, 64)
VAE_BLOCKS = 1

UNET_CHANNELS = (64, 128, 128)
UNET_BLOCKS = 1
UNET_HEADS = 4

TEXT_WIDTH = 64
TEXT_LAYERS = 3
TEXT_HEADS = 4
TEXT_LENGTH = 77
TEXT_BIAS = 0.25
"""Offset of the text encoder's last norm: the WebUI's emphasis divides by the output's mean."""


def make_autoencoder() -> AutoencoderKL:
    """8× KL autoencoder: (B, 3, H, W) in -1..1 to (B, 4, H/8, W/8) and back."""
    levels = len(VAE_CHANNELS)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=VAE_CHANNELS,
        layers_per_block=VAE_BLOCKS,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        sample_size=IMAGE_PX,
    )


def make_unet() -> UNet2DConditionModel:
    """Denoiser: (B, 4, h, w), timesteps (B,), context (B, 77, TEXT_WIDTH) to v of x's shape."""
    levels = len(UNET_CHANNELS)
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=4,
        out_channels=4,
        layers_per_block=UNET_BLOCKS,
        block_out_channels=UNET_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=TEXT_WIDTH,
        # diffusers' old name: for Stable Diffusion 1.x this is the *number* of heads.
        attention_head_dim=UNET_HEADS,
    )


def text_config(vocab_size: int, bos: int, eos: int) -> CLIPTextConfig:
    """Configuration of the text encoder for a tokenizer of this size and these special tokens."""
    return CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=TEXT_HEADS,
        max_position_embeddings=TEXT_LENGTH,
        hidden_act="quick_gelu",
        bos_token_id=bos,
        eos_token_id=eos,
        pad_token_id=eos,
    )


def make_text_encoder(vocab_size: int, bos: int, eos: int) -> CLIPTextModel:
    """CLIP text model: token ids (B, 77) to hidden states (B, 77, TEXT_WIDTH)."""
    model = CLIPTextModel(text_config(vocab_size, bos, eos))
    torch.nn.init.constant_(model.text_model.final_layer_norm.bias, TEXT_BIAS)
    return model


def ldm_config(scale_factor: float, text_folder: str) -> dict[str, Any]:
    """The `.yaml` beside the checkpoint: what `LatentDiffusion` needs to rebuild these networks."""
    unet = {"target": "ldm.modules.diffusionmodules.openaimodel.UNetModel", "params": _ldm_unet()}
    text = "ldm.modules.encoders.modules.FrozenCLIPEmbedder"
    params = {
        "parameterization": "v",
        "linear_start": BETA_START,
        "linear_end": BETA_END,
        "num_timesteps_cond": 1,
        "log_every_t": 200,
        "timesteps": TIMESTEPS,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": LATENT_SIDE,
        "channels": 4,
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "scale_factor": scale_factor,
        "use_ema": False,
        "unet_config": unet,
        "first_stage_config": {"target": "ldm.models.autoencoder.AutoencoderKL", "params": _ldm_vae()},
        "cond_stage_config": {"target": text, "params": {"version": text_folder}},
    }
    return {"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}


def _ldm_unet() -> dict[str, Any]:
    first = UNET_CHANNELS[0]
    return {
        "image_size": LATENT_SIDE,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": first,
        "attention_resolutions": [2**k for k in range(len(UNET_CHANNELS))],
        "num_res_blocks": UNET_BLOCKS,
        "channel_mult": [c // first for c in UNET_CHANNELS],
        "num_heads": UNET_HEADS,
        "use_spatial_transformer": True,
        "transformer_depth": 1,
        "context_dim": TEXT_WIDTH,
        "use_checkpoint": False,
        "legacy": False,
    }


def _ldm_vae() -> dict[str, Any]:
    first = VAE_CHANNELS[0]
    network = {
        "double_z": True,
        "z_channels": 4,
        "resolution": IMAGE_PX,
        "in_channels": 3,
        "out_ch": 3,
        "ch": first,
        "ch_mult": [c // first for c in VAE_CHANNELS],
        "num_res_blocks": VAE_BLOCKS,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    loss = {"target": "torch.nn.Identity"}
    return {"embed_dim": 4, "monitor": "val/rec_loss", "ddconfig": network, "lossconfig": loss}
