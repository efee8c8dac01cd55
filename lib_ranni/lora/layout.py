"""The modules that a LoRA may change, by family: names in both spellings, shapes, and what the host loads.

The tables are computed from each family's plan, so that they hold whole networks without listing them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

Family = Literal["sd1", "sd2", "sdxl", "sdxs", "sdxs-0.9", "shapes"]
"""`sdxs` is SDXS-512 with CLIP-L (DreamShaper), `shapes` the checkpoint of this repository."""

Kin = Literal["sd1", "sd2", "sdxl"]
Component = Literal["unet", "te1", "te2"]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
"""A residual block's layers: diffusers -> ldm."""


class Target(NamedTuple):
    """A module of the base model: its network, and its name as in diffusers with _ for each dot."""

    component: Component
    name: str


class Place(Struct, frozen=True):
    """Where a module is: dotted names in diffusers and in ldm (UNet only), and its weight's shape."""

    diffusers: str
    ldm: str
    shape: tuple[int, ...]


class Plan(Struct, frozen=True):
    """How a family's networks are built. `depths`: transformer layers per level, the finest first."""

    kin: Kin
    """Which of the host's model classes loads it; it decides how text encoders are named."""
    channels: tuple[int, ...]
    depths: tuple[int, ...]
    context: int
    linear: bool
    text_encoders: tuple[tuple[int, int], ...]
    """Width and layers of each."""
    embedded: int = 0
    """Width of SDXL's added embedding; 0 for none."""
    per_level: int = 2
    """Residual blocks per level on the way down; one more on the way up."""
    middle: bool = True
    cross_only: bool = False
    """Whether the finest level's first attention looks at the text as well."""


PLANS: Mapping[Family, Plan] = {
    "sd1": Plan("sd1", (320, 640, 1280, 1280), (1, 1, 1, 0), 768, False, ((768, 12),)),
    "sd2": Plan("sd2", (320, 640, 1280, 1280), (1, 1, 1, 0), 1024, True, ((1024, 23),)),
    "sdxl": Plan("sdxl", (320, 640, 1280), (0, 2, 10), 2048, True, ((768, 12), (1280, 32)), 2816),
    "sdxs": Plan("sd1", (320, 640, 1280), (0, 1, 1), 768, False, ((768, 12),), 0, 1, False),
    "sdxs-0.9": Plan("sd2", (320, 640, 1280), (1, 1, 1), 1024, True, ((1024, 23),), 0, 1, False, True),
    "shapes": Plan("sd1", (64, 128, 128), (1, 1, 1), 64, False, ((64, 3),), 0, 1),
}
FAMILIES: tuple[Family, ...] = tuple(PLANS)


def _resnet(here: str, there: str, inner: int, outer: int, time: int) -> Iterator[Place]:
    shapes: dict[str, tuple[int, ...]] = {
        "norm1": (inner,),
        "conv1": (outer, inner, 3, 3),
        "time_emb_proj": (outer, time),
        "norm2": (outer,),
        "conv2": (outer, outer, 3, 3),
    }
    if inner != outer:
        shapes["conv_shortcut"] = (outer, inner, 1, 1)
    for name, shape in shapes.items():
        yield Place(f"{here}.{name}", f"{there}.{_RESNET[name]}", shape)


def _transformer(
    here: str, there: str, width: int, depth: int, plan: Plan, own: int | None = None
) -> Iterator[Place]:
    projection = (width, width) if plan.linear else (width, width, 1, 1)
    shapes: dict[str, tuple[int, ...]] = {"norm": (width,), "proj_in": projection, "proj_out": projection}
    for index in range(depth):
        block = f"transformer_blocks.{index}"
        for attention, source in (("attn1", own or width), ("attn2", plan.context)):
            shapes[f"{block}.{attention}.to_q"] = (width, width)
            shapes[f"{block}.{attention}.to_k"] = (width, source)
            shapes[f"{block}.{attention}.to_v"] = (width, source)
            shapes[f"{block}.{attention}.to_out.0"] = (width, width)
        shapes[f"{block}.ff.net.0.proj"] = (8 * width, width)
        shapes[f"{block}.ff.net.2"] = (width, 4 * width)
        shapes |= {f"{block}.norm{number}": (width,) for number in (1, 2, 3)}
    for name, shape in shapes.items():
        yield Place(f"{here}.{name}", f"{there}.{name}", shape)


