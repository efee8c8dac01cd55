"""Grids of the host's own X/Y/Z plot over its API."""

from __future__ import annotations

from typing import Any

import httpx

from tests.webui_live.host import Host

NOTHING = "Nothing"


def grid(host: Host, x: tuple[str, str], y: tuple[str, str] = (NOTHING, ""), **fields: Any) -> httpx.Response:
    """POST a grid with these axes, each a label and its values as text; all cells come after the grid."""
    info = host.get("/sdapi/v1/script-info").json()
    plot = next(s for s in info if s["name"] == "x/y/z plot" and not s["is_img2img"])
    labels = plot["args"][0]["choices"]
    axes: list[Any] = []
    for label, values in (x, y, (NOTHING, "")):
        axes += [labels.index(label), values, []]
    legend, lone, sub, keep_seeds, csv = True, True, False, False, True
    args = [*axes, legend, lone, sub, keep_seeds, False, False, False, 0, csv]
    return host.generation(script_name="x/y/z plot", script_args=args, **fields)
