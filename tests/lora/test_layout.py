"""The tables of modules, against the networks of diffusers and transformers and the shipped checkpoint."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lib_ranni.lora import diffsynth
from lib_ranni.lora.layout import FAMILIES, Family, Target, from_ldm, host_name, host_names, table

_ROOT = Path(__file__).parents[2]
_CONFIGS = _ROOT / "lib_ranni" / "standalone" / "configs"
_KNOWN: tuple[Family, ...] = ("sd1", "sd2", "sdxl")


def _places(family: Family, component: str) -> dict[str, tuple[int, ...]]:
    return {
        place.diffusers: place.shape
        for target, place in table(family).items()
        if target.component == component
    }


def _weights(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {
        name.removesuffix(".weight"): tuple(weight.shape)
        for name, weight in network.named_parameters()
        if name.endswith(".weight")
    }


@pytest.mark.parametrize("family", _KNOWN)
def test_the_unet_is_diffusers_own(family: Family) -> None:
    from diffusers import UNet2DConditionModel

    config = json.loads((_CONFIGS / family / "unet" / "config.json").read_text())
    with torch.device("meta"):
        network = UNet2DConditionModel.from_config(config)
    assert _places(family, "unet") == _weights(network)


@pytest.mark.parametrize(
    ("family", "component", "folder"),
    [("sd1", "te1", "text_encoder"), ("sd2", "te1", "text_encoder"), ("sdxl", "te2", "text_encoder_2")],
)
def test_the_text_encoder_is_transformers_own(family: Family, component: str, folder: str) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig.from_pretrained(_CONFIGS / family / folder)
    with torch.device("meta"):
        network = CLIPTextModel(config)
    real = {name: shape for name, shape in _weights(network).items() if "embedding" not in name}
    assert _places(family, component) == real


def test_names_of_ldm_are_those_of_the_shipped_checkpoint() -> None:
    ours = {f"model.diffusion_model.{place.ldm}.weight": place.shape
            for target, place in table("shapes").items() if target.component == "unet"}  # fmt: skip
    with safe_open(_ROOT / "models" / "shapes" / "shapes.safetensors", "pt") as file:
        real = {
            key: tuple(file.get_slice(key).get_shape())
            for key in file.keys()  # noqa: SIM118 - this is no dict
            if key.startswith("model.diffusion_model.") and key.endswith(".weight")
        }
    assert ours == real


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_names_of_ldm_are_those_that_diffusers_converts(family: Family) -> None:
    """Each weight is a number of its own, and diffusers' converter says where it goes."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    config = json.loads((_CONFIGS / family / "unet" / "config.json").read_text())
    places = [place for target, place in table(family).items() if target.component == "unet"]
    checkpoint = {}
    for number, place in enumerate(places):
        for part in ("weight", "bias"):
            checkpoint[f"model.diffusion_model.{place.ldm}.{part}"] = torch.tensor(number)
    converted = convert_ldm_unet_checkpoint(checkpoint, config)
    found = {key.removesuffix(".weight"): int(n) for key, n in converted.items() if key.endswith(".weight")}
    assert found == {place.diffusers: number for number, place in enumerate(places)}


@pytest.mark.parametrize(("family", "millions"), [("sdxs", 315.7), ("sdxs-0.9", 328.2)])
def test_sdxs_has_as_many_numbers_as_its_files(family: Family, millions: float) -> None:
    """1.263 GB of float32 on the hub."""
    total = 0
    for name, shape in _places(family, "unet").items():
        total += math.prod(shape) + (0 if name.endswith(("to_q", "to_k", "to_v")) else shape[0])
    assert round(total / 1e6, 1) == millions


@pytest.mark.parametrize("family", FAMILIES)
def test_every_module_of_the_unet_has_a_name_that_the_host_finds(family: Family) -> None:
    names = host_names(family)
    unet = [target for target in table(family) if target.component == "unet"]
    assert [target for target in unet if names.get(host_name(target, family)) != target] == []
    assert len(from_ldm(family)) == len(unet)


def test_names_that_the_host_mistakes() -> None:
    """Where its own rules for diffusers' names lead elsewhere, ldm's names are written."""
    assert "lora_unet_up_blocks_0_upsamplers_0_conv" in host_names("sd1")
    assert "lora_unet_up_blocks_0_upsamplers_0_conv" not in host_names("sdxl")
    assert "lora_unet_down_blocks_1_resnets_0_conv1" not in host_names("shapes")
    assert host_name(Target("unet", "down_blocks_1_resnets_0_conv1"), "shapes") == (
        "lora_unet_input_blocks_3_0_in_layers_2"
    )
    assert (
        host_name(Target("unet", "up_blocks_1_upsamplers_0_conv"), "sdxs")
        == "lora_unet_output_blocks_3_2_conv"
    )
    assert host_name(Target("unet", "conv_norm_out"), "sd1") == "lora_unet_out_0"


def test_diffsynth_counts_blocks_as_the_reference_says() -> None:
    xl, sd1 = diffsynth.blocks("sdxl"), diffsynth.blocks("sd1")
    assert [n for n, name in xl.items() if "attentions" in name] == [
        7,
        10,
        15,
        18,
        21,
        25,
        28,
        31,
        35,
        38,
        41,
    ]
    assert [n for n, name in sd1.items() if "attentions" in name] == (
        [1, 4, 9, 12, 17, 20, 29, 40, 43, 46, 50, 53, 56, 60, 63, 66]
    )
    assert [n for n, name in xl.items() if "sampler" in name] == [4, 12, 32, 42]
    assert [n for n, name in sd1.items() if "sampler" in name] == [6, 14, 22, 37, 47, 57]
    assert diffsynth.to_diffusers("blocks_999_conv", "sd1") is None
    assert diffsynth.to_diffusers("blocks_7_transformer_blocks_0_ff", "sdxl") == (
        "down_blocks_1_attentions_0_transformer_blocks_0_ff_net_2"
    )
