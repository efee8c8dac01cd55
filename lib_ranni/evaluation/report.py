"""What came out of a suite: figures per mode as data and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET, Struct, UnsetType

from lib_ranni.evaluation.planning import PlanningFigures
from lib_ranni.evaluation.suite import CATEGORIES, MULTI_OBJECT, Categorized, Verdict


class Prompted(Categorized, Protocol):
    """Something with a category and a prompt."""

    @property
    def prompt(self) -> str:
        """The prompt."""
        ...


class Result(Protocol):
    """What a report needs to know of each judged picture or panel."""

    @property
    def entry(self) -> Prompted:
        """What was judged."""
        ...

    @property
    def mode(self) -> str:
        """How it was made."""
        ...

    @property
    def verdict(self) -> Verdict:
        """Whether it is all-correct."""
        ...

    @property
    def iou(self) -> float | None:
        """How well it keeps to its layout, 0..1."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


class ModeSummary(Struct, frozen=True):
    """Shares 0..1 of all-correct pictures by category, and their mean.

    `mean` is over the multi-object categories where there are any, else over all; categories weigh the same.
    `iou` is over the pictures with a layout, None where there are none; `planning` is for planners only.
    """

    all_correct: dict[str, float]
    mean: float
    iou: float | None
    seconds_per_image: float
    planning: PlanningFigures | UnsetType = UNSET


class Summary(Struct, frozen=True):
    """The figures of one run, in the layout that `lib-ranni eval --json` prints; `n` prompts per mode."""

    suite: str
    n: int
    modes: dict[str, ModeSummary]


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.0


def _summarize_mode(results: Sequence[Result]) -> ModeSummary:
    present = dict.fromkeys(result.entry.category for result in results)
    names: list[str] = [name for name in CATEGORIES if name in present]
    names += [name for name in present if name not in names]
    shares = {
        name: _mean(float(r.verdict.correct) for r in results if r.entry.category == name) for name in names
    }
    multi = [name for name in names if name in MULTI_OBJECT] or names
    ious = [r.iou for r in results if r.iou is not None]
    return ModeSummary(
        all_correct=shares,
        mean=_mean(shares[name] for name in multi),
        iou=_mean(ious) if ious else None,
        seconds_per_image=_mean(r.seconds for r in results),
    )


def summarize(suite: str, results: Sequence[Result]) -> Summary:
    """The figures of all modes, in the order in which the modes first appear."""
    by_mode: dict[str, list[Result]] = {}
    for result in results:
        by_mode.setdefault(result.mode, []).append(result)
    most = max((len(part) for part in by_mode.values()), default=0)
    return Summary(suite, most, {mode: _summarize_mode(part) for mode, part in by_mode.items()})


def as_json(summary: Summary) -> bytes:
    """The summary as one line of JSON."""
    return msgspec.json.encode(summary)


def error_ratio(summary: Summary, mode: str, baseline: str = "plain") -> float | None:
    """How many times smaller the mode's mean error is than the baseline's; inf when it makes none.

    None when one of the two was not run.
    """
    if mode not in summary.modes or baseline not in summary.modes:
        return None
    error = 1 - summary.modes[mode].mean
    before = 1 - summary.modes[baseline].mean
    if error <= 0:
        return float("inf") if before > 0 else 1.0
    return before / error


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def table(summary: Summary, baseline: str = "plain") -> str:
    """The summary as text, a row per mode; the last column is `error_ratio`."""
    categories = list(dict.fromkeys(name for m in summary.modes.values() for name in m.all_correct))
    multi = any(name in MULTI_OBJECT for name in categories)
    head = ["mode", *categories, "mean (multi)" if multi else "mean", "IoU", "s/image", "fewer errors"]
    rows = [head]
    for mode, figures in summary.modes.items():
        ratio = error_ratio(summary, mode, baseline)
        rows.append(
            [
                mode,
                *(_percent(figures.all_correct.get(name)) for name in categories),
                _percent(figures.mean),
                "-" if figures.iou is None else f"{figures.iou:.3f}",
                f"{figures.seconds_per_image:.2f}",
                "-" if ratio is None or mode == baseline else f"{ratio:.1f}x",
            ]
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells[1:]]))
    lines.insert(1, "  ".join("-" * width for width in widths))
    return f"suite {summary.suite}, {summary.n} prompts, % all-correct\n" + "\n".join(lines) + "\n"
