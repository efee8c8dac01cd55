"""Files that are damaged, no LoRA, or a trap: refused in one sentence, and nothing in them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from lib_ranni.errors import LoraError
from lib_ranni.lora.containers import read_contents
from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.reading import read_lora
from lib_ranni.lora.report import inspect

_NAME = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
_DOWN, _UP = f"{_NAME}.lora_down.weight", f"{_NAME}.lora_up.weight"


def _pair(**extra: torch.Tensor) -> dict[str, torch.Tensor]:
    return {_DOWN: torch.ones(4, 320), _UP: torch.ones(320, 4), f"{_NAME}.alpha": torch.tensor(4.0), **extra}


def _raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


class _Trap:
    """A pickle that makes a file when it is run."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def _trap(folder: Path, legacy: bool) -> bytes:
    held = {**_pair(), "extra": _Trap(f"touch {folder / 'run'}")}
    buffer = io.BytesIO()
    torch.save(held, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def _zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _torch(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["state_dict"] = found
    return found


def _entry(*shape: int, dtype: str = "F32", start: int = 0, end: int = 0) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


_MAGIC_LENGTHS = [0x180, 0x8B1F, 0xFFD8FF]
"""Lengths of headers that begin as a pickle, gzip and a JPEG do."""

_REFUSED: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "a few bytes": (lambda _: b"\x01\x02", "neither a safetensors file nor"),
    "LFS pointer": (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "web page": (lambda _: b"\n<!DOCTYPE html><html><body>404", "is a web page"),
    "picture": (lambda _: b"\x89PNG\r\n\x1a\n" + b"\0" * 60, "is a picture"),
    "language model": (lambda _: b"GGUF" + b"\0" * 60, "GGUF"),
    "gzip": (lambda _: b"\x1f\x8b\x08" + b"\0" * 60, "gzip"),
    "text": (lambda _: b"prompt: a cat\n" * 10, "neither a safetensors file nor"),
    "cut in the header": (lambda _: save(_pair())[:60], "cut short"),
    "cut in the numbers": (lambda _: save(_pair())[:-100], "damaged"),
    "numbers too many": (lambda _: save(_pair()) + b"\0" * 8, "damaged"),
    "huge header": (lambda _: _raw({}, length=2**62), "cut short or damaged"),
    "negative header": (lambda _: _raw({}, length=2**64 - 1), "cut short or damaged"),
    "header of no JSON": (lambda _: _raw(b'{"a": ' + b"\xff" * 20), "no JSON"),
    "deep header": (lambda _: _raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "no JSON"),
    "metadata of numbers": (lambda _: _raw({"__metadata__": {"a": 1}, "x": _entry(0)}), "metadata"),
    "unknown type": (lambda _: _raw({_DOWN: _entry(1, dtype="Q4", end=4)}, b"\0" * 4), "damaged"),
    "offsets beyond": (lambda _: _raw({_DOWN: _entry(1, start=4, end=8)}, b"\0" * 4), "damaged"),
    "offsets that overlap": (
        lambda _: _raw({_DOWN: _entry(1, end=4), _UP: _entry(1, end=4)}, b"\0" * 4), "damaged",
    ),
    "shape that lies": (lambda _: _raw({_DOWN: _entry(2**40, 2**40, end=4)}, b"\0" * 4), "damaged"),
    "nothing inside": (lambda _: _raw({"__metadata__": {}}), "no tensors"),
    "key of 10000 characters": (
        lambda _: save({f"lora_unet_{'x' * 10_000}.lora_down.weight": torch.ones(1)}), "10027 characters",
    ),
    "integers": (lambda _: save(_pair(**{_UP: torch.ones(320, 4, dtype=torch.int64)})), "int64 numbers"),
    "empty matrix": (lambda _: save(_pair(**{_DOWN: torch.ones(0, 320)})), "is empty"),
    "checkpoint": (
        lambda _: save({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)}), "whole checkpoint",
    ),
    "Flux": (
        lambda _: save({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(1, 1)}),
        "changes a transformer",
    ),
    "UNet of diffusers": (lambda _: save({"down_blocks.0.conv1.weight": torch.ones(1)}), "whole UNet"),
    "language model's LoRA": (
        lambda _: save({"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(1, 1)}),
        "language model",
    ),
    "something else": (lambda _: save({"a": torch.ones(1)}), "none of its 1 keys is a LoRA's"),
    "pickle that runs": (lambda folder: _trap(folder, legacy=False), r"more than tensors: .*system"),
    "old pickle that runs": (lambda folder: _trap(folder, legacy=True), r"more than tensors: .*system"),
    "bare pickle that runs": (lambda folder: pickle.dumps(_Trap(f"touch {folder / 'run'}")), r"system"),
    "pickle of an object": (lambda _: _torch(Path("x")), "more than tensors"),
    "pickle of a list": (lambda _: _torch([torch.ones(1)]), "pickle of a list"),
    "pickle of itself": (lambda _: _torch(_endless()), "no tensors|none of its 0 keys"),
    "pickle of a number": (lambda _: _torch(3), "pickle of a int"),
    "pickle without tensors": (lambda _: _torch({"state_dict": {}, "epoch": 3}), "no tensors"),
    "pickle cut short": (lambda _: _torch(_pair())[:-200], "cut short|damaged"),
    "pickle of a tensor that repeats": (
        lambda _: _torch({**_pair(), _DOWN: torch.ones(1).expand(4000, 320)}), "unpacks to",
    ),
    "pickle of sparse tensors": (lambda _: _torch({_DOWN: torch.eye(4).to_sparse()}), "sparse"),
    "archive": (lambda _: _zipped({"readme.txt": b"hello"}), "archive without tensors"),
    "archive bomb": (
        lambda _: _zipped({"a/data.pkl": b"\0" * 50_000_000}, zipfile.ZIP_DEFLATED), "compressed archive",
    ),
    "archive of nonsense": (lambda _: _zipped({"a/data.pkl": b"\x80\x02nonsense"}), "damaged pickle"),
    "archive cut short": (lambda _: _zipped({"a/data.pkl": b"\0" * 1000})[:500], "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", _REFUSED)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning")
def test_it_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    make, said = _REFUSED[name]
    path = tmp_path / "lora.safetensors"
    path.write_bytes(make(tmp_path))
    with pytest.raises(LoraError, match=said) as caught:
        read_lora(path)
    assert not (tmp_path / "run").exists()
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 500 + len(str(path))


@pytest.mark.parametrize("length", _MAGIC_LENGTHS)
def test_a_header_may_be_as_long_as_it_is(length: int, tmp_path: Path) -> None:
    """Its length begins the file, and may be the bytes that begin another kind of file."""
    text = json.dumps({_DOWN: _entry(1, 4, end=16), _UP: _entry(4, 1, start=16, end=32)}).encode()
    path = tmp_path / "lora.safetensors"
    path.write_bytes(_raw(text.ljust(length), b"\0" * 32))
    assert read_contents(path).container == "safetensors"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="cannot be read"):
        read_lora(tmp_path / "none.safetensors")
    with pytest.raises(LoraError, match="has no adapter_model"):
        read_lora(tmp_path)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({_UP: torch.ones(320, 5)}, "its matrices are"),
        ({_DOWN: torch.ones(4)}, "its matrices have 1 and 2 axes"),
        ({f"{_NAME}.lora_mid.weight": torch.ones(4, 4)}, "its core has 2 axes"),
        ({f"{_NAME}.alpha": torch.ones(3)}, "alpha has 3 numbers"),
        ({f"{_NAME}.dora_scale": torch.ones(1, 7)}, "magnitude has 7 numbers"),
        ({f"{_NAME}.dora_scale": torch.tensor(1.0)}, "magnitude is one number"),
        ({"lora_unet_conv_in.lora_down.weight": torch.ones(4, 4)}, "has only lora_down.weight"),
        ({f"{_NAME}.lora_A.weight": torch.ones(4, 320)}, "says again"),
        ({"lora_unet_conv_in.hada_w1_a": torch.ones(4, 4)}, "has only hada_w1_a"),
        ({f"lora_unet_conv_in.lokr_w{n}": torch.ones(60_000, 1) for n in (1, 2)}, "would change a weight of"),
        ({f"lora_unet_conv_in.hada_w{n}_{s}": torch.ones(2, 1) for n in (1, 2) for s in "ab"}, "matrices"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_out_and_told(
    tensors: dict[str, torch.Tensor], said: str, tmp_path: Path
) -> None:
    save_file(_pair(**tensors), tmp_path / "lora.safetensors")
    report = inspect(read_lora(tmp_path / "lora.safetensors"))
    assert any(said in text and text.startswith("left out: ") for text in report.warnings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", [_DOWN, f"{_NAME}.alpha"])
def test_numbers_that_are_none_are_told_and_not_converted(key: str, value: float, tmp_path: Path) -> None:
    held = _pair()
    held[key] = torch.full_like(held[key], value)
    save_file(held, tmp_path / "lora.safetensors")
    lora = read_lora(tmp_path / "lora.safetensors")
    assert any("NaN" in text or "not finite" in text for text in inspect(lora).warnings)
    with pytest.raises(LoraError, match="not finite"):
        convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert [path.name for path in tmp_path.iterdir()] == ["lora.safetensors"]


@pytest.mark.parametrize(
    "config",
    ["{", "[]", '{"r": 4}', '{"lora_alpha": "x"}', '{"lora_alpha": 4, "alpha_pattern": {"(a+)+$": 1}}'],
)
def test_settings_of_peft_that_cannot_be_followed(config: str, tmp_path: Path) -> None:
    name = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{name}.lora_A.weight": torch.ones(4, 320), f"{name}.lora_B.weight": torch.ones(320, 4)}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(LoraError, match="adapter_config"):
        read_lora(tmp_path)


def test_metadata_cannot_break_a_report(tmp_path: Path) -> None:
    metadata = {
        "ss_tag_frequency": "{" * 5000, "lora_adapter_metadata": "[" * 50_000, "ss_network_alpha": "many",
        "modelspec.trigger_phrase": "a\x1b[31mred\x00word, two", "long": "x" * 100_000,
    }  # fmt: skip
    save_file(_pair(), tmp_path / "lora.safetensors", metadata)
    report = inspect(read_lora(tmp_path / "lora.safetensors"))
    assert report.triggers == (r"a\x1b[31mred\x00word", "two")
    assert len(report.metadata["long"]) == 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "lora.safetensors"


@given(data=st.binary(max_size=200), start=st.integers(0, 3))
def test_no_bytes_break_the_reader(place: Path, data: bytes, start: int) -> None:
    beginnings = (b"", b"PK\x03\x04", b"\x80\x02", struct.pack("<Q", max(0, len(data) - 20)) + b"{")
    place.write_bytes(beginnings[start] + data)
    with pytest.raises(LoraError, match=r"lora\.safetensors"):
        read_lora(place)


@given(offset=st.integers(0, 700), value=st.integers(0, 255))
def test_no_changed_byte_breaks_the_reader(place: Path, offset: int, value: int) -> None:
    data = bytearray(save(_pair(), {"ss_network_alpha": "4"}))
    data[offset] = value
    place.write_bytes(data)
    try:
        report = inspect(read_lora(place))
    except LoraError:
        return
    assert report.path == str(place)
