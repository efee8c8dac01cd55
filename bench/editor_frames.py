"""Times the frames of the panel editor in headless Chromium while a mouse drags 20 of 100 elements.

    python bench/editor_frames.py [--elements 100] [--dragged 20] [--seconds 4] [--slower 1] [--json]

Prints the median, the 95th percentile and the longest time between two frames in milliseconds, and for how
much of each the page's thread was at work; for the editor and for an empty page on which the mouse moves in
the same way. 16.7 ms are 60 frames a second. `--slower 4` has Chromium run the page as on a machine four
times as slow.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import math
import shutil
import statistics
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PAGE = "tests/editor/page.html"
STEP_SECONDS = 1 / 60
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# Notes the time of every frame.
_WATCH = """() => {
    window.frames_ms = [];
    const frame = (time) => { window.frames_ms.push(time); window.asked = requestAnimationFrame(frame); };
    window.asked = requestAnimationFrame(frame);
}"""
_ENOUGH = "() => { cancelAnimationFrame(window.asked); return window.frames_ms; }"


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: Any) -> None:
        pass


def panel(count: int, dragged: int) -> dict[str, Any]:
    """`count` elements on a grid; the first `dragged` of them small enough to be moved about."""
    columns = math.ceil(math.sqrt(count))
    elements = []
    for n in range(count):
        x, y = (n % columns) / columns, (n // columns) / columns
        side = 0.4 / columns if n < dragged else 0.9 / columns
        box = {"x0": x, "y0": y, "x1": x + side, "y1": y + side}
        elements.append({"id": f"e{n + 1}", "description": f"a thing, number {n + 1}", "box": box})
    return {"version": 1, "elements": elements}


def drag(
    page: Any, middle: tuple[float, float], radius: float, seconds: float, slower: float
) -> dict[str, float]:
    """Move the pressed mouse in circles; what the frames took."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 9, middle[1] + 9)
    page.evaluate(_WATCH)
    worked = _worked(session)
    began = time.monotonic()
    step = 0
    while (passed := time.monotonic() - began) < seconds:
        angle = 2 * math.pi * passed
        page.mouse.move(middle[0] + radius * math.cos(angle), middle[1] + radius * math.sin(angle))
        step += 1
        time.sleep(max(0.0, began + step * STEP_SECONDS - time.monotonic()))
    worked = _worked(session) - worked
    at = page.evaluate(_ENOUGH)
    page.mouse.up()
    ordered = sorted(b - a for a, b in pairwise(at))
    return {
        "frames": len(ordered),
        "median_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "longest_ms": round(ordered[-1], 1),
        "over_20_ms": sum(ms > 20 for ms in ordered),
        "at_work_ms": round(1000 * worked / len(ordered), 2),
    }


def _worked(session: Any) -> float:
    """Seconds that the page's thread has been at work."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(m["value"]) for m in metrics if m["name"] == "TaskDuration")


def measure(url: str, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    count, dragged, pace = asked.elements, asked.dragged, (asked.seconds, asked.slower)
    path = next(found for name in ("chromium", "chromium-browser") if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto("about:blank")
        empty = drag(page, (400, 300), 60, *pace)
        page.goto(f"{url}/{PAGE}")
        page.wait_for_function("window.editor !== undefined")
        page.evaluate("document => editor.load(document)", panel(count, dragged))
        for number in range(1, dragged + 1):
            page.click(f"li[data-id=e{number}] .ranni-name", modifiers=["Shift"])
        box = page.locator("g[data-id=e1] .ranni-box").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        before = page.evaluate("editor.value().elements.map(e => JSON.stringify(e.box))")
        moving = drag(page, middle, 60, *pace)
        after = page.evaluate("editor.value().elements.map(e => JSON.stringify(e.box))")
        browser.close()
    moved = sum(a != b for a, b in zip(before, after, strict=True))
    if moved != dragged:
        raise SystemExit(f"{moved} elements have moved, not {dragged}")
    return {"empty page": empty, f"{dragged} of {count} elements": moving}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--elements", type=int, default=100)
    parser.add_argument("--dragged", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--slower", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    handler = functools.partial(_Handler, directory=str(ROOT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        found = measure(url, asked)
        server.shutdown()
    if asked.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
