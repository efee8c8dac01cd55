"""Writing a trained run as one checkpoint in the original latent-diffusion key names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from lib_ranni.standalone.training.architecture import UNET_BLOCKS, VAE_CHANNELS

Tensors = Mapping[str, torch.Tensor]

_RESNET = (
    (r"\bnorm1\b", "in_layers.0"),
    (r"\bconv1\b", "in_layers.2"),
    (r"\btime_emb_proj\b", "emb_layers.1"),
    (r"\bnorm2\b", "out_layers.0"),
    (r"\bconv2\b", "out_layers.3"),
    (r"\bconv_shortcut\b", "skip_connection"),
)

_UNET_ENDS = (
    (r"^time_embedding\.linear_1\b", "time_embed.0"),
    (r"^time_embedding\.linear_2\b", "time_embed.2"),
    (r"^conv_in\b", "input_blocks.0.0"),
    (r"^conv_norm_out\b", "out.0"),
    (r"^conv_out\b", "out.2"),
    (r"^mid_block\.resnets\.0\b", "middle_block.0"),
    (r"^mid_block\.attentions\.0\b", "middle_block.1"),
    (r"^mid_block\.resnets\.1\b", "middle_block.2"),
)

_VAE = (
    (r"\bmid_block\.resnets\.0\b", "mid.block_1"),
    (r"\bmid_block\.attentions\.0\b", "mid.attn_1"),
    (r"\bmid_block\.resnets\.1\b", "mid.block_2"),
    (r"\bdown_blocks\.(\d+)\.resnets\.(\d+)\b", r"down.\1.block.\2"),
    (r"\bdown_blocks\.(\d+)\.downsamplers\.0\b", r"down.\1.downsample"),
    (r"\bconv_norm_out\b", "norm_out"),
    (r"\bconv_shortcut\b", "nin_shortcut"),
    (r"\bgroup_norm\b", "norm"),
    (r"\bto_q\b", "q"),
    (r"\bto_k\b", "k"),
    (r"\bto_v\b", "v"),
    (r"\bto_out\.0\b", "proj_out"),
)


def _replace(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def unet_name(name: str, blocks: int = UNET_BLOCKS) -> str:
    """diffusers' name of a UNet tensor -> the latent-diffusion name, without prefix; `blocks` in a level."""
    if ".resnets." in name:
        name = _replace(name, _RESNET)
    period = blocks + 1
    if match := re.match(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.*)", name):
        level, kind, index, rest = int(match[1]), match[2], int(match[3]), match[4]
        if kind == "downsamplers":
            return f"input_blocks.{period * (level + 1)}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{1 + period * level + index}.{int(kind == 'attentions')}.{rest}"
    if match := re.match(r"up_blocks\.(\d+)\.(resnets|attentions|upsamplers)\.(\d+)\.(.*)", name):
        level, kind, index, rest = int(match[1]), match[2], int(match[3]), match[4]
        if kind == "upsamplers":
            return f"output_blocks.{period * level + blocks}.2.{rest}"
        return f"output_blocks.{period * level + index}.{int(kind == 'attentions')}.{rest}"
    return _replace(name, _UNET_ENDS)


def vae_name(name: str) -> str:
    """diffusers' name of an autoencoder tensor -> the latent-diffusion name, without prefix."""
    last = len(VAE_CHANNELS) - 1
    name = re.sub(r"\bup_blocks\.(\d+)\.", lambda m: f"up.{last - int(m[1])}.", name)
    name = re.sub(r"\bup\.(\d+)\.resnets\.(\d+)\b", r"up.\1.block.\2", name)
    name = re.sub(r"\bup\.(\d+)\.upsamplers\.0\b", r"up.\1.upsample", name)
    return _replace(name, _VAE)


def ldm_tensors(unet: Tensors, vae: Tensors, text: Tensors) -> dict[str, torch.Tensor]:
    """All three networks' tensors, fp16 and contiguous, under latent-diffusion names."""
    out: dict[str, torch.Tensor] = {}
    for name, value in unet.items():
        out["model.diffusion_model." + unet_name(name)] = value
    for name, value in vae.items():
        renamed = vae_name(name)
        if re.search(r"attn_1\.(q|k|v|proj_out)\.weight$", renamed):
            value = value[:, :, None, None]  # the original keeps these linear layers as 1×1 convolutions
        out["first_stage_model." + renamed] = value
    for name, value in text.items():
        if not name.endswith("position_ids"):
            out["cond_stage_model.transformer." + name] = value
    return {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in out.items()}


def with_unknown_embedding(text: Tensors, seen: set[int], unknown: int) -> dict[str, torch.Tensor]:
    """Give every token that training never showed the embedding of the unknown word."""
    name = "text_model.embeddings.token_embedding.weight"
    table = text[name].clone()
    unseen = torch.ones(len(table), dtype=torch.bool)
    unseen[list(seen)] = False
    table[unseen] = table[unknown].clone()
    return {**text, name: table}
