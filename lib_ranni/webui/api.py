"""REST routes under `/ranni/v1/`: plan, edit, validate and show panels from other programs.

Bodies are read by our own code, so that every fault of a document is told with its path. Nothing here
touches the diffusion model, and nothing writes a file but a planner's cache.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import shared
from PIL import Image

from lib_ranni import __version__
from lib_ranni.errors import InputError, PanelError, PlannerError
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel import reading
from lib_ranni.panel.diff import diff, sentences
from lib_ranni.panel.formats import FORMATS, export_panel, import_panel
from lib_ranni.panel.operations import apply, read_operations
from lib_ranni.panel.preview import render
from lib_ranni.panel.problems import Problem, Problems
from lib_ranni.panel.types import PANEL_VERSION, Panel, json_schema
from lib_ranni.panel.writing import to_document
from lib_ranni.webui.api_planning import at_once, edit_run, plan_run, streamed
from lib_ranni.webui.planning import PLANNERS
from lib_ranni.webui.request import MODES, REQUEST_VERSION, read_settings

PREFIX = "/ranni/v1"
MAX_BODY = 8 * 2**20
"""Bytes of a request: far more than a panel of 1,000 elements needs."""

MAX_PREVIEW_PX = 2048
MAX_CELLS = 512
"""Latent cells on a side of a weight map: a picture of 4,096 pixels."""

_EXAMPLE: dict[str, Any] = {
    "base": "a wooden table",
    "elements": [
        {
            "id": "e1",
            "description": "a red apple",
            "box": {"x0": 0.05, "y0": 0.4, "x1": 0.45, "y1": 0.9},
        },
        {
            "id": "e2",
            "description": "a green pear",
            "box": {"x0": 0.55, "y0": 0.3, "x1": 0.95, "y1": 0.9},
        },
    ],
}


class _Refused(Exception):
    """What the caller sent cannot be used."""

    def __init__(self, status: int, message: str, problems: tuple[Problem, ...] = ()) -> None:
        self.status, self.message, self.problems = status, message, problems
        super().__init__(message)


class _Route(NamedTuple):
    """A POST route: its name, what answers it, what it is for, and an example of its body."""

    name: str
    answer: Callable[[dict[str, Any]], Any]
    about: str
    example: dict[str, Any]


def _document(body: dict[str, Any]) -> Any:
    if "panel" not in body:
        raise _Refused(422, "the body has no panel", (Problem("panel", "is missing", "give a panel"),))
    return body["panel"]


def _panel(body: dict[str, Any]) -> Panel:
    checked = reading.check(_document(body))
    if isinstance(checked, Panel):
        return checked
    raise _Refused(
        422, "the panel has problems; POST it to validate to have it mended", _under_panel(checked)
    )


def _under_panel(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    return tuple(
        Problem(f"panel.{problem.path}" if problem.path else "panel", problem.message, problem.repair)
        for problem in problems
    )


def _require_none(problems: Problems) -> None:
    """Refuse a body in which any of its values had a problem."""
    if problems.found:
        raise _Refused(422, "the body has problems", problems.all())


def _plan(body: dict[str, Any]) -> Any:
    problems = Problems()
    run = plan_run(body, problems)
    streams = problems.flag("stream", body.get("stream", False))
    _require_none(problems)
    return streamed(run) if streams else at_once(run)


def _edit(body: dict[str, Any]) -> Any:
    before = _panel(body)
    if "instruction" in body:
        problems = Problems()
        run = edit_run(body, before, problems)
        streams = problems.flag("stream", body.get("stream", False))
        _require_none(problems)
        return streamed(run, before) if streams else at_once(run, before)
    after = apply(before, read_operations(body.get("operations", [])))
    return {"panel": to_document(after), "changes": sentences(diff(before, after))}


def _validate(body: dict[str, Any]) -> dict[str, Any]:
    result = reading.read(_document(body))
    return {
        "valid": result.panel is not None and not result.problems,
        "problems": [msgspec.to_builtins(problem) for problem in _under_panel(result.problems)],
        "panel": None if result.panel is None else to_document(result.panel),
    }


def _import(body: dict[str, Any]) -> dict[str, Any]:
    imported = import_panel(_text(body, "text"), body.get("format"))
    return {
        "panel": to_document(imported.panel),
        "guidance": imported.settings,
        "format": imported.format,
        "problems": [msgspec.to_builtins(problem) for problem in imported.problems],
    }


def _export(body: dict[str, Any]) -> dict[str, Any]:
    settings = body.get("guidance", {})
    if not isinstance(settings, dict):
        raise _Refused(422, "the body has problems", (Problem("guidance", "must be an object", "none"),))
    exported = export_panel(_panel(body), _text(body, "format"), settings)
    problems = [msgspec.to_builtins(problem) for problem in exported.problems]
    return {"text": exported.text, "format": exported.format, "problems": problems}


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if isinstance(value, str):
        return value
    raise _Refused(422, "the body has problems", (Problem(name, "must be a text", "give a text"),))


def _preview(body: dict[str, Any]) -> Response:
    problems = Problems()
    size = problems.number("size", body.get("size", 512), 16, MAX_PREVIEW_PX, 512)
    _require_none(problems)
    return _png(render(_panel(body), int(size)))


def _masks(body: dict[str, Any]) -> Response:
    """The weight maps one below the other, the base's first, a pixel a cell, 255 = all."""
    panel, problems = _panel(body), Problems()
    width = int(problems.number("width", body.get("width", 64), 1, MAX_CELLS, 64))
    height = int(problems.number("height", body.get("height", 64), 1, MAX_CELLS, 64))
    chosen = read_settings(body.get("guidance"), problems)
    if (1 + len(panel.elements)) * width * height > 64 * MAX_CELLS**2:
        problems.add("panel.elements", "are too many for maps of this size", "ask for smaller maps")
    _require_none(problems)
    mixing = Mixing(chosen.base_ratio, chosen.feather, chosen.overlap)
    maps = weight_maps(panel.elements, mixing, (height, width), (height, width))
    pixels = (maps * 255).round().byte().reshape(-1, width).numpy()
    response = _png(Image.fromarray(pixels, "L"))
    response.headers["X-Ranni-Maps"] = str(len(maps))
    return response


