"""Blocks of LoRAs that are loaded: `<lora:ink:0.8:blocks=style>` lets only B-LoRA's style of it act.

The host's loaded network stays as it is, as it is used again by other jobs. A copy with fewer, or weaker,
modules takes its place among those that act, until the host makes that list anew for the next batch. The
copy has another name, by which the host's layers notice that they have to change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from lib_ranni.errors import InputError
from lib_ranni.lora.blocks import BlockScales, parse_blocks
from lib_ranni.lora.layout import FAMILIES, Target, from_ldm

ARGUMENT = "blocks"
"""The name of a tag's argument. The host parts arguments at `=`, so factors are written `style@0.5`."""

SOURCE = "_ranni_source"
"""Where a copy keeps the name of the network that it is of."""

_UNET = "diffusion_model_"


def parse(text: str) -> BlockScales:
    """Blocks as a tag says them: `content`, `down*@0.5+mid`. Raises `InputError`."""
    if "\n" in text or not text.strip():
        raise InputError(f"{text!r} names no blocks; write names like content, style, up0.1, down*, te1, mid")
    return parse_blocks(text.replace("+", ",").replace("@", "="))


def filter_loaded(host: Any, model: Any, tags: Sequence[Any]) -> list[str]:
    """Filter the networks that the host has just loaded for these tags; returns what cannot be done.

    `host` is the Lora extension's module, `model` what it is loaded for, `tags` the arguments of the tags.
    """
    problems: list[str] = []
    position = 0
    for tag in tags:
        name = tag.positional[0] if tag.positional else ""
        if position >= len(host.loaded_networks) or host.loaded_networks[position].name != name:
            continue  # It is not there, or could not be read.
        text = tag.named.get(ARGUMENT)
        if text is not None:
            try:
                scales = parse(text)
            except InputError as error:
                problems.append(f"all blocks of {name} act: {error}")
            else:
                original = host.loaded_networks[position]
                host.loaded_networks[position] = filtered(original, text, scales, _names(model))
                # It would be read from the disk again for the next batch.
                host.networks_in_memory[name] = original
                if not host.loaded_networks[position].modules:
                    problems.append(f"{name} does nothing: it has no module in the blocks {text}")
        position += 1
    return problems


def filtered(network: Any, text: str, scales: BlockScales, names: Mapping[str, str]) -> Any:
    """A copy of a loaded network with the modules of some blocks, scaled. `names`: see `_names`."""
    made = copy(network)
    setattr(made, SOURCE, network.name)
    made.name = f"{network.name} [{text}]"
    made.modules = {}
    scaled: dict[float, Any] = {}
    for key, module in network.modules.items():
        factor = scales.of(target_of(key, names))
        if factor:
            if factor not in scaled:
                scaled[factor] = copy(made)
                scaled[factor].te_multiplier *= factor
                scaled[factor].unet_multiplier *= factor
            # A module takes its weight from the network that it names as its own.
            made.modules[key] = copy(module)
            made.modules[key].network = scaled[factor]
    return made


def target_of(key: str, names: Mapping[str, str]) -> Target:
    """The module of one of the host's names, such as `diffusion_model_input_blocks_1_1_proj_in`."""
    if key.startswith(_UNET):
        name = key.removeprefix(_UNET)
        return Target("unet", names.get(name, name))
    return Target("te2" if key.startswith("1_") else "te1", key)


def _names(model: Any) -> Mapping[str, str]:
    """ldm's names of the model's UNet -> diffusers'; of the family whose modules are its own."""
    mapping = getattr(model, "network_layer_mapping", {})

    def likeness(names: Mapping[str, str]) -> int:
        found = sum(_UNET + name in mapping for name in names)
        return 2 * found - len(names)

    return max((from_ldm(family) for family in FAMILIES), key=likeness)
