"""Loading: the shipped folder and file, small SD and XL folders, and what is said about everything else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lib_ranni.errors import InputError, ModelError
from lib_ranni.panel import edits
from lib_ranni.panel.types import Box, Element, Panel, Provenance
from lib_ranni.standalone.checkpoint import (
    SHAPES,
    Checkpoint,
    Defaults,
    _kind_of,
    load_checkpoint,
    predicted_kind,
)
from lib_ranni.standalone.engine import _noise
from tests.standalone.drawing import LEFT, Recorder, element, request

FILE = SHAPES / "shapes.safetensors"


def _refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_checkpoint(path, "cpu")
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_the_shipped_folder(checkpoint: Checkpoint) -> None:
    assert (checkpoint.kind, checkpoint.device.type, checkpoint.dtype) == ("sd1", "cpu", torch.float32)
    assert checkpoint.scheduler["prediction_type"] == "v_prediction"
    assert checkpoint.defaults == Defaults(**json.loads((SHAPES / "defaults.json").read_text("utf-8")))
    assert checkpoint.defaults.size == 128
    assert not any(parameter.requires_grad for parameter in checkpoint.unet.parameters())
    assert not checkpoint.unet.training


def test_the_shipped_file_is_the_same_model(
    checkpoint: Checkpoint, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(SHAPES.parent)
    alone = load_checkpoint(Path("shapes/shapes.safetensors"), "cpu")
    assert alone.defaults == checkpoint.defaults
    assert alone.scheduler["prediction_type"] == "v_prediction"
    assert torch.equal(Recorder(alone).latents_of(request()), recorder.latents_of(request()))


@pytest.mark.parametrize("with_yaml", [False, True])
def test_a_lone_file_is_built_from_its_familys_configs(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_yaml: bool
) -> None:
    from lib_ranni.standalone import checkpoint as module

    skipped = shutil.ignore_patterns("*.safetensors", "*.yaml", "defaults.json", "tokenizer")
    shutil.copytree(SHAPES, tmp_path / "configs" / "sd1", ignore=skipped)
    monkeypatch.setattr(module, "CONFIGS", tmp_path / "configs")
    file = tmp_path / "models" / "mine.safetensors"
    file.parent.mkdir()
    file.hardlink_to(FILE)
    (file.parent / "defaults.json").write_text('{"steps": 3}', encoding="utf-8")
    if with_yaml:
        shutil.copy(SHAPES / "shapes.yaml", file.with_suffix(".yaml"))
    loaded = load_checkpoint(file, "cpu")
    assert loaded.scheduler["prediction_type"] == "v_prediction"
    assert loaded.defaults.steps == Defaults().steps, (
        "a folder of loose files has no defaults for all of them"
    )
    made = request(sampler="euler")
    assert torch.allclose(Recorder(loaded).latents_of(made), recorder.latents_of(made), atol=1e-3)


def test_its_text_encoder_has_a_mean_the_webui_can_divide_by(checkpoint: Checkpoint) -> None:
    for prompt in ("", "a red circle", "three blue squares on a white background"):
        context = checkpoint.encoder.encode(prompt).context
        assert abs(float(context.mean())) > 0.02 * float(context.std())


def test_paths_without_a_checkpoint(tmp_path: Path) -> None:
    assert "no checkpoint" in _refused(tmp_path / "none.safetensors")
    assert "model_index.json" in _refused(tmp_path)
    (tmp_path / "empty.safetensors").touch()
    assert "not a whole" in _refused(tmp_path / "empty.safetensors")
    (tmp_path / "empty.ckpt").touch()
    assert "safetensors" in _refused(tmp_path / "empty.ckpt")
    (tmp_path / "text.safetensors").write_text("a red circle " * 100, encoding="utf-8")
    assert "not a whole" in _refused(tmp_path / "text.safetensors")
    (tmp_path / "text.ckpt").write_text("a red circle " * 100, encoding="utf-8")
    assert "loaded safely" in _refused(tmp_path / "text.ckpt")


def test_a_truncated_file(tmp_path: Path) -> None:
    data = FILE.read_bytes()
    for length in (5, 1000, len(data) // 2):
        (tmp_path / "cut.safetensors").write_bytes(data[:length])
        assert "not a whole" in _refused(tmp_path / "cut.safetensors")


def test_a_truncated_file_in_a_whole_folder(tmp_path: Path) -> None:
    shutil.copytree(SHAPES, tmp_path / "shapes", ignore=shutil.ignore_patterns("*.safetensors"))
    cut = tmp_path / "shapes" / "shapes.safetensors"
    cut.write_bytes(FILE.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"shapes\.safetensors is not a whole"):
        load_checkpoint(tmp_path / "shapes", "cpu")


def test_foreign_tensors(tmp_path: Path) -> None:
    save_file({"lora_unet.weight": torch.zeros(2)}, str(tmp_path / "lora.safetensors"))
    assert "text encoder is unknown" in _refused(tmp_path / "lora.safetensors")
    torch.save({"state_dict": {"a": torch.zeros(2)}}, tmp_path / "a.ckpt")
    assert "text encoder is unknown" in _refused(tmp_path / "a.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    assert "text encoder is unknown" in _refused(tmp_path / "list.ckpt")


def test_a_checkpoint_without_its_unet(tmp_path: Path) -> None:
    key = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    save_file({key: torch.zeros(8, 4)}, str(tmp_path / "half.safetensors"))
    assert "must hold" in _refused(tmp_path / "half.safetensors")


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    assert "loaded safely" in _refused(tmp_path / "evil.ckpt")
    assert not (tmp_path / "owned").exists()


def test_damaged_defaults(tmp_path: Path, sd_folder: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "sd")
    (folder / "defaults.json").write_text('{"steps": "many"}', encoding="utf-8")
    with pytest.raises(ModelError, match="steps"):
        load_checkpoint(folder, "cpu")


def test_a_damaged_folder(tmp_path: Path, sd_folder: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "sd")
    (folder / "unet" / "config.json").write_text("{", encoding="utf-8")
    assert "cannot be loaded" in _refused(folder)
    (folder / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}', encoding="utf-8")
    _refused(folder)


def test_an_inpainting_model(tmp_path: Path, sd_folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    folder = shutil.copytree(sd_folder, tmp_path / "sd")
    config = json.loads((folder / "unet" / "config.json").read_text("utf-8"))
    wide = UNet2DConditionModel.from_config({**config, "in_channels": 9})
    shutil.rmtree(folder / "unet")
    wide.save_pretrained(str(folder / "unet"))
    assert "9 channels" in _refused(folder)


@pytest.mark.parametrize("device", ["nope", "cuda:99", "mps:3"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(InputError, match=device):
        load_checkpoint(None, device)


def test_the_family_of_a_file_is_told_by_its_text_encoder() -> None:
    sd1 = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    sd2 = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"
    xl = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight"
    assert [_kind_of(Path("x"), {name, "other"}) for name in (sd1, sd2, xl)] == ["sd1", "sd2", "sdxl"]


class _Answer(nn.Module):
    """A UNet that predicts perfectly for a picture of zeros: its noise, or v."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.config = SimpleNamespace(in_channels=4)
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor) -> Any:
        clean = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        return SimpleNamespace(sample=self.share * x - (1 - self.share**2).sqrt() * clean)


