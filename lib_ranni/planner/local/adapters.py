"""LoRA files of a language model, as Ranni's: read in every layout, applied without touching the weights.

An adapted projection computes `W x + scale * B (A x)`, A of shape (rank, in) and B of shape (out, rank). The
second term is added by forward hooks, so that taking an adapter away leaves the bare model, bit for bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lib_ranni.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SCALE = 0.25
"""Ranni's alpha 16 over its rank 64, for files without an adapter_config.json."""

_CONFIG = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_UNREAD = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out")


class Adapter(Struct, frozen=True):
    """A LoRA: module name -> (A, B). One whose B are all zero changes nothing, and has no `pairs`."""

    name: str
    pairs: dict[str, tuple[Any, Any]]
    scale: float


class Fit(Struct, frozen=True):
    """Which modules of a model an adapter belongs to, and which of its own it has no module for."""

    found: dict[str, str]
    missing: tuple[str, ...]

    @property
    def note(self) -> str:
        """What to tell the user; empty when all fits."""
        if not self.missing:
            return ""
        total = len(self.found) + len(self.missing)
        return f"only {len(self.found)} of the {total} modules of this LoRA are in the model"


def read_adapter(path: Path) -> Adapter:
    """The LoRA of a file (.safetensors, .pth, .bin, ...) or of a peft folder.

    Raises `ModelError` for what is missing, damaged, or no LoRA of this kind.
    """
    file = path
    if path.is_dir():
        file = next((path / name for name in _WEIGHTS if (path / name).is_file()), path / _WEIGHTS[0])
    if not file.is_file():
        raise ModelError(f"there is no LoRA at {file}; check the path")
    pairs = _pairs(_tensors(file), file)
    pairs = {name: (a, b) for name, (a, b) in pairs.items() if b.any()}
    return Adapter(file.stem if path == file else path.name, pairs, _scale(file.with_name(_CONFIG)))


def _tensors(file: Path) -> Mapping[str, Tensor]:
    """What belongs to LoRAs in a file; base weights beside it are not kept."""
    import torch

    damaged = f"{file} cannot be read; download it again"
    # Safe unpickling and the host's own check refuse a file in more ways than can be listed.
    try:
        if file.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(file, framework="pt") as opened:
                return _lora_only(opened.keys(), opened.get_tensor)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{damaged} ({type(error).__name__})") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise ModelError(f"{damaged} (it holds no named tensors)")
    named = {key: value for key, value in state.items() if isinstance(key, str) and torch.is_tensor(value)}
    return _lora_only(named, named.__getitem__)


def _lora_only(keys: Iterable[str], get: Callable[[str], Tensor]) -> dict[str, Tensor]:
    keys = list(keys)
    chosen = [key for key in keys if ".lora_A." in key or ".lora_B." in key]
    if not chosen:
        shown = ", ".join(keys[:3]) or "nothing"
        raise ModelError(
            f"there is no LoRA of peft in this file: it holds {shown}, but keys like "
            f"{_PREFIX}model.layers.0.self_attn.q_proj.lora_A.weight are needed"
        )
    return {key: get(key) for key in chosen}


def _pairs(tensors: Mapping[str, Tensor], file: Path) -> dict[str, tuple[Tensor, Tensor]]:
    halves: dict[str, dict[str, Tensor]] = {}
    adapters = set()
    for key, tensor in tensors.items():
        side = "A" if ".lora_A." in key else "B"
        module, _, rest = key.partition(f".lora_{side}.")
        adapters.add(rest.removesuffix("weight").rstrip("."))
        while module.startswith((_PREFIX, "module.")):
            module = module.removeprefix("module.").removeprefix(_PREFIX)
        halves.setdefault(module, {})[side] = tensor
    if len(adapters) > 1:
        names = ", ".join(sorted(adapters))
        raise ModelError(f"{file} holds several LoRAs ({names}); save the one to use in a file of its own")
    for module, sides in halves.items():
        a, b = sides.get("A"), sides.get("B")
        if a is None or b is None or a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
            raise ModelError(f"{file} is incomplete: {module} has no A and B that fit; download it again")
    return {module: (sides["A"], sides["B"]) for module, sides in halves.items()}


def _scale(config: Path) -> float:
    """alpha / rank of an adapter_config.json; `SCALE` where there is none."""
    if not config.is_file():
        return SCALE
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
        alpha, rank = float(values["lora_alpha"]), float(values["r"])
        scale = alpha / (rank**0.5 if values.get("use_rslora") else rank)
        if not math.isfinite(scale):
            raise ValueError(f"a scale of {scale}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"{config} does not tell lora_alpha and r; mend it or take it away") from error
    unread = [name for name in _UNREAD if values.get(name)]
    if unread:
        raise ModelError(f"{config} asks for {', '.join(unread)}, which a plain LoRA has not; use another")
    return scale


def fit(adapter: Adapter, model: Module) -> Fit:
    """Where the adapter belongs. Raises `ModelError` when nothing fits, or the sizes are of another model."""
    modules = dict(model.named_modules())
    found: dict[str, str] = {}
    missing: list[str] = []
    for name, (a, b) in adapter.pairs.items():
        spellings = (name, f"model.{name}", name.removeprefix("model."))
        own = next((spelling for spelling in spellings if spelling in modules), None)
        if own is None:
            missing.append(name)
            continue
        size = getattr(modules[own], "in_features", None), getattr(modules[own], "out_features", None)
        if size != (a.shape[1], len(b)):
            raise ModelError(
                f"{adapter.name} is for another model: its {name} makes {len(b)} values of {a.shape[1]}, "
                f"the model's {size[1]} of {size[0]}; choose the model it was trained on"
            )
        found[name] = own
    if missing and not found:
        linear = [name for name, module in modules.items() if hasattr(module, "in_features")]
        raise ModelError(
            f"{adapter.name} fits nowhere in this model: it is for {', '.join(missing[:3])}, ..., "
            f"the model has {', '.join(linear[:3])}, ...; choose the model it was trained on"
        )
    return Fit(found, tuple(missing))


@contextmanager
def applied(adapter: Adapter | None, model: Module) -> Iterator[Fit]:
    """The model with the adapter in effect; afterwards it is as it was. None is no adapter."""
    if adapter is None or not adapter.pairs:
        yield Fit({}, ())
        return
    places = fit(adapter, model)
    modules = dict(model.named_modules())
    with ExitStack() as stack:
        for name, own in places.found.items():
            hook = modules[own].register_forward_hook(_addition(*adapter.pairs[name], adapter.scale))
            stack.callback(hook.remove)
        yield places


def _addition(a: Tensor, b: Tensor, scale: float) -> Callable[[Module, tuple[Tensor, ...], Tensor], Tensor]:
    """A hook that adds `scale * B (A x)`, computed where and in the precision that x has."""
    from torch.nn.functional import linear

    def add(module: Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        nonlocal a, b
        x = args[0]
        a, b = a.to(x), b.to(x)
        return out + scale * linear(linear(x, a), b).to(out)

    return add
