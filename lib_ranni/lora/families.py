"""Which base family a LoRA belongs to, told by the names and widths of the modules it changes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from msgspec import Struct
from torch import Tensor

from lib_ranni.lora import diffsynth
from lib_ranni.lora.containers import Contents
from lib_ranni.lora.layout import FAMILIES, Family, Target, from_ldm, table
from lib_ranni.lora.spelling import Spelled


class Evidence(Struct, frozen=True):
    """The family that fits best, None where none does; and what the trainer wrote, None where it did not.

    `others` fit as well. `named` and `fitting` count the keys whose module, and whose width, a family has.
    """

    family: Family | None
    others: tuple[Family, ...]
    stated: Family | None
    named: Mapping[Family, int]
    fitting: Mapping[Family, int]

    @property
    def sure(self) -> bool:
        """Whether this family fits and no other as well."""
        return bool(self.family and self.named[self.family]) and not self.others


def family_of(found: Mapping[str, Spelled], contents: Contents) -> Evidence:
    """Weigh the evidence of these keys: widths first, then names, then what only one family has."""
    named = dict.fromkeys(FAMILIES, 0)
    fitting = dict.fromkeys(FAMILIES, 0)
    for key, spelled in found.items():
        tensor = contents.tensors[key]
        for family in FAMILIES:
            shape = _shape(spelled, family)
            if shape is not None:
                named[family] += 1
                fitting[family] += _fits(spelled.part, tensor, shape)
    stated = _stated(contents.metadata)
    best = max(named.values())
    if not best:
        return Evidence(stated, (), stated, named, fitting)
    # SD 1 and 2 share their names; a file that names more of one family's modules is that family's.
    leading = [family for family in FAMILIES if named[family] == best]
    most = max(fitting[family] for family in leading)
    fit = [family for family in leading if fitting[family] == most]
    told = fit[0] if len(fit) == 1 else _by_build(found, contents)
    if told is None and stated in fit:
        told = stated
    others = () if told else tuple(fit[1:])
    return Evidence(told or fit[0], others, stated, named, fitting)


def _shape(spelled: Spelled, family: Family) -> tuple[int, ...] | None:
    name = spelled.name
    if spelled.component == "unet":
        if spelled.format == "diffsynth":
            name = diffsynth.to_diffusers(name, family) or ""
        name = from_ldm(family).get(name, name)
    place = table(family).get(Target(spelled.component, name))
    return place.shape if place else None


def _fits(part: str, tensor: Tensor, shape: tuple[int, ...]) -> bool:
    if part == "lora_down.weight" and tensor.ndim >= 2 and len(shape) >= 2:
        return tensor.shape[1] == shape[1] and (tensor.ndim == 4) <= (
            len(shape) == 4 or tensor.shape[2:] == (1, 1)
        )
    if part in ("lora_up.weight", "hada_w1_a") and tensor.ndim >= 2:
        return tensor.shape[0] == shape[0]
    if part in ("diff", "w_norm"):
        return tensor.numel() == math.prod(shape)
    return False


def _by_build(found: Mapping[str, Spelled], contents: Contents) -> Family | None:
    """SD 1 from SD 2 where widths tell nothing: SD 2 has linear projections and more layers of text."""
    layers = [int(match[1]) for s in found.values() if (match := re.search(r"encoder_layers_(\d+)_", s.name))]
    if layers and max(layers) > 11:
        return "sd2"
    for key, spelled in found.items():
        if spelled.name.endswith(("proj_in", "proj_out")) and spelled.part == "lora_down.weight":
            return "sd1" if contents.tensors[key].ndim == 4 else "sd2"
    return "sd1" if layers and max(layers) == 11 else None


def _stated(metadata: Mapping[str, str]) -> Family | None:
    base = (metadata.get("ss_base_model_version") or metadata.get("modelspec.architecture") or "").lower()
    if "xl" in base:
        return "sdxl"
    if metadata.get("ss_v2") == "True" or re.search(r"sd_?v2|diffusion-v2|sd_2", base):
        return "sd2"
    return "sd1" if re.search(r"sd_?v1|diffusion-v1|sd_1", base) else None
