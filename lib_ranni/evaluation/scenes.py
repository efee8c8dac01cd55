"""Procedurally drawn scenes of colored shapes: the ground truth of the shapes checkpoint.

A `Scene` is a plain background with up to four shapes that do not overlap. The same record feeds the
renderer, the caption writer, the trainer and the tests of the scorer, so none of them can disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import msgspec
from PIL import Image, ImageDraw

Rgb = tuple[int, int, int]

COLORS: dict[str, Rgb] = {
    "red": (215, 35, 40),
    "orange": (245, 135, 25),
    "yellow": (245, 215, 45),
    "green": (45, 155, 65),
    "cyan": (55, 205, 215),
    "blue": (45, 80, 210),
    "purple": (130, 55, 175),
    "pink": (245, 130, 185),
    "brown": (125, 75, 40),
    "black": (22, 22, 22),
    "white": (250, 250, 250),
}
"""Name -> sRGB of an object's fill."""

BACKGROUNDS: dict[str, Rgb] = {
    "white": (250, 250, 250),
    "gray": (150, 150, 150),
    "black": (22, 22, 22),
    "beige": (235, 220, 190),
}
"""Name -> sRGB of a plain background. An object never has its background's name as its color."""


class SceneObject(msgspec.Struct, frozen=True):
    """One filled shape. `x`, `y` is the center and `size` the side of its bounding square, in 0..1."""

    shape: str
    color: str
    x: float
    y: float
    size: float

    @property
    def name(self) -> str:
        """Color and shape, such as "red circle"."""
        return f"{self.color} {self.shape}"


class Scene(msgspec.Struct, frozen=True):
    """A background and the objects on it, in drawing order."""

    background: str
    objects: tuple[SceneObject, ...] = ()


