"""Complaints about files that are sound but not right, and the verification that must see what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora import jobs
from lib_ranni.lora.blocks import parse_blocks
from lib_ranni.lora.deltas import Delta, change
from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.layout import Target, host_name
from lib_ranni.lora.low_rank import shrink
from lib_ranni.lora.merging import Part, merge
from lib_ranni.lora.reading import read_lora
from lib_ranni.lora.report import inspect
from lib_ranni.lora.verification import verify
from tests.lora.hosting import read_as_host

_QUERY = "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
_TEXT = "text_model_encoder_layers_11_mlp_fc1"


def _tensors(alpha: float = 4.0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    found = {}
    for name, out, inner in ((f"lora_unet_{_QUERY}", 320, 320), (f"lora_te_{_TEXT}", 3072, 768)):
        found[f"{name}.lora_down.weight"] = torch.randn(4, inner, generator=random).to(dtype)
        found[f"{name}.lora_up.weight"] = torch.randn(out, 4, generator=random).to(dtype)
        found[f"{name}.alpha"] = torch.tensor(alpha)
    return found


def _warnings(
    folder: Path,
    tensors: Mapping[str, Tensor],
    metadata: dict[str, str] | None = None,
    name: str = "lora.safetensors",
) -> tuple[str, ...]:
    save_file(dict(tensors), folder / name, metadata)
    return inspect(read_lora(folder / name)).warnings


def test_a_sound_file_has_no_complaints(tmp_path: Path) -> None:
    assert _warnings(tmp_path, _tensors()) == ()


def _zeros() -> dict[str, Tensor]:
    return {key: tensor * (not key.endswith("up.weight")) for key, tensor in _tensors().items()}


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        (_tensors(), {"ss_base_model_version": "sdxl_base_v1-0"}, "metadata says sdxl, its modules say sd1"),
        (_tensors(), {"ss_network_alpha": "2"}, "metadata says alpha 2, its keys 4"),
        (_tensors(0.0), None, "alpha is 0"),
        (_zeros(), None, "2 of 2 modules change nothing"),
        (_tensors() | {"strange.key": torch.ones(1)}, None, ""),
        (
            {**_tensors(), "lora_unet_down_blocks_9_attentions_0_proj_in.diff": torch.ones(320, 320)},
            None,
            "1 modules are not in sd1, the first is down_blocks_9_attentions_0_proj_in",
        ),
        (
            {f"lora_unet_{n}.diff": torch.ones(4, 4) for n in ("strange_place", "another")},
            None,
            "neither names nor widths tell",
        ),
    ],
)
def test_what_is_not_right_is_told(
    tensors: dict[str, Tensor], metadata: dict[str, str] | None, said: str, tmp_path: Path
) -> None:
    assert any(said in text for text in _warnings(tmp_path, tensors, metadata)) or not said
    report = inspect(read_lora(tmp_path / "lora.safetensors"))
    assert report.unmatched == (("strange.key",) if "strange.key" in tensors else ())


def test_names_that_lie_about_the_file(tmp_path: Path) -> None:
    assert any("it is no pickle" in text for text in _warnings(tmp_path, _tensors(), name="lora.pt"))
    assert any("end in .bin" in text for text in _warnings(tmp_path, _tensors(), name="lora.bin"))
    assert inspect(read_lora(tmp_path / "lora.pt")).loads == 0
    torch.save(_tensors(), tmp_path / "pickle.pt")
    assert inspect(read_lora(tmp_path / "pickle.pt")).loads == 2


def test_words_of_the_training(tmp_path: Path) -> None:
    tags = {"1_cat": {"cat": 9, " tree ": 2}, "2_cat": {"cat": 1, "sky": 4}}
    cases = (
        ({"ss_tag_frequency": json.dumps(tags)}, ("cat", "sky", "tree")),
        (
            {"modelspec.trigger_phrase": "ohwx cat, ohwx", "ss_tag_frequency": json.dumps(tags)},
            ("ohwx cat", "ohwx"),
        ),
        ({"ss_tag_frequency": '{"a": 3}'}, ()),
        ({}, ()),
    )
    for metadata, words in cases:
        save_file(_tensors(), tmp_path / "lora.safetensors", metadata)
        assert inspect(read_lora(tmp_path / "lora.safetensors")).triggers == words


def test_what_the_caller_says_of_the_family_counts(tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "lora.safetensors")
    assert read_lora(tmp_path / "lora.safetensors", family="sd2").family == "sd2"


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (lambda d: replace(d, alpha=4.0001), 2.5e-5),
        (lambda d: replace(d, alpha=None, scale=8.0), 7.0),
        (lambda d: replace(d, parts={**d.parts, "lora_up.weight": d.parts["lora_up.weight"] + 1e-3}), 1e-5),
        (
            lambda d: replace(d, parts={**d.parts, "lora_up.weight": d.parts["lora_up.weight"][:5]}),
            float("inf"),
        ),
        (lambda d: Delta("full", {"diff": change(d) * float("nan")}), float("nan")),
        (lambda d: Delta("full", {"diff": change(d), "diff_b": torch.ones(320)}), float("inf")),
        (lambda d: Delta("oft", {"oft_blocks": torch.ones(2, 2, 2)}), float("inf")),
    ],
)
def test_verification_sees_what_is_wrong(broken: object, where: float, tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "lora.safetensors")
    meant = read_lora(tmp_path / "lora.safetensors").modules
    target = Target("unet", _QUERY)
    written = {**meant, target: broken(meant[target])}  # type: ignore[operator]
    found = verify(meant, written, "sd1")
    assert not found.exact
    assert found.where == _QUERY
    assert not found.worst < where * 0.9
    assert verify(meant, meant, "sd1").exact


def test_verification_sees_modules_that_are_lost(tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "lora.safetensors")
    meant = read_lora(tmp_path / "lora.safetensors").modules
    fewer = {target: delta for target, delta in meant.items() if target.component == "unet"}
    assert verify(meant, fewer, "sd1").missing == (_TEXT,)
    assert verify(fewer, meant, "sd1").surplus == (_TEXT,)
    assert not verify(meant, fewer, "sd1").exact
    assert not verify(fewer, meant, "sd1").exact


def test_a_conversion_that_does_not_hold_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the writer wrong, the old file would stay and the fault be told."""
    save_file(_tensors(), tmp_path / "lora.safetensors")
    (tmp_path / "out.safetensors").write_text("as it was")
    right = jobs.tensors

    def wrong(*args: object) -> dict[str, Tensor]:
        held = right(*args)  # type: ignore[arg-type]
        return {key: tensor * 2 if key.endswith("alpha") else tensor for key, tensor in held.items()}

    monkeypatch.setattr(jobs, "tensors", wrong)
    with pytest.raises(LoraError, match=r"is off by 1\.0e\+00"):
        convert_file(
            read_lora(tmp_path / "lora.safetensors"), Wish(out=tmp_path / "out.safetensors", replace=True)
        )
    assert (tmp_path / "out.safetensors").read_text() == "as it was"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_precision_is_as_asked_and_its_error_is_told(precision: str, tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "lora.safetensors")
    lora = read_lora(tmp_path / "lora.safetensors")
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors", precision=precision))  # type: ignore[arg-type]
    kinds = {key.rpartition(".")[2]: tensor.dtype for key, tensor in load_file(outcome.path).items()}
    assert kinds["alpha"] == torch.float32
    assert (
        str(kinds["weight"])
        == {"fp32": "torch.float32", "fp16": "torch.float16", "bf16": "torch.bfloat16"}[precision]
    )
    assert outcome.verified.exact == (precision == "fp32")
    assert outcome.verified.worst < 0.02


