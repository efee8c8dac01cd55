"""Kinds beyond plain LoRA: DoRA on both axes, IA3, GLoRA, OFT, norms, embeddings; and what they need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.blocks import parse_blocks
from lib_ranni.lora.deltas import Delta, change, decomposed
from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.layout import Target, table
from lib_ranni.lora.reading import read_lora
from lib_ranni.lora.report import inspect
from tests.lora.hosting import read_as_host

_DOTTED = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
_FLAT = _DOTTED.replace(".", "_")
_KOHYA = f"lora_unet_{_FLAT}"
_TARGET = Target("unet", _FLAT)
_CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def base(tmp_path: Path, random: torch.Generator) -> tuple[Path, Tensor, Tensor]:
    """A checkpoint with the two weights that are changed here."""
    linear = torch.randn(320, 320, generator=random)
    conv = torch.randn(320, 320, 3, 3, generator=random) * 0.1
    start = "model.diffusion_model.input_blocks.1"
    tensors = {
        f"{start}.1.transformer_blocks.0.attn1.to_q.weight": linear,
        f"{start}.0.in_layers.2.weight": conv,
    }
    save_file(tensors, tmp_path / "base.safetensors")
    return tmp_path / "base.safetensors", linear, conv


def _save(folder: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "lora.safetensors")
    return folder / "lora.safetensors"


def _dora(random: torch.Generator, spelling: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """(tensors, dW without magnitude, magnitude) of one square layer, alpha 2 of rank 4."""
    down, up = (torch.randn(shape, generator=random) * 0.1 for shape in ((4, 320), (320, 4)))
    magnitude = torch.rand(320, generator=random) + 0.5
    keys = {
        "column": (f"{_KOHYA}.lora_down.weight", f"{_KOHYA}.lora_up.weight", f"{_KOHYA}.dora_scale"),
        "row": (f"{_KOHYA}.lora_down.weight", f"{_KOHYA}.lora_up.weight", f"{_KOHYA}.dora_scale"),
        "peft": tuple(f"unet.{_DOTTED}.lora_{part}" for part in ("A.weight", "B.weight", "magnitude_vector")),
        "broken": (
            f"{_KOHYA}.lora_down.weight",
            f"{_KOHYA}.lora_up.weight",
            "lora_unet_" + _FLAT.removesuffix("_to_q") + ".to_q.lora_magnitude_vector",
        ),
    }[spelling]
    shape = {"column": (1, 320), "row": (320, 1)}.get(spelling, (320,))
    tensors = dict(zip(keys, (down, up, magnitude.reshape(shape)), strict=True))
    tensors[f"{_KOHYA if 'lora_unet' in keys[0] else 'unet.' + _DOTTED}.alpha"] = torch.tensor(2.0)
    return tensors, up.double() @ down.double() * 0.5, magnitude.double()


def _rows(weight: Tensor, plain: Tensor, magnitude: Tensor) -> Tensor:
    whole = weight.double() + plain
    return whole * (magnitude / whole.norm(dim=1))[:, None] - weight.double()


def test_dora_over_inputs_stays_as_the_host_knows_it(tmp_path: Path, random: torch.Generator) -> None:
    tensors, plain, magnitude = _dora(random, "column")
    lora = read_lora(_save(tmp_path, tensors))
    report = inspect(lora)
    assert (report.kinds, report.loads, report.warnings) == (
        ("dora-in", "lora"),
        1,
        ("its modules do not tell sd1 from sd2 or sdxs-0.9",),
    )
    weight = torch.randn(320, 320, generator=random).double()
    whole = weight + plain
    meant = whole * (magnitude / whole.norm(dim=0)) - weight
    assert torch.allclose(change(lora.modules[_TARGET], weight), meant, atol=1e-12)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert outcome.verified.exact
    assert torch.equal(load_file(outcome.path)[f"{_KOHYA}.dora_scale"], tensors[f"{_KOHYA}.dora_scale"])


@pytest.mark.parametrize("spelling", ["row", "peft", "broken"])
def test_dora_over_outputs_is_computed_with_the_checkpoint(
    spelling: str, tmp_path: Path, random: torch.Generator, base: tuple[Path, Tensor, Tensor]
) -> None:
    tensors, plain, magnitude = _dora(random, spelling)
    lora = read_lora(_save(tmp_path, tensors))
    report = inspect(lora)
    assert (report.kinds, report.loads) == (("dora-out", "lora"), 0)
    assert any("over outputs" in text and "--base" in text for text in report.warnings)
    with pytest.raises(LoraError, match="--base"):
        convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors", base=base[0]))
    assert outcome.verified.exact
    meant = _rows(base[1], plain, magnitude)
    assert (read_as_host(Path(outcome.path))[_KOHYA] - meant).abs().max() <= 1e-6 * meant.abs().max()


def test_dora_is_scaled_with_the_checkpoint_only(
    tmp_path: Path, random: torch.Generator, base: tuple[Path, Tensor, Tensor]
) -> None:
    lora = read_lora(_save(tmp_path, _dora(random, "column")[0]))
    half = parse_blocks("down*=0.5")
    with pytest.raises(LoraError, match="cannot be scaled"):
        convert_file(lora, Wish(out=tmp_path / "out.safetensors", blocks=half))
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors", blocks=half, base=base[0]))
    meant = change(lora.modules[_TARGET], base[1]) * 0.5
    assert torch.allclose(read_as_host(Path(outcome.path))[_KOHYA], meant, atol=1e-6)


def test_the_axes_of_dora_differ_without_an_error(random: torch.Generator) -> None:
    """Assertion 6 of the reference: on a square layer the wrong axis is silently wrong."""
    weight, plain = (torch.randn(4, 4, generator=random).double() for _ in range(2))
    magnitude = torch.rand(4, generator=random).double() + 1
    rows, columns = (decomposed(weight, plain, magnitude, axis) for axis in ("out", "in"))  # type: ignore[arg-type]
    assert float((rows - columns).abs().max()) > 0.1
    assert torch.allclose((weight + rows).norm(dim=1), magnitude)
    assert torch.allclose((weight + columns).norm(dim=0), magnitude)


def test_dora_of_a_convolution_keeps_its_norms(random: torch.Generator) -> None:
    weight, plain = (torch.randn(6, 5, 3, 3, generator=random).double() for _ in range(2))
    magnitude = torch.rand(6, generator=random).double() + 1
    changed = weight + decomposed(weight, plain, magnitude, "out")
    assert torch.allclose(changed.flatten(1).norm(dim=1), magnitude)


@pytest.mark.parametrize("on_input", [False, True])
def test_ia3_of_peft_becomes_the_hosts(
    on_input: bool, tmp_path: Path, random: torch.Generator, base: tuple[Path, Tensor, Tensor]
) -> None:
    """PEFT multiplies W by l, the host adds W w: w = l - 1."""
    factors = torch.rand(320, generator=random) + 0.5
    shape = (1, 320) if on_input else (320, 1)
    path = _save(tmp_path, {f"base_model.model.{_DOTTED}.ia3_l": factors.reshape(shape)})
    lora = read_lora(path)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    written = load_file(outcome.path)
    assert written.keys() == {f"{_KOHYA}.weight", f"{_KOHYA}.on_input"}
    assert bool(written[f"{_KOHYA}.on_input"].item()) == on_input
    again = read_lora(Path(outcome.path)).modules[_TARGET]
    weight = base[1].double()
    meant = weight * (factors.double().reshape(shape) - 1)
    assert torch.allclose(change(again, weight), meant, atol=1e-6)
    assert inspect(read_lora(Path(outcome.path))).loads == 1


def test_glora_gets_its_alpha_into_its_matrices(tmp_path: Path, random: torch.Generator) -> None:
    shapes = {"a1": (4, 320), "a2": (320, 4), "b1": (4, 320), "b2": (320, 4)}
    parts = {name: torch.randn(shape, generator=random) * 0.1 for name, shape in shapes.items()}
    tensors = {f"{_KOHYA}.{name}.weight": part for name, part in parts.items()}
    lora = read_lora(_save(tmp_path, {**tensors, f"{_KOHYA}.alpha": torch.tensor(1.0)}))
    assert any("GLoRA's alpha" in text for text in inspect(lora).warnings)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    written = {key.removeprefix(f"{_KOHYA}."): part.double() for key, part in load_file(outcome.path).items()}
    weight = torch.randn(320, 320, generator=random).double()
    wide = {name: part.double() for name, part in parts.items()}
    meant = 0.25 * (wide["b2"] @ wide["b1"] + weight @ wide["a2"] @ wide["a1"])
    host = written["b2.weight"] @ written["b1.weight"] + weight @ written["a2.weight"] @ written["a1.weight"]
    assert (host - meant).abs().max() <= 1e-6 * meant.abs().max()
    assert float(written["alpha"]) == 4


def test_oft_is_kept_and_cannot_be_summed(tmp_path: Path, random: torch.Generator) -> None:
    tensors = {
        f"{_KOHYA}.oft_blocks": torch.randn(4, 80, 80, generator=random),
        f"{_KOHYA}.alpha": torch.tensor(0.001),
    }
    lora = read_lora(_save(tmp_path, tensors))
    assert inspect(lora).kinds == ("oft",)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert outcome.verified.exact
    written = load_file(outcome.path)
    assert torch.equal(written[f"{_KOHYA}.oft_blocks"], tensors[f"{_KOHYA}.oft_blocks"])
    assert float(written[f"{_KOHYA}.alpha"]) == pytest.approx(0.001)
    with pytest.raises(LoraError, match="OFT"):
        convert_file(lora, Wish(out=tmp_path / "half.safetensors", blocks=parse_blocks("down*=0.5")))


def test_norms_and_biases_are_kept(tmp_path: Path) -> None:
    name = "lora_unet_down_blocks_0_resnets_0_norm1"
    tensors = {f"{name}.w_norm": torch.ones(320), f"{name}.b_norm": torch.full((320,), 2.0)}
    tensors |= {f"{_CONV}.diff": torch.ones(320, 320, 3, 3), f"{_CONV}.diff_b": torch.ones(320)}
    outcome = convert_file(read_lora(_save(tmp_path, tensors)), Wish(out=tmp_path / "out.safetensors"))
    assert outcome.verified.exact
    written = load_file(outcome.path)
    assert all(torch.equal(written[key], tensor) for key, tensor in tensors.items())
    half = Wish(out=tmp_path / "half.safetensors", blocks=parse_blocks("down*=0.5"))
    halved = load_file(convert_file(read_lora(tmp_path / "lora.safetensors"), half).path)
    assert all(torch.equal(halved[key], tensor / 2) for key, tensor in tensors.items())


def test_a_bias_beside_matrices_is_scaled_with_them(tmp_path: Path) -> None:
    tensors = {
        f"{_KOHYA}.lora_down.weight": torch.ones(2, 320),
        f"{_KOHYA}.lora_up.weight": torch.ones(320, 2),
        f"{_KOHYA}.diff_b": torch.ones(320),
    }
    lora = read_lora(_save(tmp_path, tensors))
    half = convert_file(lora, Wish(out=tmp_path / "half.safetensors", blocks=parse_blocks("down*=0.5")))
    assert half.verified.exact
    (one,), (other,) = lora.modules.values(), read_lora(Path(half.path)).modules.values()
    assert torch.equal(change(other), change(one) / 2)
    assert torch.equal(other.parts["diff_b"], torch.full((320,), 0.5))


def test_a_base_of_another_kind_is_refused(tmp_path: Path, random: torch.Generator) -> None:
    lora = read_lora(_save(tmp_path, _dora(random, "row")[0]))
    save_file({"x": torch.ones(1)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name, said in (
        ("other", "has no weight for"),
        ("text", "cannot be read"),
        ("none", "cannot be read"),
    ):
        wish = Wish(out=tmp_path / "out.safetensors", base=tmp_path / f"{name}.safetensors")
        with pytest.raises(LoraError, match=said):
            convert_file(lora, wish)
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_weights_of_text_encoders_are_found(family: str, tmp_path: Path) -> None:
    from lib_ranni.lora.base_weights import base_weights

    sd2 = "cond_stage_model.model.transformer.resblocks.1"
    xl = "conditioner.embedders.1.model.transformer.resblocks.1"
    fused = torch.arange(6.0).reshape(6, 1)
    keys = {
        "sd1": {
            "cond_stage_model.transformer.text_model.encoder.layers.1.self_attn.k_proj.weight": fused[2:4]
        },
        "sd2": {f"{sd2}.attn.in_proj_weight": fused, f"{sd2}.mlp.c_fc.weight": fused},
        "sdxl": {f"{xl}.attn.in_proj_weight": fused, f"{xl}.mlp.c_fc.weight": fused},
    }[family]
    save_file({key: tensor.clone() for key, tensor in keys.items()}, tmp_path / "base.safetensors")
    component = "te2" if family == "sdxl" else "te1"
    layer = "text_model_encoder_layers_1"
    with base_weights(tmp_path / "base.safetensors", family) as weights:  # type: ignore[arg-type]
        assert torch.equal(weights.of(Target(component, f"{layer}_self_attn_k_proj")), fused[2:4])  # type: ignore[arg-type]
        if family != "sd1":
            assert torch.equal(weights.of(Target(component, f"{layer}_mlp_fc1")), fused)  # type: ignore[arg-type]
        with pytest.raises(LoraError, match="has no weight"):
            weights.of(Target(component, f"{layer}_mlp_fc2"))  # type: ignore[arg-type]


def _with_pair(extra: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{_KOHYA}.lora_down.weight": torch.ones(1, 320),
        f"{_KOHYA}.lora_up.weight": torch.ones(320, 1),
        **extra,
    }


@pytest.mark.parametrize(
    ("extra", "files"),
    [
        (
            {"clip_l": torch.ones(2, 768), "clip_g": torch.ones(2, 1280)},
            {"out_emb": {"clip_l": (2, 768), "clip_g": (2, 1280)}},
        ),
        ({"text_encoders_0": torch.ones(2, 768)}, {"out_emb": {"emb_params": (2, 768)}}),
        ({"<s0>": torch.ones(768), "<s1>": torch.ones(768)}, {"out_emb": {"emb_params": (2, 768)}}),
        ({"<my cat>": torch.ones(3, 768)}, {"out_my_cat": {"emb_params": (3, 768)}}),
        ({"string_to_param.*": torch.ones(1, 768)}, {"out_emb": {"emb_params": (1, 768)}}),
        ({"emb_params": torch.ones(4, 1024)}, {"out_emb": {"emb_params": (4, 1024)}}),
    ],
)  # fmt: skip
def test_embeddings_are_written_beside(
    extra: dict[str, Tensor], files: dict[str, dict[str, tuple[int, ...]]], tmp_path: Path
) -> None:
    lora = read_lora(_save(tmp_path, _with_pair(extra)))
    report = inspect(lora)
    assert report.traits == ("pivotal tuning",)
    assert any("embeddings folder" in text for text in report.warnings)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert {Path(path).stem for path in outcome.embeddings} == files.keys()
    for name, shapes in files.items():
        written = load_file(tmp_path / f"{name}.safetensors")
        assert {key: tuple(tensor.shape) for key, tensor in written.items()} == shapes
        assert all(bool((tensor == 1).all()) for tensor in written.values())
    assert not any(key in load_file(outcome.path) for key in extra)


def test_embeddings_that_the_host_reads_stay_inside(tmp_path: Path) -> None:
    extra = {f"bundle_emb.cat.clip_{side}": torch.ones(1, width) for side, width in (("l", 768), ("g", 1280))}
    lora = read_lora(_save(tmp_path, _with_pair(extra)))
    (embedding,) = inspect(lora).embeddings
    assert (embedding.name, embedding.native, embedding.encoders["clip_g"]) == ("cat", True, (1, 1280))
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert outcome.embeddings == ()
    assert extra.keys() <= load_file(outcome.path).keys()


def test_a_file_of_embeddings_alone(tmp_path: Path) -> None:
    lora = read_lora(_save(tmp_path, {"clip_l": torch.ones(2, 768), "clip_g": torch.ones(2, 1280)}))
    assert inspect(lora).traits == ("embedding only",)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    assert (outcome.path, outcome.modules) == ("", 0)
    assert [Path(path).name for path in outcome.embeddings] == ["out_emb.safetensors"]
    with pytest.raises(LoraError, match="is there already"):
        convert_file(lora, Wish(out=tmp_path / "out.safetensors"))


@pytest.mark.parametrize("extra", [{"clip_g": (2, 1280)}, {"clip_g": (2, 1280), "clip_l": (3, 768)}])
def test_embeddings_that_the_host_cannot_load(extra: dict[str, tuple[int, int]], tmp_path: Path) -> None:
    lora = read_lora(_save(tmp_path, {key: torch.ones(shape) for key, shape in extra.items()}))
    with pytest.raises(LoraError, match="the embedding out has"):
        convert_file(lora, Wish(out=tmp_path / "out.safetensors"))


def test_strength_without_alpha_is_one() -> None:
    parts = {"lora_down.weight": torch.ones(2, 3), "lora_up.weight": torch.ones(3, 2)}
    assert Delta("lora", parts).strength == 1
    assert Delta("lora", parts, alpha=1.0).strength == 0.5
    assert Delta("lora", parts, alpha=1.0, scale=3.0).strength == 3


def test_tables_know_the_modules_used_here() -> None:
    assert {_TARGET, Target("unet", _CONV.removeprefix("lora_unet_"))} <= table("sd1").keys()
