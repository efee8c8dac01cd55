from __future__ import annotations

import io
from collections.abc import Sequence
from random import Random

import pytest
from PIL import Image, ImageDraw, ImageFilter

from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS, SHAPES, Scene, SceneObject, render
from lib_ranni.evaluation.scoring import detect, exact, read_picture, scorer_accuracy
from lib_ranni.evaluation.segmentation import color_name


def blurred(radius: float) -> object:
    def apply(pictures: Sequence[Image.Image]) -> list[Image.Image]:
        return [picture.filter(ImageFilter.GaussianBlur(radius)) for picture in pictures]

    return apply


def as_jpeg(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    kept = []
    for picture in pictures:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=80)
        kept.append(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    return kept


def test_reads_drawn_scenes() -> None:
    accuracy = scorer_accuracy(200, seed=17)
    assert accuracy.scenes == 200
    assert accuracy.objects > 300
    assert accuracy.shape >= 0.99
    assert accuracy.color >= 0.99
    assert accuracy.background == 1.0
    assert accuracy.scene_exact >= 0.99


@pytest.mark.parametrize(
    ("size_px", "degrade"),
    [(128, blurred(1.0)), (128, as_jpeg), (64, None), (64, blurred(0.7)), (512, None)],
)
def test_reads_degraded_scenes(size_px: int, degrade: object) -> None:
    accuracy = scorer_accuracy(40, seed=18, size_px=size_px, degrade=degrade)  # type: ignore[arg-type]
    assert accuracy.scene_exact >= 0.97


def test_misses_are_reported() -> None:
    missed = []
    black_out = lambda pictures: [Image.new("RGB", p.size) for p in pictures]  # noqa: E731
    accuracy = scorer_accuracy(8, seed=3, degrade=black_out, on_miss=lambda *miss: missed.append(miss))
    assert len(missed) == round(8 * (1 - accuracy.scene_exact)) > 0
    assert accuracy.found == 0


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("color", COLORS)
def test_every_color_on_every_background(color: str, background: str) -> None:
    if color == background:
        return
    scene = Scene(
        background, (SceneObject("ring", color, 0.3, 0.3, 0.3), SceneObject("star", color, 0.7, 0.7, 0.3))
    )
    assert exact(scene, read_picture(render(scene, 128, rng=Random(1))))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_keeps_its_name_when_deformed(shape: str) -> None:
    picture = render(Scene("white", (SceneObject(shape, "blue", 0.5, 0.5, 0.4),)), 128)
    for size in ((128, 116), (116, 128)):
        assert [d.name for d in detect(picture.resize(size))] == [f"blue {shape}"]


def test_box_and_confidence() -> None:
    scene = Scene("gray", (SceneObject("circle", "red", 0.3, 0.6, 0.4),))
    (seen,) = detect(render(scene, 128))
    assert seen.box.x0 == pytest.approx(0.1, abs=0.01)
    assert seen.box.y1 == pytest.approx(0.8, abs=0.01)
    assert 0.8 < seen.confidence <= 1


def test_touching_objects_of_two_colors_are_two() -> None:
    picture = Image.new("RGB", (128, 128), (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 40, 59, 79), fill=COLORS["red"])
    draw.rectangle((60, 40, 99, 79), fill=COLORS["green"])
    assert sorted(d.name for d in detect(picture)) == ["green square", "red square"]


def test_specks_and_smudges_are_not_objects() -> None:
    picture = Image.new("RGB", (128, 128), (150, 150, 150))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10, 10, 13, 13), fill=COLORS["red"])
    draw.ellipse((60, 60, 110, 110), fill=(160, 160, 160))
    assert detect(picture) == []


def test_what_is_no_shape_is_a_blob() -> None:
    picture = Image.new("RGB", (128, 128), (250, 250, 250))
    ImageDraw.Draw(picture).line([(10, 20), (110, 20), (20, 90), (110, 110)], fill=COLORS["blue"], width=6)
    assert [d.shape for d in detect(picture)] == ["blob"]


def test_gray_object_does_not_pass_for_another_color() -> None:
    picture = Image.new("RGB", (128, 128), (250, 250, 250))
    ImageDraw.Draw(picture).rectangle((40, 40, 80, 80), fill=(150, 150, 150))
    assert [d.name for d in detect(picture)] == ["gray square"]


def test_color_names_are_sure_at_their_own_spot() -> None:
    for name, rgb in COLORS.items():
        found, sure = color_name(rgb)
        assert found == name
        assert sure > 0.99


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64)])
def test_tiny_or_plain_pictures_have_no_objects(size: tuple[int, int]) -> None:
    assert detect(Image.new("RGB", size, (235, 220, 190))) == []
