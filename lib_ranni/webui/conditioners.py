"""Panel conditioners for the loaded checkpoint: its own, or a file of the host's `models/Ranni`.

The host drops tensors that it does not know as it loads a checkpoint, so they are read from its file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from modules import devices, paths_internal

from lib_ranni.errors import ModelError
from lib_ranni.guidance.panel_control import PREFIX, PanelConditioner
from lib_ranni.guidance.panel_files import conditioner_tensors, read_conditioner, tensor_names
from lib_ranni.service.request import OWN_CONDITIONER

_SUFFIX = ".safetensors"
_SD2 = "cond_stage_model.model."
"""Before the names of Stable Diffusion 2's text encoder."""

_Stamp = tuple[int, int]


def root() -> Path:
    """The folder of conditioners in files of their own; it need not exist."""
    return Path(paths_internal.models_path) / "Ranni"


def names() -> list[str]:
    """The names of the files, without their suffix, as paths below the folder."""
    return sorted(_files(), key=str.casefold)


def choices() -> list[str]:
    """What a page or a grid offers: the checkpoint's own, and the files."""
    return [OWN_CONDITIONER, *names()]


def conditioner(name: str, model: Any) -> PanelConditioner:
    """The one of a name, or of the checkpoint's own file, on the host's device.

    Raises `ModelError` where there is none, or one that cannot be used.
    """
    if name:
        path = _files().get(name)
        if path is None:
            known = ", ".join(names()) or "none"
            raise ModelError(f"there is no panel conditioner {name!r} in {root()}; there are: {known}")
    else:
        path = Path(model.sd_checkpoint_info.filename)
        if not conditioner_tensors(path):
            raise ModelError(
                f"the checkpoint {path.name} has no panel conditioner; choose one of {root()}, or another "
                "checkpoint, or set the control scale to 0"
            )
    return _read(str(path), _stamp(path)).to(devices.device)


def is_release(path: Path) -> bool:
    """Whether a checkpoint is Ranni's: Stable Diffusion 2 with a conditioner of its own.

    It was trained on a noise schedule that ends in pure noise, and nothing in its configuration says so.
    """
    try:
        found = _names(str(path), _stamp(path))
    except (ModelError, OSError):
        return False
    kinds = [any(name.startswith(prefix) for name in found) for prefix in (PREFIX, _SD2)]
    return all(kinds)


def _files() -> dict[str, Path]:
    folder = root()
    paths = [path for path in folder.rglob(f"*{_SUFFIX}") if path.is_file()]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _stamp(path: Path) -> _Stamp:
    """Tells a file from another that takes its place."""
    if not path.is_file():
        return (0, 0)
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _read(path: str, stamp: _Stamp) -> PanelConditioner:
    return read_conditioner(Path(path))


@lru_cache(maxsize=64)
def _names(path: str, stamp: _Stamp) -> frozenset[str]:
    return tensor_names(Path(path))
