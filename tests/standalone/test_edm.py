"""EDM models without a WebUI: folders and single files draw what diffusers' own pipeline draws."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lib_ranni.errors import InputError
from lib_ranni.sampling.edm import LATENT_MEAN, LATENT_STD
from lib_ranni.standalone import checkpoint as module
from lib_ranni.standalone.checkpoint import load_checkpoint
from lib_ranni.standalone.engine import _noise
from lib_ranni.standalone.requests import Request
from tests.standalone.compact import save_pipeline
from tests.standalone.drawing import Recorder, request
from tests.standalone.xl_file import make_xl, xl_tensors

KINDS = ("playground", "cosxl")
COSXL = {"sigma_max": 120.0, "sigma_data": 1.0, "prediction_type": "v_prediction"}


def _marked(kind: str) -> Any:
    """A pipeline of random weights that says it was trained as EDM."""
    if kind == "cosxl":
        return make_xl(diffusers.EDMEulerScheduler(**COSXL, sigma_schedule="exponential"))
    pipeline = make_xl(diffusers.EDMEulerScheduler())
    pipeline.vae.register_to_config(
        latents_mean=list(LATENT_MEAN), latents_std=list(LATENT_STD), scaling_factor=0.5
    )
    return pipeline


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_pipeline(_marked(kind), tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder


@pytest.fixture
def file(folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a single file of a kind; the small networks' configurations are those of its family."""
    skipped = shutil.ignore_patterns("*.safetensors", "tokenizer*")
    configs = shutil.copytree(folders("cosxl"), tmp_path / "configs" / "sdxl", ignore=skipped)
    # A lone file is loaded with its family's ordinary scheduler.
    diffusers.EulerDiscreteScheduler().save_config(str(configs / "scheduler"))
    (configs / "model_index.json").write_text(
        (configs / "model_index.json").read_text("utf-8").replace("EDMEulerSch", "EulerDiscreteSch"), "utf-8"
    )
    monkeypatch.setattr(module, "CONFIGS", tmp_path / "configs")

    def make(kind: str) -> Path:
        marks = {"edm_mean": torch.tensor(LATENT_MEAN), "edm_std": torch.tensor(LATENT_STD)}
        if kind == "cosxl":
            marks = {"edm_vpred.sigma_max": torch.tensor(120.0)}
        path = tmp_path / f"{kind}.safetensors"
        save_file({**xl_tensors(_marked(kind)), **marks}, str(path))
        return path

    return make


def _asked(**fields: Any) -> Request:
    return request(**{"mode": "plain", "prompt": "a red circle", "sampler": "euler", "steps": 6, **fields})


def _theirs(pipeline: Any, made: Request, kind: str = "latent") -> Any:
    pipeline.set_progress_bar_config(disable=True)
    noise = _noise(made, 0, torch.Generator("cpu").manual_seed(made.seed))
    texts = {"prompt": made.prompt, "negative_prompt": made.negative or None}
    return pipeline(
        **texts,
        num_inference_steps=made.steps,
        guidance_scale=made.cfg,
        latents=noise[None],
        height=made.height,
        width=made.width,
        output_type=kind,
    ).images


@pytest.mark.parametrize(
    ("kind", "sampler"), [("playground", "euler"), ("playground", "dpmpp-2m"), ("cosxl", "euler")]
)
def test_a_folder_draws_what_diffusers_draws(folders: Callable[[str], Path], kind: str, sampler: str) -> None:
    recorder = Recorder(load_checkpoint(folders(kind), "cpu"))
    pipeline = _marked(kind)
    if sampler == "dpmpp-2m":
        config = pipeline.scheduler.config
        pipeline.scheduler = diffusers.EDMDPMSolverMultistepScheduler.from_config(config)
    made = _asked(sampler=sampler, negative="a blue square")
    drawn = recorder.generate(made).images[0]
    assert float((recorder.latents - _theirs(pipeline, made)).abs().max()) <= 1e-4
    wanted = np.asarray(_theirs(pipeline, made, "pil")[0], np.int16)
    assert np.abs(np.asarray(drawn, np.int16) - wanted).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_file_is_told_by_its_marks(
    folders: Callable[[str], Path], file: Callable[[str], Path], kind: str
) -> None:
    folder, alone = load_checkpoint(folders(kind), "cpu"), load_checkpoint(file(kind), "cpu")
    assert alone.edm is not None
    numbers = (alone.edm.data, alone.edm.low, alone.edm.high, alone.edm.v_prediction)
    assert numbers == ((1.0, 0.002, 120.0, True) if kind == "cosxl" else (0.5, 0.002, 80.0, False))
    assert alone.edm.mean == pytest.approx(() if kind == "cosxl" else LATENT_MEAN)
    assert alone.scheduler == folder.scheduler
    first, second = Recorder(folder), Recorder(alone)
    made = _asked()
    pictures = [recorder.generate(made).images[0] for recorder in (first, second)]
    assert float((first.latents - second.latents).abs().max()) <= 1e-4
    assert np.abs(np.asarray(pictures[0], np.int16) - np.asarray(pictures[1], np.int16)).max() <= 1


def test_samplers_and_presets_that_do_not_fit_are_refused(folders: Callable[[str], Path]) -> None:
    recorder = Recorder(load_checkpoint(folders("playground"), "cpu"))
    with pytest.raises(InputError, match=r"ddim cannot draw .* choose one of euler"):
        recorder.generate(_asked(sampler="ddim"))
    with pytest.raises(InputError, match="leave the preset out"):
        recorder.generate(_asked(preset="lcm"))
