"""One line of progress for a long training stage, and a log that survives the session."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


class Progress:
    """Shows step, loss and remaining time on standard error and appends it to a log, every 50th step."""

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._average: dict[str, float] = {}
        self._started: dict[str, tuple[float, int]] = {}

    def step(self, stage: str, step: int, steps: int, loss: float) -> None:
        """Note a finished step (counted from 1) and its loss."""
        started, first = self._started.setdefault(stage, (time.monotonic(), step))
        average = self._average.get(stage, loss)
        average = self._average[stage] = average + 0.02 * (loss - average)
        if step % 50 and step not in (first + 1, steps):
            return
        seconds = (time.monotonic() - started) / max(1, step - first)
        left = int(seconds * (steps - step))
        line = f"{stage} {step}/{steps}  loss {average:.4f}  {seconds:.2f} s/step"
        line += f"  {left // 3600}:{left // 60 % 60:02d} left"
        end = "\n" if step == steps or not sys.stderr.isatty() else "\r"
        sys.stderr.write(line + end)
        sys.stderr.flush()
        if self._log is not None:
            row = {"stage": stage, "step": step, "loss": round(average, 5), "seconds": round(seconds, 3)}
            with self._log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")

    def say(self, text: str) -> None:
        """A line that is no step."""
        sys.stderr.write(text + "\n")
