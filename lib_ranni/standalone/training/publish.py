"""Turning a training run into the folder that is shipped: one file, and what hosts need beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from lib_ranni.errors import ModelError
from lib_ranni.evaluation.captions import caption
from lib_ranni.evaluation.scenes import random_scene
from lib_ranni.guidance.panel_control import PREFIX
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import (
    BETA_END,
    BETA_START,
    TIMESTEPS,
    ldm_config,
    make_autoencoder,
    text_config,
)
from lib_ranni.standalone.training.control import trained_control
from lib_ranni.standalone.training.denoiser import Denoiser
from lib_ranni.standalone.training.export import ldm_tensors, with_unknown_embedding
from lib_ranni.standalone.training.tokens import UNKNOWN_WORD, CaptionTokens

WEBUI_TOKENIZER = "models/Stable-diffusion/shapes/tokenizer"
"""Where the WebUI, run from its folder, finds the tokenizer of a `shapes` folder among its checkpoints."""


def _seen_tokens(tokenizer: CLIPTokenizer, captions: int = 20_000) -> CaptionTokens:
    """A tokenizer that has met the words of the training captions."""
    tokens, rng = CaptionTokens(tokenizer), Random(0)
    tokens([caption(random_scene(rng), rng) for _ in range(captions)])
    tokens([UNKNOWN_WORD])
    return tokens


def publish(run: Path, folder: Path, tokenizer_folder: Path) -> Path:
    """Write the averaged weights of the run, and a tokenizer, to `folder`; return the checkpoint file.

    Raises `ModelError` if the run has no denoiser yet.
    """
    cpu = torch.device("cpu")
    state = checkpointing.load(run / "denoiser.pt", cpu)
    autoencoder = checkpointing.load(run / "autoencoder.pt", cpu)
    if state is None or autoencoder is None:
        raise ModelError(f"{run} holds no trained denoiser yet; let the training run first")
    tokenizer = CLIPTokenizer.from_pretrained(tokenizer_folder)
    if tokenizer_folder.resolve() != (folder / "tokenizer").resolve():
        shutil.copytree(tokenizer_folder, folder / "tokenizer", dirs_exist_ok=True)
        if (defaults := tokenizer_folder.parent / "defaults.json").exists():
            shutil.copy(defaults, folder)
    tokens = _seen_tokens(tokenizer)
    unknown = tokenizer(UNKNOWN_WORD, add_special_tokens=False)["input_ids"][0]
    model, vae = Denoiser(tokenizer), make_autoencoder()
    model.load_state_dict(state["ema"])
    model.text.load_state_dict(with_unknown_embedding(model.text.state_dict(), tokens.seen, unknown))
    vae.load_state_dict(autoencoder["model"])
    file = folder / "shapes.safetensors"
    tensors = ldm_tensors(model.unet.state_dict(), vae.state_dict(), model.text.state_dict())
    save_file(tensors, str(file), metadata={"format": "pt", "steps": str(state["step"])})
    scale = float(state["scale"])
    OmegaConf.save(OmegaConf.create(ldm_config(scale, WEBUI_TOKENIZER)), str(folder / "shapes.yaml"))
    vae.register_to_config(scaling_factor=scale)
    _write_configs(model, vae, tokenizer, folder)
    return file


def publish_control(run: Path, folder: Path) -> Path:
    """Put the averaged panel conditioner of a run into the checkpoint in `folder` it was trained for.

    That of the second stage where there is one.

    Returns the checkpoint file. Raises `ModelError` if the run has no conditioner or the folder no file.
    """
    state = trained_control(run, torch.device("cpu"))
    file = folder / "shapes.safetensors"
    if not file.exists():
        raise ModelError(f"there is no {file} that the panel conditioner could go into")
    tensors = {name: value for name, value in load_file(str(file)).items() if not name.startswith(PREFIX)}
    palettes = checkpointing.load(run / "palettes.pt", torch.device("cpu"))
    steps = {"control_steps": str(state["step"])}
    if palettes is not None:
        steps["palette_steps"] = str(palettes["step"])
        state = palettes
    own = {PREFIX + name: value.to(torch.float16).contiguous() for name, value in state["ema"].items()}
    with safe_open(str(file), "pt") as before:
        metadata = dict(before.metadata() or {"format": "pt"}) | steps
    partial = file.with_suffix(".partial")
    save_file(tensors | own, str(partial), metadata=metadata)
    partial.replace(file)
    return file


def _write_configs(model: Denoiser, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """The diffusers configuration files, without weights: those are in the one checkpoint file."""
    scheduler = DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=BETA_START,
        beta_end=BETA_END,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    index = {
        "_class_name": StableDiffusionPipeline.__name__,
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    unet: Any = model.unet
    unet.save_config(folder / "unet")
    vae.save_config(folder / "vae")
    scheduler.save_config(folder / "scheduler")
    config = text_config(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    config.architectures = ["CLIPTextModel"]
    # The WebUI builds its text encoder from the folder its tokenizer is in, diffusers from text_encoder/.
    for place in (folder / "text_encoder", folder / "tokenizer"):
        config.save_pretrained(place)
