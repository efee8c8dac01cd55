"""The one-step LoRA's training, a few steps of it: what it learns from, resuming, and the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from torch.func import functional_call

from lib_ranni.errors import ModelError
from lib_ranni.evaluation.captions import caption, place_words
from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS, SHAPES, drawn_bounds
from lib_ranni.evaluation.suite import element_name
from lib_ranni.panel.types import Box, Element, Lora
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.standalone import cli
from lib_ranni.standalone.checkpoint import Checkpoint, load_checkpoint
from lib_ranni.standalone.few_step import preset_settings
from lib_ranni.standalone.loras import WornLoras, advertised
from lib_ranni.standalone.training import checkpointing, latents, layouts, one_step
from lib_ranni.standalone.training.architecture import TIMESTEPS
from lib_ranni.standalone.training.control import TextStates
from lib_ranni.standalone.training.latents import LatentSet, encode_scenes
from lib_ranni.standalone.training.layout_noise import Likeness
from lib_ranni.standalone.training.layouts import (
    PLACES,
    all_lone_scenes,
    lone_scenes,
    named_background,
    panel_scene,
    possible_backgrounds,
)
from lib_ranni.standalone.training.low_rank import LowRank
from lib_ranni.standalone.training.one_step import ONE_STEP, OneStepRecipe, train_one_step
from lib_ranni.standalone.training.one_step_rows import (
    Batch,
    Rows,
    RowsRecipe,
    laid_out,
    on_other_backgrounds,
)
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.publish_one_step import publish_one_step
from lib_ranni.standalone.training.recipes import RECIPES
from lib_ranni.standalone.training.steps import step_chance

TINY = OneStepRecipe(RowsRecipe(1, 1, 1, 1, first=1, reuse=4), steps=4, rank=2, warmup=1, save_every=2)


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
def _small() -> Any:
    """Shards of 32 scenes, and few places for an object alone."""
    patch = pytest.MonkeyPatch()
    patch.setattr(latents, "SHARD", 32)
    patch.setattr(layouts, "PLACES", PLACES[:3])
    yield
    patch.undo()


@pytest.fixture
def _all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "PLACES", PLACES)


@pytest.fixture(scope="module")
def encoded(_small: Any, own: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has scenes to learn from."""
    folder = tmp_path_factory.mktemp("encoded")
    encode_scenes(folder, 32, own.vae, 1, Progress())
    return folder


@pytest.fixture(scope="module")
def finished(own: Checkpoint, encoded: Path) -> Path:
    train_one_step(encoded, own, TINY, Progress())
    return encoded


def _state(folder: Path) -> dict[str, Any]:
    state = checkpointing.load(folder / "one_step.pt", torch.device("cpu"))
    assert state is not None
    return state


def test_an_interrupted_run_ends_the_same(own: Checkpoint, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "latents").symlink_to(finished / "latents")
    with pytest.raises(KeyboardInterrupt):
        train_one_step(tmp_path, own, TINY, _Interrupting(3))
    train_one_step(tmp_path, own, TINY, Progress())
    whole, resumed = _state(finished), _state(tmp_path)
    assert (whole["step"], resumed["step"]) == (4, 4)
    assert all(torch.equal(value, resumed["ema"][name]) for name, value in whole["ema"].items())


def _batch(own: Checkpoint, folder: Path, step: int = 0) -> Batch:
    rng, generator = step_chance(3, step)
    return Rows(folder, own, TINY.rows).batch(step, rng, generator)


