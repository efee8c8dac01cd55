"""Files that hold tensors, told by their first bytes and never by their names; nothing in them is executed.

A safetensors header is checked before it is believed. A pickle is read by torch's weights-only loader, and
only after its archive was seen to unpack to no more than its own size.
"""

from __future__ import annotations

import hashlib
import io
import pickletools
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lib_ranni.errors import LoraError

Container = Literal["safetensors", "pickle"]

MAX_HEADER = 64 << 20
"""Bytes of a safetensors header; trainers' tag lists reach a few MB."""
MAX_KEY = 512
MAX_TENSORS = 100_000

_NUMBERS = {
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
}
_WRAPPERS = ("state_dict", "model", "module")
_PICKLES = 4
"""Pickles of an old checkpoint: a mark, a version, the machine, and the tensors."""
_HARMLESS = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\.(\w+Storage|Size|device|\w*float\w*)|collections\.OrderedDict"
    r"|torch\._tensor\._rebuild_\w+|torch\.nn\.parameter\.Parameter|torch\.storage\.\w+"
)
"""What tensors are pickled with."""
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_KNOWN = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`",
    b"<!doctype": "is a web page, not a LoRA; download the file itself",
    b"<html": "is a web page, not a LoRA; download the file itself",
    b"\x89png": "is a picture",
    b"\xff\xd8\xff": "is a picture",
    b"gguf": "is a GGUF file, which holds a language model or a quantized checkpoint",
    b"\x1f\x8b": "is compressed with gzip; unpack it first",
    b"7z\xbc\xaf": "is a 7-Zip archive; unpack it first",
    b"rar!": "is a RAR archive; unpack it first",
}


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds. `left_out` names what stood beside the tensors and is no tensor."""

    path: Path
    container: Container
    size: int
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def read_contents(path: Path) -> Contents:
    """All tensors of a file, on the CPU. Raises `LoraError` saying what the file is and what to do."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise LoraError(f"{path} cannot be read: {error.strerror}; check the path") from error
    if not size:
        raise LoraError(f"{path} is empty; download it again")
    # First: the header's length may begin with the bytes of any other kind of file.
    if start[8:9] == b"{":
        return _safetensors(path, size, int.from_bytes(start[:8], "little"))
    for magic, what in _KNOWN.items():
        if start.lstrip().lower().startswith(magic) or start.lower().startswith(magic):
            raise LoraError(f"{path} {what}")
    if start.startswith(_ZIP):
        _check_archive(path, size)
        return _pickled(path, size)
    if start.startswith(_PICKLE):
        return _pickled(path, size)
    raise LoraError(f"{path} is neither a safetensors file nor a checkpoint of torch; check what it is")


def sha256(path: Path, skip_header: bool = False) -> str:
    """The file's hash in hex; with `skip_header`, of a safetensors file's numbers only, as the host."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if skip_header:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _safetensors(path: Path, size: int, header_size: int) -> Contents:
    if header_size > min(size - 8, MAX_HEADER):
        raise LoraError(
            f"{path} is cut short or damaged: its header claims {header_size} bytes of a file of {size}; "
            "download it again"
        )
    with path.open("rb") as file:
        file.seek(8)
        header = _header(path, file.read(header_size))
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise LoraError(f"{path} is damaged: its metadata is no table of texts; download it again")
    _check_keys(path, header)
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - this is no dict
    except (SafetensorError, OSError, ValueError, RuntimeError, OverflowError, KeyError) as error:
        raise LoraError(f"{path} is damaged ({_first_line(error)}); download it again") from error
    return Contents(path, "safetensors", size, tensors, metadata)


def _header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise LoraError(
            f"{path} is damaged: its header is no JSON ({_first_line(error)}); download it again"
        ) from error


def _check_keys(path: Path, keys: Iterable[str]) -> None:
    keys = list(keys)
    if len(keys) > MAX_TENSORS:
        raise LoraError(f"{path} names {len(keys)} tensors; no LoRA has more than {MAX_TENSORS}")
    for key in keys:
        if len(key) > MAX_KEY:
            raise LoraError(
                f"{path} has a key of {len(key)} characters, beginning {printable(key[:40])}; no LoRA has"
            )


def _check_archive(path: Path, size: int) -> None:
    """A checkpoint of torch stores its files as they are; one that unpacks to more is a trap."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise LoraError(
            f"{path} is cut short or damaged ({_first_line(error)}); download it again"
        ) from error
    packed = [entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if packed or sum(entry.file_size for entry in entries) > size:
        raise LoraError(f"{path} is a compressed archive, not a checkpoint of torch; unpack it first")
    if not any(entry.filename.endswith("data.pkl") for entry in entries):
        raise LoraError(f"{path} is an archive without tensors; unpack it first if a LoRA is inside")


def _pickled(path: Path, size: int) -> Contents:
    try:
        with path.open("rb") as file:  # By its name alone torch would take it for safetensors.
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch refuses and fails in more ways than can be listed; none is ours
        if wanted := _wanted(path):
            raise LoraError(
                f"{path} is a pickle that holds more than tensors: it asks to run "
                f"{', '.join(map(printable, wanted))}, which was not done. Do not open it with other "
                "programs either unless you trust its source"
            ) from error
        raise LoraError(f"{path} is a damaged pickle ({_first_line(error)}); download it again") from error
    left: list[str] = []
    for _ in _WRAPPERS:  # no deeper: a pickle can hold itself
        if not isinstance(state, Mapping) or any(isinstance(value, Tensor) for value in state.values()):
            break
        inner = next((name for name in _WRAPPERS if isinstance(state.get(name), Mapping)), None)
        if inner is None:
            break
        left += [str(name) for name in state if name != inner]
        state = state[inner]
    if not isinstance(state, Mapping):
        raise LoraError(f"{path} is a pickle of a {type(state).__name__}, not of named tensors")
    tensors = {key: value for key, value in state.items() if isinstance(key, str) and torch.is_tensor(value)}
    left += [str(key) for key in state if key not in tensors]
    _check_keys(path, tensors)
    _check_storage(path, tensors.values(), size)
    return Contents(path, "pickle", size, {k: v.detach() for k, v in tensors.items()}, left_out=tuple(left))


def _check_storage(path: Path, tensors: Iterable[Tensor], size: int) -> None:
    """A pickle can describe a tensor far larger than its numbers, by repeating them."""
    total = 0
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise LoraError(f"{path} holds a {tensor.layout} tensor on {tensor.device}; no LoRA does")
        total += tensor.numel() * tensor.element_size()
    if total > 4 * size:
        raise LoraError(f"{path} unpacks to {total} bytes from a file of {size}; no LoRA does")


def _wanted(path: Path) -> list[str]:
    """What a pickle would import beyond torch's own tensors, read without running it."""
    found: dict[str, None] = {}
    try:
        for name in _imports(_pickles(path)):
            if not _HARMLESS.fullmatch(name):
                found[name] = None
    except (ValueError, OSError, StopIteration, zipfile.BadZipFile, IndexError, RuntimeError):
        # A damaged pickle; what was read so far still tells.
        pass
    return list(found)[:5]


def _pickles(path: Path) -> io.BytesIO:
    """A file's pickles: one in an archive, or several in a row as torch once wrote them."""
    data = path.read_bytes()
    if data.startswith(_ZIP):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    return io.BytesIO(data)


def _imports(source: io.BytesIO) -> Iterator[str]:
    words: list[str] = []
    for _ in range(_PICKLES):
        for opcode, value, _place in pickletools.genops(source):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(value).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                yield ".".join(words[-2:])
            elif isinstance(value, str):
                words.append(value)


def check_numbers(path: Path, key: str, tensor: Tensor) -> None:
    """Raise `LoraError` unless a tensor holds floating point numbers, and some."""
    if tensor.dtype not in _NUMBERS:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise LoraError(f"{path}: {printable(key)} holds {kind} numbers, a LoRA has floating point ones")
    if not tensor.numel():
        raise LoraError(f"{path}: {printable(key)} is empty; download the file again")


def printable(text: str) -> str:
    """A text of a file for people: control characters and what is too long are shown, not sent."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:200])
    return shown + ("..." if len(text) > 200 else "")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return printable(lines[0])[:160] if lines else type(error).__name__
