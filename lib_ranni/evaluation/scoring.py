"""What a picture of shapes shows: its background and each object with shape, color and box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from PIL import Image

from lib_ranni.evaluation.scenes import BACKGROUNDS, Scene, random_scene, render
from lib_ranni.evaluation.segmentation import color_name, oklab, pieces
from lib_ranni.evaluation.shape_classes import classify
from lib_ranni.panel.geometry import iou
from lib_ranni.panel.types import Box

LEAST_PX, MOST_PX = 128, 256
"""Pictures are brought to a shorter side in this range first: details small enough, and quick enough."""


class Detection(Struct, frozen=True):
    """One object seen in a picture.

    `shape` is one of `scenes.SHAPES` or `blob`, `color` one of `scenes.COLORS` or `gray`, `beige`.
    `confidence` is 0..1: the shape's match, less where another shape or color was nearly as good.
    """

    shape: str
    color: str
    box: Box
    confidence: float

    @property
    def name(self) -> str:
        """Color and shape, as a prompt says them."""
        return f"{self.color} {self.shape}"


class Reading(Struct, frozen=True):
    """All that is seen in a picture: the name of its background and its objects in reading order."""

    background: str
    detections: tuple[Detection, ...]


def _working_size(width: int, height: int) -> tuple[int, int]:
    shorter = min(width, height)
    factor = min(max(shorter, LEAST_PX), MOST_PX) / shorter
    return max(1, round(width * factor)), max(1, round(height * factor))


def _levels(picture: Image.Image) -> npt.NDArray[np.float64]:
    """(H, W, 3) levels 0..255 at working size."""
    rgb = picture.convert("RGB")
    size = _working_size(*rgb.size)
    if size != rgb.size:
        smaller = size[0] < rgb.width
        rgb = rgb.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC)
    return np.asarray(rgb, np.float64)


def _box(alpha: npt.NDArray[np.float64]) -> Box:
    """Bounds of the pixels that are more than half covered, in 0..1."""
    rows, columns = np.nonzero(alpha >= 0.5)
    height, width = alpha.shape
    return Box(
        float(columns.min() / width),
        float(rows.min() / height),
        float((columns.max() + 1) / width),
        float((rows.max() + 1) / height),
    )


def _background_name(rgb: npt.NDArray[np.float64]) -> str:
    spot = oklab(rgb)
    return min(BACKGROUNDS, key=lambda name: float(np.linalg.norm(oklab(BACKGROUNDS[name]) - spot)))


def read_picture(picture: Image.Image) -> Reading:
    """Background and objects of a picture of plain shapes, 64..512 px."""
    background, found = pieces(_levels(picture))
    name = _background_name(background)
    detections: list[Detection] = []
    for piece in found:
        color, sure = color_name(piece.rgb)
        if color == name:
            continue  # a smudge on the background; no object has its color
        shape = classify(piece.alpha)
        confidence = shape.match * min(1.0, 0.5 + 5 * shape.lead) * min(1.0, 0.5 + 2 * sure)
        detections.append(Detection(shape.shape, color, _box(piece.alpha), confidence))
    return Reading(name, tuple(detections))


def detect(picture: Image.Image) -> list[Detection]:
    """The objects of a picture of plain shapes, 64..512 px."""
    return list(read_picture(picture).detections)


class ScorerAccuracy(Struct, frozen=True):
    """Shares, 0..1: of objects whose place, shape or color was read right; of scenes read without a flaw."""

    objects: int
    scenes: int
    found: float
    shape: float
    color: float
    background: float
    scene_exact: float


Degrade = Callable[[Sequence[Image.Image]], Sequence[Image.Image]]


def _matched(scene: Scene, detections: Sequence[Detection]) -> list[Detection | None]:
    """For each object, the unused detection that overlaps its square best."""
    free = list(detections)
    chosen: list[Detection | None] = []
    for item in scene.objects:
        half = item.size / 2
        square = Box(
            max(0.0, item.x - half), max(0.0, item.y - half), min(1.0, item.x + half), min(1.0, item.y + half)
        )
        best = max(free, key=lambda d: iou(square, d.box), default=None)
        if best is None or iou(square, best.box) < 0.3:
            chosen.append(None)
            continue
        free.remove(best)
        chosen.append(best)
    return chosen


def exact(scene: Scene, reading: Reading) -> bool:
    """Whether a picture shows the scene's objects, each as often, and no others."""
    return Counter(i.name for i in scene.objects) == Counter(d.name for d in reading.detections)


def scorer_accuracy(
    count: int = 1000,
    seed: int = 0,
    *,
    size_px: int = 128,
    degrade: Degrade | None = None,
    batch: int = 8,
    on_miss: Callable[[Scene, Image.Image, Reading], None] | None = None,
) -> ScorerAccuracy:
    """How often the scorer reads `count` random scenes right.

    `degrade` turns a batch of drawn pictures into what the scorer sees, such as blurred ones or an
    autoencoder's; `on_miss` gets each scene that was misread.
    """
    rng = Random(seed)
    tally: Counter[str] = Counter()
    for start in range(0, count, batch):
        scenes = [random_scene(rng) for _ in range(min(batch, count - start))]
        pictures: Sequence[Image.Image] = [render(scene, size_px, rng=rng) for scene in scenes]
        if degrade is not None:
            pictures = degrade(pictures)
        for scene, picture in zip(scenes, pictures, strict=True):
            reading = read_picture(picture)
            tally += _compared(scene, reading)
            if on_miss is not None and not exact(scene, reading):
                on_miss(scene, picture, reading)
    objects = max(1, tally["objects"])
    return ScorerAccuracy(
        objects=tally["objects"],
        scenes=count,
        found=tally["found"] / objects,
        shape=tally["shape"] / objects,
        color=tally["color"] / objects,
        background=tally["background"] / max(1, count),
        scene_exact=tally["exact"] / max(1, count),
    )


def _compared(scene: Scene, reading: Reading) -> Counter[str]:
    tally = Counter(objects=len(scene.objects))
    tally["background"] = int(reading.background == scene.background)
    tally["exact"] = int(exact(scene, reading))
    for item, seen in zip(scene.objects, _matched(scene, reading.detections), strict=True):
        if seen is not None:
            tally["found"] += 1
            tally["shape"] += int(seen.shape == item.shape)
            tally["color"] += int(seen.color == item.color)
    return tally
