"""What guidance costs: seconds per denoising step, and memory, over the same step without it.

A UNet of Stable Diffusion 1.5's size with random weights (no download) is asked for single steps, plain
and guided with 1, 2, 4, 8, 16 regions that tile the canvas, or held by panel control with as many elements
(mode `panel`: a conditioner of the release's size, local masks, end tokens closed). Variants take turns
within each round, so that a busy machine slows all of them alike; a ratio is the median over rounds of the
variant's time over the mean of the plain steps before and after it. On a machine that others use too,
`--threads 1 --clock cpu` counts the time this process was given. The table goes to standard output,
progress to standard error.

    python bench/guidance_overhead.py --repeats 7 --base-ratios 0.2 0
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from lib_ranni.guidance.guides import Guide, Row, make_guide  # noqa: E402
from lib_ranni.guidance.panel_control import PanelConditioner, Widths  # noqa: E402
from lib_ranni.guidance.panel_session import Control, PanelControlSession, PanelLabels  # noqa: E402
from lib_ranni.guidance.session import GuidanceSession  # noqa: E402
from lib_ranni.guidance.texts import PanelTexts, Text  # noqa: E402
from lib_ranni.guidance.weights import Mixing  # noqa: E402
from lib_ranni.panel.types import Box, Element  # noqa: E402

REGIONS = (1, 2, 4, 8, 16)
TILES = {1: (1, 1), 2: (1, 2), 4: (2, 2), 8: (2, 4), 16: (4, 4)}
"""Rows and columns of the tiling for a number of regions."""

TEXT_LENGTH, TEXT_WIDTH, CFG, PROGRESS = 77, 768, 7.5, 0.5

SMALLEST = 8
"""Side of the least latent that can be halved three times."""

MODES = ("attention", "latent", "panel")
Session = GuidanceSession | PanelControlSession

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Variant(NamedTuple):
    """One thing to time; `regions` is 0 for the plain step."""

    mode: str
    regions: int
    base_ratio: float


class Figure(NamedTuple):
    """What was measured: medians over the rounds; `limit` is what the ratio may be at most, if anything."""

    mode: str
    regions: int
    base_ratio: float
    rows: int
    seconds: float
    ratio: float
    limit: float | None
    peak_mib: int
    rounds: int


def make_unet(dtype: torch.dtype, width: int) -> torch.nn.Module:
    """A UNet with Stable Diffusion 1.5's layout; `width` 320 is its size."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,  # diffusers' name for the number of heads in models of this generation
    )
    return unet.to(dtype).eval().requires_grad_(False)


def make_panel(regions: int, base_ratio: float) -> PanelTexts:
    """Regions that tile the canvas, each with a text of its own."""
    draw = torch.Generator().manual_seed(regions)

    def text() -> Text:
        return Text(torch.randn(TEXT_LENGTH, TEXT_WIDTH, generator=draw))

    down, across = TILES.get(regions, (0, 0))
    elements = tuple(
        Element(
            id=f"e{row * across + column}",
            description="a thing",
            box=Box(column / across, row / down, (column + 1) / across, (row + 1) / down),
        )
        for row in range(down)
        for column in range(across)
    )
    texts = tuple(text() for _ in elements)
    return PanelTexts(elements, texts, (None,) * regions, text(), text(), Mixing(base_ratio))


def make_session(variant: Variant, unet: torch.nn.Module, panel: PanelTexts) -> Session | None:
    """What hooks the UNet in a variant."""
    if variant.mode == "attention":
        return GuidanceSession(unet, [panel])
    if variant.mode != "panel":
        return None
    count = len(panel.elements)
    columns = tuple(frozenset({2 + 3 * n, 3 + 3 * n}) for n in range(count))
    vectors = torch.randn(count + 1, TEXT_WIDTH, generator=torch.Generator().manual_seed(count))
    ends = {panel.base: (60,), panel.base_negative: (30,)}
    labels = PanelLabels(panel, tuple(vectors[:-1]), vectors[-1], columns, ends)
    first = next(unet.parameters()).shape[0]
    conditioner = PanelConditioner(Widths(text=TEXT_WIDTH, out=first)).eval().requires_grad_(False)
    return PanelControlSession(unet, conditioner, [labels], Control(0.6, 1000, 0))


