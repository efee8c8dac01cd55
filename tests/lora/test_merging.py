"""Merges: what they do to weights is what their formulas say, computed here from dense matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora.blocks import parse_blocks
from lib_ranni.lora.deltas import Delta, change
from lib_ranni.lora.jobs import Wish, merge_files
from lib_ranni.lora.layout import Target
from lib_ranni.lora.low_rank import exact_low_rank, factors, shrink
from lib_ranni.lora.merging import METHODS, Part, merge
from lib_ranni.lora.reading import Lora, read_lora
from lib_ranni.lora.zip_merging import fit_mergers, merge_zip, read_mergers
from tests.lora import corpus
from tests.lora.corpus import Maker
from tests.lora.hosting import read_as_host

_QUERY = "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
_KEY = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
_CONV = "down_blocks_0_resnets_0_conv1"


def _lora(folder: Path, name: str, seed: int, rank: int = 3, **shapes: tuple[int, ...]) -> Lora:
    """A kohya file with alpha 1.5 of two layers and a convolution of 12 to 16 channels."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for module, (out, inner, *kernel) in {
        _QUERY: (16, 12),
        _KEY: (16, 20),
        _CONV: (16, 12, 3, 3),
        **shapes,
    }.items():
        ones = [1] * len(kernel)
        tensors[f"lora_unet_{module}.lora_down.weight"] = torch.randn(rank, inner, *kernel, generator=random)
        tensors[f"lora_unet_{module}.lora_up.weight"] = torch.randn(out, rank, *ones, generator=random)
        tensors[f"lora_unet_{module}.alpha"] = torch.tensor(1.5)
    save_file(tensors, folder / f"{name}.safetensors")
    return read_lora(folder / f"{name}.safetensors")


def _changes(modules: Mapping[Target, Delta]) -> dict[str, Tensor]:
    return {target.name: change(delta) for target, delta in modules.items()}


def _close(found: Tensor, meant: Tensor, tolerance: float = 1e-6) -> bool:
    return bool((found - meant).abs().max() <= tolerance * meant.abs().max())


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Lora, Lora]:
    return _lora(tmp_path, "one", 1), _lora(tmp_path, "two", 2, rank=2, conv_in=(16, 4, 3, 3))


def test_a_sum_is_exact_and_keeps_low_rank(pair: tuple[Lora, Lora]) -> None:
    one, two = pair
    merged = merge([Part(one, 0.7), Part(two, -0.4)])
    first, second = _changes(one.modules), _changes(two.modules)
    found = _changes(merged.modules)
    assert found.keys() == {_QUERY, _KEY, _CONV, "conv_in"}
    assert _close(found["conv_in"], -0.4 * second["conv_in"])
    for name in first:
        assert _close(found[name], 0.7 * first[name] - 0.4 * second[name])
    assert {merged.modules[Target("unet", name)].rank for name in (_QUERY, _KEY, _CONV)} == {5}
    assert merged.modules[Target("unet", _CONV)].parts["lora_down.weight"].shape == (5, 12, 3, 3)


def test_weights_by_block(pair: tuple[Lora, Lora]) -> None:
    one, two = pair
    merged = merge([Part(one, 2.0, parse_blocks("down0.0=0.5")), Part(two, 1.0, parse_blocks("in"))])
    found, first, second = (_changes(modules) for modules in (merged.modules, one.modules, two.modules))
    assert found.keys() == {_QUERY, _KEY, _CONV, "conv_in"}
    assert all(_close(found[name], first[name]) for name in first)
    assert _close(found["conv_in"], second["conv_in"])


def test_content_and_style_of_two_b_loras(tmp_path: Path) -> None:
    """The blocks are apart, so each is changed as its own LoRA changes it."""
    samples = {}
    for seed, word in enumerate(("content", "style")):
        (tmp_path / word).mkdir()
        maker = Maker(tmp_path / word, "sdxl")
        maker.normal(seed + 1)
        samples[word] = corpus.b_lora(maker)
    parts = [Part(read_lora(sample.path), 1.0, parse_blocks(word)) for word, sample in samples.items()]
    found = read_as_host(Path(merge_files(parts, Wish(out=tmp_path / "both.safetensors")).path))
    for block, word in (("0", "content"), ("1", "style")):
        start = f"up_blocks.0.attentions.{block}."
        meant = {name: dense for (_, name), dense in samples[word].truth.items() if name.startswith(start)}
        assert len(meant) == 8
        for name, dense in meant.items():
            rest = name.removeprefix(start).replace(".", "_")
            assert _close(found.pop(f"lora_unet_output_blocks_{block}_1_{rest}"), dense)
    assert found == {}


