"""The whole training pipeline, a few steps of it: interrupted and resumed it ends with the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from lib_ranni.evaluation.scenes import random_scene
from lib_ranni.standalone import cli
from lib_ranni.standalone.checkpoint import TOKENIZER, load_checkpoint
from lib_ranni.standalone.training import autoencoder, checkpointing, denoiser, latents, publish, recipes
from lib_ranni.standalone.training.autoencoder import AutoencoderRecipe, reconstruction_error
from lib_ranni.standalone.training.denoiser import DenoiserRecipe
from lib_ranni.standalone.training.noise_levels import ExpectedLoss
from lib_ranni.standalone.training.parts import part_captions
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.recipes import RECIPES, Recipe, train
from tests.standalone.drawing import Recorder, request

pytestmark = pytest.mark.usefixtures("_small")

CPU = torch.device("cpu")
TINY = Recipe(
    AutoencoderRecipe(steps=4, encoder_steps=2, batch=1, save_every=1),
    scenes=64,
    denoiser=DenoiserRecipe(steps=4, batch=4, warmup=2, save_every=2, drop_caption=0.2, unknown_words=0.6),
)


class _Interrupting(Progress):
    """Interrupts the run when a stage has done so many steps."""

    def __init__(self, stage: str, step: int) -> None:
        super().__init__()
        self._where = (stage, step)

    def step(self, stage: str, step: int, steps: int, loss: float) -> None:
        if (stage, step) == self._where:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def _small() -> Any:
    """Shards of 32 scenes, and few captions to learn which words were seen."""
    patch = pytest.MonkeyPatch()
    patch.setattr(latents, "SHARD", 32)
    seen = publish._seen_tokens
    patch.setattr(publish, "_seen_tokens", lambda tokenizer: seen(tokenizer, 200))
    patch.setitem(RECIPES, "cpu", TINY)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def finished(_small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    words = ("train", "--run", str(folder), "--recipe", "cpu", "--threads", "1", "--out", str(folder / "out"))
    assert cli.main(words) == 0
    return folder


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    one = checkpointing.load(folder / "autoencoder.pt", CPU)
    two = checkpointing.load(folder / "denoiser.pt", CPU)
    assert one is not None
    assert two is not None
    assert (one["step"], two["step"]) == (4, 4)
    named = {f"{part}.{name}": value for part in ("model", "ema") for name, value in two[part].items()}
    return {**one["model"], **named}


def test_an_interrupted_run_ends_the_same(finished: Path, tmp_path: Path) -> None:
    for stage, step in (("autoencoder", 2), ("encoding scenes", 2), ("denoiser", 3), ("autoencoder", 4)):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, TOKENIZER, TINY, CPU, _Interrupting(stage, step))
    train(tmp_path, TOKENIZER, TINY, CPU, Progress())
    whole, resumed = _weights(finished), _weights(tmp_path)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_finished_run_has_nothing_left_to_do(finished: Path) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in finished.rglob("*.pt")}
    train(finished, TOKENIZER, TINY, CPU, Progress())
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.pt")} == stamps


def test_the_encoder_rests_while_the_decoder_is_finished(finished: Path, tmp_path: Path) -> None:
    early = Recipe(TINY.autoencoder, 32, DenoiserRecipe(steps=0))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, TOKENIZER, early, CPU, _Interrupting("autoencoder", 3))
    state = checkpointing.load(tmp_path / "autoencoder.pt", CPU)
    assert state is not None
    assert state["step"] == 2
    last = checkpointing.load(finished / "autoencoder.pt", CPU)
    assert last is not None
    changed = {
        name.split(".")[0] for name, v in last["model"].items() if not torch.equal(v, state["model"][name])
    }
    assert changed == {"decoder", "post_quant_conv"}


def test_what_is_published_loads_and_draws(finished: Path) -> None:
    loaded = load_checkpoint(finished / "out", "cpu")
    assert loaded.kind == "sd1"
    assert loaded.defaults == load_checkpoint(None, "cpu").defaults
    ema = checkpointing.load(finished / "denoiser.pt", CPU)
    assert ema is not None
    name = "unet.conv_in.weight"
    assert torch.equal(ema["ema"][name].half().float(), loaded.unet.state_dict()["conv_in.weight"])
    assert bool(Recorder(loaded).latents_of(request(steps=2)).isfinite().all())


def test_progress_is_logged(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text("utf-8").splitlines()]
    assert {row["stage"] for row in rows} == {"autoencoder", "encoding scenes", "denoiser"}
    assert all(row["loss"] >= 0 for row in rows)


def test_the_autoencoder_is_measured(finished: Path) -> None:
    state = checkpointing.load(finished / "autoencoder.pt", CPU)
    assert state is not None
    model = autoencoder.make_autoencoder()
    model.load_state_dict(state["model"])
    assert 0 < reconstruction_error(model.eval(), count=2) < 1


def test_rows_weigh_by_what_their_noise_level_leaves_to_learn() -> None:
    expected = ExpectedLoss()
    timesteps, kinds = torch.tensor([990, 500, 990, 500]), torch.tensor([1, 1, 2, 0])
    assert torch.equal(expected.weights(timesteps, kinds), torch.ones(4))
    for _ in range(1000):
        expected.update(timesteps, kinds, torch.tensor([0.1, 0.05, 0.4, 0.05]))
    weights = expected.weights(timesteps, kinds)
    assert weights / weights[1] == pytest.approx([0.5, 1.0, 0.125, 1.0], rel=0.01)
    assert weights.mean() == pytest.approx(1.0)
    resumed = ExpectedLoss(expected.table.clone())
    assert torch.equal(resumed.weights(timesteps, kinds), weights)


def test_a_part_answers_for_its_own_place_only() -> None:
    rng = Random(3)
    scenes = [random_scene(rng) for _ in range(60)]
    texts, places = part_captions(scenes, rng)
    assert places.shape == (60, 1, 16, 16)
    assert places.min() >= 0
    assert places.max() <= 1
    backgrounds = 0
    for scene, text, place in zip(scenes, texts, places, strict=True):
        named = [item for item in scene.objects if item.shape in text and item.color in text]
        inside = [place[0, int(item.y * 16), int(item.x * 16)] for item in scene.objects]
        if named:
            assert sum(bool(share) for share in inside) == 1
        else:
            assert "background" in text
            assert not any(inside)
            backgrounds += 1
    assert 5 < backgrounds < 30


def test_errors_outside_its_place_do_not_count() -> None:
    generator = torch.Generator().manual_seed(0)
    place = torch.zeros(1, 1, 16, 16)
    place[..., :4, :4] = 1
    clean = torch.randn(1, 4, 16, 16, generator=generator)

    class Blind(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, *_: object) -> torch.Tensor:
            return torch.zeros_like(noisy)

    def mean(clean: torch.Tensor, place: torch.Tensor | None) -> float:
        alphas = denoiser.alphas_cumprod()
        generator = torch.Generator().manual_seed(1)
        ids = torch.zeros(1, 77, dtype=torch.long)
        loss = denoiser._loss(Blind(), clean, ids, alphas, generator, ExpectedLoss(), None, place)  # type: ignore[arg-type]
        return loss[1]

    changed = clean.clone()
    changed[..., 8:, 8:] += 3
    assert mean(clean, place) == mean(changed, place)
    assert mean(clean, None) != mean(changed, None)
    assert mean(clean, place) != mean(clean, None)
    assert mean(clean, torch.zeros_like(place)) == 0


def test_the_schedule_is_stable_diffusions() -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    assert torch.allclose(denoiser.alphas_cumprod(), theirs, rtol=1e-4)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = DenoiserRecipe(steps=100, warmup=10, decay=0.2, learning_rate=1.0)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert set(rates[10:80]) == {1.0}
    assert rates[80:] == sorted(rates[80:], reverse=True)
    assert 0 < rates[-1] < 0.1


def test_there_is_a_recipe_for_cpu_and_gpu() -> None:
    assert set(RECIPES) == {"cpu", "gpu"}
    for recipe in RECIPES.values():
        assert recipe.autoencoder.encoder_steps < recipe.autoencoder.steps
    assert recipes.SCENE_SEED >= 0