class Bench:
    """Takes single steps with one UNet, as the engine does."""

    def __init__(self, unet: torch.nn.Module, size: int, dtype: torch.dtype, chunk: int, clock: str) -> None:
        self.unet = unet
        self.clock = CLOCKS[clock]
        self.dtype = dtype
        self.chunk = chunk
        self.latent = torch.randn(1, 4, size // 8, size // 8, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def step(self, guide: Guide, session: Session | None, latent: Tensor) -> int:
        """One guided prediction; returns how many rows the denoiser saw."""
        rows = guide.rows(PROGRESS, (latent.shape[-2], latent.shape[-1]))
        parts = [rows[n : n + self.chunk] for n in range(0, len(rows), self.chunk)]
        guide.combine(torch.cat([self._predict(part, session, latent) for part in parts]), PROGRESS)
        return len(rows)

    def _predict(self, rows: list[Row], session: Session | None, latent: Tensor) -> Tensor:
        if session is not None:
            session.assign(rows, PROGRESS)
        x = latent[[row.image for row in rows]].to(self.dtype)
        context = torch.stack([row.text.context for row in rows]).to(self.dtype)
        prediction: Tensor = self.unet(x, torch.tensor(500), context).sample
        return prediction.float()

    def time(self, variant: Variant) -> tuple[float, int, int]:
        """Seconds of one step amid a generation, its rows, and its peak memory in MiB.

        Keys and values of the texts, which a generation computes once, are there already: a step on the
        smallest latent brings them. The weight maps of this latent are counted, as in a first step; panel
        control's residual, which is made once for a pass, is not.
        """
        panel = make_panel(variant.regions, variant.base_ratio)
        guide = make_guide("latent" if variant.mode == "latent" else "plain", [panel], CFG)
        session = make_session(variant, self.unet, panel)
        with session if session is not None else nullcontext():
            if session is not None:
                small = self.latent[..., :SMALLEST, :SMALLEST]
                self.step(guide, session, self.latent if variant.mode == "panel" else small)
            with PeakMemory() as memory:
                started = self.clock()
                rows = self.step(guide, session, self.latent)
                seconds = self.clock() - started
        return seconds, rows, memory.peak_mib


class PeakMemory:
    """The most memory this process held (resident set, MiB), sampled while the block ran."""

    def __init__(self) -> None:
        self.peak_mib = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        _return_freed_memory()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mib = max(self.peak_mib, _resident_mib())
            if self._stop.wait(0.02):
                return


def _return_freed_memory() -> None:
    """Have the allocator give back what earlier variants freed, where it knows how (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident_mib() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss) >> 20


def variants(modes: list[str], regions: list[int], base_ratios: list[float]) -> list[Variant]:
    """Everything to time beside the plain step."""
    ratios = {mode: [1.0] if mode == "panel" else base_ratios for mode in modes}  # its base is the prompt
    return [Variant(mode, n, ratio) for mode in modes for ratio in ratios[mode] for n in regions]


def limit_of(variant: Variant, rows: int) -> float | None:
    """The ratio that the project promises for a variant."""
    if variant.mode == "latent":
        return rows / 2 * 1.05
    if variant.mode == "panel":
        return 1.03
    return {8: 1.05, 16: 1.10}.get(variant.regions)


def measure(bench: Bench, wanted: list[Variant], repeats: int, latent_repeats: int) -> list[Figure]:
    """Time all variants in turns."""
    plain = Variant("plain", 0, 1.0)
    timed(bench, plain, "first call")  # sets up the kernels, does not count
    records: dict[Variant, list[tuple[float, float, int, int]]] = {v: [] for v in [plain, *wanted]}
    for number in range(max(repeats, latent_repeats)):
        due = [v for v in wanted if number < (latent_repeats if v.mode == "latent" else repeats)]
        if not due:
            break
        note = f"round {number + 1}"
        before = timed(bench, plain, note)
        for variant in due:
            seconds, rows, peak = timed(bench, variant, note)
            after = timed(bench, plain, note)
            records[variant].append((seconds, 2 * seconds / (before[0] + after[0]), rows, peak))
            records[plain].append((after[0], 1.0, 2, after[2]))
            before = after
    return [_figure(variant, taken) for variant, taken in records.items() if taken]


def timed(bench: Bench, variant: Variant, note: str) -> tuple[float, int, int]:
    """Time a variant and say so on standard error."""
    seconds, rows, peak = bench.time(variant)
    name = f"{variant.mode} {variant.regions} base_ratio {variant.base_ratio:g}"
    sys.stderr.write(f"{note}: {name}: {seconds:.3f} s, {rows} rows\n")
    sys.stderr.flush()
    return seconds, rows, peak


def _figure(variant: Variant, taken: list[tuple[float, float, int, int]]) -> Figure:
    rows = taken[0][2]
    return Figure(
        variant.mode,
        variant.regions,
        variant.base_ratio,
        rows,
        round(statistics.median(seconds for seconds, *_ in taken), 3),
        round(statistics.median(ratio for _, ratio, *_ in taken), 4),
        limit_of(variant, rows),
        max(peak for *_, peak in taken),
        len(taken),
    )


def table(figures: list[Figure]) -> str:
    """The figures as aligned text."""
    lines = ["mode       regions  base_ratio  rows  s/step   x plain  limit   peak MiB  rounds"]
    for f in figures:
        ratio = "-" if f.mode == "plain" else f"{f.base_ratio:g}"
        limit = "-" if f.limit is None else f"{f.limit:.3f}"
        lines.append(
            f"{f.mode:10} {f.regions:7} {ratio:>11} {f.rows:5} {f.seconds:7.3f} {f.ratio:9.3f}"
            f"  {limit:>6} {f.peak_mib:9} {f.rounds:7}"
        )
    return "\n".join(lines)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="picture side in pixels, a multiple of 8")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of attention mode")
    parser.add_argument("--latent-repeats", type=int, default=1, help="rounds of latent mode")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--regions", nargs="+", type=int, choices=REGIONS, default=list(REGIONS))
    parser.add_argument("--base-ratios", nargs="+", type=float, default=[0.2, 0.0])
    parser.add_argument("--chunk", type=int, default=2, help="rows that go through the UNet at once")
    parser.add_argument("--width", type=int, default=320, help="channels of the first level")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run the bench; 0 when every ratio is within its limit, 1 when not."""
    options = arguments(words)
    torch.set_num_threads(options.threads)
    dtype = DTYPES[options.dtype]
    sys.stderr.write("building the UNet\n")
    bench = Bench(make_unet(dtype, options.width), options.size, dtype, options.chunk, options.clock)
    wanted = variants(options.modes, options.regions, options.base_ratios)
    figures = measure(bench, wanted, options.repeats, options.latent_repeats)
    settings: dict[str, Any] = {
        name: getattr(options, name) for name in ("size", "threads", "dtype", "chunk", "width", "clock")
    }
    if options.json:
        document = {**settings, "torch": torch.__version__, "figures": [f._asdict() for f in figures]}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(" ".join(f"{k}={v}" for k, v in settings.items()) + "\n" + table(figures) + "\n")
    return 0 if all(f.limit is None or f.ratio <= f.limit for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
