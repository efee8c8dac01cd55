"""LoRA files in every layout on a real Llama: compared with the formula, taken away without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from lib_ranni.errors import ModelError
from lib_ranni.planner.local.adapters import SCALE, Adapter, applied, fit, read_adapter
from tests.planner.local_models import WIDTH, llama

_RANK = 4
_MODULES = [f"model.layers.{layer}.self_attn.{side}_proj" for layer in (0, 1) for side in "qv"]
_IDS = torch.arange(3, 23)[None]

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    # In double precision, so that what is off by more than rounding shows.
    return llama().double()


@pytest.fixture(scope="module")
def halves() -> Tensors:
    """A and B of every module, as `<module>.A` and `<module>.B`."""
    generator = torch.Generator().manual_seed(5)
    shapes = {"A": (_RANK, WIDTH), "B": (WIDTH, _RANK)}
    return {
        f"{module}.{side}": torch.randn(shape, generator=generator) / 4
        for module in _MODULES
        for side, shape in shapes.items()
    }


def _named(halves: Tensors, form: str) -> Tensors:
    """The tensors under the keys of a layout; in `form`, {m} is the module and {s} the side."""
    return {form.format(m=key[:-2], s=key[-1]): value for key, value in halves.items()}


def _scores(model: LlamaForCausalLM) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = model(_IDS).logits
    return scores


def _expected(halves: Tensors, scale: float = SCALE) -> torch.Tensor:
    """What a model computes whose weights are W + scale * B A."""
    merged = llama().double()
    with torch.no_grad():
        for module in _MODULES:
            weight = merged.get_submodule(module).weight
            weight += scale * halves[f"{module}.B"].double() @ halves[f"{module}.A"].double()
    return _scores(merged)


_LAYOUTS = [
    "base_model.model.{m}.lora_{s}.default.weight",
    "base_model.model.{m}.lora_{s}.weight",
    "{m}.lora_{s}.default.weight",
    "{m}.lora_{s}.weight",
    "module.base_model.model.{m}.lora_{s}.boxes.weight",
]


def _plain(state: Tensors) -> Any:
    return state


def _wrapped(state: Tensors) -> Any:
    return {"state_dict": state, "epoch": 3}


@pytest.mark.parametrize("form", _LAYOUTS)
@pytest.mark.parametrize("wrap", [_plain, _wrapped])
def test_every_layout_computes_what_merged_weights_would(
    form: str,
    wrap: Callable[[Tensors], Any],
    tmp_path: Path,
    model: LlamaForCausalLM,
    halves: Tensors,
) -> None:
    torch.save(wrap(_named(halves, form)), tmp_path / "box.pth")
    bare = _scores(model)
    with applied(read_adapter(tmp_path / "box.pth"), model) as places:
        assert len(places.found) == len(_MODULES)
        assert places.note == ""
        torch.testing.assert_close(_scores(model), _expected(halves), atol=1e-5, rtol=1e-5)
        assert not torch.equal(_scores(model), bare)
    assert torch.equal(_scores(model), bare)


@pytest.mark.parametrize("suffix", ["pth", "bin", "safetensors"])
def test_base_weights_beside_the_lora_are_not_kept(
    suffix: str, tmp_path: Path, model: LlamaForCausalLM, halves: Tensors
) -> None:
    prefix = "base_model.model."
    state = {prefix + key: value + 1 for key, value in model.state_dict().items()}
    state |= _named(halves, _LAYOUTS[0])
    file = tmp_path / f"full.{suffix}"
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    adapter = read_adapter(file)
    assert sorted(adapter.pairs) == sorted(_MODULES)
    with applied(adapter, model):
        torch.testing.assert_close(_scores(model), _expected(halves), atol=1e-5, rtol=1e-5)


def test_a_model_without_the_outer_name_takes_the_lora_too(halves: Tensors) -> None:
    inner = llama().model
    adapter = Adapter("box", {m: (halves[f"{m}.A"], halves[f"{m}.B"]) for m in _MODULES}, SCALE)
    assert len(fit(adapter, inner).found) == len(_MODULES)
    bare = Adapter("box", {m.removeprefix("model."): pair for m, pair in adapter.pairs.items()}, SCALE)
    assert len(fit(bare, llama()).found) == len(_MODULES)


def test_swapping_leaves_no_trace(model: LlamaForCausalLM, halves: Tensors) -> None:
    def adapter(sign: float) -> Adapter:
        pairs = {m: (halves[f"{m}.A"], sign * halves[f"{m}.B"]) for m in _MODULES}
        return Adapter("x", pairs, SCALE)

    before = {key: value.clone() for key, value in model.state_dict().items()}
    bare = _scores(model)
    seen = []
    for sign in (1.0, -1.0, 1.0):
        with applied(adapter(sign), model):
            seen.append(_scores(model))
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(_scores(model), bare)
    with pytest.raises(RuntimeError, match="stop"), applied(adapter(1.0), model):
        raise RuntimeError("stop")
    assert torch.equal(_scores(model), bare)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_half_precision_keeps_its_type(halves: Tensors) -> None:
    small = llama().to(torch.bfloat16)
    bare = _scores(small)
    pairs = {m: (halves[f"{m}.A"], halves[f"{m}.B"]) for m in _MODULES}
    with applied(Adapter("x", pairs, SCALE), small):
        scores = _scores(small)
    assert scores.dtype == bare.dtype == torch.bfloat16
    assert not torch.equal(scores, bare)
    assert torch.equal(_scores(small), bare)


def test_a_lora_of_zeros_is_no_lora(tmp_path: Path, model: LlamaForCausalLM, halves: Tensors) -> None:
    empty = {key: value * (not key.endswith("B")) for key, value in halves.items()}
    torch.save(_named(empty, _LAYOUTS[0]), tmp_path / "element.pth")
    adapter = read_adapter(tmp_path / "element.pth")
    assert adapter.pairs == {}
    bare = _scores(model)
    with applied(adapter, model):
        assert torch.equal(_scores(model), bare)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 32, "r": 64}, 0.5),
        ({"lora_alpha": 16, "r": 64}, SCALE),
        ({"lora_alpha": 16, "r": 64, "use_rslora": True}, 2.0),
    ],
)
def test_a_folder_of_peft_tells_its_scale(
    config: dict[str, Any], scale: float, tmp_path: Path, model: LlamaForCausalLM, halves: Tensors
) -> None:
    folder = tmp_path / "box_lora"
    folder.mkdir()
    save_file(_named(halves, _LAYOUTS[1]), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    adapter = read_adapter(folder)
    assert (adapter.name, adapter.scale) == ("box_lora", scale)
    with applied(adapter, model):
        torch.testing.assert_close(_scores(model), _expected(halves, scale), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("[]", "lora_alpha"),
        ("{", "lora_alpha"),
        ('{"r": 0, "lora_alpha": 1}', "lora_alpha"),
        ('{"r": 1, "lora_alpha": NaN}', "lora_alpha"),
        ('{"r": 1, "lora_alpha": 1, "use_dora": true}', "use_dora"),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused(
    config: str, fault: str, tmp_path: Path, halves: Tensors
) -> None:
    torch.save(_named(halves, _LAYOUTS[0]), tmp_path / "box.pth")
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(ModelError, match=fault):
        read_adapter(tmp_path / "box.pth")


def test_what_fits_nowhere_is_refused_with_names(model: LlamaForCausalLM, halves: Tensors) -> None:
    pair = halves[f"{_MODULES[0]}.A"], halves[f"{_MODULES[0]}.B"]
    strange = Adapter("box", {"transformer.h.0.attn.c_attn": pair}, SCALE)
    bare = _scores(model)
    with (
        pytest.raises(ModelError, match=r"c_attn.*model\.layers\.0\.self_attn\.q_proj"),
        applied(strange, model),
    ):
        pass
    assert torch.equal(_scores(model), bare)


def test_what_fits_in_part_is_told(model: LlamaForCausalLM, halves: Tensors) -> None:
    pair = halves[f"{_MODULES[0]}.A"], halves[f"{_MODULES[0]}.B"]
    pairs = {_MODULES[0]: pair, "model.layers.7.self_attn.q_proj": pair}
    with applied(Adapter("box", pairs, SCALE), model) as places:
        assert places.note == "only 1 of the 2 modules of this LoRA are in the model"


def test_a_lora_of_another_size_is_refused(model: LlamaForCausalLM) -> None:
    pair = torch.ones(2, 5120), torch.ones(5120, 2)
    with pytest.raises(ModelError, match="5120 values of 5120, the model's 64 of 64"):
        fit(Adapter("box", {_MODULES[0]: pair}, SCALE), model)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("box.pth", None, "no LoRA at"),
        ("box.pth", b"", "download it again"),
        ("box.pth", b"PK\x03\x04 not a zip", "download it again"),
        ("box.safetensors", b"\xff" * 64, "download it again"),
        ("box.safetensors", b"{}", "download it again"),
    ],
)
def test_files_that_cannot_be_read_are_refused(
    name: str, content: bytes | None, fault: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=fault):
        read_adapter(tmp_path / name)


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('ran')",)


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({"lora_unet_down.weight": torch.ones(2)}, "lora_unet_down"),
        ({}, "nothing"),
        ([1, 2], "no named tensors"),
        ({"x": _Hostile()}, "download it again"),
        ({f"{_MODULES[0]}.lora_A.weight": torch.ones(2, 2)}, "incomplete"),
        ({f"{_MODULES[0]}.lora_{s}.weight": torch.ones(2, 3) for s in "AB"}, "incomplete"),
        (
            {
                f"{_MODULES[0]}.lora_{s}.{n}.weight": torch.ones(2, 2)
                for s in "AB"
                for n in ("element", "bbox")
            },
            "bbox, element",
        ),
    ],
)
def test_states_that_are_no_lora_are_refused(state: Any, fault: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "box.pth")
    with pytest.raises(ModelError, match=fault):
        read_adapter(tmp_path / "box.pth")
