"""Training of the panel conditioner: its rows, that it sees what inference sees, and that it resumes."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import ImageColor
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.evaluation.scenes import (
    COLORS,
    OUTLINES,
    Scene,
    SceneObject,
    drawn_bounds,
    random_scene,
    render,
    tips,
)
from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.panel_control import PREFIX, PanelConditioner
from lib_ranni.guidance.panel_session import Control, PanelControlSession
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts
from lib_ranni.guidance.weights import Mixing
from lib_ranni.panel.color_words import COLORS as WORDS
from lib_ranni.panel.geometry import iou
from lib_ranni.panel.types import Box
from lib_ranni.standalone import cli
from lib_ranni.standalone.checkpoint import SHAPES, Checkpoint, load_checkpoint
from lib_ranni.standalone.labels import panel_labels
from lib_ranni.standalone.schedulers import make_scheduler
from lib_ranni.standalone.training import checkpointing, latents, recipes
from lib_ranni.standalone.training import control as training
from lib_ranni.standalone.training.control import (
    ControlRecipe,
    FrozenUNet,
    TextStates,
    turned_latents,
)
from lib_ranni.standalone.training.control_rows import (
    RowsRecipe,
    color_code,
    fitting_box,
    make_batch,
    scene_elements,
    with_other_colors,
    without_color,
)
from lib_ranni.standalone.training.denoiser import alphas_cumprod
from lib_ranni.standalone.training.noise_levels import levels
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.recipes import Recipe
from lib_ranni.standalone.training.walks import Noised, mixed, moved, noised, wanted_v
from tests.standalone.test_panel_control import _untrained

CPU = torch.device("cpu")
STOP = 600
SCENE = Scene(
    "gray", (SceneObject("circle", "red", 0.3, 0.3, 0.4), SceneObject("star", "blue", 0.7, 0.75, 0.3))
)


def test_bounds_and_tips_are_those_of_what_is_drawn() -> None:
    for shape in OUTLINES:
        item = SceneObject(shape, "black", 0.55, 0.45, 0.5)
        picture = render(Scene("white", (item,)), 256).convert("L").point(lambda v: 255 if v < 128 else 0)
        seen = Box(*(side / 256 for side in picture.getbbox()))
        bounds = Box(*drawn_bounds(item))
        assert iou(bounds, seen) > 0.97, shape
        for x, y in tips(item):
            left, top = round(x * 256) - 4, round(y * 256) - 4
            near = picture.crop((left, top, left + 9, top + 9))
            assert near.getextrema() == (0, 255), shape  # on the outline: partly inside, partly outside


def test_no_other_size_of_an_object_fits_its_box_better() -> None:
    rng, odd = Random(2), 0
    for _ in range(80):
        for item in random_scene(rng).objects:
            box, (x0, y0, x1, y1) = fitting_box(item, rng), drawn_bounds(item)
            odd += abs(math.log(box.width / box.height * (y1 - y0) / (x1 - x0))) > 0.1
            best = iou(box, Box(x0, y0, x1, y1))
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            for factor in (0.9, 1.1):
                w, h = (x1 - x0) / 2 * factor, (y1 - y0) / 2 * factor
                other = Box(max(0, x - w), max(0, y - h), min(1, x + w), min(1, y + h))
                assert iou(box, other) < best + 1e-6
    assert odd > 30


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a red circle", "a circle"),
        ("two red circles and a red square on a white background", "two circles and a red square"),
        ("an orange circle", "a circle"),
        ("red circle", "circle"),
    ],
)
def test_colors_are_left_out_of_texts(text: str, wanted: str) -> None:
    color = "orange" if "orange" in text else "red"
    assert without_color(text, SceneObject("circle", color, 0.5, 0.5, 0.4)).startswith(wanted)


def test_scenes_bring_their_conditions() -> None:
    rng = Random(1)
    everything = RowsRecipe(palettes=1.0, colorless=1.0, keypoints=1.0)
    elements, colorless = scene_elements(SCENE, everything, rng)
    assert colorless
    for element, item in zip(elements, SCENE.objects, strict=True):
        assert item.color not in element.description
        assert len(element.colors) == 1
        assert len(element.keypoints) == len(tips(item))
    nothing, colorless = scene_elements(SCENE, RowsRecipe(palettes=0.0, keypoints=0.0), rng)
    assert not colorless
    assert not any(element.colors or element.keypoints for element in nothing)


@pytest.mark.parametrize("timestep", [700, 300])
@pytest.mark.parametrize("regional", [False, True])
def test_training_sees_what_inference_computes(checkpoint: Checkpoint, regional: bool, timestep: int) -> None:
    """The same v for a scene's panel from the training's attention and from the sessions' hooks."""
    rows = RowsRecipe(regional=float(regional), palettes=1.0, colorless=1.0, keypoints=1.0)
    states, model = TextStates(checkpoint), _untrained()
    batch = make_batch([SCENE], states.tokens, rows, Random(6))
    elements, _ = scene_elements(SCENE, rows, Random(6))
    x = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    vectors = states.labels(batch.elements.texts)
    at = torch.tensor([timestep])

    def residual(seen: Tensor) -> Tensor:
        return training.batch_residual(model, batch.elements, vectors, at, STOP, seen)

    with FrozenUNet(checkpoint) as frozen:
        wanted = frozen(x, at, residual, training.unet_arguments(batch, states, CPU))

    encoder, caption = checkpoint.encoder, batch.captions[0]
    texts = PanelTexts(
        tuple(elements),
        tuple(encoder.encode(element.description) for element in elements),
        (None,) * len(elements),
        encoder.encode(caption),
        encoder.encode(""),
        Mixing(float(1 - batch.maps[256][0, 1:].sum(0).max()) if regional else 0.0),
    )
    labels = panel_labels(encoder, texts, caption, "", batch.elements.texts[0])
    row = [Row(0, texts.base, False)]
    with PanelControlSession(
        checkpoint.unet, model, [labels], Control(1.0, 1000, STOP), masks=not regional
    ) as session:
        session.assign(row, 0.0)
        if not regional:
            got = checkpoint.unet(x, timestep, texts.base.context[None]).sample
        else:
            with GuidanceSession(checkpoint.unet, [texts]) as guidance:
                guidance.assign(row, 0.0)
                got = checkpoint.unet(x, timestep, texts.base.context[None]).sample
    torch.testing.assert_close(got, wanted, atol=2e-3, rtol=1e-2)
    assert not checkpoint.unet.conv_in._forward_hooks