def test_what_a_unet_predicts_is_told_by_its_answer(checkpoint: Checkpoint) -> None:
    assert predicted_kind(_Answer(1.0), 8) == "epsilon"
    assert predicted_kind(_Answer(0.07), 8) == "v_prediction"
    assert predicted_kind(checkpoint.unet, 64) == "v_prediction"


def _ddim_of(pipeline: Any) -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_config(pipeline.scheduler.config)


def _theirs(pipeline: Any, made: Any, **texts: Any) -> Tensor:
    """The final latents of diffusers' own pipeline, from the same noise."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = _ddim_of(pipeline)
    noise = _noise(made, 0, torch.Generator("cpu").manual_seed(made.seed))
    out = pipeline(
        prompt=made.prompt,
        num_inference_steps=made.steps,
        guidance_scale=made.cfg,
        latents=noise[None],
        height=made.height,
        width=made.width,
        output_type="latent",
        **texts,
    )
    latents: Tensor = out.images
    return latents


@pytest.mark.parametrize("family", ["sd", "xl"])
@pytest.mark.parametrize("negative", ["", "a blue square"])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_plain_is_what_diffusers_draws(
    sd_folder: Path, xl_folder: Path, family: str, negative: str, size: tuple[int, int]
) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    width, height = size
    asked = {"prompt": "a red circle", "negative": negative, "cfg": 5.0, "width": width, "height": height}
    made = request(Panel(), mode="plain", **asked)
    if family == "sd":
        pipeline = StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    else:
        pipeline = StableDiffusionXLPipeline.from_pretrained(xl_folder, add_watermarker=False)
    ours = Recorder(load_checkpoint(sd_folder if family == "sd" else xl_folder, "cpu")).latents_of(made)
    # XL's pipeline zeroes the negative text only where there is none at all.
    theirs = _theirs(pipeline, made, negative_prompt=negative or (None if family == "xl" else ""))
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["sd", "xl"])
def test_small_folders_draw_in_all_modes(sd_folder: Path, xl_folder: Path, family: str) -> None:
    loaded = load_checkpoint(sd_folder if family == "sd" else xl_folder, "cpu")
    assert (loaded.kind, loaded.defaults.size) == ("sd1" if family == "sd" else "sdxl", 64)
    recorder, text = Recorder(loaded), "a red circle"
    panel = Panel(base=text, elements=(element(1, text, LEFT),))
    plain = recorder.latents_of(request(panel, mode="plain", prompt=text))
    assert bool(plain.isfinite().all())
    other = Panel(
        base=text, elements=(element(1, "(a blue square:1.4) " + "far " * 80, LEFT, negative="red"),)
    )
    for mode in ("attention", "latent"):
        same = recorder.latents_of(request(panel, mode=mode, base_ratio=0.5))
        assert torch.allclose(same, plain, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(recorder.latents_of(request(other, mode=mode)), plain, atol=1e-3)


def test_a_panel_without_surroundings_gets_the_checkpoints_or_its_own_words() -> None:
    item = Element(id="e1", description="red circle", box=Box(0, 0, 0.5, 0.5))
    planned = Panel(elements=(item,), provenance=Provenance(prompt="a red circle"))
    assert Defaults(base="plain background").grounded(planned).base == "plain background"
    assert Defaults().grounded(planned).base == "a red circle"
    assert Defaults().grounded(edits.replace(planned, "e1", "blue square")).base == "blue square"
    assert Defaults(base="plain background").grounded(Panel(base="gray", elements=(item,))).base == "gray"
    assert Defaults(base="plain background").grounded(Panel()) == Panel()
