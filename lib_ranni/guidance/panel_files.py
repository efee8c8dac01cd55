"""Reading a panel conditioner from files: of its own, or inside a whole checkpoint."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.guidance.panel_control import PREFIX, PanelConditioner, make_conditioner, own_tensors

_PICKLED = (".pth", ".pt", ".ckpt", ".bin")


def read_conditioner(path: Path) -> PanelConditioner:
    """The conditioner in a `.safetensors` or `.pth` file; of a whole checkpoint only its tensors are read.

    Raises `ModelError` when the file holds none, a damaged one, or one of other shapes.
    """
    tensors = conditioner_tensors(path)
    if not tensors:
        raise ModelError(
            f"{path} has no panel conditioner (its names begin with {PREFIX}); "
            "give a checkpoint such as ranni_sdv21_v1, or a file of those tensors alone"
        )
    try:
        return make_conditioner(tensors)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def conditioner_tensors(path: Path) -> dict[str, Tensor]:
    """The conditioner's tensors in a file, without prefix; none if it has none. Raises `ModelError`."""
    if not path.is_file():
        raise ModelError(f"there is no file {path}; give the checkpoint that has the panel conditioner")
    if path.suffix == ".safetensors":
        return _of_safetensors(path)
    if path.suffix in _PICKLED:
        return own_tensors(read_pickled(path))
    raise ModelError(f"{path} is neither .safetensors nor {', '.join(_PICKLED)}; give one of these")


def tensor_names(path: Path) -> frozenset[str]:
    """The names of a file's tensors; none of a pickle that would have to be read whole for them."""
    if path.suffix == ".safetensors":
        with _opened(path) as file:
            return frozenset(file.keys())
    is_listed = path.suffix in _PICKLED and zipfile.is_zipfile(path)
    return frozenset(read_pickled(path)) if is_listed else frozenset()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "pt") as file:
            yield file
    except SafetensorError as error:
        raise ModelError(f"{path} is not a whole .safetensors file ({error}); download it again") from error


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    with _opened(path) as file:
        names = set(file.keys())
        wanted = own_tensors(dict.fromkeys(names, torch.empty(0)))
        return {name: file.get_tensor(PREFIX + name if PREFIX + name in names else name) for name in wanted}


def read_pickled(path: Path) -> dict[str, Tensor]:
    """All tensors of a `.pth` file, by safe loading only, out of a `state_dict` wrapper if there is one.

    Raises `ModelError` for a file that holds anything else than tensors.
    """
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # what is no pickle, or a harmful one, can fail in any way
        raise ModelError(
            f"{path} cannot be loaded safely ({type(error).__name__}); give a file of tensors alone"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__} instead of named tensors")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}
