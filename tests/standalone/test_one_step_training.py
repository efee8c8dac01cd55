"""Distillation, a few steps of it: what the teacher shows, resuming, and the LoRA that comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch.func import functional_call

from lib_ranni.errors import ModelError
from lib_ranni.panel.types import Lora
from lib_ranni.standalone import cli
from lib_ranni.standalone.checkpoint import Checkpoint, load_checkpoint
from lib_ranni.standalone.few_step import preset_settings
from lib_ranni.standalone.loras import WornLoras, advertised
from lib_ranni.standalone.training import checkpointing, one_step
from lib_ranni.standalone.training.low_rank import LowRank
from lib_ranni.standalone.training.one_step import ONE_STEP, OneStepRecipe, train_one_step
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.publish_one_step import publish_one_step
from lib_ranni.standalone.training.trajectories import LEVELS, Conditions, TeacherRecipe, ways_of

TINY = OneStepRecipe(TeacherRecipe(first=1, reuse=4, rows=2), steps=4, rank=2, warmup=1, save_every=2)


class _Interrupting(Progress):
    """Interrupts the run when so many steps are done."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def step(self, stage: str, step: int, steps: int, loss: float) -> None:
        if step == self._step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def own() -> Checkpoint:
    """A checkpoint for training, which changes how its UNet attends."""
    return load_checkpoint(device="cpu")


@pytest.fixture(scope="module")
def finished(own: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_one_step(folder, own, TINY, Progress())
    return folder


def _state(folder: Path) -> dict[str, Any]:
    state = checkpointing.load(folder / "one_step.pt", torch.device("cpu"))
    assert state is not None
    return state


def test_an_interrupted_run_ends_the_same(own: Checkpoint, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_one_step(tmp_path, own, TINY, _Interrupting(3))
    train_one_step(tmp_path, own, TINY, Progress())
    whole, resumed = _state(finished), _state(tmp_path)
    assert (whole["step"], resumed["step"]) == (4, 4)
    assert all(torch.equal(value, resumed["ema"][name]) for name, value in whole["ema"].items())


def test_it_learns_where_the_ways_end(own: Checkpoint, finished: Path) -> None:
    """Over one pack again and again the distance to the teacher's pictures falls."""
    recipe = TINY.teacher
    conditions = Conditions(own, recipe)
    ways, heard = ways_of(finished, 0, own, conditions, recipe), conditions.of(0).student
    student = LowRank(own.unet, 8)
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        loss = one_step._loss(own.unet, student.weights(), ways, heard, torch.zeros(2, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_ways_lead_from_noise_to_pictures(own: Checkpoint, finished: Path) -> None:
    conditions = Conditions(own, TINY.teacher)
    ways = ways_of(finished, 0, own, conditions, TINY.teacher)
    assert ways.shape == (len(LEVELS) + 1, 2, 4, 16, 16)
    assert float(ways[0].std()) == pytest.approx(1.0, abs=0.1)
    # The nearer to the picture, the more of it is there.
    distances = [float((way - ways[-1]).square().mean()) for way in ways]
    assert distances == sorted(distances, reverse=True)
    told, again = conditions.of(0), Conditions(own, TINY.teacher).of(0)
    assert torch.equal(told.student.context, again.student.context)
    assert torch.equal(told.teacher.regions.context, again.teacher.regions.context)


def test_captions_are_taught_by_their_panels(own: Checkpoint) -> None:
    """The student hears a caption alone, the teacher every row by region."""
    told = Conditions(own, TeacherRecipe(rows=6)).of(1)
    assert len(told.student.context) == len(told.teacher.context) == 6
    assert len(told.student.regions.texts) == 3
    assert len(told.teacher.regions.texts) == 6
    for size, maps in told.teacher.regions.maps.items():
        assert maps.shape == (6, 5, size)
        assert torch.allclose(maps.sum(1), torch.ones(6, size), atol=1e-5)
    assert int(told.teacher.regions.texts.max()) < len(told.teacher.regions.context)
    assert torch.equal(told.student.context[:3], told.teacher.context[:3])
    assert not torch.equal(told.student.context[3:], told.teacher.context[3:])
    shared = told.student.regions
    assert torch.equal(shared.maps[256], told.teacher.regions.maps[256][:3])


def test_the_lora_is_what_was_trained(own: Checkpoint, finished: Path, tmp_path: Path) -> None:
    path = publish_one_step(finished, own, tmp_path)
    state = _state(finished)["ema"]
    student = LowRank(own.unet, TINY.rank)
    student.load_state_dict(state)
    x, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 64)
    with torch.no_grad():
        expected = functional_call(own.unet, student.weights(), (x, 999, context)).sample
        plain = own.unet(x, 999, context).sample
        worn = WornLoras(own.unet)
        worn.wear([Lora(str(path))], own.path)
        found = own.unet(x, 999, context).sample
        worn.wear([], own.path)
    assert not torch.allclose(found, plain, atol=1e-3)
    assert torch.allclose(found, expected, atol=1e-3)


def test_the_lora_says_what_it_is_for(own: Checkpoint, finished: Path, tmp_path: Path) -> None:
    path = publish_one_step(finished, own, tmp_path)
    about = advertised(path)
    assert about.base == "shapes"
    assert "yoso1" in about.presets
    assert about.cfg == 1.0
    with safe_open(str(path), "pt") as file:
        metadata, names = file.metadata(), list(file.keys())
    assert (metadata["ss_network_dim"], metadata["ss_steps"]) == ("2", "4")
    assert len(metadata["ss_sd_model_hash"]) == 10
    assert all(name.startswith("lora_unet_") for name in names)
    with pytest.raises(ModelError, match="no LoRA yet"):
        publish_one_step(tmp_path / "nothing", own, tmp_path)


def test_its_size_allows_to_ship_it(own: Checkpoint) -> None:
    rank = ONE_STEP["cpu"].rank
    numbers = sum(parameter.numel() for parameter in LowRank(own.unet, rank).parameters())
    assert 2 * numbers < 4.9e6


def test_the_command_trains_and_writes(
    own: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lib_ranni.standalone import checkpoint as module
    from lib_ranni.standalone.training import publish_one_step as publishing

    monkeypatch.setitem(ONE_STEP, "cpu", TINY)
    monkeypatch.setattr(module, "load_checkpoint", lambda *_: own)
    monkeypatch.setattr(publishing, "FOLDER", str(tmp_path / "loras"))
    words = ("train", "one-step", "--run", str(tmp_path / "run"), "--recipe", "cpu", "--threads", "1")
    assert cli.main(words) == 0
    written = Path(capsys.readouterr().out.strip())
    assert written == tmp_path / "loras" / "shapes-one-step.safetensors"
    assert written.is_file()


def test_a_preset_finds_the_lora_that_names_it(own: Checkpoint, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    publish_one_step(finished, own, tmp_path / "loras")
    moved = replace(own, path=tmp_path / "shapes")
    settings = preset_settings("yoso1", moved)
    assert settings == {
        "preset": "yoso1",
        "steps": 1,
        "cfg": 1.0,
        "prior": "none",
        "loras": (Lora("shapes-one-step"),),
    }
    assert preset_settings("turbo", moved) == {"preset": "turbo", "steps": 1, "cfg": 1.0, "prior": ""}
