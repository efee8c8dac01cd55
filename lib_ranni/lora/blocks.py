"""The blocks that modules belong to, and scales by block, as for B-LoRA's content and style.

A block is `te1`, `te2`, `embed`, `in`, `down2.1`, `down2.sampler`, `mid`, `up0.1`, `up0.sampler` or `out`:
the level and the layer as in diffusers. `content` and `style` are B-LoRA's blocks of SDXL, up0.0 and up0.1.
"""

from __future__ import annotations

import math
import re
from fnmatch import fnmatchcase

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.lora.layout import Target

_ALIASES = {"content": "up0.0", "style": "up0.1", "text": "te*", "unet": "[!t]*"}
_LEVEL = re.compile(r"(down|up)_blocks_(\d+)_(attentions|resnets|downsamplers|upsamplers)_(\d+)_")
_LDM = re.compile(r"(input|output)_blocks_(\d+)_(\d+)_")
_PATTERN = re.compile(r"[a-z0-9.*?\[\]!-]+")


def block_of(target: Target) -> str:
    """The block of a module. A name outside the tables gives ldm's index: `in4`, `out4`."""
    if target.component != "unet":
        return target.component
    if match := _LEVEL.match(target.name):
        way, level, kind, index = match.groups()
        return f"{way}{level}.{'sampler' if kind.endswith('samplers') else index}"
    if match := _LDM.match(target.name):
        return f"{'in' if match[1] == 'input' else 'out'}{match[2]}"
    for start, block in (("mid", "mid"), ("conv_in", "in"), ("conv_", "out"), ("out_", "out")):
        if target.name.startswith(start):
            return block
    return "embed"


class BlockScales(Struct, frozen=True):
    """Factors by block: the first pattern that fits a block counts; blocks that none fits keep `rest`."""

    rules: tuple[tuple[str, float], ...] = ()
    rest: float = 1.0

    def of(self, target: Target) -> float:
        """The factor of a module; 0 leaves it out."""
        block = block_of(target)
        return next((scale for pattern, scale in self.rules if fnmatchcase(block, pattern)), self.rest)

    @property
    def all_kept(self) -> bool:
        """Whether this changes nothing."""
        return self.rest == 1 and all(scale == 1 for _, scale in self.rules)


ALL = BlockScales()
"""Every block as it is."""


def parse_blocks(text: str) -> BlockScales:
    """`content`, `content,style=0.5`, `down*=0,te1=0.8,*=1`: patterns with factors, 1 where none is given.

    Where no pattern is `*`, blocks that are not named are left out if some pattern has no factor (a filter),
    and kept otherwise (a correction). Raises `InputError` for what is not of this form.
    """
    rules: list[tuple[str, float]] = []
    filters = False
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, equals, factor = (word.strip() for word in part.partition("="))
        pattern = _ALIASES.get(name.lower(), name.lower())
        if not _PATTERN.fullmatch(pattern):
            raise InputError(f"{name!r} is no block; write names like content, style, up0.1, down*, te1, mid")
        filters = filters or not equals
        try:
            scale = float(factor) if equals else 1.0
        except ValueError:
            scale = math.nan
        if not abs(scale) <= 100:
            raise InputError(f"{part!r}: the factor must be a number in -100..100, as in style=0.5")
        rules.append((pattern, scale))
    return BlockScales(tuple(rules), 0.0 if filters else 1.0)
