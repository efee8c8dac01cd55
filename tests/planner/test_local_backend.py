"""The local backend with a real Llama: replies, seeds, cancelling, and getting out of the way."""

from __future__ import annotations

import gc
import threading
import weakref
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.local import loading
from lib_ranni.planner.local import model as local_model
from lib_ranni.planner.local.chat_text import token_ids
from lib_ranni.planner.local.loading import Loaded
from lib_ranni.planner.local.model import AdaptedBackend, LocalBackend, offload_all
from lib_ranni.planner.protocol import never
from tests.planner.local_models import WIDTH, write_model

_CHAT = Chat((Message("system", "Be brief."), Message("user", "a dog")), seed=7, temperature=1, max_tokens=24)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture
def backend(folder: Path) -> LocalBackend:
    return LocalBackend(folder)


def _say(backend: LocalBackend | AdaptedBackend, **changes: Any) -> str:
    return "".join(backend.stream(msgspec.structs.replace(_CHAT, **changes), never))


class _Forwards:
    """Counts how often a model computes, and how many tokens it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens: list[int] = []
        forward = LlamaForCausalLM.forward

        def counted(model: Any, input_ids: torch.Tensor, **options: Any) -> Any:
            self.tokens.append(input_ids.shape[1])
            return forward(model, input_ids=input_ids, **options)

        monkeypatch.setattr(LlamaForCausalLM, "forward", counted)


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> _Forwards:
    return _Forwards(monkeypatch)


class _Loads:
    """Counts loads, keeps weak references to the models, and holds loading up while `gate` is closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.models: list[weakref.ref[Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        load = loading.load

        def counted(*args: Any) -> Loaded:
            self.gate.wait(20)
            loaded = msgspec.structs.replace(load(*args), **changes)
            self.models.append(weakref.ref(loaded.model))
            return loaded

        monkeypatch.setattr(loading, "load", counted)

    def alive(self) -> int:
        gc.collect()
        return sum(reference() is not None for reference in self.models)


def _generated(folder: Path, chat: Chat) -> list[int]:
    """The ids that transformers makes of a chat, always the likeliest."""
    prompt = token_ids(chat.messages, None, AutoTokenizer.from_pretrained(folder))
    model = LlamaForCausalLM.from_pretrained(folder)
    inputs = torch.tensor([prompt])
    options = {"max_new_tokens": chat.max_tokens, "do_sample": False, "pad_token_id": 0}
    made = model.generate(inputs, attention_mask=torch.ones_like(inputs), **options)
    ids: list[int] = made[0, len(prompt) :].tolist()
    return ids


def _text(folder: Path, ids: list[int]) -> str:
    text: str = AutoTokenizer.from_pretrained(folder).decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text


def test_the_likeliest_reply_is_that_of_transformers(folder: Path, backend: LocalBackend) -> None:
    # Longer than the pieces in which a prompt is read.
    chat = Chat((Message("user", "a dog and a cat " * 40),), temperature=0, max_tokens=40)
    ids = _generated(folder, chat)
    assert len(ids) == 40
    assert "".join(backend.stream(chat, never)) == _text(folder, ids)


def test_a_reply_arrives_in_pieces(backend: LocalBackend, forwards: _Forwards) -> None:
    stream = backend.stream(_CHAT, never)
    next(stream)
    assert len(forwards.tokens) < _CHAT.max_tokens
    assert len(list(stream)) > 3
    # The prompt, then token by token; the last one need not be read.
    assert forwards.tokens[1:] == [1] * (_CHAT.max_tokens - 1)


def test_a_seed_makes_a_reply_and_disturbs_nobody(backend: LocalBackend) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = _say(backend)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert _say(backend) == first
    assert _say(backend, seed=8) != first
    assert _say(backend, seed=None) != _say(backend, seed=None)


def test_a_stop_token_ends_the_reply(folder: Path, tmp_path: Path) -> None:
    chat = msgspec.structs.replace(_CHAT, temperature=0)
    ids = _generated(folder, chat)
    stop = ids.index(ids[5])
    assert stop > 0
    stopping = LocalBackend(write_model(tmp_path / "stops", eos_token_id=[1, ids[stop]]))
    assert "".join(stopping.stream(chat, never)) == _text(folder, ids[:stop])


def test_a_template_of_the_folder_is_used_unless_told_otherwise(tmp_path: Path, forwards: _Forwards) -> None:
    folder = write_model(tmp_path / "chat")
    (folder / "chat_template.jinja").write_text("{{ bos_token }}hi")
    _say(LocalBackend(folder), max_tokens=1)
    assert forwards.tokens.pop() == 3
    _say(LocalBackend(folder, template="llama2"), max_tokens=1)
    assert forwards.tokens.pop() > 20


def test_cancelling_ends_a_reply_within_a_token(backend: LocalBackend, forwards: _Forwards) -> None:
    cancelled = threading.Event()
    stream = backend.stream(_CHAT, cancelled.is_set)
    list(islice(stream, 3))
    computed = len(forwards.tokens)
    cancelled.set()
    assert len(list(stream)) <= 1
    assert len(forwards.tokens) <= computed + 1
    assert _say(backend)


def test_cancelling_while_a_prompt_is_read(backend: LocalBackend, forwards: _Forwards) -> None:
    long = Chat((Message("user", "a dog " * 200),), max_tokens=10)
    assert list(backend.stream(long, lambda: bool(forwards.tokens))) == []
    assert forwards.tokens == [256]


def test_a_reply_that_is_given_up_lets_the_next_one_in(backend: LocalBackend) -> None:
    stream = backend.stream(_CHAT, never)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert _say(backend)


def test_replies_wait_for_each_other_and_may_give_up(backend: LocalBackend) -> None:
    first = backend.stream(_CHAT, never)
    begin = next(first)
    asked: list[bool] = []

    def soon() -> bool:
        asked.append(True)
        return len(asked) > 2

    assert list(backend.stream(_CHAT, soon)) == []
    waiting = []
    thread = threading.Thread(target=lambda: waiting.append(_say(backend)))
    thread.start()
    text = begin + "".join(first)
    thread.join(20)
    assert waiting == [text]


def test_cancelling_while_the_model_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = _Loads(monkeypatch)
    loads.gate.clear()
    backend = LocalBackend(folder)
    asked: list[bool] = []

    def soon() -> bool:
        asked.append(True)
        return len(asked) > 2

    assert list(backend.stream(_CHAT, soon)) == []
    with pytest.raises(PlannerError, match="busy"):
        backend.offload(wait=0.01)
    loads.gate.set()
    assert _say(backend)
    assert len(loads.models) == 1


def test_nothing_is_loaded_before_it_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = _Loads(monkeypatch)
    backend = LocalBackend(folder)
    backend.offload()
    backend.free()
    assert (backend.name, backend.model) == ("local", folder.name)
    assert loads.models == []
    assert _say(backend) == _say(backend)
    assert len(loads.models) == 1


def test_free_drops_the_model_until_the_next_reply(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = _Loads(monkeypatch)
    backend = LocalBackend(folder)
    text = _say(backend)
    assert loads.alive() == 1
    backend.free()
    assert loads.alive() == 0
    assert _say(backend) == text
    assert loads.alive() == 1


def test_a_model_that_cannot_be_moved_is_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = _Loads(monkeypatch, movable=False)
    backend = LocalBackend(folder)
    text = _say(backend)
    backend.offload()
    assert loads.alive() == 0
    assert _say(backend) == text


def test_a_model_goes_to_its_device_and_out_of_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    def pretend(model: Any, device: Any) -> Any:
        # Where the weights would go; they stay, so that they can compute.
        happened.append(f"to {device}")
        return model

    monkeypatch.setattr(LlamaForCausalLM, "to", pretend)
    monkeypatch.setattr(loading, "device_of", lambda name: torch.device(name))
    monkeypatch.setattr(local_model, "_backends", weakref.WeakSet())
    backend = LocalBackend(folder, device="cuda", dtype="fp32", make_room=lambda: happened.append("room"))
    _say(backend)
    assert happened == ["room", "to cuda"]
    offload_all()
    assert happened == ["room", "to cuda", "to cpu"]


def test_a_model_in_use_is_not_taken_away(backend: LocalBackend) -> None:
    stream = backend.stream(_CHAT, never)
    next(stream)
    for leave in (backend.offload, backend.free):
        with pytest.raises(PlannerError, match="busy"):
            leave(wait=0.01)
    assert list(stream)
    backend.offload(wait=0.01)


def test_precision_is_as_chosen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = _Loads(monkeypatch)
    backends = [LocalBackend(folder, dtype="bf16"), LocalBackend(folder)]
    assert all(map(_say, backends))
    assert [reference().dtype for reference in loads.models] == [torch.bfloat16, torch.float32]


def _write_lora(file: Path, factor: float, layers: int = 2) -> Path:
    generator = torch.Generator().manual_seed(3)
    state = {}
    for layer in range(layers):
        for side in "qv":
            key = f"base_model.model.model.layers.{layer}.self_attn.{side}_proj"
            state[f"{key}.lora_A.default.weight"] = torch.randn((4, WIDTH), generator=generator)
            state[f"{key}.lora_B.default.weight"] = factor * torch.randn((WIDTH, 4), generator=generator)
    torch.save(state, file)
    return file


def test_adapters_share_a_model_and_leave_no_trace(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = _Loads(monkeypatch)
    bare = LocalBackend(folder)
    adapted = AdaptedBackend(bare, _write_lora(tmp_path / "box.pth", 1.0))
    empty = AdaptedBackend(bare, _write_lora(tmp_path / "element.pth", 0.0))
    text = _say(bare)
    changed = _say(adapted)
    assert changed != text
    assert _say(bare) == _say(empty) == text
    assert _say(adapted) == changed
    assert len(loads.models) == 1
    assert adapted.notes == ()
    assert "changes nothing" in empty.notes[0]
    assert adapted.model == f"{folder.name}+box"
    assert len({backend.identity for backend in (bare, adapted, empty)}) == 3


def test_an_adapter_that_fits_in_part_is_told_and_one_that_does_not_is_refused(
    backend: LocalBackend, tmp_path: Path
) -> None:
    partly = AdaptedBackend(backend, _write_lora(tmp_path / "deep.pth", 1.0, layers=3))
    assert partly.notes == ()
    assert _say(partly)
    assert partly.notes == ("deep.pth: only 4 of the 6 modules of this LoRA are in the model",)
    with pytest.raises(PlannerError, match="no LoRA at"):
        _say(AdaptedBackend(backend, tmp_path / "nothing.pth"))
    torch.save({"h.0.c_attn.lora_A.weight": torch.ones(2, 8)}, tmp_path / "bad.pth")
    with pytest.raises(PlannerError, match="incomplete"):
        _say(AdaptedBackend(backend, tmp_path / "bad.pth"))
    assert _say(backend)
