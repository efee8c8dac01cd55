"""Whether edits with memory are done right, and whether they leave the rest of the picture alone.

A generated list of edits (fixed by `--seed`) over the six unit operations is applied to panels of two or
three colored shapes. Each picture is drawn with the shipped checkpoint, then edited. Counted are edits done
right (the scorer sees the changed thing as the panel has it) and pictures that are all correct afterwards,
beside the same for the pictures drawn anew from the edited panel, without memory. Of what must not change,
the largest differences are given: of latents and of pixels (0..255) outside the region, and of the decoded
strip of latents that the region does not touch, by itself. Exit code 1 where any of them is not 0.

    python bench/memory_edits.py --samplers ddim euler --out outputs/memory
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from lib_ranni.errors import RanniError  # noqa: E402
from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS, SHAPES, random_scene  # noqa: E402
from lib_ranni.evaluation.scoring import Detection, detect  # noqa: E402
from lib_ranni.evaluation.suite import element_name  # noqa: E402
from lib_ranni.panel import edits  # noqa: E402
from lib_ranni.panel.geometry import free_box, iou, overlap  # noqa: E402
from lib_ranni.panel.types import Box, Element, Panel  # noqa: E402
from lib_ranni.standalone.checkpoint import load_checkpoint  # noqa: E402
from lib_ranni.standalone.engine import Engine  # noqa: E402
from lib_ranni.standalone.schedulers import SAMPLERS  # noqa: E402

OPERATIONS = ("add", "remove", "replace", "re-attribute", "resize", "move")
LEAST_IOU = 0.3
"""How well a thing must fill its box to count as being there, as in the scorer's own accuracy."""

APART = 0.02
"""Boxes may share this much of the canvas and still count as apart."""


class Edit(NamedTuple):
    """One scripted edit: the panels before and after it, and the id of the element it is about."""

    operation: str
    before: Panel
    after: Panel
    element: str
    seed: int


class Drawn(NamedTuple):
    """An edit's pictures, and the largest differences where there must be none."""

    edit: Edit
    before: Image.Image
    after: Image.Image
    anew: Image.Image
    region: Tensor
    latents: float
    pixels: int
    strip: int
    raw: int


def scripted(count: int, seed: int) -> list[Edit]:
    """As many edits of each operation as `count` allows, in turn."""
    rng = Random(seed)
    found: list[Edit] = []
    while len(found) < count:
        operation = OPERATIONS[len(found) % len(OPERATIONS)]
        before = _panel(rng)
        try:
            after, element = _edited(operation, before, rng)
        except RanniError:
            continue
        if after != before and _apart(after):
            found.append(Edit(operation, before, after, element, rng.randrange(2**32)))
    return found


def _panel(rng: Random) -> Panel:
    """A panel of two or three different shapes on a plain background."""
    while True:
        scene = random_scene(rng)
        names = {item.name for item in scene.objects}
        if len(names) == len(scene.objects) and len(names) in (2, 3):
            break
    elements = []
    for n, item in enumerate(scene.objects, 1):
        half = item.size / 2
        box = Box(max(0, item.x - half), max(0, item.y - half), min(1, item.x + half), min(1, item.y + half))
        elements.append(Element(id=f"e{n}", description=f"a {item.name}", box=box))
    return Panel(base=f"plain {scene.background} background", elements=tuple(elements))


def _edited(operation: str, panel: Panel, rng: Random) -> tuple[Panel, str]:
    chosen = rng.choice(panel.elements)
    color, shape = str(element_name(chosen.description)).split()
    ground = next(name for name in BACKGROUNDS if name in panel.base)
    colors = [name for name in COLORS if name not in (color, ground)]
    words = f"a {rng.choice(colors)} {rng.choice([name for name in SHAPES if name != shape])}"
    if operation == "add":
        side = rng.uniform(0.28, 0.36)
        return edits.add(panel, words, free_box(panel, side, side)), panel.fresh_id()
    changes: dict[str, Callable[[], Panel]] = {
        "remove": lambda: edits.remove(panel, chosen.id),
        "replace": lambda: edits.replace(panel, chosen.id, words),
        "re-attribute": lambda: edits.reattribute(panel, chosen.id, f"a {rng.choice(colors)} {shape}"),
        "resize": lambda: edits.resize(panel, chosen.id, rng.choice([0.7, 1.35])),
        "move": lambda: edits.move(panel, chosen.id, to=(rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8))),
    }
    after = changes[operation]()
    moved = after.find(chosen.id)
    if operation == "move" and moved is not None and iou(moved.box, chosen.box) > 0.3:
        return panel, chosen.id  # hardly a move: choose again
    return after, chosen.id


