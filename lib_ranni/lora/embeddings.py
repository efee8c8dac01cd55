"""Embeddings of pivotal tuning: the tokens that a LoRA was trained with, for the host's embeddings folder."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from lib_ranni.lora.reading import Lora
from lib_ranni.lora.writing import embedding_tensors


def embedding_files(lora: Lora, name: str) -> dict[str, dict[str, Tensor]]:
    """File names without ending -> tensors. The name is the word to write in the prompt.

    Tokens that are numbered, as `<s0><s1>`, make one embedding of several vectors, as they were used.
    """
    found: dict[str, dict[str, Tensor]] = {}
    numbered = sorted(
        (int(match[1]), parts)
        for token, parts in lora.embeddings.items()
        if (match := re.fullmatch(r"s(\d{1,4})", token))
    )
    if numbered:
        rows = [next(iter(parts.values())) for _, parts in numbered]
        found[f"{name}_emb"] = embedding_tensors(
            name, {"emb_params": torch.cat([_rows(row) for row in rows])}
        )
    for token, parts in lora.embeddings.items():
        if re.fullmatch(r"s\d{1,4}", token):
            continue
        word = f"{name}_{safe_name(token)}" if token else f"{name}_emb"
        found[word] = embedding_tensors(token or name, parts)
    return found


def bundled_tensors(loras: Mapping[str, Lora]) -> dict[str, Tensor]:
    """Embeddings in the host's own form, which stay in the file; the first of a name counts."""
    found: dict[str, Tensor] = {}
    for lora in loras.values():
        names = {key.split(".")[1] for key in found}
        found |= {key: value for key, value in lora.bundled.items() if key.split(".")[1] not in names}
    return found


def safe_name(token: str) -> str:
    """A token as part of a file name."""
    return re.sub(r"[^\w-]+", "_", token).strip("_") or "token"


def _rows(tensor: Tensor) -> Tensor:
    return tensor if tensor.ndim > 1 else tensor[None]