def _polar(count: int, radii: Sequence[float], start: float = -90.0) -> list[tuple[float, float]]:
    """`count` points around the center of the unit square, cycling through `radii`."""
    points = []
    for k in range(count):
        angle = math.radians(start + 360.0 * k / count)
        radius = radii[k % len(radii)]
        points.append((0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    return points


def _fit(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Scale and center an outline so that it touches the unit square on its longer side."""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    side = max(max(xs) - min(xs), max(ys) - min(ys))
    cx, cy = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    return [(0.5 + (x - cx) / side, 0.5 + (y - cy) / side) for x, y in points]


def _heart() -> list[tuple[float, float]]:
    points = []
    for k in range(96):
        a = 2 * math.pi * k / 96
        x = 16 * math.sin(a) ** 3
        y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
        points.append((x, -y))
    return _fit(points)


def _cross(arm: float = 0.34) -> list[tuple[float, float]]:
    a, b = 0.5 - arm / 2, 0.5 + arm / 2
    return [
        (a, 0), (b, 0), (b, a), (1, a), (1, b), (b, b),
        (b, 1), (a, 1), (a, b), (0, b), (0, a), (a, a),
    ]  # fmt: skip


Outline = list[tuple[float, float]]

OUTLINES: dict[str, list[Outline]] = {
    "circle": [_polar(96, [0.5])],
    "square": [[(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)]],
    "triangle": [[(0.5, 0.04), (1.0, 0.92), (0.0, 0.92)]],
    "star": [_fit(_polar(10, [0.5, 0.205]))],
    "heart": [_heart()],
    "diamond": [[(0.5, 0.0), (0.86, 0.5), (0.5, 1.0), (0.14, 0.5)]],
    "cross": [_cross()],
    "ring": [_polar(96, [0.5]), _polar(96, [0.27])],
}
"""Shape name -> outer outline and, if any, the hole, as points of the unit square (y down)."""

SHAPES: tuple[str, ...] = tuple(OUTLINES)


def _corners(shape: str) -> list[tuple[float, float]]:
    """What can be pointed at: the tips of a shape, or the ends of its axes."""
    outline = OUTLINES[shape][0]
    if shape == "star":
        return outline[::2]
    if len(outline) <= 4:
        return outline
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    middle = outline[xs.index(min(xs))][1], outline[xs.index(max(xs))][1]
    if shape == "cross":
        middle = (0.5, 0.5)
    sides = [(min(xs), middle[0]), (max(xs), middle[1]), (0.5, max(ys))]
    return sides if shape == "heart" else [*sides, (0.5, min(ys))]


POINTS: dict[str, tuple[tuple[float, float], ...]] = {shape: tuple(_corners(shape)) for shape in OUTLINES}
"""Shape name -> its tips, in the unit square: where a panel's keypoints would be."""


def tips(item: SceneObject) -> tuple[tuple[float, float], ...]:
    """The tips of an object, (x, y) in 0..1 of the canvas."""
    left, top = item.x - item.size / 2, item.y - item.size / 2
    return tuple((left + x * item.size, top + y * item.size) for x, y in POINTS[item.shape])


def drawn_bounds(item: SceneObject) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of what is drawn of an object: less than its square where the shape leaves a margin."""
    left, top = item.x - item.size / 2, item.y - item.size / 2
    xs, ys = zip(*OUTLINES[item.shape][0], strict=True)
    return (
        left + min(xs) * item.size,
        top + min(ys) * item.size,
        left + max(xs) * item.size,
        top + max(ys) * item.size,
    )


def _jitter(color: Rgb, spread: int, rng: Random) -> Rgb:
    shade = rng.randint(-spread, spread)
    r, g, b = (min(255, max(0, c + shade + rng.randint(-2, 2))) for c in color)
    return r, g, b


def render(scene: Scene, size_px: int = 128, *, rng: Random | None = None) -> Image.Image:
    """Draw a scene as an anti-aliased RGB picture of `size_px` × `size_px`.

    With `rng`, fills and background vary by a few levels, as the training pictures do.
    """
    scale = 4
    side = size_px * scale
    background = BACKGROUNDS[scene.background]
    if rng is not None:
        background = _jitter(background, 4, rng)
    picture = Image.new("RGB", (side, side), background)
    draw = ImageDraw.Draw(picture)
    for item in scene.objects:
        fill = COLORS[item.color] if rng is None else _jitter(COLORS[item.color], 6, rng)
        left, top = item.x - item.size / 2, item.y - item.size / 2
        for index, outline in enumerate(OUTLINES[item.shape]):
            pixels = [((left + x * item.size) * side, (top + y * item.size) * side) for x, y in outline]
            draw.polygon(pixels, fill=fill if index == 0 else background)
    return picture.resize((size_px, size_px), Image.Resampling.BOX)


SIZE_RANGE: dict[int, tuple[float, float]] = {
    1: (0.24, 0.75),
    2: (0.22, 0.50),
    3: (0.20, 0.40),
    4: (0.18, 0.36),
}
"""Number of objects -> range of their sizes."""


def _place(rng: Random, sizes: Sequence[float], gap: float = 0.03) -> list[tuple[float, float]] | None:
    """Centers for squares of the given sizes, `gap` apart; None if a few tries did not fit them."""
    placed: list[tuple[float, float, float]] = []
    for size in sizes:
        half = size / 2
        for _ in range(40):
            x = rng.uniform(half + 0.015, 1 - half - 0.015)
            y = rng.uniform(half + 0.015, 1 - half - 0.015)
            if all(max(abs(x - px), abs(y - py)) >= half + ph + gap for px, py, ph in placed):
                placed.append((x, y, half))
                break
        else:
            return None
    return [(x, y) for x, y, _ in placed]


def _pick_names(rng: Random, count: int, background: str) -> list[tuple[str, str]]:
    """`count` different (color, shape) pairs, none of them in the background's color."""
    colors = [c for c in COLORS if c != background]
    names: list[tuple[str, str]] = []
    while len(names) < count:
        name = (rng.choice(colors), rng.choice(SHAPES))
        if name not in names:
            names.append(name)
    return names


def _empty(rng: Random, background: str) -> list[tuple[str, str]]:
    return []


def _different(low: int, high: int) -> Callable[[Random, str], list[tuple[str, str]]]:
    return lambda rng, background: _pick_names(rng, rng.randint(low, high), background)


def _repeated(rng: Random, background: str) -> list[tuple[str, str]]:
    return _pick_names(rng, 1, background) * rng.randint(2, 4)


def _grouped(rng: Random, background: str) -> list[tuple[str, str]]:
    first, second = _pick_names(rng, 2, background)
    return [first] * 2 + [second] * rng.randint(1, 2)


RECIPES: tuple[tuple[float, Callable[[Random, str], list[tuple[str, str]]]], ...] = (
    (0.04, _empty),
    (0.28, _different(1, 1)),
    (0.24, _different(2, 2)),
    (0.16, _repeated),
    (0.18, _different(3, 4)),
    (0.10, _grouped),
)
"""How often the training set draws each kind of scene."""


def random_scene(rng: Random) -> Scene:
    """Draw a scene: every choice comes from `rng`."""
    background = rng.choice(tuple(BACKGROUNDS))
    recipe = rng.choices([r for _, r in RECIPES], weights=[w for w, _ in RECIPES])[0]
    names = recipe(rng, background)
    if not names:
        return Scene(background)
    low, high = SIZE_RANGE[len(names)]
    while True:
        if rng.random() < 0.5:
            common = rng.uniform(low, high)
            sizes = [min(high, max(low, common * rng.uniform(0.88, 1.12))) for _ in names]
        else:
            sizes = [rng.uniform(low, high) for _ in names]
        centers = _place(rng, sizes)
        if centers is not None:
            break
    return Scene(
        background,
        tuple(
            SceneObject(shape, color, x, y, size)
            for (color, shape), (x, y), size in zip(names, centers, sizes, strict=True)
        ),
    )
