"""LoRA files of every layout as one thing: modules and their changes, embeddings, and what is neither."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ranni.errors import LoraError
from lib_ranni.lora import diffsynth
from lib_ranni.lora.containers import Contents, check_numbers, printable, read_contents
from lib_ranni.lora.deltas import Delta, fault_of, kind_of
from lib_ranni.lora.families import Evidence, family_of
from lib_ranni.lora.layout import Family, Target, from_ldm
from lib_ranni.lora.spelling import Format, Spelled, spell

_WEIGHTS = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin")
_CONFIG = "adapter_config.json"
_LOOSE = ("alpha", "scale", "on_input")
"""Parts that are one number, of any type."""

_TRANSFORMER = "it changes a transformer (Flux, SD 3, PixArt, ...); the host's SD 1, 2 and XL have none"
_OTHERS = (
    ("model.diffusion_model.", "it is a whole checkpoint; put it into models/Stable-diffusion"),
    ("first_stage_model.", "it is a VAE; put it into models/VAE"),
    ("decoder.", "it is a VAE; put it into models/VAE"),
    ("control_model.", "it is a ControlNet"),
    ("controlnet_", "it is a ControlNet"),
    ("double_blocks.", "it is a Flux checkpoint"),
    ("lora_transformer_", _TRANSFORMER),
    ("transformer.", _TRANSFORMER),
    ("down_blocks.", "it is a whole UNet of diffusers"),
    ("model.layers.", "it belongs to a language model"),
    ("base_model.model.model.layers.", "it belongs to a language model"),
)
"""What files are that hold no LoRA for us, by the beginning of a key."""


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA file, understood.

    `family` is None where neither names nor shapes tell. `unmatched` are keys that are no part of a change,
    `faults` what is wrong with the modules left out. `alpha_from` says where the scale comes from: `keys`,
    `config`, `metadata`, `given`, or `none` where the file leaves it open.
    """

    contents: Contents
    format: Format
    family: Family | None
    modules: Mapping[Target, Delta]
    keys: Mapping[Target, tuple[str, ...]]
    alpha_from: str
    evidence: Evidence
    embeddings: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    bundled: Mapping[str, Tensor] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The file."""
        return self.contents.path

    @property
    def name(self) -> str:
        """What to call it: the file's name, or the folder's where the file has a common one."""
        return self.path.parent.name if self.path.name in _WEIGHTS else self.path.stem


def read_lora(path: Path, *, alpha: float | None = None, family: Family | None = None) -> Lora:
    """Read a LoRA file, or a folder of PEFT or diffusers with one.

    `alpha` stands in where the file does not tell it, `family` where names and shapes do not. Raises
    `LoraError` for what is damaged or no LoRA, saying what it is.
    """
    file = path
    if path.is_dir():
        file = next((path / name for name in _WEIGHTS if (path / name).is_file()), path / _WEIGHTS[0])
        if not file.is_file():
            raise LoraError(f"{path} has no {' or '.join(_WEIGHTS)}; give the LoRA's file")
    contents = read_contents(file)
    spelled = {key: spell(key) for key in contents.tensors}
    found = {key: value for key, value in spelled.items() if value is not None}
    rest = {key: contents.tensors[key] for key, value in spelled.items() if value is None}
    embeddings, bundled, unmatched = _embeddings(rest)
    if not found and not embeddings and not bundled:
        raise LoraError(f"{file} is no LoRA: {_what(contents)}")
    for key in (*found, *_keys_of(embeddings, bundled, rest)):
        if key not in found or found[key].part not in _LOOSE:
            check_numbers(file, key, contents.tensors[key])
    evidence = family_of(found, contents)
    family = family or evidence.family
    config = _config(file)
    return _assemble(contents, found, family, evidence, config, alpha, (embeddings, bundled, unmatched))


def _assemble(
    contents: Contents,
    found: Mapping[str, Spelled],
    family: Family | None,
    evidence: Evidence,
    config: Mapping[str, Any],
    alpha: float | None,
    rest: tuple[Mapping[str, Mapping[str, Tensor]], Mapping[str, Tensor], list[str]],
) -> Lora:
    embeddings, bundled, unmatched = rest
    grouped: dict[Target, dict[str, str]] = {}
    dotted: dict[Target, str] = {}
    clashes: list[str] = []
    for key, value in found.items():
        target = _target(value, family)
        if value.part in grouped.setdefault(target, {}):
            clashes.append(key)
            continue
        grouped[target][value.part] = key
        dotted[target] = value.dotted
    scales = _Scales(contents.metadata, config, alpha)
    modules: dict[Target, Delta] = {}
    faults = [f"{printable(key)} says again what another key says" for key in clashes]
    for target, keys in grouped.items():
        parts = {part: contents.tensors[key] for part, key in keys.items()}
        delta = _delta(parts, scales, dotted[target])
        if isinstance(delta, str):
            faults.append(f"{printable(next(iter(keys.values())))}: {delta}")
            unmatched += keys.values()
        else:
            modules[target] = delta
    order = Counter(value.format for value in found.values())
    return Lora(
        contents,
        order.most_common(1)[0][0] if order else "kohya",
        family,
        modules,
        {target: tuple(grouped[target].values()) for target in modules},
        scales.source,
        evidence,
        embeddings,
        bundled,
        tuple(unmatched),
        tuple(faults),
    )


def _target(value: Spelled, family: Family | None) -> Target:
    name = value.name
    if value.component == "unet":
        if value.format == "diffsynth":
            name = (diffsynth.to_diffusers(name, family) if family else None) or name
        elif family:
            name = from_ldm(family).get(name, name)
    return Target(value.component, name)


class _Scales:
    """Where each module's alpha is to be found, and where the first one was."""

    def __init__(self, metadata: Mapping[str, str], config: Mapping[str, Any], given: float | None) -> None:
        self.source = "none"
        self._given = given
        self._config = config or _adapter_metadata(metadata)
        self._stated = None if config else _number(metadata.get("ss_network_alpha"))

    def alpha(self, key: Tensor | None, dotted: str, rank: int | None) -> float | None:
        if key is not None:
            self.source = "keys"
            return float(key.flatten()[0])
        if self._config:
            self._note("config")
            return self._configured(dotted, rank)
        if self._given is not None:
            self._note("given")
            return self._given
        if self._stated is not None:
            self._note("metadata")
        return self._stated

    def _note(self, source: str) -> None:
        if self.source == "none":
            self.source = source

    def _configured(self, dotted: str, rank: int | None) -> float | None:
        for pattern, value in (self._config.get("alpha_pattern") or {}).items():
            if f".{dotted}".endswith(f".{pattern.lstrip('^.')}"):
                alpha = _number(value)
                break
        else:
            alpha = _number(self._config.get("lora_alpha", self._config.get("alpha")))
        if alpha is None:
            raise LoraError(f"{_CONFIG} does not tell lora_alpha; mend it, or take it away and give --alpha")
        return alpha * math.sqrt(rank) if self._config.get("use_rslora") and rank else alpha