def _apart(panel: Panel) -> bool:
    """Whether the things stand apart, and each but once: what the scorer can tell."""
    names = [element_name(element.description) for element in panel.elements]
    boxes = [element.box for element in panel.elements]
    pairs = [(a, b) for n, a in enumerate(boxes) for b in boxes[:n]]
    return len(set(names)) == len(names) and all(overlap(a, b) < APART for a, b in pairs)


def done_right(edit: Edit, was: Sequence[Detection], seen: Sequence[Detection]) -> bool:
    """Whether a picture shows what the edit asked for; `was` is what the one before it showed.

    Drawn things do not fill their boxes, so that a size is right when at least half of the change that was
    asked for (of the logarithm of the area) is there, and a place when it is nearer to the new one.
    """
    old, new = edit.before.find(edit.element), edit.after.find(edit.element)
    if new is None:
        assert old is not None
        return not any(iou(old.box, thing.box) >= LEAST_IOU for thing in seen)
    if not _shows(new, seen):
        return False
    if edit.operation not in ("resize", "move") or old is None:
        return True
    own, earlier = (
        [thing.box for thing in things if thing.name == element_name(new.description)]
        for things in (seen, was)
    )
    if len(own) != 1 or len(earlier) != 1:
        return False
    if edit.operation == "move":
        return math.dist(own[0].center, new.box.center) < math.dist(own[0].center, old.box.center)
    asked = math.log(new.box.area / old.box.area)
    return math.log(own[0].area / earlier[0].area) / asked >= 0.5


def all_correct(panel: Panel, seen: Sequence[Detection]) -> bool:
    """Whether a picture shows the panel's things in their boxes, and nothing else."""
    return len(seen) == len(panel.elements) and all(_shows(element, seen) for element in panel.elements)


def _shows(element: Element, seen: Sequence[Detection]) -> bool:
    name = element_name(element.description)
    return any(thing.name == name and iou(thing.box, element.box) >= LEAST_IOU for thing in seen)


def draw(engine: Engine, batch: Sequence[Edit], **fields: Any) -> list[Drawn]:
    """Draw some edits: before, after with memory, and anew without."""
    seeds = tuple(edit.seed for edit in batch)
    first = engine.checkpoint.defaults.request(
        [edit.before for edit in batch], batch=len(batch), seeds=seeds, **fields
    )
    anew = msgspec.structs.replace(first, panels=tuple(edit.after for edit in batch))
    second = msgspec.structs.replace(anew, before=first)
    before = engine.generate(first, remember=True)
    after = engine.generate(second, memories=before.memories, remember=True)
    without = engine.generate(anew)
    return [
        Drawn(
            edit,
            before.images[n],
            after.images[n],
            without.images[n],
            after.regions[n],
            *_differences(engine, before, after, n),
        )
        for n, edit in enumerate(batch)
    ]


def _differences(engine: Engine, before: Any, after: Any, n: int) -> tuple[float, int, int, int]:
    old, new, region = before.memories[n].finished, after.memories[n].finished, after.regions[n]
    kept = region == 0
    latents = float((old - new).abs()[:, kept].max()) if bool(kept.any()) else 0.0
    pixels = kept.repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    raw = [engine._decode(latent[None], "")[0] for latent in (old, new)]
    strip = _strip(kept)
    cut = [latent[None][..., strip[0], strip[1]] for latent in (old, new)] if strip else []
    parts = [engine._decode(latents, "")[0] for latents in cut]
    return (
        latents,
        _most(before.images[n], after.images[n], pixels),
        _most(parts[0], parts[1]) if parts else 0,
        _most(raw[0], raw[1], pixels),
    )


def _strip(kept: Tensor) -> tuple[slice, slice] | None:
    """The widest band of rows or columns that the region does not touch, if there is one."""
    best: tuple[int, tuple[slice, slice]] = (0, (slice(0), slice(0)))
    for axis in (0, 1):
        free, start = kept.all(1 - axis).tolist(), 0
        for at, is_free in enumerate([*free, False]):
            if not is_free:
                band, whole = slice(start, at), slice(None)
                best = max(
                    best, (at - start, (band, whole) if axis == 0 else (whole, band)), key=lambda b: b[0]
                )
                start = at + 1
    return best[1] if best[0] else None


def _most(first: Image.Image, second: Image.Image, where: Any = None) -> int:
    levels = np.abs(np.asarray(first, np.int16) - np.asarray(second, np.int16)).max(2)
    levels = levels if where is None else levels[where]
    return int(levels.max()) if levels.size else 0


