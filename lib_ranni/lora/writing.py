"""LoRA files for the host: safetensors, with metadata that tell the base model and the sources."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni import __version__
from lib_ranni.errors import LoraError
from lib_ranni.lora.containers import sha256
from lib_ranni.lora.deltas import Delta
from lib_ranni.lora.layout import PLANS, Family, Kin, Target
from lib_ranni.lora.reading import Lora

_BASES: Mapping[Kin, str] = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
_STALE = ("sshs_", "ss_network_", "lora_adapter_metadata", "format")
"""Beginnings of metadata that would be wrong in another file."""


def metadata_for(
    modules: Mapping[Target, Delta], family: Family | None, sources: Mapping[str, Lora], name: str
) -> dict[str, str]:
    """Metadata as trainers write them and the host reads them, with the sources' names and hashes.

    With one source, its own metadata are kept where they still hold. `sources` are keyed by their weights
    in words, as `1` or `0.7 (up0.1=1)`.
    """
    kept: dict[str, str] = {}
    loras = list(sources.items())
    if len(loras) == 1:
        old = loras[0][1].contents.metadata
        kept = {key: value for key, value in old.items() if not key.startswith(_STALE)}
    ranks = {delta.rank for delta in modules.values() if delta.rank}
    alphas = {delta.strength * delta.rank for delta in modules.values() if delta.rank}
    kinds = {delta.kind for delta in modules.values()}
    found = kept | {
        "ss_output_name": name,
        "ss_network_module": "networks.lora" if kinds <= {"lora"} else "lycoris.kohya",
        "ss_network_dim": _one_of(ranks),
        "ss_network_alpha": _one_of(alphas),
        "converted_by": f"lib-ranni {__version__}",
        "source_name": "; ".join(lora.path.name for _, lora in loras),
        "source_format": "; ".join(lora.format for _, lora in loras),
        "source_sha256": "; ".join(sha256(lora.path) for _, lora in loras),
    }
    if len(loras) > 1:
        found["source_weights"] = "; ".join(weight for weight, _ in loras)
    if family:
        kin = PLANS[family].kin
        # The host takes a file with metadata but without these for one of SD 1.
        found |= {"ss_base_model_version": _BASES[kin], "ss_v2": str(kin == "sd2")}
    return found


def _one_of(values: set[int] | set[float]) -> str:
    return f"{next(iter(values)):g}" if len(values) == 1 else "Dynamic"


def write(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, replace: bool = False
) -> None:
    """Write a safetensors file whole or not at all, with the hash that the host shows for it.

    Raises `LoraError` where a file is and `replace` is not set.
    """
    if path.exists() and not replace:
        raise LoraError(f"{path} is there already; give another name, or --replace")
    if path.suffix != ".safetensors":
        raise LoraError(f"{path} must end in .safetensors, or the WebUI does not take it for what it is")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, place = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    os.close(handle)
    draft = Path(place)
    try:
        held = {
            name: tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }
        # The hash is of the numbers alone; they lie in the same order whatever the header says.
        save_file(held, draft, dict(metadata))
        save_file(held, draft, {**metadata, "sshs_model_hash": sha256(draft, skip_header=True)})
        draft.chmod(0o644)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def embedding_tensors(name: str, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An embedding for the host's embeddings folder: both encoders for SDXL, one tensor for SD 1 and 2.

    Raises `LoraError` for SDXL's second encoder alone, which the host cannot load.
    """
    rows = {encoder: tensor if tensor.ndim > 1 else tensor[None] for encoder, tensor in parts.items()}
    if "clip_g" in rows and "clip_l" not in rows:
        raise LoraError(
            f"the embedding {name} has vectors for one text encoder of SDXL only; the WebUI needs both"
        )
    if "clip_g" in rows and len(rows["clip_g"]) != len(rows["clip_l"]):
        raise LoraError(f"the embedding {name} has different numbers of vectors for both text encoders")
    if "clip_g" in rows:
        return {encoder: rows[encoder].to(torch.float32) for encoder in ("clip_l", "clip_g")}
    return {"emb_params": torch.cat(list(rows.values())).to(torch.float32)}
