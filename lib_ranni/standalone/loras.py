"""LoRAs for the whole picture: added to the UNet's weights, and taken out again to the bit.

Files of every format and kind that `lib_ranni.lora` reads, but OFT, which is no sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lib_ranni.errors import InputError, LoraError, ModelError
from lib_ranni.lora import reading
from lib_ranni.lora.checks import asks_alpha, finite
from lib_ranni.lora.containers import printable
from lib_ranni.lora.deltas import bias_of, change
from lib_ranni.lora.layout import Target, underscored
from lib_ranni.lora.spelling import spell
from lib_ranni.panel.types import Lora
from lib_ranni.standalone.paths import from_user
from lib_ranni.standalone.training.export import unet_name

FOLDER = "loras"
"""Beside a checkpoint, or beside its folder, holds the LoRAs that are known by name.

Not among a checkpoint's own files: the WebUI takes every file there for a checkpoint.
"""


class Advertised(msgspec.Struct, frozen=True):
    """What a LoRA says about itself under `ranni` in its metadata: whose it is, for what, and how."""

    base: str = ""
    presets: tuple[str, ...] = ()
    cfg: float | None = None
    prior: str | None = None


class LoraFile(NamedTuple):
    """A LoRA that can be chosen."""

    name: str
    path: Path
    about: Advertised


def known_loras(checkpoint: Path) -> list[LoraFile]:
    """The LoRAs beside a checkpoint by name, without those made for another one."""
    found: dict[str, LoraFile] = {}
    for folder in folders_near(checkpoint):
        for path in sorted((folder / FOLDER).glob("*.safetensors")):
            about = advertised(path)
            if about.base in ("", checkpoint.stem):
                found.setdefault(path.stem, LoraFile(path.stem, path, about))
    return list(found.values())


def folders_near(checkpoint: Path) -> tuple[Path, ...]:
    """Where to look for what belongs to a checkpoint file or folder, the nearest first."""
    inside = (checkpoint,) if checkpoint.is_dir() else ()
    return (*inside, checkpoint.parent, *(() if inside else (checkpoint.parent.parent,)))


def advertised(path: Path) -> Advertised:
    """What a file says about itself; nothing if it is none of ours."""
    try:
        with safe_open(str(path), "pt") as file:
            return msgspec.json.decode((file.metadata() or {}).get("ranni", "{}"), type=Advertised)
    except (SafetensorError, OSError, msgspec.MsgspecError):
        return Advertised()


def lora_path(lora: Lora, checkpoint: Path) -> Path:
    """The file of a LoRA given by name or by path. Raises `InputError` naming those there are."""
    files = {file.name: file.path for file in known_loras(checkpoint)}
    if lora.name in files:
        return files[lora.name]
    path = from_user(lora.name)
    if path.is_file():
        return path
    there = f"there are {', '.join(files)}" if files else f"there are none in {FOLDER}/ beside the checkpoint"
    raise InputError(f"there is no LoRA {lora.name!r}; give a file, or a name: {there}")


class WornLoras:
    """What is added to a UNet's weights at present; `notes` say what of it was left out."""

    def __init__(self, unet: nn.Module) -> None:
        self.notes: tuple[str, ...] = ()
        self._unet = unet
        self._worn: tuple[tuple[Path, int, float], ...] = ()
        self._original: dict[str, Tensor] = {}

    @torch.no_grad()
    def wear(self, loras: Sequence[Lora], checkpoint: Path) -> None:
        """Have these LoRAs in the weights and no others; nothing is done where they are there already."""
        files = [(lora_path(lora, checkpoint), lora.weight) for lora in loras if lora.weight != 0]
        wanted = tuple((path, path.stat().st_mtime_ns, weight) for path, weight in files)
        if wanted == self._worn:
            return
        self._take_off()
        try:
            for path, weight in files:
                self._put_on(path, weight)
        except BaseException:
            self._take_off()
            raise
        self._worn = wanted

    def _put_on(self, path: Path, weight: float) -> None:
        lora, modules = _read(path), _modules(self._unet)
        places = {target: modules.get(_name(lora, target)) for target in lora.modules}
        if not any(places.values()):
            raise ModelError(
                f"no layer of this model takes anything from {path.name}; use the model it was made for"
            )
        if left := [target for target, place in places.items() if place is None]:
            text = all(target.component != "unet" for target in left)
            where = "in the text encoder" if text else f"such as {printable(left[0].name)}"
            self.notes += (f"{len(left)} of {len(places)} layers of {path.name} were left out, {where}",)
        if broken := [key for key in lora.unmatched if _belongs(key, modules)]:
            raise LoraError(f"{path} is damaged: {printable(broken[0])} makes no change; download it again")
        for target, place in places.items():
            for name, added in self._changes(lora, target, place) if place else ():
                parameter = self._unet.get_parameter(name)
                self._original.setdefault(name, parameter.detach().clone())
                parameter.copy_((parameter.float() + weight * added).to(parameter))

    def _changes(self, lora: reading.Lora, target: Target, place: str) -> Iterator[tuple[str, Tensor]]:
        """What a LoRA adds to a module's weight and bias: (parameter's name, float32 of its shape).

        What depends on the weight takes the model's own, whatever else is worn.
        """
        delta, name = lora.modules[target], f"{place}.weight"
        own = self._original.get(name, self._unet.get_parameter(name)).detach()
        misfit = ModelError(f"{lora.path.name} is made for another model: {place} has another size here")
        if (shape := delta.shape()) and _flat(shape) != _flat(own.shape):
            raise misfit
        try:
            added = change(delta, own.cpu() if delta.needs_base else None)
        except RuntimeError as error:  # of kinds whose parts tell no shape
            raise misfit from error
        yield name, added.float().view(own.shape).to(own.device)
        if (added_bias := bias_of(delta)) is not None:
            bias = dict(self._unet.get_submodule(place).named_parameters()).get("bias")
            if bias is None or bias.numel() != added_bias.numel():
                raise misfit
            yield f"{place}.bias", added_bias.float().view(bias.shape).to(bias.device)

    def _take_off(self) -> None:
        for name, original in self._original.items():
            self._unet.get_parameter(name).copy_(original)
        self._original.clear()
        self._worn, self.notes = (), ()


