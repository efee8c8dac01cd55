"""What the host reads in a converted file: keys cut at the first dot, alpha / rank, up @ down, differences.

Written by the host's rules and apart from the library, so that both must be right to agree.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from tests.lora.corpus import product


def read_as_host(path: Path) -> dict[str, Tensor]:
    """Module's kohya name -> dW as (out, rest), float64."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(path).items():
        name, _, part = key.partition(".")
        if name != "bundle_emb":
            grouped.setdefault(name, {})[part] = tensor
    return {name: _change(parts) for name, parts in grouped.items()}


def _change(parts: dict[str, Tensor]) -> Tensor:
    if "diff" in parts:
        return parts["diff"].double().flatten(1)
    down, up = parts["lora_down.weight"], parts["lora_up.weight"]
    alpha = float(parts["alpha"]) if "alpha" in parts else float(len(down))
    return product(down, up, parts.get("lora_mid.weight")) * alpha / len(down)


def deviation(found: Tensor, meant: Tensor) -> float:
    """Largest difference over the largest number meant."""
    assert found.shape == meant.shape
    return float((found - meant.double()).abs().max() / meant.double().abs().max())


def host_key(component: str, name: str, family: str) -> str:
    """The host's name of a module, by the rules of the reference and not by the library's tables."""
    flat = name.replace(".", "_")
    if component != "unet":
        number = {"te1": "1" if family == "sdxl" else "", "te2": "2"}[component]
        return f"lora_te{number}_{flat}"
    if family != "sdxl":
        return f"lora_unet_{flat}"
    return "lora_unet_" + _sdxl(name)


_PLACES = {
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.1.attentions.0": "input_blocks.4.1",
    "down_blocks.1.attentions.1": "input_blocks.5.1",
    "down_blocks.2.attentions.0": "input_blocks.7.1",
    "down_blocks.2.attentions.1": "input_blocks.8.1",
    "mid_block.attentions.0": "middle_block.1",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0": "output_blocks.2.2",
    "up_blocks.1.attentions.2": "output_blocks.5.1",
    "add_embedding": "label_emb",
}
_LAYERS = {"conv1": "in_layers.2", "linear_1": "0.0"}


def _sdxl(name: str) -> str:
    start = next(start for start in _PLACES if name.startswith(start + "."))
    rest = name.removeprefix(start + ".")
    return f"{_PLACES[start]}.{_LAYERS.get(rest, rest)}".replace(".", "_")
