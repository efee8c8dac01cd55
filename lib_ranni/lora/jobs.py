"""Whole jobs on files, as the command line and a host ask for them: convert one LoRA, or merge several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from msgspec import Struct

from lib_ranni.errors import LoraError
from lib_ranni.lora.base_weights import base_weights
from lib_ranni.lora.blocks import ALL, BlockScales
from lib_ranni.lora.conversion import Base, Form, convert, tensors
from lib_ranni.lora.deltas import Delta
from lib_ranni.lora.embeddings import bundled_tensors, embedding_files
from lib_ranni.lora.layout import Family, Target
from lib_ranni.lora.merging import Merged, Method, Part, family_in_common, merge
from lib_ranni.lora.reading import Lora, read_lora
from lib_ranni.lora.verification import Verification, verify
from lib_ranni.lora.writing import metadata_for, write
from lib_ranni.lora.zip_merging import merge_zip, read_mergers

Precision = Literal["keep", "fp32", "fp16", "bf16"]
_DTYPES: Mapping[Precision, torch.dtype | None] = {
    "keep": None,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


@dataclass(frozen=True)
class Wish:
    """How the result should be. `out` is a `.safetensors` file, or a folder to put one into."""

    out: Path
    blocks: BlockScales = ALL
    form: Form = "keep"
    rank: int | None = None
    precision: Precision = "keep"
    base: Path | None = None
    replace: bool = False
    method: Method | Literal["zip"] = "sum"
    density: float = 0.5
    seed: int = 0
    mergers: Path | None = None


class Outcome(Struct, frozen=True):
    """What was written; `path` is empty where a file had embeddings only.

    `verified` compares the file with its source. `loss` is the largest relative error of a module that was
    cut to a rank, 0 where none was.
    """

    path: str
    family: Family | None
    modules: int
    embeddings: tuple[str, ...]
    verified: Verification
    loss: float
    notes: tuple[str, ...] = ()


def convert_file(lora: Lora, wish: Wish) -> Outcome:
    """Write a LoRA for the host, its embeddings beside it, and compare what was written with the source.

    Raises `LoraError` where that cannot be done, or does not hold; then nothing is left behind.
    """
    out = _place(wish.out, lora.name, wish.replace)
    beside = _embeddings(lora, out, wish.replace)
    with _base(wish.base, lora.family) as base:
        converted = convert(lora, blocks=wish.blocks, form=wish.form, rank=wish.rank, base=base)
        meant = {target: lora.modules[target] for target in converted.modules}
        verified = Verification(0, 0.0, "")
        if converted.modules or lora.bundled:
            with _draft(out, converted.modules, lora.family, {"1": lora}, wish) as draft:
                if meant:
                    written = read_lora(draft, family=lora.family).modules
                    verified = verify(meant, written, lora.family, factor=wish.blocks.of, base=base)
                if not verified.exact and wish.rank is None and wish.precision == "keep":
                    raise LoraError(
                        f"the conversion of {lora.path} is off by {verified.worst:.1e} in {verified.where}; "
                        "it was not kept, please report it"
                    )
    for path, parts in beside.items():
        write(path, parts, {"converted_by": "lib-ranni", "source_name": lora.path.name}, replace=wish.replace)
    notes = (*converted.notes, *(f"left out: {fault}" for fault in lora.faults))
    written_to = out if converted.modules or lora.bundled else None
    return _outcome(written_to, lora.family, converted.modules, beside, verified, converted.losses, notes)


def merge_files(parts: Sequence[Part], wish: Wish) -> Outcome:
    """Write the merge of several LoRAs for the host. Raises `LoraError` where they cannot be merged."""
    family = family_in_common(parts)
    out = _place(wish.out, "+".join(part.lora.name for part in parts), wish.replace)
    with _base(wish.base, family) as base:
        merged = _merged(parts, wish, base)
    sources = {_words(part, number): part.lora for number, part in enumerate(parts)}
    with _draft(out, merged.modules, family, sources, wish) as draft:
        verified = verify(merged.modules, read_lora(draft, family=family).modules, family)
    return _outcome(out, family, merged.modules, {}, verified, merged.losses, ())


def _merged(parts: Sequence[Part], wish: Wish, base: Base | None) -> Merged:
    if wish.method != "zip":
        return merge(parts, wish.method, rank=wish.rank, density=wish.density, seed=wish.seed, base=base)
    if len(parts) != 2 or wish.mergers is None:
        raise LoraError("zip merges a content and a style LoRA, in this order, with their --mergers FILE")
    content, style = parts
    mergers = read_mergers(wish.mergers, family_in_common(parts))
    return merge_zip(content, style, mergers, rank=wish.rank)


def _words(part: Part, number: int) -> str:
    scales = ", ".join(f"{pattern}={scale:g}" for pattern, scale in part.blocks.rules)
    return f"{number + 1}: {part.weight:g}" + (f" ({scales}, others {part.blocks.rest:g})" if scales else "")


def _place(out: Path, name: str, replace: bool) -> Path:
    path = out / f"{name}.safetensors" if out.is_dir() else out
    if path.exists() and not replace:
        raise LoraError(f"{path} is there already; give another name, or --replace")
    return path


@contextmanager
def _base(path: Path | None, family: Family | None) -> Iterator[Base | None]:
    if path is None:
        yield None
        return
    if family is None:
        raise LoraError("nothing tells which base model the LoRA is for; give --family")
    with base_weights(path, family) as weights:
        yield weights.of


@contextmanager
def _draft(
    out: Path, modules: Mapping[Target, Delta], family: Family | None, sources: Mapping[str, Lora], wish: Wish
) -> Iterator[Path]:
    """The written file under another name; it gets its own when nothing fails."""
    held = tensors(modules, family, _DTYPES[wish.precision]) | bundled_tensors(sources)
    draft = out.with_name(f".{out.stem}.draft{out.suffix}")
    try:
        write(draft, held, metadata_for(modules, family, sources, out.stem), replace=True)
        yield draft
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _embeddings(lora: Lora, out: Path, replace: bool) -> dict[Path, dict[str, torch.Tensor]]:
    found = {out.with_name(f"{n}.safetensors"): parts for n, parts in embedding_files(lora, out.stem).items()}
    for path in found:
        if path.exists() and not replace:
            raise LoraError(f"{path} is there already; give another name, or --replace")
    return found


def _outcome(
    out: Path | None,
    family: Family | None,
    modules: Mapping[Target, Delta],
    beside: Mapping[Path, object],
    verified: Verification,
    losses: Mapping[Target, float],
    notes: tuple[str, ...],
) -> Outcome:
    return Outcome(
        path=str(out or ""),
        family=family,
        modules=len(modules),
        embeddings=tuple(map(str, beside)),
        verified=verified,
        loss=max(losses.values(), default=0.0),
        notes=notes,
    )
