"""Writes a distillation run as a LoRA in kohya's layout, beside the checkpoint it is for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import torch
from safetensors.torch import save_file

from lib_ranni.errors import ModelError
from lib_ranni.sampling.advertised import Advertised
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.loras import FOLDER
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.low_rank import kohya_tensors

NAME = "shapes-one-step"
PRESETS = ("yoso1", "yoso2", "lcm", "tcd", "hyper1", "pcm_lcm")
"""Those whose rules ask a network for the picture itself at the timesteps this one is trained at."""


def publish_one_step(run: Path, checkpoint: Checkpoint, folder: Path | None = None) -> Path:
    """Write the averaged LoRA of the run in `run` to `folder`, by default the one beside the checkpoint's.

    Raises `ModelError` if the run has not begun.
    """
    state = checkpointing.load(run / "one_step.pt", torch.device("cpu"))
    if state is None:
        raise ModelError(f"{run} holds no LoRA yet; let the distillation run first")
    shapes = {name: value.shape for name, value in checkpoint.unet.state_dict().items()}
    tensors = kohya_tensors(state["ema"], shapes)
    rank = next(len(value) for name, value in tensors.items() if name.endswith("lora_down.weight"))
    said = Advertised(checkpoint.path.stem, PRESETS, 1.0, "none")
    metadata = {
        "ranni": msgspec.json.encode(said).decode("utf-8"),
        "ss_output_name": NAME,
        "ss_base_model_version": "sd_v1",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_steps": str(state["step"]),
        "ss_sd_model_hash": _hash(checkpoint.path),
    }
    path = (folder or checkpoint.path.parent / FOLDER) / f"{NAME}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata)
    return path


def _hash(folder: Path) -> str:
    """The WebUI's short hash of the checkpoint file in a folder."""
    files = sorted(folder.glob("*.safetensors"))
    return hashlib.sha256(files[0].read_bytes()).hexdigest()[:10] if len(files) == 1 else ""
