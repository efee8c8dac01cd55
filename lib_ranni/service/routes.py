"""REST routes under `/ranni/v1/`: plan, edit, keep and show panels, from the editor and from programs.

Bodies are read by our own code, so that every fault of a document is told with its path. Nothing here
touches the diffusion model; what is written are kept panels, converted LoRAs, and a planner's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from lib_ranni import __version__
from lib_ranni.errors import InputError, MissingError, PanelError, PlannerError, RanniError, TakenError
from lib_ranni.panel.formats import FORMATS
from lib_ranni.panel.types import PANEL_VERSION, json_schema
from lib_ranni.planner.planners import NAMES
from lib_ranni.service import answers, loras, opening
from lib_ranni.service.bodies import Refused, failure
from lib_ranni.service.host import Host
from lib_ranni.service.panels import PanelFolder
from lib_ranni.service.request import MODES, REQUEST_VERSION

PREFIX = "/ranni/v1"
MAX_BODY = 8 * 2**20
"""Bytes of a JSON request: far more than a panel of 1,000 elements needs."""

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

_STATES: tuple[tuple[type[RanniError], int], ...] = (
    (MissingError, 404),
    (TakenError, 409),
    (InputError, 422),
    (PlannerError, 502),
)
"""What errors are to a caller; the first that fits."""


class _Route(NamedTuple):
    """A POST route of JSON: its name, what answers it, what it is for, and an example of its body.

    What `changes` something that lasts wants its body labeled as JSON, which no foreign page can send.
    """

    name: str
    answer: Callable[[Host, dict[str, Any]], Any]
    about: str
    example: dict[str, Any]
    changes: bool = False


_ROUTES = (
    _Route(
        "plan",
        answers.plan,
        "Plan a prompt: the panel and a report; with `stream` the events as they come. What is locked in a "
        "`panel` stays.",
        {"prompt": "a red apple to the left of a green pear", "planner": "builtin", "aspect": 1.0},
    ),
    _Route(
        "edit",
        answers.edit,
        "Change a panel: by `operations` in order (add, remove, replace, attribute, resize, move, "
        "rebase), or by an "
        "`instruction` in words, which a `planner` carries out.",
        {"panel": _EXAMPLE, "operations": [{"op": "move", "id": "e1", "by": [0.1, 0.0]}]},
    ),
    _Route(
        "validate", answers.validate, "What is wrong with a panel, and the panel mended.", {"panel": _EXAMPLE}
    ),
    _Route(
        "import",
        answers.import_text,
        "A layout of another tool as a panel; without a format it is found out.",
        {"text": "(red apple,[200,400,300,300]),(green pear,[560,400,300,300])", "format": "ranni"},
    ),
    _Route(
        "export",
        answers.export_text,
        "A panel in another tool's format.",
        {"panel": _EXAMPLE, "format": "regional_prompter", "guidance": {"mode": "latent"}},
    ),
    _Route(
        "preview",
        answers.preview,
        "A PNG of the panel, `size` pixels on its longer side.",
        {"panel": _EXAMPLE},
    ),
    _Route(
        "masks",
        answers.masks,
        "A PNG of the weight maps on a latent grid, base first, one below the other.",
        {"panel": _EXAMPLE, "width": 64, "height": 64, "guidance": {"base_ratio": 0.2}},
    ),
    _Route(
        "tokens",
        answers.tokens,
        "For each text its tokens, and how many there is room for.",
        {"texts": ["a red apple"]},
    ),
    _Route(
        "loras/check",
        loras.check_lora,
        "What a LoRA file is, what is wrong with it, and how many modules of the loaded model take it.",
        {"name": "ink"},
    ),
    _Route(
        "loras/convert",
        loras.convert_lora,
        "Write a LoRA as the WebUI loads it, beside its file; 409 where that was done already. `alpha` and "
        "`family` where the file does not tell them, `blocks` to filter it.",
        {"name": "ink", "alpha": 8},
        changes=True,
    ),
    _Route("panels/load", answers.load_panel, "A kept panel, mended where needed.", {"name": "fruit"}),
    _Route(
        "panels/save",
        answers.save_panel,
        "Keep a panel by name; 409 where the name is taken, unless with `replace`.",
        {"name": "fruit", "panel": _EXAMPLE, "replace": False},
        changes=True,
    ),
    _Route(
        "panels/rename",
        answers.rename_panel,
        "Give a kept panel another name.",
        {"name": "fruit", "to": "apple and pear"},
        changes=True,
    ),
    _Route("panels/delete", answers.delete_panel, "Keep a panel no longer.", {"name": "fruit"}, changes=True),
)


def _version(_: Host) -> dict[str, Any]:
    return {
        "version": __version__,
        "panel": PANEL_VERSION,
        "request": REQUEST_VERSION,
        "planners": list(NAMES),
        "modes": list(MODES),
        "formats": list(FORMATS),
    }


_LOOKS: dict[str, Callable[[Host], Any]] = {
    "version": _version,
    "schema": lambda _: json_schema(),
    "panels": lambda host: {"names": PanelFolder(host.panels).names()},
    "loras": lambda host: {"names": list(host.loras())},
}
"""The GET routes."""


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refused(422, "the body must be a JSON object")
    return body


def _told(answer: Callable[[], Any]) -> Response:
    """What an answer comes to; faults of the caller become 4xx, with paths where there are."""
    try:
        result = answer()
    except Refused as refusal:
        return _json(refusal.status, failure(refusal.message, refusal.problems))
    except RanniError as error:
        status = next((status for kind, status in _STATES if isinstance(error, kind)), 500)
        return _json(status, failure(str(error), error.problems if isinstance(error, PanelError) else ()))
    return result if isinstance(result, Response) else _json(200, result)


def _json(status: int, value: Any) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _received(request: Request, most: int) -> bytes | None:
    """The body, or None where it has more than so many bytes."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            return None
    return bytes(data)