def test_half_precision_stays_half_and_exact(tmp_path: Path) -> None:
    save_file(_tensors(dtype=torch.float16), tmp_path / "lora.safetensors")
    outcome = convert_file(read_lora(tmp_path / "lora.safetensors"), Wish(out=tmp_path / "out.safetensors"))
    assert outcome.verified.worst == 0
    assert load_file(outcome.path)[f"lora_unet_{_QUERY}.lora_up.weight"].dtype == torch.float16


def test_flat_matrices_get_the_axes_of_their_convolution(tmp_path: Path) -> None:
    """LyCORIS keeps a convolution's LoHa flat; as a LoRA or difference it has its kernel."""
    name = "down_blocks_0_resnets_0_conv1"
    random = torch.Generator().manual_seed(1)
    tensors = {f"lora_unet_{name}.hada_w{n}_a": torch.randn(320, 2, generator=random) for n in (1, 2)}
    tensors |= {f"lora_unet_{name}.hada_w{n}_b": torch.randn(2, 2880, generator=random) for n in (1, 2)}
    save_file(tensors, tmp_path / "lora.safetensors")
    lora = read_lora(tmp_path / "lora.safetensors")
    meant = change(lora.modules[Target("unet", name)])
    for form, part, shape in (
        ("lora", "lora_down.weight", (4, 320, 3, 3)),
        ("full", "diff", (320, 320, 3, 3)),
    ):
        out = tmp_path / f"as_{form}.safetensors"
        convert_file(lora, Wish(out=out, form=form))  # type: ignore[arg-type]
        assert tuple(load_file(out)[f"lora_unet_{name}.{part}"].shape) == shape
        found = read_as_host(out)[f"lora_unet_{name}"]
        assert (found - meant).abs().max() <= 1e-6 * meant.abs().max()


