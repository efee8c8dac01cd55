"""LoRAs for the whole picture: added to the UNet's weights, and taken out again to the bit.

Files in kohya's layout, with the names of either the original or diffusers' networks. Others are for
`lib-ranni lora convert`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lib_ranni.errors import InputError, ModelError
from lib_ranni.panel.types import Lora
from lib_ranni.sampling.advertised import Advertised
from lib_ranni.sampling.advertised import advertised as read_advertised
from lib_ranni.standalone.training.export import unet_name

FOLDER = "loras"
"""Beside a checkpoint, or beside its folder, holds the LoRAs that are known by name.

Not among a checkpoint's own files: the WebUI takes every file there for a checkpoint.
"""

_DOWN, _UP, _ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"


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
            return read_advertised(file.metadata() or {})
    except (SafetensorError, OSError):
        return Advertised()


def lora_path(lora: Lora, checkpoint: Path) -> Path:
    """The file of a LoRA given by name or by path. Raises `InputError` naming those there are."""
    files = {file.name: file.path for file in known_loras(checkpoint)}
    if lora.name in files:
        return files[lora.name]
    path = Path(lora.name).expanduser()
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
        modules, tensors = _modules(self._unet), _tensors(path)
        stems = [name.removesuffix(_DOWN) for name in tensors if name.endswith(_DOWN)]
        if left := [stem for stem in stems if stem not in modules]:
            where = "in the text encoder" if all("_te" in stem for stem in left) else f"such as {left[0]}"
            self.notes += (f"{len(left)} of {len(stems)} layers of {path.name} were left out, {where}",)
        for module, change in _changes(path, tensors, modules):
            if module.name not in self._original:
                self._original[module.name] = module.weight.detach().clone()
            module.weight.copy_((module.weight.float() + weight * change).to(module.weight))

    def _take_off(self) -> None:
        for name, original in self._original.items():
            weight: Any = self._unet.get_submodule(name).weight
            weight.copy_(original)
        self._original.clear()
        self._worn, self.notes = (), ()


class _Module(NamedTuple):
    name: str
    weight: Any


def _modules(unet: nn.Module) -> dict[str, _Module]:
    """Linear layers and convolutions by the names that kohya's files have for them."""
    found: dict[str, _Module] = {}
    blocks = int(getattr(unet, "config", {}).get("layers_per_block", 2))
    for name, module in unet.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            original = unet_name(f"{name}.weight", blocks).removesuffix(".weight")
            for spelled in (name, original):
                found["lora_unet_" + spelled.replace(".", "_")] = _Module(name, module.weight)
    return found


def _changes(
    path: Path, tensors: Mapping[str, Tensor], modules: Mapping[str, _Module]
) -> Iterator[tuple[_Module, Tensor]]:
    """What a file adds to each module's weight, float32. Raises `ModelError` if that is nothing at all."""
    stems = [name.removesuffix(_DOWN) for name in tensors if name.endswith(_DOWN)]
    matched = [stem for stem in stems if stem in modules]
    if not matched:
        raise ModelError(
            f"no layer of this model takes anything from {path.name}; "
            "convert it with `lib-ranni lora convert`, or use the model it was made for"
        )
    for stem in matched:
        module, down = modules[stem], tensors[stem + _DOWN].float().flatten(1)
        up = tensors.get(stem + _UP, down[:0]).float().flatten(1)
        rank, size = len(down), module.weight.shape
        if tuple(up.shape) != (size[0], rank) or down.shape[1] != size[1:].numel():
            raise ModelError(f"{path.name} is made for another model: {stem} has another size there")
        alpha = float(tensors[stem + _ALPHA]) if stem + _ALPHA in tensors else float(rank)
        yield module, (up @ down * (alpha / rank)).view(size).to(module.weight.device)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is no whole .safetensors file; `lib-ranni lora inspect` tells what it is"
        ) from error
    if not all(math.isfinite(float(value.float().sum())) for value in tensors.values()):
        raise ModelError(f"{path} holds numbers that are not finite; download it again")
    return tensors