def _posted(most: int, answer: Callable[[bytes], Any], *, only_json: bool = False) -> Callable[..., Any]:
    """An endpoint for bodies of at most so many bytes."""

    async def endpoint(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if only_json and kind != "application/json":
            return _json(415, failure("send the body as Content-Type: application/json"))
        data = await _received(request, most)
        if data is None:
            return _json(413, failure(f"the body is larger than {most // 2**20} MiB"))
        return await run_in_threadpool(_told, lambda: answer(data))

    return endpoint


def _looked(host: Host, answer: Callable[[Host], Any]) -> Callable[..., Any]:
    async def endpoint() -> Response:
        return await run_in_threadpool(_told, lambda: answer(host))

    return endpoint


def _answering(host: Host, route: _Route) -> Callable[[bytes], Any]:
    return lambda data: route.answer(host, _body(data))


def mount(app: FastAPI, host: Host, guard: Sequence[Any] = ()) -> None:
    """Add the routes once. `guard` are dependencies that every request must satisfy, such as a login."""
    if any(getattr(route, "path", "").startswith(PREFIX) for route in app.routes):
        return
    common: dict[str, Any] = {"dependencies": list(guard), "tags": ["Ranni"]}
    for name, look in _LOOKS.items():
        app.add_api_route(f"{PREFIX}/{name}", _looked(host, look), methods=["GET"], name=name, **common)
    for route in _ROUTES:
        body = {"required": True, "content": {"application/json": {"example": route.example}}}
        app.add_api_route(
            f"{PREFIX}/{route.name}",
            _posted(MAX_BODY, _answering(host, route), only_json=route.changes),
            methods=["POST"],
            summary=route.about,
            openapi_extra={"requestBody": body},
            **common,
        )
    app.add_api_route(
        f"{PREFIX}/open",
        _posted(opening.MAX_FILE, opening.opened),
        methods=["POST"],
        summary="The panel of a file: a picture with an infotext, or a layout as text.",
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
        **common,
    )
