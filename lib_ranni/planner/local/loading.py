"""A model folder of transformers, loaded or refused with a reason.

Older releases read the configuration of a newer model without complaint and then compute something else, so
what they do not know is looked for before.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from lib_ranni.errors import ModelError

if TYPE_CHECKING:
    from torch import device as Device
    from torch import dtype as Dtype

Precision = Literal["auto", "fp16", "bf16", "fp32"]
Quantize = Literal["", "4bit"]

_ELSEWHERE = "choose another model, or serve it (with Ollama, for example) and choose the planner for servers"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab*")


class Loaded(Struct, frozen=True):
    """A causal language model in evaluation mode, with its tokenizer. `movable` tells whether `.to` works."""

    model: Any
    tokenizer: Any
    stops: frozenset[int]
    movable: bool

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    @property
    def limit(self) -> int:
        """How many tokens prompt and reply may have together."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 2**20)


def device_of(name: str) -> Device:
    """`auto` is the GPU where there is one. Raises `ModelError` for a device that is not there."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"there is no device {name!r}; choose auto, cuda or cpu") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"the planner is set to {name}, but PyTorch finds no GPU; choose auto or cpu")
    return device


def load(path: Path, device: Device, dtype: Precision, quantize: Quantize) -> Loaded:
    """The model in a folder, on the CPU; a quantized one on its GPU. No network is used.

    Raises `ModelError` saying what is missing or not supported and what to do.
    """
    settings = _settings(path)
    options: dict[str, Any] = {"torch_dtype": precision(dtype, device, settings)}
    if quantize:
        options |= _four_bits(device)
    with _reasons(path):
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import is_accelerate_available

        _check(path, settings)
        # Without it a model is in memory twice while it is loaded.
        options["low_cpu_mem_usage"] = is_accelerate_available()
        tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        model, info = AutoModelForCausalLM.from_pretrained(
            str(path), local_files_only=True, output_loading_info=True, **options
        )
    # Computed and shared tensors are not stored.
    unstored = ("inv_freq", "lm_head.weight") if model.config.tie_word_embeddings else ("inv_freq",)
    missing = sorted(key for key in info["missing_keys"] if not key.endswith(unstored))
    if missing:
        raise ModelError(f"the model in {path} lacks {', '.join(missing[:3])}; download it completely")
    return Loaded(model.eval(), tokenizer, _stops(model, tokenizer), not quantize)


def precision(name: Precision, device: Device, settings: dict[str, Any]) -> Dtype:
    """`auto` is 32 bits on the CPU; on a GPU bf16 for models made in it, if the GPU has it, else fp16."""
    import torch

    if name != "auto":
        return {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[name]
    if device.type != "cuda":
        return torch.float32
    made = settings.get("torch_dtype", settings.get("dtype"))
    return torch.bfloat16 if made == "bfloat16" and torch.cuda.is_bf16_supported() else torch.float16


def _settings(path: Path) -> dict[str, Any]:
    """The config.json of the folder, which has weights and a tokenizer too."""
    if not path.is_dir():
        raise ModelError(f"there is no folder {path}; download a model in the format of transformers there")
    try:
        settings = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} has no config.json; it takes a folder in the format of transformers, not a GGUF file"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path / 'config.json'} cannot be read; download it again") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path / 'config.json'} is no object; download it again")
    if not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
        raise ModelError(f"{path} has no weights (model.safetensors or pytorch_model.bin); download them")
    if not any(next(path.glob(pattern), None) for pattern in _TOKENIZERS):
        raise ModelError(f"{path} has no tokenizer (tokenizer.json or tokenizer.model); download it too")
    return settings


def _check(path: Path, settings: dict[str, Any]) -> None:
    """Refuse what the installed transformers does not know."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = settings.get("model_type")
    have = f"transformers {transformers.__version__} here"
    if kind not in CONFIG_MAPPING:
        raise ModelError(f"{path.name} is a {kind} model, which {have} does not know; {_ELSEWHERE}")
    known = CONFIG_MAPPING[kind]()
    usual: dict[str, tuple[str, Any]] = {
        "num_key_value_heads": ("grouped-query attention", settings.get("num_attention_heads")),
        "rope_scaling": ("scaled positions", None),
        "rope_theta": ("other rotary positions", 10000.0),
        "rope_parameters": ("other rotary positions", {"rope_theta": 10000.0, "rope_type": "default"}),
        "attention_bias": ("a bias in its attention", False),
    }
    for key, (meaning, value) in usual.items():
        renamed = key.startswith("rope_") and hasattr(known, "rope_parameters")
        if settings.get(key) not in (None, value) and not (hasattr(known, key) or renamed):
            raise ModelError(f"{path.name} has {meaning} ({key}), which {have} does not know; {_ELSEWHERE}")


def _four_bits(device: Device) -> dict[str, Any]:
    import torch

    if device.type != "cuda":
        raise ModelError("4-bit weights need an NVIDIA GPU; choose no quantization on the CPU")
    absent = [name for name in ("bitsandbytes", "accelerate") if not importlib.util.find_spec(name)]
    if absent:
        raise ModelError(f"4-bit weights need {' and '.join(absent)}; install it, or choose no quantization")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float16)
    return {"quantization_config": config, "device_map": {"": device}}


@contextmanager
def _reasons(path: Path) -> Iterator[None]:
    """What transformers raises, which may be anything, as `ModelError`; want of memory goes through."""
    import torch

    try:
        yield
    except (ModelError, ModuleNotFoundError, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0][:200]}"
        raise ModelError(
            f"the model in {path} cannot be loaded ({reason}); download it again; else {_ELSEWHERE}"
        ) from error


def _stops(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a reply, by the tokenizer and by the model's own settings."""
    found: set[int] = set()
    for source in (tokenizer, getattr(model, "generation_config", None), model.config):
        value = getattr(source, "eos_token_id", None)
        found.update(value if isinstance(value, (list, tuple)) else [value] if value is not None else [])
    return frozenset(found)
