"""The shipped checkpoint, loaded once, and small pipelines of random weights in diffusers' own layout."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lib_ranni.panel.writing import to_json
from lib_ranni.standalone import cli
from lib_ranni.standalone.checkpoint import TOKENIZER, Checkpoint, load_checkpoint
from tests.standalone.drawing import Recorder, two
from tests.standalone.running import Ran, Run

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return load_checkpoint(device="cpu")


@pytest.fixture
def recorder(checkpoint: Checkpoint) -> Recorder:
    return Recorder(checkpoint)


def _text_model(kind: type, tokenizer: CLIPTokenizer, width: int, seed: int) -> Any:
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return kind(config)


def _vae() -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(3)
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
    )


def _unet(width: int, **changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(4)
    settings: dict[str, Any] = {
        "sample_size": 8,
        "layers_per_block": 1,
        "block_out_channels": (16, 32),
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": width,
        "attention_head_dim": 4,
    }
    return UNet2DConditionModel(**{**settings, **changes})


def _saved(pipeline: Any, folder: Path) -> Path:
    with warnings.catch_warnings():
        # diffusers writes safetensors through calls that newer torch warns about.
        warnings.simplefilter("ignore")
        pipeline.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion 1 pipeline that predicts epsilon."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        unet=_unet(24),
        text_encoder=_text_model(CLIPTextModel, tokenizer, 24, 1),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _saved(pipeline, tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion XL pipeline: two text encoders, pooled text and sizes as further conditions."""
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    clip = CLIPTokenizer.from_pretrained(TOKENIZER)
    padded = CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!")
    unet = _unet(
        40,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24 + 6 * 8,
        use_linear_projection=True,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        unet=unet,
        text_encoder=_text_model(CLIPTextModel, clip, 16, 1),
        text_encoder_2=_text_model(CLIPTextModelWithProjection, padded, 24, 2),
        tokenizer=clip,
        tokenizer_2=padded,
        scheduler=DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    return _saved(pipeline, tmp_path_factory.mktemp("xl"))


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Checkpoint,
    tmp_path: Path,
) -> Run:
    """Runs a command in an empty folder; the shipped checkpoint is loaded only once."""
    from lib_ranni.standalone import checkpoint as module

    real = module.load_checkpoint

    def loaded(path: Path | None = None, device: str | None = None) -> Checkpoint:
        return checkpoint if path is None and device is None else real(path, device)

    monkeypatch.setattr(module, "load_checkpoint", loaded)
    monkeypatch.chdir(tmp_path)

    def command(*words: object, stdin: bytes | None = None) -> Ran:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return command


@pytest.fixture
def panel_file(tmp_path: Path) -> Path:
    path = tmp_path / "panel.json"
    path.write_text(to_json(two()), encoding="utf-8")
    return path
