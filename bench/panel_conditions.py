"""What palettes and keypoints do under panel control, and what it costs, on the shapes checkpoint.

Without a conditioner nothing is controlled but by --layout-noise and --attention-bias.

colors     the suite's prompts without their colors, which only the palettes tell: share of boxes in which an
           object of the asked color is drawn, and in which it has the shape of the text
keypoints  random scenes with boxes twice as large as their objects: IoU of what is drawn with the object that
           the points outline, with and without them
overhead   seconds of a picture with panel control over those without, drawn in turns: median of the ratios

    python bench/panel_conditions.py --mode attention --limit 60
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from lib_ranni.evaluation.scenes import COLORS, SHAPES, Scene, drawn_bounds, random_scene, tips
from lib_ranni.evaluation.scoring import Detection, detect
from lib_ranni.evaluation.suite import element_name, limited, load_suite
from lib_ranni.panel.geometry import iou
from lib_ranni.panel.types import Box, Element, Keypoint, Panel, clamped_box, with_fields
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.standalone.checkpoint import Checkpoint, load_checkpoint
from lib_ranni.standalone.engine import Engine

FOUND = 0.3
"""IoU from which a drawn object counts as that of a box."""


def main() -> int:
    """Measure, print."""
    args = _arguments()
    checkpoint = load_checkpoint(args.model)
    if args.conditioner is not None:
        checkpoint = checkpoint.with_conditioner(args.conditioner)
    own = ("control", "control_stop", "cfg", "layout_noise", "attention_bias")
    given = {name: getattr(args, name) for name in own}
    given = {name: value for name, value in given.items() if value is not None}
    control = 0.0 if checkpoint.conditioner is None else checkpoint.defaults.control
    draw = _Drawing(checkpoint, {"mode": args.mode, "control": control, **given})
    for what in args.what:
        {"colors": _colors, "keypoints": _keypoints, "overhead": _overhead}[what](draw, args)
    return 0


class _Drawing:
    """Draws panels, each with a seed of its own, eight at a time."""

    def __init__(self, checkpoint: Checkpoint, settings: dict[str, Any]) -> None:
        self.checkpoint, self.settings = checkpoint, settings
        self._engine = Engine(checkpoint)

    def __call__(self, panels: Sequence[Panel], seeds: Sequence[int], **changes: Any) -> list[Image.Image]:
        pictures: list[Image.Image] = []
        for at in range(0, len(panels), 8):
            part, own = panels[at : at + 8], tuple(seeds[at : at + 8])
            settings = {**self.settings, **changes, "seeds": own, "batch": len(part)}
            pictures += self._engine.generate(self.checkpoint.defaults.request(part, **settings)).images
        return pictures


def _nearest(box: Box, detections: Sequence[Detection]) -> Detection | None:
    best = max(detections, key=lambda seen: iou(box, seen.box), default=None)
    return best if best is not None and iou(box, best.box) >= FOUND else None


def _colors(draw: _Drawing, args: argparse.Namespace) -> None:
    planner = BuiltinPlanner()
    panels, seeds = [], []
    for entry in limited(load_suite(), args.limit):
        plan = finish(planner.plan(PlanRequest(entry.prompt))).panel
        elements = tuple(_named_by_palette(element) for element in plan.elements)
        words = [element.description for element in elements]
        prompt = f"{', '.join(words)}, {plan.base}" if plan.base else ", ".join(words)
        provenance = with_fields(plan.provenance, prompt=prompt)
        panels.append(with_fields(plan, elements=elements, provenance=provenance))
        seeds.append(entry.seed)
    boxes = right = shaped = told = 0
    without = [_without_colors(panel) for panel in panels]
    pairs = zip(panels, draw(panels, seeds), draw(without, seeds), strict=True)
    for panel, picture, blind in pairs:
        seen, guessed = detect(picture), detect(blind)
        for element in panel.elements:
            if not element.colors:
                continue
            boxes += 1
            asked = _color_of(element.colors[0])
            found, chance = _nearest(element.box, seen), _nearest(element.box, guessed)
            right += found is not None and found.color == asked
            shaped += found is not None and found.shape in element.description.split()
            told += chance is not None and chance.color == asked
    print(
        f"colors: {right}/{boxes} boxes = {right / boxes:.3f}; without palette {told / boxes:.3f}; "
        f"the text's shape {shaped / boxes:.3f}"
    )


def _named_by_palette(element: Element) -> Element:
    name = element_name(element.description)
    if name is None:
        return element
    color, shape = name.split()
    words = " ".join(word for word in element.description.split() if word != color)
    r, g, b = COLORS[color]
    assert shape in SHAPES
    return with_fields(element, description=words, colors=(f"#{r:02x}{g:02x}{b:02x}",))


def _without_colors(panel: Panel) -> Panel:
    return with_fields(panel, elements=tuple(with_fields(e, colors=()) for e in panel.elements))


def _color_of(code: str) -> str:
    rgb = tuple(int(code[n : n + 2], 16) for n in (1, 3, 5))
    return next(name for name, own in COLORS.items() if own == rgb)


def _keypoints(draw: _Drawing, args: argparse.Namespace) -> None:
    rng = Random(4)
    scenes: list[Scene] = []
    while len(scenes) < args.limit:
        scene = random_scene(rng)
        if 1 <= len(scene.objects) <= 2:
            scenes.append(scene)
    panels = [_pointed(scene, rng) for scene in scenes]
    seeds = list(range(len(panels)))
    without = [
        with_fields(p, elements=tuple(with_fields(e, keypoints=()) for e in p.elements)) for p in panels
    ]
    figures = [
        statistics.fmean(_kept(scene, picture) for scene, picture in zip(scenes, pictures, strict=True))
        for pictures in (draw(panels, seeds), draw(without, seeds))
    ]
    print(f"keypoints: IoU with the outlined object {figures[0]:.3f}; without them {figures[1]:.3f}")


def _pointed(scene: Scene, rng: Random) -> Panel:
    elements = []
    for number, item in enumerate(scene.objects):
        x0, y0, x1, y1 = drawn_bounds(item)
        left, top = (rng.uniform(0, 0.7 * item.size) for _ in range(2))
        box = clamped_box(x0 - left, y0 - top, x1 + 0.7 * item.size - left, y1 + 0.7 * item.size - top)
        assert box is not None
        points = tuple(Keypoint("tip", min(1, max(0, x)), min(1, max(0, y))) for x, y in tips(item))
        elements.append(Element(id=f"e{number}", description=item.name, box=box, keypoints=points))
    return Panel(base=f"plain {scene.background} background", elements=tuple(elements))


def _kept(scene: Scene, picture: Image.Image) -> float:
    """Mean over a scene's objects of the best IoU of a drawn one with the object's own bounds."""
    seen = detect(picture)
    return statistics.fmean(
        max((iou(Box(*drawn_bounds(item)), one.box) for one in seen), default=0.0) for item in scene.objects
    )


def _overhead(draw: _Drawing, args: argparse.Namespace) -> None:
    planner = BuiltinPlanner()
    said = [finish(planner.plan(PlanRequest(e.prompt))).panel for e in limited(load_suite(), 8)]
    unsaid = [with_fields(p, elements=tuple(_named_by_palette(e) for e in p.elements)) for p in said]
    for what, panels in (("colors said by texts", said), ("by palettes", unsaid)):
        ratios = []
        draw(panels, range(8))
        for _ in range(args.rounds):
            took = []
            for scale in (draw.settings["control"], 0.0):
                began = time.perf_counter()
                draw(panels, range(8), control=scale)
                took.append(time.perf_counter() - began)
            ratios.append(took[0] / took[1])
            print(f"{took[0]:.3f} s against {took[1]:.3f} s", file=sys.stderr)
        print(f"overhead, {what}: {statistics.median(ratios):.3f} of a picture without panel control")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="*", default=["colors", "keypoints", "overhead"])
    parser.add_argument("--mode", choices=("plain", "attention", "latent", "panel"), default="attention")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--control", type=float)
    parser.add_argument("--control-stop", type=float)
    parser.add_argument("--cfg", type=float)
    parser.add_argument("--layout-noise", type=float)
    parser.add_argument("--attention-bias", type=float)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--conditioner", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