def test_it_learns_the_pictures(own: Checkpoint, encoded: Path) -> None:
    """Over one batch again and again the distance to its pictures falls."""
    batch = _batch(own, encoded)
    start = one_step.starts(batch, 1.0, Random(0), torch.Generator().manual_seed(0))
    told = one_step.heard(batch, TextStates(own), own.device)
    student = LowRank(own.unet, 8)
    optimizer = torch.optim.Adam(student.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        loss = one_step._loss(own.unet, student.weights(), batch, start, told)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_rows_start_from_noise_or_further_along(own: Checkpoint, encoded: Path) -> None:
    batch = _batch(own, encoded)
    assert batch.latents.shape == batch.noise.shape == (4, 4, 16, 16)
    assert [bool(row.elements) for row in batch.rows[2:]] == [False, False]
    for size, shares in batch.maps.items():
        assert shares.shape == (2, 5, size)
        assert torch.allclose(shares.sum(1), torch.ones(2, size), atol=1e-5)
    first = one_step.starts(batch, 1.0, Random(0), torch.Generator().manual_seed(0))
    assert first.timesteps.tolist() == [TIMESTEPS - 1] * 4
    assert torch.equal(first.x, batch.noise)
    later = one_step.starts(batch, 0.0, Random(0), torch.Generator().manual_seed(0))
    assert max(later.timesteps.tolist()) < TIMESTEPS - 1
    # The later one starts, the more of the picture is there.
    likeness = torch.nn.functional.cosine_similarity(later.x.flatten(1), batch.latents.flatten(1))
    order = later.timesteps.argsort(descending=True)
    assert likeness[order[-1]] > likeness[order[0]]


def test_a_batch_comes_from_its_step(own: Checkpoint, encoded: Path) -> None:
    one, same, other = (_batch(own, encoded, step) for step in (9, 9, 10))
    assert one.rows == same.rows
    assert torch.equal(one.latents, same.latents)
    assert torch.equal(one.noise, same.noise)
    assert not torch.equal(one.noise, other.noise)


def test_coarse_latents_are_near_those_of_the_encoder(own: Checkpoint, encoded: Path) -> None:
    """So noise is compared with about what the denoiser knows as pictures."""
    rows = Rows(encoded, own, TINY.rows)
    for shape in ("circle", "square", "cross"):
        for scene, wanted in list(rows._drawn_alone(shape, "blue").items())[:6]:
            found = rows._likeness._coarse(scene).flatten()
            assert torch.corrcoef(torch.stack([found, wanted.float().flatten()]))[0, 1] > 0.9


@pytest.mark.usefixtures("_all_places")
def test_noise_stands_for_the_picture_that_shines_through_it(own: Checkpoint, encoded: Path) -> None:
    likeness = Likeness(LatentSet(encoded), own.vae.config.scaling_factor)
    color = max(likeness._fill, key=lambda name: float(likeness._fill[name].norm()))  # one that was seen
    scenes = all_lone_scenes("square", color)
    noise = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(0))
    for scene in scenes[::9]:
        assert likeness.likeliest(noise + 0.5 * likeness._coarse(scene), scenes) == scene
    # Left alone, it stands for all kinds of them.
    chosen = {
        likeness.likeliest(torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(seed)), scenes)
        for seed in range(60)
    }
    assert len(chosen) > 20
    assert {scene.background for scene in chosen} == set(BACKGROUNDS) - {color}


@pytest.mark.usefixtures("_all_places")
def test_noise_for_a_picture_is_common_noise(own: Checkpoint, encoded: Path) -> None:
    """It stands for the picture, and apart from that it is N(0, 1)."""
    likeness = Likeness(LatentSet(encoded), own.vae.config.scaling_factor)
    generator = torch.Generator().manual_seed(4)
    scene = lone_scenes("ring", "blue", "a blue ring on a gray background")[0]
    others = on_other_backgrounds(scene, "a blue ring")
    assert {other.background for other in others} == set(BACKGROUNDS) - {"gray"}
    noises = torch.stack([likeness.noise_for(scene, others, generator) for _ in range(60)])
    assert [likeness.likeliest(noise, [*others, scene]) for noise in noises] == [scene] * 60
    assert float(noises.mean()) == pytest.approx(0, abs=0.02)
    assert float(noises.std()) == pytest.approx(1, abs=0.02)
    assert on_other_backgrounds(scene, "a blue ring on a plain gray background") == []