def unet_places(plan: Plan) -> Iterator[Place]:
    """Every module with weights of a UNet built by this plan."""
    first, time, last = plan.channels[0], 4 * plan.channels[0], len(plan.channels) - 1
    yield Place("conv_in", "input_blocks.0.0", (first, 4, 3, 3))
    yield Place("time_embedding.linear_1", "time_embed.0", (time, first))
    yield Place("time_embedding.linear_2", "time_embed.2", (time, time))
    if plan.embedded:
        yield Place("add_embedding.linear_1", "label_emb.0.0", (time, plan.embedded))
        yield Place("add_embedding.linear_2", "label_emb.0.2", (time, time))
    skips = [first]
    width = first
    for level, outer in enumerate(plan.channels):
        for index in range(plan.per_level):
            here, there = f"down_blocks.{level}", f"input_blocks.{1 + level * (plan.per_level + 1) + index}"
            yield from _resnet(f"{here}.resnets.{index}", f"{there}.0", width, outer, time)
            width = outer
            if depth := plan.depths[level]:
                own = plan.context if plan.cross_only and level == 0 else None
                yield from _transformer(f"{here}.attentions.{index}", f"{there}.1", width, depth, plan, own)
            skips.append(width)
        if level < last:
            there = f"input_blocks.{(level + 1) * (plan.per_level + 1)}.0.op"
            yield Place(f"down_blocks.{level}.downsamplers.0.conv", there, (width, width, 3, 3))
            skips.append(width)
    if plan.middle:
        yield from _resnet("mid_block.resnets.0", "middle_block.0", width, width, time)
        depth = plan.depths[-1] or 1
        yield from _transformer("mid_block.attentions.0", "middle_block.1", width, depth, plan)
        yield from _resnet("mid_block.resnets.1", "middle_block.2", width, width, time)
    yield from _upward(plan, skips, time)
    yield Place("conv_norm_out", "out.0", (first,))
    yield Place("conv_out", "out.2", (4, first, 3, 3))


def _upward(plan: Plan, skips: list[int], time: int) -> Iterator[Place]:
    width, last = plan.channels[-1], len(plan.channels) - 1
    for level, outer in enumerate(reversed(plan.channels)):
        depth = plan.depths[last - level]
        for index in range(plan.per_level + 1):
            here, there = f"up_blocks.{level}", f"output_blocks.{level * (plan.per_level + 1) + index}"
            inner = width + skips.pop()
            yield from _resnet(f"{here}.resnets.{index}", f"{there}.0", inner, outer, time)
            width = outer
            if depth:
                own = plan.context if plan.cross_only and level == last else None
                yield from _transformer(f"{here}.attentions.{index}", f"{there}.1", width, depth, plan, own)
        if level < last:
            there = f"output_blocks.{level * (plan.per_level + 1) + plan.per_level}.{2 if depth else 1}.conv"
            yield Place(f"up_blocks.{level}.upsamplers.0.conv", there, (width, width, 3, 3))


def text_places(width: int, layers: int) -> Iterator[Place]:
    """Every module with weights of a CLIP text encoder but its embeddings."""
    for layer in range(layers):
        shapes: dict[str, tuple[int, ...]] = {
            f"self_attn.{side}_proj": (width, width) for side in ("q", "k", "v", "out")
        }
        shapes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        shapes |= {"layer_norm1": (width,), "layer_norm2": (width,)}
        for name, shape in shapes.items():
            yield Place(f"text_model.encoder.layers.{layer}.{name}", "", shape)
    yield Place("text_model.final_layer_norm", "", (width,))


def underscored(dotted: str) -> str:
    """A dotted name as kohya's keys spell it."""
    return dotted.replace(".", "_")


@lru_cache(maxsize=len(FAMILIES))
def table(family: Family) -> Mapping[Target, Place]:
    """All modules of a family that a LoRA may change."""
    plan = PLANS[family]
    found = {Target("unet", underscored(place.diffusers)): place for place in unet_places(plan)}
    encoders: tuple[Component, ...] = ("te1", "te2")
    for component, (width, layers) in zip(encoders, plan.text_encoders, strict=False):
        for place in text_places(width, layers):
            found[Target(component, underscored(place.diffusers))] = place
    return found


