"""How often pictures drawn in a running WebUI show what their prompts say, against the stand-alone engine.

The WebUI must run with `--api`, this extension, and the shapes checkpoint loaded. Every prompt of the
suite's multi-object part is planned once; both sides draw the same panels from the same seeds. With
`--regional-prompter`, that extension (which must be installed there too) draws the same elements in equal
squares, side by side across the middle of the picture, and so do we.

    python bench/webui_suite.py --url http://127.0.0.1:7860 --samplers Euler "DPM++ 2M" DDIM UniPC
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lib_ranni.evaluation.report import summarize, table
from lib_ranni.evaluation.run import Job, Outcome, run_suite
from lib_ranni.evaluation.suite import MULTI_OBJECT, limited, load_suite
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.standalone.checkpoint import load_checkpoint
from lib_ranni.standalone.engine import Engine

SAMPLERS = {"Euler": "euler", "DPM++ 2M": "dpmpp-2m", "DDIM": "ddim", "UniPC": "unipc"}
"""The host's name of a sampler -> the engine's."""

SIDES = ("webui", "engine", "regional prompter")


def main() -> int:
    """Draw, judge, print."""
    args = _arguments()
    entries = [entry for entry in load_suite() if entry.category in MULTI_OBJECT]
    entries = list(limited(entries, args.limit))
    plan = _in_columns if args.regional_prompter else _planned
    if args.regional_prompter:
        entries = [entry for entry in entries if 2 <= len(plan(entry.prompt).elements) <= 4]
    sides = [side for side in SIDES if side in args.sides]
    variants = [
        f"{mode} / {name} / {side}" for name in args.samplers for mode in args.modes for side in sides
    ]
    outcomes = run_suite(entries, variants, _drawer(args), plan, _progress, batch=args.batch)
    print(table(summarize("shapes", outcomes)))
    print(_times(outcomes))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument(
        "--modes", nargs="+", choices=["attention", "latent"], default=["attention", "latent"]
    )
    parser.add_argument("--sides", nargs="+", choices=SIDES)
    parser.add_argument(
        "--regional-prompter", action="store_true", help="columns of squares, drawn by both extensions"
    )
    parser.add_argument("--limit", type=int, help="only so many prompts, of all categories")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    args = parser.parse_args()
    args.sides = args.sides or (SIDES[::2] if args.regional_prompter else SIDES[:2])
    return args


def _planned(prompt: str) -> Panel:
    panel = finish(BuiltinPlanner().plan(PlanRequest(prompt))).panel
    return msgspec.structs.replace(panel, base=panel.base or "plain background")


def _in_columns(prompt: str) -> Panel:
    """The planned elements from left to right, in squares that together are as wide as the picture.

    Columns of the whole height would be a trial of the checkpoint instead: it fills a tall box with two
    objects, whoever tells it the text.
    """
    panel = _planned(prompt)
    ordered = sorted(panel.elements, key=lambda e: (e.box.x0 + e.box.x1, e.box.y0))
    side = 1 / max(1, len(ordered))
    top = (1 - side) / 2
    boxes = [Box(n * side, top, min(1, (n + 1) * side), top + side) for n in range(len(ordered))]
    elements = tuple(
        Element(id=element.id, description=element.description, box=box)
        for element, box in zip(ordered, boxes, strict=True)
    )
    return Panel(base=panel.base, elements=elements)


def _drawer(args: argparse.Namespace) -> Callable[[Sequence[Job], str], list[Image.Image]]:
    client = httpx.Client(base_url=args.url, timeout=900)
    engine = Engine(load_checkpoint(None)) if "engine" in args.sides else None

    def draw(jobs: Sequence[Job], variant: str) -> list[Image.Image]:
        mode, sampler, side = variant.split(" / ")
        if side == "engine" and engine is not None:
            request = engine.checkpoint.defaults.request(
                [job.panel for job in jobs],
                mode=mode,
                seeds=tuple(job.seed for job in jobs),
                batch=len(jobs),
                sampler=SAMPLERS[sampler],
                steps=args.steps,
            )
            return list(engine.generate(request).images)
        script = _regional_prompter if side == "regional prompter" else _ranni
        return [_from_host(client, script(job.panel, mode), job, sampler, args.steps) for job in jobs]

    return draw


def _ranni(panel: Panel, mode: str) -> dict[str, Any]:
    guidance = {"mode": mode, "base_ratio": 0.0}
    value = {"panel": to_document(panel), "guidance": guidance}
    return {"prompt": panel.base, "alwayson_scripts": {"Ranni": {"args": [value]}}}


def _regional_prompter(panel: Panel, mode: str) -> dict[str, Any]:
    count = len(panel.elements)
    band = f"{count - 1},1"
    ratios = f"{band};2,{','.join('1' * count)};{band}"
    args = [True, False, "Matrix", "Columns", "Mask", "Prompt", ratios, "0", False, False, False]
    args += [mode.capitalize(), [], "0", "0", "0.4", None, "0", "0", False]
    prompt = " BREAK ".join([panel.base, *(element.description for element in panel.elements), panel.base])
    return {"prompt": prompt, "alwayson_scripts": {"Regional Prompter": {"args": args}}}


def _from_host(
    client: httpx.Client, asked: dict[str, Any], job: Job, sampler: str, steps: int
) -> Image.Image:
    body = {"seed": job.seed, "steps": steps, "cfg_scale": 4, "width": 128, "height": 128, **asked}
    answer = client.post("/sdapi/v1/txt2img", json={**body, "sampler_name": sampler})
    answer.raise_for_status()
    return Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0])))


def _times(outcomes: Sequence[Outcome]) -> str:
    seconds: dict[str, list[float]] = {}
    for outcome in outcomes:
        seconds.setdefault(outcome.mode, []).append(outcome.seconds)
    rows = [f"{mode}: {sorted(s)[len(s) // 2]:.2f} s a picture (median)" for mode, s in seconds.items()]
    return "\n".join(rows)


def _progress(what: str, done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