def test_color_codes_are_those_that_are_drawn_and_those_that_words_have() -> None:
    rng = Random(4)
    for color in COLORS:
        drawn, said = np.array(COLORS[color]), np.array(ImageColor.getrgb(WORDS[color]))
        codes = np.array([ImageColor.getrgb(color_code(color, rng)) for _ in range(60)])
        for end in (drawn, said):
            assert np.abs(codes - end).max(1).min() <= 12
        low, high = np.minimum(drawn, said), np.maximum(drawn, said)
        assert (codes >= low - 12).all()
        assert (codes <= high + 12).all()


def test_scenes_turn_to_other_colors_and_to_nothing_else() -> None:
    rng = Random(3)
    scenes = [random_scene(rng) for _ in range(60)]
    changed = 0
    for scene in scenes:
        other = with_other_colors(scene, rng)
        assert other.background == scene.background
        for before, after in zip(scene.objects, other.objects, strict=True):
            assert msgspec.structs.replace(after, color=before.color) == before
            changed += after.color != before.color
    assert 0.6 < changed / sum(len(scene.objects) for scene in scenes) < 0.8


def test_what_is_noised_shall_become_what_it_should_have_been() -> None:
    clean = torch.randn(6, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    seen = clean.clone()
    seen[3:] += 0.5
    chance = torch.Generator().manual_seed(2)
    given = noised(clean, seen, levels(6, 1.0, chance), chance)
    a = alphas_cumprod()[given.timesteps].view(-1, 1, 1, 1)
    target = wanted_v(given, clean)
    found = a.sqrt() * given.noisy - (1 - a).sqrt() * target
    torch.testing.assert_close(found, clean, atol=1e-4, rtol=1e-4)
    noise = (given.noisy - a.sqrt() * seen) / (1 - a).sqrt()
    usual = a.sqrt() * noise - (1 - a).sqrt() * clean
    torch.testing.assert_close(target[:3], usual[:3], atol=1e-4, rtol=1e-4)
    assert given.weight[:3].eq(1).all()
    torch.testing.assert_close(given.weight[3:], 1 - a[3:])
    assert sorted(t * 6 // 1000 for t in given.timesteps.tolist()) == [0, 1, 2, 3, 4, 5]


def test_a_batch_walks_as_ddim_does(checkpoint: Checkpoint) -> None:
    x, v = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(3)).unbind()
    timesteps, stride = torch.tensor([999, 400, 30]), torch.tensor([50, 50, 50])
    after = moved(Noised(timesteps, x, torch.ones(3, 1, 1, 1)), v, stride)
    assert after.timesteps.tolist() == [949, 350, 0]
    scheduler = make_scheduler("ddim", checkpoint.scheduler)
    scheduler.set_timesteps(20)
    for n in (0, 1):
        wanted = scheduler.step(v[n], int(timesteps[n]), x[n]).prev_sample
        torch.testing.assert_close(after.noisy[n], wanted, atol=1e-4, rtol=1e-4)
    # With the very prediction that is wanted, the way leads to the clean picture with the noise that is left.
    clean, noise = torch.randn(2, 3, 4, 16, 16, generator=torch.Generator().manual_seed(4)).unbind()
    a = alphas_cumprod()[timesteps].view(-1, 1, 1, 1)
    now = Noised(timesteps, a.sqrt() * clean + (1 - a).sqrt() * noise, torch.ones(3, 1, 1, 1))
    for _ in range(20):
        now = moved(now, wanted_v(now, clean), stride)
    least = alphas_cumprod()[0]
    wanted = least.sqrt() * clean + (1 - least).sqrt() * noise
    torch.testing.assert_close(now.noisy, wanted, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(now.weight, (1 - least).expand(3, 1, 1, 1))


def test_rows_of_two_ways_are_put_together() -> None:
    at = torch.tensor([5, 6])
    first, second = (Noised(at, torch.full((2, 1, 2, 2), n), torch.full((2, 1, 1, 1), n)) for n in (1.0, 2.0))
    found = mixed(first, second, torch.tensor([True, False]))
    assert found.noisy[:, 0, 0, 0].tolist() == found.weight.flatten().tolist() == [1, 2]
    assert torch.equal(found.timesteps, at)


def test_states_are_saved_between_batches_only(tmp_path: Path, checkpoint: Checkpoint, trained: Path) -> None:
    for name in ("latents", "laid", "control.pt"):
        (tmp_path / name).symlink_to(trained / name)
    for wrong in ({"save_every": 7}, {"steps": 3}):
        recipe = msgspec.structs.replace(recipes.PALETTE_RECIPES["cpu"], **wrong)
        with pytest.raises(ValueError, match="multiples of walk"):
            training.train_palettes(tmp_path, checkpoint, recipe, Progress())


class _Always(Random):
    """Chance that always says the same."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self._value = value

    def random(self) -> float:
        return self._value


def test_turned_latents_lie_on_the_way_from_other_colors(checkpoint: Checkpoint) -> None:
    scale = checkpoint.vae.config.scaling_factor
    clean = latents.encoded_scenes(checkpoint.vae, [SCENE]) * scale
    assert torch.equal(turned_latents([SCENE], clean, checkpoint, _Always(0.0)), clean)
    turned = turned_latents([SCENE], clean, checkpoint, _Always(1 - 1e-9))
    halfway = turned_latents([SCENE], clean, checkpoint, _Always(0.5))
    for item in SCENE.objects:
        y, x = round(item.y * 16), round(item.x * 16)
        moved, half = (part[0, :, y, x] - clean[0, :, y, x] for part in (turned, halfway))
        # The background stays as it is.
        assert float(moved.norm()) > 5 * float((turned - clean)[0, :, 0, -1].norm())
        assert float(half.norm()) > 0.1
    picture = checkpoint.vae.decode(turned / scale).sample[0]
    seen = (picture[:, 38, 38] * 127.5 + 127.5).tolist()
    other = with_other_colors(SCENE, _Always(1 - 1e-9)).objects[0].color
    assert other != SCENE.objects[0].color
    assert seen == pytest.approx(COLORS[other], abs=30)


class _Interrupting(Progress):
    def step(self, stage: str, step: int, steps: int, loss: float) -> None:
        if (stage, step) == ("panel conditioner", 3):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of four steps that was interrupted, and the checkpoint it was published into."""
    folder = tmp_path_factory.mktemp("control")
    out = folder / "out"
    out.mkdir()
    for path in SHAPES.rglob("*"):
        if path.is_file():
            (out / path.relative_to(SHAPES)).parent.mkdir(exist_ok=True)
            (out / path.relative_to(SHAPES)).write_bytes(path.read_bytes())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the command will: another number adds up in another order
    patch = pytest.MonkeyPatch()
    patch.setattr(latents, "SHARD", 32)
    patch.setitem(recipes.RECIPES, "cpu", Recipe(scenes=32, laid=32))
    tiny = ControlRecipe(steps=4, batch=2, warmup=2, save_every=2)
    patch.setitem(recipes.CONTROL_RECIPES, "cpu", tiny)
    palettes = msgspec.structs.replace(recipes.PALETTE_RECIPES["cpu"], steps=2, walk=2, batch=2, warmup=2)
    patch.setitem(recipes.PALETTE_RECIPES, "cpu", palettes)
    with pytest.raises(KeyboardInterrupt):
        recipes.train_conditioner(folder, load_checkpoint(out, "cpu"), "cpu", _Interrupting())
    words = ("train", "control", "--run", str(folder), "--recipe", "cpu", "--threads", "1", "--out", str(out))
    assert cli.main(words) == 0
    yield folder
    patch.undo()
    torch.set_num_threads(threads)


def test_an_interrupted_run_ends_the_same(trained: Path, tmp_path: Path, checkpoint: Checkpoint) -> None:
    (tmp_path / "latents").symlink_to(trained / "latents")
    recipe = recipes.CONTROL_RECIPES["cpu"]
    training.train_control(tmp_path, checkpoint, recipe, Progress())
    whole, resumed = (checkpointing.load(folder / "control.pt", CPU) for folder in (tmp_path, trained))
    assert whole is not None
    assert resumed is not None
    assert (whole["step"], resumed["step"]) == (4, 4)
    for name, value in whole["ema"].items():
        assert torch.equal(value, resumed["ema"][name]), name
    assert any(whole["model"]["ins_box_mapping.14.weight"].flatten())


def test_it_is_published_into_the_checkpoint(trained: Path) -> None:
    before, after = (load_file(str(folder / "shapes.safetensors")) for folder in (SHAPES, trained / "out"))
    base = {name for name in before if not name.startswith(PREFIX)}
    assert {name for name in after if not name.startswith(PREFIX)} == base
    assert all(torch.equal(before[name], after[name]) for name in base)
    loaded = load_checkpoint(trained / "out", "cpu")
    state = checkpointing.load(trained / "palettes.pt", CPU)
    assert state is not None
    with safe_open(str(trained / "out" / "shapes.safetensors"), "pt") as file:
        assert (file.metadata()["control_steps"], file.metadata()["palette_steps"]) == ("4", "2")
    assert isinstance(loaded.conditioner, PanelConditioner)
    for name, value in loaded.conditioner.state_dict().items():
        assert torch.equal(value, state["ema"][name].half().float())


def test_the_second_stage_learns_palettes_alone(trained: Path) -> None:
    first, second = (checkpointing.load(trained / name, CPU) for name in ("control.pt", "palettes.pt"))
    assert first is not None
    assert second is not None
    changed = {name for name, value in second["model"].items() if not torch.equal(value, first["ema"][name])}
    assert changed
    assert {name.split(".")[0] for name in changed} == {"ins_color_mapping", "ins_color_feedback"}


def test_palettes_are_not_trained_before_the_rest(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="no trained panel conditioner yet"):
        training.train_palettes(tmp_path, checkpoint, recipes.PALETTE_RECIPES["cpu"], Progress())