@lru_cache(maxsize=len(FAMILIES))
def from_ldm(family: Family) -> Mapping[str, str]:
    """The UNet's ldm names with _ -> diffusers' with _."""
    return {
        underscored(place.ldm): target.name
        for target, place in table(family).items()
        if target.component == "unet"
    }


_HOST_READS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"conv_in"), lambda m: "input_blocks.0.0"),
    (re.compile(r"conv_out"), lambda m: "out.2"),
    (re.compile(r"time_embedding\.linear_(\d)"), lambda m: f"time_embed.{2 * int(m[1]) - 2}"),
    (
        re.compile(r"down_blocks\.(\d+)\.(attentions|resnets)\.(\d+)\.(.+)"),
        lambda m: f"input_blocks.{1 + 3 * int(m[1]) + int(m[3])}.{_inside(m[2], m[4])}",
    ),
    (
        re.compile(r"mid_block\.attentions\.0\.(.+)"),
        lambda m: f"middle_block.1.{m[1]}",
    ),
    (
        re.compile(r"mid_block\.resnets\.(\d+)\.(.+)"),
        lambda m: f"middle_block.{2 * int(m[1])}.{_RESNET[m[2]]}",
    ),
    (
        re.compile(r"up_blocks\.(\d+)\.(attentions|resnets)\.(\d+)\.(.+)"),
        lambda m: f"output_blocks.{3 * int(m[1]) + int(m[3])}.{_inside(m[2], m[4])}",
    ),
    (re.compile(r"down_blocks\.(\d+)\.downsamplers.*"), lambda m: f"input_blocks.{3 + 3 * int(m[1])}.0.op"),
    (
        re.compile(r"up_blocks\.(\d+)\.upsamplers.*"),
        lambda m: f"output_blocks.{2 + 3 * int(m[1])}.{2 if int(m[1]) else 1}.conv",
    ),
)


def _inside(kind: str, layer: str) -> str:
    return f"1.{layer}" if kind == "attentions" else f"0.{_RESNET[layer]}"


def host_reads(diffusers: str) -> str | None:
    """The ldm module that the host takes a diffusers name of the UNet for: right for SD 1 and 2.

    It counts two layers per level whatever the UNet, and puts the first upsampler where SDXL has none.
    """
    for pattern, place in _HOST_READS:
        if match := pattern.fullmatch(diffusers):
            return place(match)
    return None


@lru_cache(maxsize=len(FAMILIES))
def host_names(family: Family) -> Mapping[str, Target]:
    """Every kohya name that the host finds the right module for -> that module.

    OpenCLIP's norms have names of their own in the host and are found by none.
    """
    found: dict[str, Target] = {}
    kin = PLANS[family].kin
    for target, place in table(family).items():
        if target.component == "unet":
            found[f"lora_unet_{underscored(place.ldm)}"] = target
            if host_reads(place.diffusers) == place.ldm:
                found[f"lora_unet_{target.name}"] = target
        elif kin == "sd1":
            found[f"lora_te1_{target.name}"] = target
            if "layers" in target.name:
                found[f"lora_te_{target.name}"] = target
        elif kin == "sdxl" and target.component == "te1":
            found[f"lora_te1_{target.name}"] = target
        elif "norm" not in target.name:
            found[f"lora_te{'2' if kin == 'sdxl' else ''}_{target.name}"] = target
    return found


def host_name(target: Target, family: Family | None) -> str:
    """The kohya name to write for a module: ldm's spelling for SDXL's UNet, diffusers' where the host has it.

    Without a family, or for a module outside its table, the name stays as it is.
    """
    component, name = target
    kin = PLANS[family].kin if family else None
    if component != "unet":
        number = component[2:] if kin == "sdxl" or component == "te2" else ""
        if kin == "sd1" and "layers" not in name:
            number = "1"
        return f"lora_te{number}_{name}"
    place = table(family).get(target) if family else None
    if place and (kin == "sdxl" or host_reads(place.diffusers) != place.ldm):
        return f"lora_unet_{underscored(place.ldm)}"
    return f"lora_unet_{name}"
