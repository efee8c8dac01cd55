"""Writes a trained small decoder in the layout of TAESD's files, beside the checkpoint it is for."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from lib_ranni.errors import ModelError
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.small_decoder import FOLDER, file_tensors, make_decoder
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.small_decoder import BLOCKS, CHANNELS


def publish_small_decoder(run: Path, checkpoint: Checkpoint, folder: Path | None = None) -> Path:
    """Write the averaged decoder of the run in `run` to `folder`, by default the one beside the checkpoint's.

    Raises `ModelError` if the run has not begun.
    """
    state = checkpointing.load(run / "small_decoder.pt", torch.device("cpu"))
    if state is None:
        raise ModelError(f"{run} holds no decoder yet; let its training run first")
    decoder = make_decoder(CHANNELS, BLOCKS)
    decoder.load_state_dict(state["ema"])
    path = (folder or checkpoint.path.parent / FOLDER) / f"{checkpoint.path.stem}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(file_tensors(decoder), str(path), {"steps": str(state["step"])})
    return path