def _delta(parts: dict[str, Tensor], scales: _Scales, dotted: str) -> Delta | str:
    """The change that a module's parts make, or what is wrong with them."""
    alpha, scale = parts.pop("alpha", None), parts.pop("scale", None)
    column, rows = parts.pop("dora_scale", None), parts.pop("magnitude", None)
    kind = kind_of(parts)
    if kind is None:
        return f"it has only {', '.join(sorted(parts)) or 'alpha'}, which makes no change"
    if "ia3_l" in parts:
        # PEFT multiplies by the factors, the host adds W times them.
        factors = parts.pop("ia3_l")
        on_input = factors.ndim > 1 and factors.shape[0] == 1 and factors.shape[1] > 1
        parts |= {"weight": factors.flatten() - 1, "on_input": torch.tensor(on_input)}
    bare = Delta(kind, parts)
    if fault := fault_of(bare):
        return fault
    for part in (alpha, scale):
        if part is not None and part.numel() != 1:
            return f"its alpha has {part.numel()} numbers"
    value = None
    if kind in ("lora", "loha", "lokr", "glora", "oft") and bare.rank != 0:
        value = scales.alpha(alpha, dotted, bare.rank) if kind != "oft" else None
    if kind == "oft" and alpha is not None:
        value = float(alpha.flatten()[0])
    factor = float(scale.flatten()[0]) if scale is not None else None
    magnitude = rows if rows is not None else column
    if magnitude is None:
        return Delta(kind, parts, value, factor)
    if magnitude.ndim < 1:
        return "its magnitude is one number"
    by_input = rows is None and magnitude.shape[0] == 1 and magnitude.numel() > 1
    shape = bare.shape()
    if shape and magnitude.numel() != shape[1 if by_input else 0]:
        return f"its magnitude has {magnitude.numel()} numbers for a weight of {shape}"
    return Delta(kind, parts, value, factor, magnitude.flatten(), "in" if by_input else "out")


