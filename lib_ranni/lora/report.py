"""What a LoRA file is, what the host would make of it, and what is wrong with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from msgspec import Struct

from lib_ranni.lora.blocks import block_of
from lib_ranni.lora.checks import asks_alpha, host_opens, loads_as_is
from lib_ranni.lora.complaints import complaints
from lib_ranni.lora.containers import Container, printable, sha256
from lib_ranni.lora.deltas import Delta
from lib_ranni.lora.layout import Component, Family, Target
from lib_ranni.lora.reading import Lora
from lib_ranni.lora.spelling import Format

_ORDER: tuple[Component, ...] = ("unet", "te1", "te2")
_SHOWN = 200
"""Characters of a metadata value, and keys of a list."""


class BlockReport(Struct, frozen=True):
    """The modules of one block. `strength` is the largest alpha / rank."""

    name: str
    modules: int
    ranks: tuple[int, ...]
    strength: float


class EmbeddingReport(Struct, frozen=True):
    """An embedding within the file: encoders with vectors and width, and if the host loads it there."""

    name: str
    encoders: Mapping[str, tuple[int, int]]
    native: bool


class Report(Struct, frozen=True):
    """All that inspecting tells.

    `ranks` and `alphas` count modules by value; alphas are empty where the file leaves them open.
    `loads` is how many modules the host matches in the file as it is, `modules` how many there are.
    `warnings` are sentences for people, the worst first.
    """

    path: str
    container: Container
    size: int
    sha256: str
    format: Format
    kinds: tuple[str, ...]
    traits: tuple[str, ...]
    family: Family | None
    sure: bool
    stated: Family | None
    components: Mapping[Component, int]
    modules: int
    loads: int
    ranks: Mapping[int, int]
    alphas: Mapping[float, int]
    alpha_from: str
    dtypes: tuple[str, ...]
    blocks: tuple[BlockReport, ...]
    embeddings: tuple[EmbeddingReport, ...]
    unmatched: tuple[str, ...]
    triggers: tuple[str, ...]
    metadata: Mapping[str, str]
    warnings: tuple[str, ...]


def inspect(lora: Lora) -> Report:
    """Everything about a LoRA file, at the cost of reading all its numbers once."""
    modules = lora.modules
    loads = sum(loads_as_is(lora, target) for target in modules) if host_opens(lora) else 0
    counts = Counter(target.component for target in modules)
    ranks = Counter(delta.rank for delta in modules.values() if delta.rank)
    alphas = Counter(round(delta.strength * delta.rank, 6) for delta in modules.values() if delta.rank)
    return Report(
        path=str(lora.path),
        container=lora.contents.container,
        size=lora.contents.size,
        sha256=sha256(lora.path),
        format=lora.format,
        kinds=tuple(sorted(set(_kinds(lora)))),
        traits=_traits(lora),
        family=lora.family,
        sure=lora.evidence.sure,
        stated=lora.evidence.stated,
        components=dict(sorted(counts.items(), key=lambda item: _ORDER.index(item[0]))),
        modules=len(modules),
        loads=loads,
        ranks=dict(sorted(ranks.items())),
        alphas={} if asks_alpha(lora) else dict(sorted(alphas.items())),
        alpha_from=lora.alpha_from,
        dtypes=tuple(sorted({_dtype(tensor) for d in modules.values() for tensor in d.parts.values()})),
        blocks=_blocks(modules),
        embeddings=tuple(_embeddings(lora)),
        unmatched=tuple(printable(key) for key in lora.unmatched),
        triggers=triggers(lora.contents.metadata),
        metadata={
            printable(name): printable(value[:_SHOWN]) for name, value in lora.contents.metadata.items()
        },
        warnings=tuple(complaints(lora, loads)),
    )


def _kinds(lora: Lora) -> Iterator[str]:
    for delta in lora.modules.values():
        yield delta.kind
        if delta.magnitude is not None:
            yield f"dora-{delta.axis}"
        if delta.kind == "lora":
            if "lora_mid.weight" in delta.parts:
                yield "tucker"
            if delta.parts["lora_down.weight"].ndim == 4 and delta.parts["lora_down.weight"].shape[2] > 1:
                yield "convolution"


def _traits(lora: Lora) -> tuple[str, ...]:
    found = []
    blocks = {block_of(target) for target in lora.modules if target.component == "unet"}
    if lora.family == "sdxl" and blocks and blocks <= {"up0.0", "up0.1"}:
        words = {"up0.0": "content", "up0.1": "style"}
        found.append("b-lora: " + " and ".join(words[block] for block in sorted(blocks)))
    if lora.embeddings or lora.bundled:
        found.append("pivotal tuning" if lora.modules else "embedding only")
    return tuple(found)


def _blocks(modules: Mapping[Target, Delta]) -> tuple[BlockReport, ...]:
    grouped: dict[str, list[Delta]] = {}
    for target, delta in modules.items():
        grouped.setdefault(block_of(target), []).append(delta)
    return tuple(
        BlockReport(
            name,
            len(deltas),
            tuple(sorted({delta.rank for delta in deltas if delta.rank})),
            max((delta.strength for delta in deltas), key=abs),
        )
        for name, deltas in sorted(grouped.items())
    )


def _embeddings(lora: Lora) -> Iterator[EmbeddingReport]:
    for name, parts in lora.embeddings.items():
        encoders = {encoder: _vectors(tensor) for encoder, tensor in parts.items()}
        yield EmbeddingReport(printable(name or lora.name), encoders, native=False)
    names = {key.split(".")[1] for key in lora.bundled}
    for name in sorted(names):
        encoders = {
            printable(key.split(".", 2)[2]): _vectors(tensor)
            for key, tensor in lora.bundled.items()
            if key.split(".")[1] == name
        }
        yield EmbeddingReport(printable(name), encoders, native=True)


def _vectors(tensor: torch.Tensor) -> tuple[int, int]:
    return (tensor.shape[0] if tensor.ndim > 1 else 1, tensor.shape[-1])


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def triggers(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Words that it was trained with: those named as triggers, else the most frequent tags; 10 at most."""
    for name in ("modelspec.trigger_phrase", "ss_trigger_words", "trained_words", "instance_prompt"):
        if metadata.get(name):
            return tuple(printable(word.strip()) for word in metadata[name].split(",") if word.strip())[:10]
    counts: Counter[str] = Counter()
    for folder in _json(metadata.get("ss_tag_frequency")).values():
        if isinstance(folder, dict):
            for tag, count in folder.items():
                counts[tag.strip()] += count if isinstance(count, int) else 0
    return tuple(printable(tag) for tag, _ in counts.most_common(10))


def _json(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