def test_differences_are_cut_to_a_rank() -> None:
    random = torch.Generator().manual_seed(1)
    dense = torch.randn(12, 9, generator=random)
    delta, loss = shrink(Delta("full", {"diff": dense}), 3)
    values = torch.linalg.svdvals(dense.double())
    assert (delta.rank, loss) == (3, pytest.approx(float(values[3:].norm() / values.norm())))
    assert shrink(Delta("full", {"diff": dense}), 9)[0].kind == "full"
    tucker = {"lora_down.weight": torch.randn(3, 5, 1, 1), "lora_up.weight": torch.randn(6, 3, 1, 1)}
    core = {"lora_mid.weight": torch.randn(3, 3, 3, 3)}
    plain, loss = shrink(Delta("lora", {**tucker, **core}), 3)
    assert (plain.parts["lora_down.weight"].shape, "lora_mid.weight" in plain.parts) == ((3, 5, 3, 3), False)
    assert loss < 1e-9


def test_a_file_of_no_family_is_converted_under_its_names(tmp_path: Path) -> None:
    tensors = {
        f"unet.strange.place.lora.{side}.weight": torch.ones(shape)
        for side, shape in (("down", (1, 3)), ("up", (2, 1)))
    }
    save_file(tensors, tmp_path / "lora.safetensors")
    lora = read_lora(tmp_path / "lora.safetensors")
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert outcome.family is None
    assert "lora_unet_strange_place.alpha" in load_file(outcome.path)
    with pytest.raises(LoraError, match="--family"):
        convert_file(lora, Wish(out=tmp_path / "x.safetensors", base=tmp_path / "b.safetensors"))


def test_blocks_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "lora.safetensors")
    wish = Wish(out=tmp_path / "out.safetensors", blocks=parse_blocks("content"))
    with pytest.raises(LoraError, match="nothing of"):
        convert_file(read_lora(tmp_path / "lora.safetensors"), wish)


@pytest.mark.parametrize("name", ["out.pt", "out"])
def test_results_are_safetensors_by_name(name: str, tmp_path: Path) -> None:
    save_file(_tensors(), tmp_path / "lora.safetensors")
    with pytest.raises(LoraError, match=r"end in \.safetensors"):
        convert_file(read_lora(tmp_path / "lora.safetensors"), Wish(out=tmp_path / name))


def test_changes_that_need_a_base_are_merged_with_one() -> None:
    random = torch.Generator().manual_seed(2)
    parts = {
        "lora_down.weight": torch.randn(2, 6, generator=random),
        "lora_up.weight": torch.randn(5, 2, generator=random),
    }
    magnitude = torch.rand(5, generator=random) + 1
    weight = torch.randn(5, 6, generator=random)
    target = Target("unet", _QUERY)
    lora = _holding({target: Delta("lora", parts, magnitude=magnitude, axis="out")})
    plain = _holding({target: Delta("lora", parts)})
    with pytest.raises(LoraError, match="--base"):
        merge([Part(lora), Part(plain)])
    merged = merge([Part(lora, 0.5), Part(plain)], base=lambda _: weight)
    meant = 0.5 * change(lora.modules[target], weight) + change(plain.modules[target])
    assert torch.allclose(change(merged.modules[target]), meant, atol=1e-6)


def _holding(modules: dict[Target, Delta]) -> object:
    from types import SimpleNamespace

    evidence = SimpleNamespace(sure=True)
    return SimpleNamespace(
        modules=modules, family="sd1", evidence=evidence, alpha_from="keys", format="kohya", path=Path("x")
    )


def test_text_encoders_have_the_hosts_names() -> None:
    layer = "text_model_encoder_layers_3_mlp_fc1"
    names = {
        ("te1", "sd1"): "lora_te_", ("te1", "sd2"): "lora_te_", ("te1", "sdxl"): "lora_te1_",
        ("te2", "sdxl"): "lora_te2_", ("te1", None): "lora_te_", ("te2", None): "lora_te2_",
    }  # fmt: skip
    for (component, family), prefix in names.items():
        assert host_name(Target(component, layer), family) == prefix + layer  # type: ignore[arg-type]
    assert (
        host_name(Target("te1", "text_model_final_layer_norm"), "sd1")
        == "lora_te1_text_model_final_layer_norm"
    )
