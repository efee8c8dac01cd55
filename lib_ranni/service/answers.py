"""What the routes say to a body: each function takes the host and a JSON object.

They raise `Refused` or the library's errors for what cannot be used.
"""

from __future__ import annotations

import io
from typing import Any

from fastapi import Response
from PIL import Image

from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel import reading
from lib_ranni.panel.diff import diff, sentences
from lib_ranni.panel.formats import export_panel, import_panel
from lib_ranni.panel.operations import apply, read_operations
from lib_ranni.panel.preview import render
from lib_ranni.panel.problems import Problem, Problems
from lib_ranni.panel.types import MAX_TEXT
from lib_ranni.panel.writing import to_document
from lib_ranni.service.bodies import (
    Refused,
    document_of,
    panel_of,
    require_none,
    text_of,
    told,
    under_panel,
)
from lib_ranni.service.host import Host
from lib_ranni.service.panels import PanelFolder
from lib_ranni.service.planning import at_once, edit_run, plan_run, streamed
from lib_ranni.service.request import read_settings

Body = dict[str, Any]

MAX_PREVIEW_PX = 2048
MAX_CELLS = 512
"""Latent cells on a side of a weight map: a picture of 4,096 pixels."""

MAX_COUNTED = 2000
"""Texts whose tokens are counted at once: two of each element of the largest panel."""


def plan(host: Host, body: Body) -> Any:
    """A prompt planned; what is locked in the body's panel stays."""
    present = None if body.get("panel") is None else panel_of(body)
    problems = Problems()
    run = plan_run(host, body, present, problems)
    streams = problems.flag("stream", body.get("stream", False))
    require_none(problems)
    return (streamed if streams else at_once)(run, host.interrupted())


def edit(host: Host, body: Body) -> Any:
    """A panel changed, by an instruction or by operations."""
    before = panel_of(body)
    if "instruction" in body:
        problems = Problems()
        run = edit_run(host, body, before, problems)
        streams = problems.flag("stream", body.get("stream", False))
        require_none(problems)
        return (streamed if streams else at_once)(run, host.interrupted(), before)
    after = apply(before, read_operations(body.get("operations", [])))
    return {"panel": to_document(after), "changes": sentences(diff(before, after))}


def validate(_: Host, body: Body) -> Body:
    """What is wrong with a panel, and the panel mended."""
    result = reading.read(document_of(body))
    return {
        "valid": result.panel is not None and not result.problems,
        "problems": told(under_panel(result.problems)),
        "panel": None if result.panel is None else to_document(result.panel),
    }


def import_text(_: Host, body: Body) -> Body:
    """The layout of another tool as a panel."""
    format = None if body.get("format") is None else text_of(body, "format")
    imported = import_panel(text_of(body, "text"), format)
    return {
        "panel": to_document(imported.panel),
        "guidance": imported.settings,
        "format": imported.format,
        "problems": told(imported.problems),
    }


def export_text(_: Host, body: Body) -> Body:
    """A panel in another tool's format."""
    settings = body.get("guidance", {})
    if not isinstance(settings, dict):
        raise Refused(422, "the body has problems", (Problem("guidance", "must be an object", "none"),))
    exported = export_panel(panel_of(body), text_of(body, "format"), settings)
    return {"text": exported.text, "format": exported.format, "problems": told(exported.problems)}


def preview(_: Host, body: Body) -> Response:
    """A PNG of the panel."""
    problems = Problems()
    size = problems.number("size", body.get("size", 512), 16, MAX_PREVIEW_PX, 512)
    require_none(problems)
    return _png(render(panel_of(body), int(size)))


def masks(_: Host, body: Body) -> Response:
    """The weight maps one below the other, the base's first, a pixel a cell, 255 = all."""
    panel, problems = panel_of(body), Problems()
    width = int(problems.number("width", body.get("width", 64), 1, MAX_CELLS, 64))
    height = int(problems.number("height", body.get("height", 64), 1, MAX_CELLS, 64))
    chosen = read_settings(body.get("guidance"), problems)
    if (1 + len(panel.elements)) * width * height > 64 * MAX_CELLS**2:
        problems.add("panel.elements", "are too many for maps of this size", "ask for smaller maps")
    require_none(problems)
    mixing = Mixing(chosen.base_ratio, chosen.feather, chosen.overlap)
    maps = weight_maps(panel.elements, mixing, (height, width), (height, width))
    pixels = (maps * 255).round().byte().reshape(-1, width).numpy()
    response = _png(Image.fromarray(pixels, "L"))
    response.headers["X-Ranni-Maps"] = str(len(maps))
    return response


def tokens(host: Host, body: Body) -> Body:
    """How many tokens texts have, and how many there is room for."""
    problems, given = Problems(), body.get("texts")
    if not isinstance(given, list) or len(given) > MAX_COUNTED:
        problems.add("texts", f"must be a list of at most {MAX_COUNTED} texts", "none")
        given = []
    texts = [problems.text(f"texts[{n}]", text, MAX_TEXT) for n, text in enumerate(given)]
    require_none(problems)
    return {"counts": [[count, room] for count, room in host.count_tokens(texts)]}


def load_panel(host: Host, body: Body) -> Body:
    """A kept panel, mended where needed."""
    result = PanelFolder(host.panels).read(text_of(body, "name"))
    return {"panel": to_document(result.panel), "problems": told(result.problems)}


def save_panel(host: Host, body: Body) -> Body:
    """Keep a panel under a name."""
    problems = Problems()
    replace = problems.flag("replace", body.get("replace", False))
    require_none(problems)
    return {"name": PanelFolder(host.panels).save(text_of(body, "name"), panel_of(body), replace=replace)}


def rename_panel(host: Host, body: Body) -> Body:
    """Give a kept panel another name."""
    return {"name": PanelFolder(host.panels).rename(text_of(body, "name"), text_of(body, "to"))}


def delete_panel(host: Host, body: Body) -> Body:
    """Keep a panel no longer."""
    PanelFolder(host.panels).delete(text_of(body, "name"))
    return {}


def _png(picture: Image.Image) -> Response:
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return Response(out.getvalue(), media_type="image/png")