def test_a_cut_is_the_best_and_its_error_is_true(pair: tuple[Lora, Lora]) -> None:
    one, two = pair
    merged = merge([Part(one), Part(two)], rank=2)
    whole = _changes(merge([Part(one), Part(two)]).modules)
    for target, delta in merged.modules.items():
        assert (delta.rank or 0) <= 2
        values = torch.linalg.svdvals(whole[target.name])
        best = float(values[2:].norm() / values.norm())
        assert merged.losses[target] == pytest.approx(best, abs=1e-6)
        error = float((change(delta) - whole[target.name]).norm() / whole[target.name].norm())
        assert error == pytest.approx(best, abs=1e-6)


def test_kinds_that_have_no_low_rank_are_summed_whole(tmp_path: Path) -> None:
    one = _lora(tmp_path, "one", 1)
    dense = torch.randn(16, 12, generator=torch.Generator().manual_seed(5))
    held = {f"lora_unet_{_QUERY}.diff": dense, f"lora_unet_{_QUERY}.diff_b": torch.ones(16)}
    save_file(held, tmp_path / "full.safetensors")
    merged = merge([Part(one), Part(read_lora(tmp_path / "full.safetensors"), 0.5)])
    delta = merged.modules[Target("unet", _QUERY)]
    assert delta.kind == "full"
    assert _close(change(delta), change(one.modules[Target("unet", _QUERY)]) + 0.5 * dense.double())
    assert torch.equal(delta.parts["diff_b"], torch.full((16,), 0.5))


def _prune(matrix: Tensor, share: float) -> Tensor:
    kept = int(share * matrix.numel())
    least = matrix.abs().flatten().sort(descending=True).values[kept - 1]
    return torch.where(matrix.abs() >= least, matrix, 0.0)


def _agreed(matrices: list[Tensor], weights: list[float]) -> Tensor:
    stacked = torch.stack(matrices)
    sign = torch.where(stacked.sum(0) >= 0, 1.0, -1.0)
    agree = stacked.sign() == sign
    weighted = stacked * torch.tensor(weights, dtype=torch.float64)[:, None, None] * agree
    return weighted.sum(0) / agree.sum(0).clamp(min=1)


def test_magnitude_and_ties_are_as_defined(pair: tuple[Lora, Lora]) -> None:
    parts = [Part(pair[0], 0.8), Part(pair[1], 0.6)]
    dense = [_changes(lora.modules)[_QUERY] for lora in pair]
    pruned = [_prune(matrix, 0.25) for matrix in dense]
    target = Target("unet", _QUERY)
    magnitude = change(merge(parts, "magnitude", density=0.25).modules[target])
    assert _close(magnitude, 0.8 * pruned[0] + 0.6 * pruned[1])
    ties = change(merge(parts, "ties", density=0.25).modules[target])
    assert _close(ties, _agreed(pruned, [0.8, 0.6]))
    whole = change(merge(parts, "ties", density=1.0).modules[target])
    assert _close(whole, _agreed(dense, [0.8, 0.6]))


def test_dare_keeps_the_expected_sum(pair: tuple[Lora, Lora]) -> None:
    """Each number stays with its share of chances and is divided by it, so the mean over seeds is the sum."""
    parts = [Part(pair[0]), Part(pair[1])]
    target = Target("unet", _QUERY)
    meant = change(merge(parts).modules[target])
    seeds = [change(merge(parts, "dare", density=0.5, seed=seed).modules[target]) for seed in range(40)]
    one = change(pair[0].modules[target])
    assert set(torch.unique((seeds[0] / meant).isfinite()).tolist()) == {True}
    error = (torch.stack(seeds).mean(0) - meant).norm() / meant.norm()
    assert error < 0.3
    again = change(merge(parts, "dare", density=0.5, seed=0).modules[target])
    assert torch.equal(seeds[0], again)
    assert not torch.equal(seeds[0], seeds[1])
    alone = change(merge([Part(pair[0])], "dare", density=0.5, seed=1).modules[target])
    kept = alone != 0
    assert _close(alone[kept], one[kept] * 2)
    assert 0.3 < float(kept.double().mean()) < 0.7