def _png(picture: Image.Image) -> Response:
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return Response(out.getvalue(), media_type="image/png")


_ROUTES = (
    _Route(
        "plan",
        _plan,
        "Plan a prompt: the panel and a report; with `stream` the events as they come.",
        {"prompt": "a red apple to the left of a green pear", "planner": "builtin", "aspect": 1.0},
    ),
    _Route(
        "edit",
        _edit,
        "Change a panel: by `operations` in order (add, remove, replace, attribute, resize, move, "
        "rebase), or by an "
        "`instruction` in words, which a `planner` carries out.",
        {"panel": _EXAMPLE, "operations": [{"op": "move", "id": "e1", "by": [0.1, 0.0]}]},
    ),
    _Route("validate", _validate, "What is wrong with a panel, and the panel mended.", {"panel": _EXAMPLE}),
    _Route(
        "import",
        _import,
        "A layout of another tool as a panel; without a format it is found out.",
        {"text": "(red apple,[200,400,300,300]),(green pear,[560,400,300,300])", "format": "ranni"},
    ),
    _Route(
        "export",
        _export,
        "A panel in another tool's format.",
        {"panel": _EXAMPLE, "format": "regional_prompter", "guidance": {"mode": "latent"}},
    ),
    _Route("preview", _preview, "A PNG of the panel, `size` pixels on its longer side.", {"panel": _EXAMPLE}),
    _Route(
        "masks",
        _masks,
        "A PNG of the weight maps on a latent grid, base first, one below the other.",
        {"panel": _EXAMPLE, "width": 64, "height": 64, "guidance": {"base_ratio": 0.2}},
    ),
)


def _version() -> dict[str, Any]:
    return {
        "version": __version__,
        "panel": PANEL_VERSION,
        "request": REQUEST_VERSION,
        "planners": list(PLANNERS),
        "modes": list(MODES),
        "formats": list(FORMATS),
    }


def _answer(route: _Route, data: bytes) -> Response:
    """What a route says to a body; faults of the caller become 4xx with paths."""
    try:
        try:
            body = msgspec.json.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise _Refused(400, f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise _Refused(422, "the body must be a JSON object")
        result = route.answer(body)
    except _Refused as refusal:
        return _failure(refusal.status, refusal.message, refusal.problems)
    except PanelError as error:
        return _failure(422, str(error), error.problems)
    except InputError as error:
        return _failure(422, str(error))
    except PlannerError as error:
        return _failure(502, str(error))
    return result if isinstance(result, Response) else _json(200, result)


def _json(status: int, value: Any) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _failure(status: int, message: str, problems: tuple[Problem, ...] = ()) -> Response:
    found = [msgspec.to_builtins(problem) for problem in problems[:100]]
    return _json(status, {"error": message, "problems": found})


def _endpoint(route: _Route) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_BODY:
                return _failure(413, f"the body is larger than {MAX_BODY // 2**20} MiB")
        return await run_in_threadpool(_answer, route, data)

    return endpoint


async def _allowed(request: Request) -> None:
    """The host's own protection: `--api-auth` by password, `--gradio-auth` by the browser's cookie."""
    wanted = getattr(shared.cmd_opts, "api_auth", None)
    app = request.app
    cookie_auth = getattr(app, "auth", None)
    if not wanted and cookie_auth is None:
        return
    if cookie_auth is not None:
        names = ("access-token", "access-token-unsecure")
        if any(request.cookies.get(name) in getattr(app, "tokens", {}) for name in names):
            return
    given: HTTPBasicCredentials | None = await HTTPBasic(auto_error=False)(request)
    if wanted and given is not None:
        pair = f"{given.username}:{given.password}".encode()
        if any(secrets.compare_digest(pair, entry.strip().encode()) for entry in wanted.split(",")):
            return
    raise HTTPException(401, "give the user name and password of --api-auth", {"WWW-Authenticate": "Basic"})


def mount(_: Any, app: FastAPI) -> None:
    """Add the routes; the host calls this once its server is up, again after each reload of the UI."""
    if any(getattr(route, "path", "").startswith(PREFIX) for route in app.routes):
        return
    guard = [Depends(_allowed)]
    for name, answer in (("version", _version), ("schema", json_schema)):
        app.add_api_route(f"{PREFIX}/{name}", answer, methods=["GET"], dependencies=guard, tags=["Ranni"])
    for route in _ROUTES:
        body = {"required": True, "content": {"application/json": {"example": route.example}}}
        app.add_api_route(
            f"{PREFIX}/{route.name}",
            _endpoint(route),
            methods=["POST"],
            dependencies=guard,
            summary=route.about,
            openapi_extra={"requestBody": body},
            tags=["Ranni"],
        )
