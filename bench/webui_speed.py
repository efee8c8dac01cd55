"""Seconds per step in a running WebUI: plain, guided by this extension, and by Regional Prompter.

The WebUI must run with `--api`, both extensions, and whatever checkpoint is to be measured. Each figure is
the difference of a longer and a shorter run over the difference of their steps, so that encoding, decoding
and saving cancel. Variants take turns within each round; a ratio is the median over rounds of a variant's
time over another's of the same round.

    python bench/webui_speed.py --url http://127.0.0.1:7860 --size 256 --regions 2 4 8
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import httpx

WORDS = (
    "a red apple",
    "a blue cup",
    "a green book",
    "a white cat",
    "a brown dog",
    "a pink vase",
    "a lamp",
    "a hat",
)


def main() -> int:
    """Measure, print."""
    args = _arguments()
    client = httpx.Client(base_url=args.url, timeout=3600)
    variants = [("plain", "", 0)]
    variants += [
        (who, mode, n) for mode in args.modes for n in args.regions for who in ("ranni", "regional prompter")
    ]
    seconds: dict[tuple[str, str, int], list[float]] = {variant: [] for variant in variants}
    _draw(client, args, variants[0], args.steps[0])
    for number in range(1, args.rounds + 1):
        for variant in variants:
            short, long = (_draw(client, args, variant, steps) for steps in args.steps)
            seconds[variant].append((long - short) / (args.steps[1] - args.steps[0]))
            print(
                f"round {number}: {variant}: {seconds[variant][-1]:.3f} s/step", file=sys.stderr, flush=True
            )
    print(f"size={args.size} sampler={args.sampler} rounds={args.rounds} base_ratio=0")
    print(
        f"{'mode':10} {'regions':>7} {'plain s':>8} {'ours s':>8} {'theirs s':>9} "
        f"{'ours/plain':>11} {'theirs/plain':>13} {'ours/theirs':>12}"
    )
    plain = seconds[variants[0]]
    for mode in args.modes:
        for n in args.regions:
            ours, theirs = seconds["ranni", mode, n], seconds["regional prompter", mode, n]
            print(
                f"{mode:10} {n:7} {statistics.median(plain):8.3f} {statistics.median(ours):8.3f} "
                f"{statistics.median(theirs):9.3f} {_ratio(ours, plain):11.3f} {_ratio(theirs, plain):13.3f} "
                f"{_ratio(ours, theirs):12.3f}"
            )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    parser.add_argument("--size", type=int, default=256, help="picture side in pixels")
    parser.add_argument("--regions", type=int, nargs="+", default=[2, 4], choices=range(1, len(WORDS) + 1))
    parser.add_argument(
        "--modes", nargs="+", choices=["attention", "latent"], default=["attention", "latent"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[2, 6], help="of the shorter and the longer run"
    )
    parser.add_argument("--sampler", default="Euler")
    return parser.parse_args()


def _ratio(first: list[float], second: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _draw(client: httpx.Client, args: argparse.Namespace, variant: tuple[str, str, int], steps: int) -> float:
    who, mode, count = variant
    body: dict[str, Any] = {"prompt": "a table", "negative_prompt": "ugly", "steps": steps, "seed": 1}
    body |= {"width": args.size, "height": args.size, "sampler_name": args.sampler}
    words = WORDS[:count]
    if who == "ranni":
        boxes = [{"x0": n / count, "y0": 0, "x1": (n + 1) / count, "y1": 1} for n in range(count)]
        elements = [{"description": w, "box": box} for w, box in zip(words, boxes, strict=True)]
        request = {"panel": {"elements": elements}, "guidance": {"mode": mode, "base_ratio": 0}}
        body["alwayson_scripts"] = {"Ranni": {"args": [request]}}
    elif who == "regional prompter":
        values = [
            True,
            False,
            "Matrix",
            "Columns",
            "Mask",
            "Prompt",
            ",".join("1" * count),
            "0",
            False,
            False,
            False,
        ]
        values += [mode.capitalize(), [], "0", "0", "0.4", None, "0", "0", False]
        body["prompt"] = " BREAK ".join(words)
        body["alwayson_scripts"] = {"Regional Prompter": {"args": values}}
    began = time.perf_counter()
    client.post("/sdapi/v1/txt2img", json=body).raise_for_status()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