@pytest.mark.parametrize("method", [method for method in METHODS if method != "sum"])
def test_every_method_can_be_cut_to_a_rank(pair: tuple[Lora, Lora], method: Any, tmp_path: Path) -> None:
    wish = Wish(out=tmp_path / "out.safetensors", method=method, rank=4)
    outcome = merge_files([Part(pair[0]), Part(pair[1])], wish)
    assert (outcome.modules, outcome.verified.worst <= 1e-6) == (4, True)
    assert 0 < outcome.loss < 1
    assert {delta.rank for delta in read_lora(Path(outcome.path)).modules.values()} == {4}


def test_a_merge_tells_its_sources(pair: tuple[Lora, Lora], tmp_path: Path) -> None:
    parts = [Part(pair[0], 0.7), Part(pair[1], 1.0, parse_blocks("style=0.5"))]
    outcome = merge_files(parts, Wish(out=tmp_path))
    assert Path(outcome.path).name == "one+two.safetensors"
    with safe_open(outcome.path, "pt") as file:
        metadata = file.metadata()
    assert metadata["source_name"] == "one.safetensors; two.safetensors"
    assert metadata["source_weights"] == "1: 0.7; 2: 1 (up0.1=0.5, others 1)"
    assert len(metadata["source_sha256"].split("; ")[1]) == 64


def test_without_peft_it_says_what_to_install(
    pair: tuple[Lora, Lora], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft.utils", None)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(LoraError, match="pip install"):
        merge([Part(pair[0]), Part(pair[1])], "ties")


def _xl(folder: Path) -> Lora:
    maker = Maker(folder, "sdxl")
    return read_lora(corpus.b_lora(maker).path)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (lambda folder: [Part(_xl(folder))], "different base models"),
        (lambda folder: [Part(_lora(folder, "wide", 3, **{_QUERY: (32, 24)}))], "different sizes"),
    ],
)
def test_what_does_not_belong_together(
    others: Callable[[Path], list[Part]], said: str, tmp_path: Path
) -> None:
    maker = Maker(tmp_path, "sd1")
    first = read_lora(corpus.kohya_plain(maker).path) if "base" in said else _lora(tmp_path, "one", 1)
    with pytest.raises(LoraError, match=said):
        merge([Part(first), *others(tmp_path)])


@pytest.mark.parametrize("parts", [[], [0.0]])
def test_nothing_to_merge(parts: list[float], tmp_path: Path) -> None:
    lora = _lora(tmp_path, "one", 1)
    with pytest.raises(LoraError, match="nothing"):
        merge([Part(lora, weight) for weight in parts])


