"""`lib-ranni tour`: the main job once, on the shipped checkpoint, from prompt to side-by-side pictures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from PIL import Image

from lib_ranni.panel.fonts import text_picture
from lib_ranni.panel.preview import render
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest
from lib_ranni.standalone.commands.plan import describe
from lib_ranni.standalone.console import progress_bar, say, show
from lib_ranni.standalone.planning import plan

SUMMARY = "plan one prompt, draw it plain and guided from the same seed, and lay the pictures side by side"

PROMPT = "a yellow star above a red circle to the left of a blue square, on a white background"
PICTURES = 4
CELL_PX = 256


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--out", type=Path, default=Path("outputs/tour"), metavar="DIR")


def run(args: Namespace) -> int:
    """Plan, draw in all modes, write everything and say where."""
    from lib_ranni.standalone.checkpoint import load_checkpoint
    from lib_ranni.standalone.engine import Engine
    from lib_ranni.standalone.metadata import save_png

    args.out.mkdir(parents=True, exist_ok=True)
    say(f"prompt: {PROMPT}")
    panel = plan(BuiltinPlanner(), PlanRequest(PROMPT)).panel
    say("planned:\n" + describe(panel))
    checkpoint = load_checkpoint()
    engine = Engine(checkpoint)
    rows: dict[str, tuple[Image.Image, ...]] = {}
    for mode in ("plain", "attention", "latent"):
        request = checkpoint.defaults.request([panel], mode=mode, batch=PICTURES)
        with progress_bar(mode) as advance:
            generation = engine.generate(request, advance)
        say(f"{mode}: {PICTURES} pictures in {generation.seconds:.1f} s")
        rows[mode] = generation.images
        for index, picture in enumerate(generation.images):
            save_png(picture, args.out / f"{mode}-{generation.seeds[index]}.png", request, index)
    (args.out / "panel.json").write_text(to_json(panel, indent=2) + "\n", encoding="utf-8")
    preview = render(panel, 512)
    preview.save(args.out / "panel.png", format="PNG")
    _sheet(panel, rows).save(args.out / "sheet.png", format="PNG")
    for name in ("sheet.png", "panel.png", "panel.json"):
        show(str(args.out / name))
    say("look at sheet.png: left the panel, then the same seeds plain and guided")
    return 0


def _sheet(panel: Panel, rows: dict[str, tuple[Image.Image, ...]]) -> Image.Image:
    """The panel's preview, and beside it a row of pictures for each mode, labelled."""
    gap, label = 8, 26
    tall = len(rows) * (CELL_PX + label + gap) + gap
    preview = render(panel, tall - 2 * gap - label)
    left = preview.width + 2 * gap
    sheet = Image.new("RGB", (left + PICTURES * (CELL_PX + gap), tall), (245, 245, 245))
    _write(sheet, (gap, gap), PROMPT, preview.width)
    sheet.paste(preview, (gap, gap + label))
    for row, (mode, pictures) in enumerate(rows.items()):
        top = gap + row * (CELL_PX + label + gap)
        _write(sheet, (left, top), mode, CELL_PX)
        for column, picture in enumerate(pictures):
            large = picture.resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC)
            sheet.paste(large, (left + column * (CELL_PX + gap), top + label))
    return sheet


def _write(sheet: Image.Image, place: tuple[int, int], text: str, room: int) -> None:
    ink = text_picture(text, 16)
    if ink.width > room:
        ink = text_picture(text, max(9, 16 * room // ink.width))
    sheet.paste((40, 40, 40), place, ink)