def figures(drawn: Sequence[Drawn]) -> dict[str, dict[str, float]]:
    """Shares by operation and over all, and the largest differences."""
    groups: dict[str, list[Counter[str]]] = defaultdict(list)
    for one in drawn:
        seen = {name: detect(getattr(one, name)) for name in ("before", "after", "anew")}
        was = all_correct(one.edit.before, seen["before"])
        tally = Counter(
            before=int(was),
            right=int(done_right(one.edit, seen["before"], seen["after"])),
            correct=int(all_correct(one.edit.after, seen["after"])),
            **{"correct of correct": int(was and all_correct(one.edit.after, seen["after"]))},
            **{"right anew": int(done_right(one.edit, seen["before"], seen["anew"]))},
        )
        for name in (one.edit.operation, "all"):
            groups[name].append(tally)
    names = [name for name in (*OPERATIONS, "all") if name in groups]
    found = {}
    for name in names:
        total = sum(groups[name], Counter())
        n = len(groups[name])
        part = [one for one in drawn if name in (one.edit.operation, "all")]
        found[name] = {
            "n": n,
            **{key: total[key] / n for key in ("before", "right", "correct", "right anew")},
            "correct of correct": total["correct of correct"] / max(1, total["before"]),
            "share redrawn": sum(float((one.region > 0).float().mean()) for one in part) / n,
            **{key: max(getattr(one, key) for one in part) for key in ("latents", "pixels", "strip", "raw")},
        }
    return found


def shown(sampler: str, found: dict[str, dict[str, float]]) -> str:
    """The figures as a table; shares in percent."""
    shares = ("before", "right", "correct", "correct of correct", "right anew", "share redrawn")
    rest = ("latents", "pixels", "strip", "raw")
    lines = [f"{sampler:14}{'n':>5}" + "".join(f"{key:>{len(key) + 3}}" for key in (*shares, *rest))]
    for name, row in found.items():
        percents = "".join(f"{100 * row[key]:>{len(key) + 2}.0f}%" for key in shares)
        lines.append(
            f"{name:14}{row['n']:>5.0f}{percents}" + "".join(f"{row[k]:>{len(k) + 3}g}" for k in rest)
        )
    return "\n".join(lines)


def sheet(drawn: Sequence[Drawn]) -> Image.Image:
    """Before, after, region and drawn anew of each edit, three edits a row."""
    side, columns = drawn[0].before.width, 3
    cell = (4 * side + 12, side + 26)
    page = Image.new("RGB", (columns * cell[0], -(-len(drawn) // columns) * cell[1]), (250, 250, 251))
    pen = ImageDraw.Draw(page)
    for n, one in enumerate(drawn):
        x, y = n % columns * cell[0], n // columns * cell[1]
        region = Image.fromarray((one.region.numpy() * 255).astype(np.uint8)).resize(one.after.size, 0)
        for k, picture in enumerate((one.before, one.after, region, one.anew)):
            page.paste(picture.convert("RGB"), (x + k * side, y + 18))
        right = done_right(one.edit, detect(one.before), detect(one.after))
        new = one.edit.after.find(one.edit.element)
        label = f"{'ok ' if right else 'NOT'} {one.edit.operation} {one.edit.element}"
        pen.text((x + 2, y + 3), f"{label} {new.description if new else ''}", (28, 28, 34))
    return page


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=120, help="length of the list of edits (120)")
    parser.add_argument("--limit", type=int, help="draw the first few of the list only")
    parser.add_argument("--seed", type=int, default=0, help="of the list")
    parser.add_argument("--samplers", nargs="+", default=["ddim", "euler"], choices=sorted(SAMPLERS))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4, help="pictures at a time (4)")
    parser.add_argument("--device")
    parser.add_argument("--margin", type=int, help="latent cells around what changed")
    parser.add_argument("--feather", type=int, help="further latent cells of soft edge")
    parser.add_argument("--out", type=Path, default=Path("outputs/memory"))
    args = parser.parse_args()
    listed = scripted(args.count, args.seed)[: args.limit]
    engine = Engine(load_checkpoint(device=args.device))
    fields = {"edit_margin": args.margin, "edit_feather": args.feather}
    fields = {name: value for name, value in fields.items() if value is not None}
    args.out.mkdir(parents=True, exist_ok=True)
    results, exact = {}, True
    for sampler in args.samplers:
        began, drawn = time.perf_counter(), []
        for start in range(0, len(listed), args.batch):
            batch = listed[start : start + args.batch]
            drawn += draw(engine, batch, sampler=sampler, steps=args.steps, **fields)
            print(f"\r{sampler}: {len(drawn)}/{len(listed)}", end="", file=sys.stderr, flush=True)
        print(f" in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        results[sampler] = figures(drawn)
        print(shown(sampler, results[sampler]), flush=True)
        sheet(drawn).save(args.out / f"{sampler}.png")
        every = results[sampler]["all"]
        exact = exact and not any(every[key] for key in ("latents", "pixels", "strip"))
    (args.out / "figures.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if exact else 1


if __name__ == "__main__":
    raise SystemExit(main())
