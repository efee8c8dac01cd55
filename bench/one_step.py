"""Wall time of a picture in one step over that of one in the checkpoint's own number of steps.

One picture at a time, with the panels of the built-in planner; planning is not counted, nor is putting the
LoRA on, which is done once. What is printed are medians and their ratio.

    python bench/one_step.py --preset yoso1 --modes plain,attention --rounds 9
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from lib_ranni.evaluation.suite import MULTI_OBJECT, load_suite
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.standalone.checkpoint import load_checkpoint
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.few_step import preset_settings


def main() -> int:
    """Measure, print."""
    args = _arguments()
    checkpoint = load_checkpoint(args.model)
    engine, planner = Engine(checkpoint), BuiltinPlanner()
    few = preset_settings(args.preset, checkpoint)
    entries = [entry for entry in load_suite() if entry.category in MULTI_OBJECT][: args.rounds]
    print(f"{args.preset}: {few}")
    for mode in args.modes.split(","):
        medians = []
        for own in ({}, few):
            seconds = []
            for entry in [entries[0], *entries]:  # the first is thrown away: the LoRA is put on for it
                panel = finish(planner.plan(PlanRequest(entry.prompt))).panel
                request = checkpoint.defaults.request([panel], mode=mode, seed=entry.seed, **own)
                seconds.append(engine.generate(request).seconds)
            medians.append(statistics.median(seconds[1:]))
        many, one = medians
        steps = checkpoint.defaults.steps
        print(f"{mode}: {steps} steps {many:.3f} s, 1 step {one:.3f} s, 1/{many / one:.1f}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="yoso1")
    parser.add_argument("--modes", default="plain,attention")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