@given(st.sampled_from(SHAPES), st.sampled_from(sorted(COLORS)), st.integers(0, 10**6))
def test_texts_are_true_of_their_scenes(shape: str, color: str, seed: int) -> None:
    rng = Random(seed)
    scene = rng.choice(all_lone_scenes(shape, color))
    text = caption(scene, rng)
    found = lone_scenes(shape, color, text)
    assert scene.background in {other.background for other in found}
    assert len({other.objects for other in found}) == 1
    for other in found:
        assert other.background != color
        assert named_background(text) in (None, other.background)
        if (words := place_words(scene.objects[0])) in text:
            assert place_words(other.objects[0]) == words
        assert drawn_bounds(other.objects[0])[0] >= 0


@pytest.mark.usefixtures("_all_places")
def test_an_object_alone_is_in_the_middle_unless_its_text_says_otherwise() -> None:
    def place(text: str) -> tuple[float, float, float]:
        (item,) = lone_scenes("ring", "blue", text)[0].objects
        return item.x, item.y, item.size

    assert place("a blue ring") == pytest.approx((0.5, 0.5, 0.4))
    assert place("a large blue ring")[2] == pytest.approx(0.66)
    assert place("a small blue ring") == pytest.approx((0.5, 0.5, 0.22))
    x, y, _ = place("a blue ring in the top left corner on a white background")
    assert max(x, y) < 0.36
    assert place("a blue ring at the bottom")[1] > 0.64


def test_backgrounds_that_are_possible() -> None:
    assert possible_backgrounds("a red circle", {"red"}) == list(BACKGROUNDS)
    assert possible_backgrounds("a white circle on a plain background", {"white"}) == [
        "gray",
        "black",
        "beige",
    ]
    assert possible_backgrounds("a white circle, black background", {"white"}) == ["black"]


def test_captions_are_laid_out_to_the_letter() -> None:
    rng, planner = Random(8), BuiltinPlanner()
    for _ in range(200):
        laid = laid_out(rng, planner)
        assert named_background(laid.caption) in (None, laid.scene.background)
        names = [element_name(element.description) for element in laid.panel.elements]
        assert names == [item.name for item in laid.scene.objects]
        for item, element in zip(laid.scene.objects, laid.panel.elements, strict=True):
            x0, y0, x1, y1 = drawn_bounds(item)
            assert min(x0, y0) >= -1e-6
            assert max(x1, y1) <= 1 + 1e-6
            middle = (element.box.x0 + element.box.x1) / 2, (element.box.y0 + element.box.y1) / 2
            assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(middle, abs=1e-6)


def test_what_cannot_be_drawn_has_no_scene() -> None:
    def told(text: str, box: Box) -> Element:
        return Element(id="e", description=text, box=box)

    assert panel_scene([told("a dog", Box(0, 0, 1, 1))], "white") is None
    assert panel_scene([told("white circle", Box(0, 0, 1, 1))], "white") is None
    assert panel_scene([told("red circle", Box(0, 0, 1, 1))] * 2, "white") is None
    halves = [told("red circle", Box(0, 0, 0.5, 1)), told("blue ring", Box(0.5, 0, 1, 1))]
    found = panel_scene(halves, "white")
    assert found is not None
    first, second = (drawn_bounds(item) for item in found.objects)
    assert first[2] < second[0]


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


@pytest.mark.usefixtures("_small")
def test_the_command_trains_and_writes(
    own: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lib_ranni.standalone import checkpoint as module
    from lib_ranni.standalone.training import publish_one_step as publishing

    monkeypatch.setitem(ONE_STEP, "cpu", TINY)
    monkeypatch.setitem(RECIPES, "cpu", msgspec.structs.replace(RECIPES["cpu"], scenes=32))
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
