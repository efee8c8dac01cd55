"""What a key of a LoRA file says: which module, which part of its change, and in whose spelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from lib_ranni.lora.layout import Component, underscored

Format = Literal[
    "kohya",
    "kohya-peft",
    "lycoris",
    "diffusers-attn",
    "diffusers",
    "diffusers-peft",
    "peft",
    "diffsynth",
    "comfy",
    "ziplora",
]
"""kohya: `lora_unet_...lora_down.weight`, what the host loads; kohya-peft: its names with `lora_A`;
lycoris: its names without the network; diffusers-attn: attention processors; diffusers: `unet....lora.down`;
diffusers-peft: `unet....lora_A`; peft: `base_model.model....lora_A`; diffsynth: `blocks.7....lora_A`;
comfy: `diffusion_model....lora_A`; ziplora: `unet....lora.weight`, merged to full rank."""


class Spelled(Struct, frozen=True):
    """A key taken apart. `name` has _ for each dot; `dotted` is the module as the file spells it.

    `part` is named as the host names it: `lora_down.weight`, `alpha`, `hada_w1_a`, ..., and `magnitude` for
    a magnitude over outputs, `ia3_l` for PEFT's factors, `merger_1`/`merger_2` for ZipLoRA's.
    """

    component: Component
    name: str
    part: str
    format: Format
    dotted: str


_SIDES = {"down": "lora_down.weight", "up": "lora_up.weight", "mid": "lora_mid.weight"}
_LETTERS = {"A": "lora_down.weight", "B": "lora_up.weight"}
_LYCORIS = (
    r"hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)|oft_blocks|oft_diag|rescale|"
    r"diff_b|diff|w_norm|b_norm|on_input|dora_scale|alpha|scale|ia3_l|merger_[12]"
)

# Each ends a key; what stands before it is the module. The function gives (rest of the module's name, part).
_ENDINGS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[str, str]]], ...] = (
    (
        re.compile(r"\.processor\.(to_[qkv]|to_out)_lora\.(down|up)\.weight$"),
        lambda m: ("." + _out(m[1]), _SIDES[m[2]]),
    ),
    (
        re.compile(r"\.self_attn\.to_(q|k|v|out)_lora\.(down|up)\.weight$"),
        lambda m: (f".self_attn.{m[1]}_proj", _SIDES[m[2]]),
    ),
    (re.compile(r"\.lora_(down|up|mid)(?:\.default)?(?:\.weight)?$"), lambda m: ("", _SIDES[m[1]])),
    (
        re.compile(r"\.lora_([AB])(?:\.(?!weight$|bias$)\w+)?(?:\.weight)?$"),
        lambda m: ("", _LETTERS[m[1]]),
    ),
    (
        re.compile(r"\.(?:lora|lora_linear_layer)\.(down|up|mid)\.weight$"),
        lambda m: ("", _SIDES[m[1]]),
    ),
    (
        re.compile(r"\.(?:lora\.down|lora_linear_layer\.down|lora_down|lora_A)\.weight\.alpha$"),
        lambda _: ("", "alpha"),
    ),
    (
        re.compile(r"\.processor\.(to_[qkv]|to_out)_lora\.(?:down\.weight\.)?alpha$"),
        lambda m: ("." + _out(m[1]), "alpha"),
    ),
    (re.compile(r"\.lora\.weight$"), lambda _: ("", "diff")),
    (
        re.compile(r"\.(?:lora_magnitude_vector(?:\.(?!weight$)\w+)?(?:\.weight)?|magnitude)$"),
        lambda _: ("", "magnitude"),
    ),
    (re.compile(r"\.([ab][12])\.weight$"), lambda m: ("", f"{m[1]}.weight")),
    (re.compile(rf"\.({_LYCORIS})(?:\.default)?$"), lambda m: ("", m[1])),
)
_KOHYA = re.compile(r"(lora_unet|lora_te1|lora_te2|lora_te|oft_unet|lycoris)_(.+)")
_WRAPPERS = ("module.", "pipe.", "base_model.model.")
_DOTTED: tuple[tuple[str, Component], ...] = (
    ("unet.", "unet"),
    ("text_encoder_2.", "te2"),
    ("text_encoder_1.", "te1"),
    ("text_encoder.", "te1"),
    ("diffusion_model.", "unet"),
)
_BARE_UNET = re.compile(
    r"(?:down_blocks|up_blocks|mid_block|conv_in|conv_out|time_embedding|add_embedding)\b"
)


def spell(key: str) -> Spelled | None:
    """Take a key apart; None for a key that is no part of a module's change."""
    for pattern, read in _ENDINGS:
        if match := pattern.search(key):
            rest, part = read(match)
            module = key[: match.start()] + rest
            break
    else:
        # IA3's factors have no name of their own; only in kohya's spelling they can be told from weights.
        if not (key.endswith(".weight") and _KOHYA.match(key)):
            return None
        module, part = key.removesuffix(".weight"), "weight"
    if match := _KOHYA.match(module):
        return _kohya(match, part, key)
    return _dotted(module, part, key)


def _out(side: str) -> str:
    return "to_out.0" if side == "to_out" else side


def _kohya(match: re.Match[str], part: str, key: str) -> Spelled:
    prefix, dotted = match.groups()
    name = underscored(dotted)
    component: Component = "unet"
    if prefix.startswith("lora_te"):
        component = "te2" if prefix == "lora_te2" else "te1"
    elif prefix == "lycoris" and name.startswith("text_model"):
        component = "te1"
    form: Format = "lycoris" if prefix == "lycoris" else "kohya"
    if form == "kohya" and (".lora_A" in key or ".lora_B" in key):
        form = "kohya-peft"
    return Spelled(component, name, part, form, dotted)


def _dotted(module: str, part: str, key: str) -> Spelled | None:
    wrapped = "base_model.model." in module
    while module.startswith(_WRAPPERS):
        for wrapper in _WRAPPERS:
            module = module.removeprefix(wrapper)
    prefix, component = next(
        ((prefix, component) for prefix, component in _DOTTED if module.startswith(prefix)), ("", None)
    )
    module = module.removeprefix(prefix)
    if component is None:
        if module.startswith("text_model."):
            component = "te1"
        elif _BARE_UNET.match(module) or re.match(r"blocks\.\d+\.", module):
            component = "unet"
        else:
            return None
    name = underscored(module.replace(".processor", ""))
    return Spelled(component, name, part, _format(key, module, prefix, part, wrapped), module)


def _format(key: str, module: str, prefix: str, part: str, wrapped: bool) -> Format:
    if re.match(r"blocks\.\d+\.", module):
        return "diffsynth"
    if wrapped:
        return "peft"
    if prefix == "diffusion_model.":
        return "comfy"
    if part == "diff" and key.endswith(".lora.weight"):
        return "ziplora"
    if ".processor." in key:
        return "diffusers-attn"
    return "diffusers-peft" if ".lora_A" in key or ".lora_B" in key or part == "magnitude" else "diffusers"
