"""Folders, devices and replies that the local backend refuses, each with what to do."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.local import loading
from lib_ranni.planner.local.model import LocalBackend
from lib_ranni.planner.protocol import never
from tests.planner.local_models import write_model

_CHAT = Chat((Message("user", "a dog"),), seed=1, temperature=1, max_tokens=4)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("original"))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "model"))


def _refuses(backend: LocalBackend, words: str, chat: Chat = _CHAT) -> None:
    with pytest.raises(PlannerError, match=words):
        list(backend.stream(chat, never))


def _configured(**settings: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))

    return change


def _without(*patterns: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for pattern in patterns:
            for file in folder.glob(pattern):
                file.unlink()

    return change


def _written(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


def _without_a_tensor(folder: Path) -> None:
    file = folder / "model.safetensors"
    state = load_file(file)
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shutil.rmtree, "there is no folder"),
        (_without("config.json"), "not a GGUF file"),
        (_written("config.json", b"{"), "config.json cannot be read"),
        (_written("config.json", b"\xff\xfe"), "config.json cannot be read"),
        (_written("config.json", b"[1]"), "no object"),
        (_without("*.safetensors"), "no weights"),
        (_without("tokenizer*"), "no tokenizer"),
        (_configured(model_type="mammoth9"), "mammoth9 model, which transformers .* Ollama"),
        (_configured(model_type=None), "None model"),
        (_written("model.safetensors", b"\x00" * 100), "cannot be loaded .*download it again"),
        (_written("tokenizer.json", b"{}"), "cannot be loaded"),
        (_without_a_tensor, "lacks model.layers.1.mlp.up_proj.weight"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    change: Callable[[Path], None], words: str, folder: Path
) -> None:
    change(folder)
    _refuses(LocalBackend(folder), words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_key_value_heads": 2}, "grouped-query attention"),
        ({"rope_theta": 500000.0}, "rope_theta"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "scaled positions"),
        ({"attention_bias": True}, "attention_bias"),
    ],
)
def test_what_this_transformers_would_compute_wrongly_is_refused(
    settings: dict[str, Any], words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    class OldConfig(LlamaConfig):  # type: ignore[misc]
        """As that of 4.30.2, whichever release runs this test."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for name in settings:
                self.__dict__.pop(name, None)

    monkeypatch.setitem(CONFIG_MAPPING._extra_content, "llama", OldConfig)
    _configured(**settings)(folder)
    _refuses(LocalBackend(folder), f"{words}.*does not know")


def test_what_newer_releases_write_without_using_it_is_taken(folder: Path) -> None:
    _configured(num_key_value_heads=4, rope_theta=10000.0, rope_scaling=None, attention_bias=False)(folder)
    assert list(LocalBackend(folder).stream(_CHAT, never))


def test_a_folder_that_was_mended_is_loaded(folder: Path) -> None:
    backend = LocalBackend(folder)
    hidden = folder.rename(folder.with_name("elsewhere"))
    _refuses(backend, "there is no folder")
    hidden.rename(folder)
    assert list(backend.stream(_CHAT, never))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "toaster"}, "choose auto, cuda or cpu"),
        ({"device": "cuda"}, "finds no GPU"),
        ({"quantize": "4bit"}, "4-bit weights need an NVIDIA GPU"),
    ],
)
def test_devices_that_are_not_there_are_refused(
    settings: dict[str, Any], words: str, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _refuses(LocalBackend(original, **settings), words)


def test_four_bits_ask_for_what_is_missing(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "device_of", lambda name: torch.device("cuda"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    _refuses(LocalBackend(original, quantize="4bit"), "need bitsandbytes and accelerate; install")


def test_chats_that_do_not_fit_are_refused(original: Path) -> None:
    backend = LocalBackend(original)
    _refuses(backend, "reads 2048 with its reply; shorten", Chat((Message("user", "a" * 2100),)))
    _refuses(backend, "cannot see pictures", Chat((Message("user", "this", b"\x89PNG"),)))
    assert list(backend.stream(_CHAT, never))


def test_weights_that_compute_no_numbers_are_told(folder: Path) -> None:
    file = folder / "model.safetensors"
    state = load_file(file)
    state["model.norm.weight"].fill_(float("nan"))
    save_file(state, file, metadata={"format": "pt"})
    _refuses(LocalBackend(folder), "fp32")


def test_a_tokenizer_of_another_model_is_told(folder: Path) -> None:
    shutil.copytree(write_model(folder / "small", vocab_size=20), folder, dirs_exist_ok=True)
    _refuses(LocalBackend(folder), "tokenizer in .* of another model")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("cache"), "KeyError"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("mat1 and mat2"), "mat1 and mat2"),
    ],
)
def test_a_failing_device_is_told_and_the_next_reply_is_made(
    error: Exception, words: str, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LocalBackend(original)

    def fail(*args: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(LlamaForCausalLM, "forward", fail)
        _refuses(backend, words)
        patch.setattr(loading, "load", fail)
        _refuses(LocalBackend(original), words)
    assert list(backend.stream(_CHAT, never))


def test_a_missing_library_is_named(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    _refuses(LocalBackend(original), "needs transformers; install it")
