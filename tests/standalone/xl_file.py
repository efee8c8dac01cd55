"""A small Stable Diffusion XL model of random weights, and the single file that hosts load it from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lib_ranni.lora.layout import Plan, unet_places
from lib_ranni.standalone.checkpoint import SHAPES, TOKENIZER
from lib_ranni.standalone.conversion import autoencoder_config
from lib_ranni.standalone.sdxs_conversion import ldm_autoencoder, open_clip
from tests.standalone.compact import moved, open_clip_config

_PLAN = Plan("sdxl", (32, 64), (1, 2), 320, True, (), 1792, 1)
_SGM = "sgm.modules"


def make_xl(scheduler: Any) -> Any:
    """A pipeline with this scheduler; its autoencoder's latents have hardly any variance of their own."""
    from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel

    clip = CLIPTokenizer.from_pretrained(TOKENIZER)
    padded = CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!")
    torch.manual_seed(5)
    first = CLIPTextModel(CLIPTextConfig.from_pretrained(SHAPES / "text_encoder"))
    second = CLIPTextModelWithProjection(open_clip_config(padded, 10))
    for model in (first, second):
        torch.nn.init.constant_(model.text_model.final_layer_norm.bias, 0.25)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        cross_attention_dim=320,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=1792,
    )
    vae = AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        sample_size=128,
        scaling_factor=0.13025,
    )
    vae.quant_conv.weight.data[4:] = 0
    vae.quant_conv.bias.data[4:] = -30
    return StableDiffusionXLPipeline(
        vae=moved(vae),
        unet=moved(unet),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=clip,
        tokenizer_2=padded,
        scheduler=scheduler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def xl_tensors(pipeline: Any) -> dict[str, Tensor]:
    """Its tensors under the names of single files."""
    out = ldm_autoencoder(pipeline.vae.state_dict())
    unet = pipeline.unet.state_dict()
    for place in unet_places(_PLAN):
        for kind in ("weight", "bias"):
            if (name := f"{place.diffusers}.{kind}") in unet:
                out[f"model.diffusion_model.{place.ldm}.{kind}"] = unet.pop(name)
    assert not unet
    for name, tensor in pipeline.text_encoder.state_dict().items():
        out[f"conditioner.embedders.0.transformer.{name}"] = tensor
    second = pipeline.text_encoder_2.state_dict()
    projection = second.pop("text_projection.weight")
    inner = "conditioner.embedders.1.model"
    out |= {f"{inner}.{name}": tensor for name, tensor in open_clip(second).items()}
    out |= {f"{inner}.text_projection": projection.T, f"{inner}.logit_scale": torch.tensor(4.6)}
    return {name: tensor.contiguous() for name, tensor in out.items()}


def _discrete() -> dict[str, Any]:
    parts = {
        "weighting_config": {"target": f"{_SGM}.diffusionmodules.denoiser_weighting.EpsWeighting"},
        "scaling_config": {"target": f"{_SGM}.diffusionmodules.denoiser_scaling.EpsScaling"},
        "discretization_config": {"target": f"{_SGM}.diffusionmodules.discretizer.LegacyDDPMDiscretization"},
    }
    return {
        "target": f"{_SGM}.diffusionmodules.denoiser.DiscreteDenoiser",
        "params": {"num_idx": 1000, **parts},
    }


def _embedders(tokenizer: str) -> list[dict[str, Any]]:
    kinds = f"{_SGM}.encoders.modules"
    hidden = {"layer": "hidden", "layer_idx": 2, "version": tokenizer}
    second = {
        "arch": "ViT-S-32-alt",
        "version": None,
        "freeze": True,
        "layer": "penultimate",
        "always_return_pooled": True,
        "legacy": False,
    }
    out = [
        {"input_key": "txt", "target": f"{kinds}.FrozenCLIPEmbedder", "params": hidden},
        {"input_key": "txt", "target": f"{kinds}.FrozenOpenCLIPEmbedder2", "params": second},
    ]
    for key in ("original_size_as_tuple", "crop_coords_top_left", "target_size_as_tuple"):
        target = f"{kinds}.ConcatTimestepEmbedderND"
        out.append({"input_key": key, "target": target, "params": {"outdim": 256}})
    return [{"is_trainable": False, **embedder} for embedder in out]


def xl_config(tokenizer: str) -> dict[str, Any]:
    """What a host builds it from; `tokenizer` is a folder that the host finds the first one in."""
    unet = {
        "adm_in_channels": 1792,
        "num_classes": "sequential",
        "use_checkpoint": False,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 32,
        "attention_resolutions": [1, 2],
        "num_res_blocks": 1,
        "channel_mult": [1, 2],
        "num_head_channels": 16,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "transformer_depth": [1, 2],
        "context_dim": 320,
        "spatial_transformer_attn_type": "softmax",
        "legacy": False,
    }
    vae = autoencoder_config((32,) * 4, 1)["params"]
    vae["ddconfig"]["attn_type"] = "vanilla"
    params = {
        "scale_factor": 0.13025,
        "disable_first_stage_autocast": True,
        "denoiser_config": _discrete(),
        "network_config": {"target": f"{_SGM}.diffusionmodules.openaimodel.UNetModel", "params": unet},
        "conditioner_config": {
            "target": f"{_SGM}.GeneralConditioner",
            "params": {"emb_models": _embedders(tokenizer)},
        },
        "first_stage_config": {
            "target": "sgm.models.autoencoder.AutoencoderKLInferenceWrapper",
            "params": vae,
        },
    }
    return {"model": {"target": "sgm.models.diffusion.DiffusionEngine", "params": params}}