def _embeddings(
    rest: Mapping[str, Tensor],
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor], list[str]]:
    """(embeddings of pivotal tuning by encoder, those in the host's own form, keys that are neither)."""
    found: dict[str, dict[str, Tensor]] = {}
    bundled: dict[str, Tensor] = {}
    unmatched: list[str] = []
    encoders = {
        "clip_l": "clip_l",
        "text_encoders_0": "clip_l",
        "clip_g": "clip_g",
        "text_encoders_1": "clip_g",
    }
    for key, tensor in rest.items():
        if key.startswith("bundle_emb.") and key.count(".") >= 2:
            bundled[key] = tensor
        elif key in encoders or key == "emb_params":
            found.setdefault("", {})[encoders.get(key, key)] = tensor
        elif re.fullmatch(r"<[^<>]{1,64}>", key) and tensor.ndim in (1, 2):
            found.setdefault(key.strip("<>"), {})["emb_params"] = tensor
        elif key.startswith("string_to_param."):
            found.setdefault("", {})["emb_params"] = tensor
        else:
            unmatched.append(key)
    return found, bundled, unmatched


def _keys_of(
    embeddings: Mapping[str, Any], bundled: Mapping[str, Tensor], rest: Mapping[str, Tensor]
) -> Iterable[str]:
    known = {id(tensor) for group in embeddings.values() for tensor in group.values()}
    return (key for key, tensor in rest.items() if key in bundled or id(tensor) in known)


def _config(file: Path) -> Mapping[str, Any]:
    """The settings of PEFT beside its file; empty where there are none."""
    path = file.with_name(_CONFIG)
    if not file.name.startswith("adapter_model.") or not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        patterns = values.get("alpha_pattern") or {}
        if not isinstance(patterns, dict) or not all(re.fullmatch(r"\^?[\w.]+", name) for name in patterns):
            raise ValueError("alpha_pattern holds what is no module's name")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise LoraError(
            f"{path} cannot be followed ({error}); mend it, or take it away and give --alpha"
        ) from error
    found: Mapping[str, Any] = values
    return found


def _adapter_metadata(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """The settings that newer diffusers write into the file itself."""
    try:
        values = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        str(name).removeprefix("unet."): value
        for name, value in values.items()
        if not str(name).startswith("text_encoder")
    }


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _what(contents: Contents) -> str:
    """What a file is that holds no change of a module we know."""
    keys = list(contents.tensors)
    if not keys:
        beside = ", ".join(map(printable, contents.left_out[:3]))
        return "it holds no tensors" + (f", only {beside}" if beside else "")
    for start, what in _OTHERS:
        if any(key.startswith(start) for key in keys):
            return what
    return f"none of its {len(keys)} keys is a LoRA's, the first is {printable(keys[0])}"