def _read(path: Path) -> reading.Lora:
    """A LoRA whose every change can be added. Raises `LoraError`."""
    lora = reading.read_lora(path)
    if asks_alpha(lora):
        raise LoraError(f"{path} does not say its alpha; `lib-ranni lora convert --alpha F` writes it in")
    if not all(map(finite, lora.modules.values())):
        raise LoraError(f"{path} holds numbers that are not finite; download it again")
    if any(delta.kind == "oft" for delta in lora.modules.values()):
        raise LoraError(f"{path} is OFT, which turns weights and adds nothing to them; use another LoRA")
    return lora


def _modules(unet: nn.Module) -> dict[str, str]:
    """Names of modules with weights, by diffusers' and the original names of them with _ for each dot."""
    found: dict[str, str] = {}
    blocks = int(getattr(unet, "config", {}).get("layers_per_block", 2))
    for name, module in unet.named_modules():
        if getattr(module, "weight", None) is not None:
            original = unet_name(f"{name}.weight", blocks).removesuffix(".weight")
            found |= {underscored(name): name, underscored(original): name}
    return found


def _name(lora: reading.Lora, target: Target) -> str:
    """A module's name as the file spells it, which holds for UNets of no known family too."""
    if target.component != "unet":
        return ""
    spelled = spell(lora.keys[target][0])
    return target.name if spelled is None or spelled.format == "diffsynth" else spelled.name


def _belongs(key: str, modules: Mapping[str, str]) -> bool:
    """Whether a key that makes no change is part of what one of these modules should take."""
    spelled = spell(key)
    if spelled is None or spelled.component != "unet" or spelled.part == "alpha":
        return False
    return spelled.name in modules


def _flat(shape: Sequence[int]) -> tuple[int, int]:
    return shape[0], math.prod(shape[1:])