@given(
    weights=st.lists(st.floats(-2, 2).filter(lambda w: abs(w) > 1e-3), min_size=1, max_size=4),
    ranks=st.lists(st.integers(1, 6), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_a_sum_does_not_depend_on_the_order(weights: list[float], ranks: list[int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    deltas = [
        Delta(
            "lora",
            {
                "lora_down.weight": torch.randn(rank, 7, generator=random),
                "lora_up.weight": torch.randn(9, rank, generator=random),
            },
            alpha=2.0,
        )
        for rank, _ in zip(ranks, weights, strict=False)
    ]
    meant = sum((change(d) * w for d, w in zip(deltas, weights, strict=True)), torch.zeros(9, 7).double())
    for order in (1, -1):
        pairs = [factors(d) for d in deltas]
        total = torch.zeros(9, 7).double()
        for pair, weight in list(zip(pairs, weights, strict=True))[::order]:
            assert pair is not None
            total += pair[0] @ pair[1] * weight
        assert torch.allclose(total, meant, atol=1e-9)


@given(
    kind=st.sampled_from(["loha", "lokr", "lora"]), out=st.integers(1, 4), inner=st.integers(1, 4),
    rank=st.integers(1, 3), seed=st.integers(0, 10_000), whole=st.booleans(),
)  # fmt: skip
def test_low_rank_forms_are_exact(kind: str, out: int, inner: int, rank: int, seed: int, whole: bool) -> None:
    """LoHa of ranks r has rank r r, LoKr the product of its factors' ranks; nothing is lost."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    side = {"a": out * 2, "b": inner * 3}
    if kind == "loha":
        parts = {f"hada_w{n}_a": normal(side["a"], rank) for n in (1, 2)}
        parts |= {f"hada_w{n}_b": normal(rank, side["b"]) for n in (1, 2)}
    elif kind == "lokr":
        parts = {"lokr_w1": normal(2, 3)}
        parts |= (
            {"lokr_w2": normal(out, inner)}
            if whole
            else {"lokr_w2_a": normal(out, rank), "lokr_w2_b": normal(rank, inner)}
        )
    else:
        parts = {"lora_down.weight": normal(rank, side["b"]), "lora_up.weight": normal(side["a"], rank)}
    delta = Delta(kind, parts, alpha=1.7)  # type: ignore[arg-type]
    meant = change(delta)
    formed = exact_low_rank(delta)
    assert formed.kind in ("lora", "full")
    assert _close(change(formed), meant, 3e-6)
    pair = factors(delta)
    assert pair is not None
    assert torch.allclose(pair[0] @ pair[1].flatten(1), meant, atol=1e-10)
    cut, loss = shrink(delta, 100)
    assert loss < 1e-7
    assert _close(change(cut), meant, 3e-6)


def test_zip_scales_inputs(pair: tuple[Lora, Lora], tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(9)
    columns = {
        f"unet.{name}.merger_{n}": torch.rand(inner, generator=random)
        for name, inner in ((_QUERY, 12), (_CONV, 12))
        for n in (1, 2)
    }
    save_file(columns, tmp_path / "mergers.safetensors")
    wish = Wish(out=tmp_path / "zip.safetensors", method="zip", mergers=tmp_path / "mergers.safetensors")
    found = read_as_host(Path(merge_files([Part(pair[0]), Part(pair[1], 0.5)], wish).path))
    for name, kernel in ((_QUERY, 1), (_CONV, 9)):
        one, two = (_changes(lora.modules)[name] for lora in pair)
        m1, m2 = (columns[f"unet.{name}.merger_{n}"].double().repeat_interleave(kernel) for n in (1, 2))
        assert _close(found[f"lora_unet_{name}"], one * m1 + 0.5 * two * m2)
    one, two = (_changes(lora.modules)[_KEY] for lora in pair)
    assert _close(found[f"lora_unet_{_KEY}"], one + 0.5 * two)


def test_zip_learns_to_keep_both(tmp_path: Path) -> None:
    """Content uses the first inputs and style the last: each keeps its own, and the other's fade."""
    random = torch.Generator().manual_seed(0)
    content, style = (torch.randn(8, 12, generator=random) for _ in range(2))
    inputs = torch.randn(64, 12, generator=random)
    first, last = inputs.clone(), inputs.clone()
    first[:, 6:], last[:, :6] = 0, 0
    m1, m2 = fit_mergers(content, style, first, last, steps=300, rate=0.02)
    assert m1[:6].mean() > 0.9
    assert m2[6:].mean() > 0.9
    assert m2[:6].abs().mean() < 0.3
    assert m1[6:].abs().mean() < 0.3
    merged = content.double() * m1 + style.double() * m2

    def error(weight: Tensor) -> float:
        parts = ((first, content), (last, style))
        return sum(float((x.double() @ (weight - w.double()).T).square().mean()) for x, w in parts)

    assert error(merged) < 0.2 * error((content + style).double())


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({f"unet.{_QUERY}.merger_1": torch.ones(12)}, "one of its two"),
        ({f"unet.{_QUERY}.merger_{n}": torch.ones(5) for n in (1, 2)}, "12 inputs, its coefficients are 5"),
        ({f"unet.mid_block.x.merger_{n}": torch.ones(5) for n in (1, 2)}, "neither has"),
        ({"unet.x.lora.down.weight": torch.ones(1)}, "is no coefficient"),
    ],
)
def test_coefficients_that_do_not_fit(
    columns: dict[str, Tensor], said: str, pair: tuple[Lora, Lora], tmp_path: Path
) -> None:
    save_file(columns, tmp_path / "mergers.safetensors")
    with pytest.raises(LoraError, match=said):
        merge_zip(Part(pair[0]), Part(pair[1]), read_mergers(tmp_path / "mergers.safetensors", "sd1"))


def test_zip_needs_two_and_their_coefficients(pair: tuple[Lora, Lora], tmp_path: Path) -> None:
    with pytest.raises(LoraError, match="--mergers"):
        merge_files([Part(pair[0]), Part(pair[1])], Wish(out=tmp_path / "z.safetensors", method="zip"))
