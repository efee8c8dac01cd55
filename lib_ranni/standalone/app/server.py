"""The app as a web server: Gradio's page, the editor's scripts and the routes behind one gate."""

from __future__ import annotations

import logging
import socket
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse

from lib_ranni.service import routes
from lib_ranni.service.host import Host
from lib_ranni.standalone.app import markup
from lib_ranni.standalone.app.address import Address
from lib_ranni.standalone.app.gate import Gate, login
from lib_ranni.standalone.app.scripts import Scripts


def application(page: gr.Blocks, host: Host, address: Address, port: int, auth: str = "") -> Gate:
    """The ASGI app. `auth` is `USER:PASSWORD`, or empty for none; `port` is where it really listens."""
    outer = FastAPI(root_path=address.root_path, docs_url=None, redoc_url=None, openapi_url=None)
    routes.mount(outer, host)
    outer.mount("/ranni/javascript", Scripts())
    page.auth = login(auth) if auth else None
    page.auth_message = "Log in to draw."
    # Its queue calls the app itself: through no proxy, and not by a name that a visitor made up.
    itself = f"http://{address.reachable}:{port}/"
    outer.get("/", response_class=HTMLResponse)(_page_of(outer))
    gr.mount_gradio_app(outer, page, path="/", gradio_api_url=itself)
    inner = outer.routes[-1].app  # type: ignore[attr-defined]
    # Otherwise everybody may read the files of the folder where the app was started.
    inner.cwd = inner.uploaded_file_dir
    only_here = address.is_loopback and not address.root_path and not auth
    return Gate(outer, inner.tokens if auth else None, only_here=only_here)


def _page_of(outer: FastAPI) -> Any:
    async def page(request: Request) -> HTMLResponse:
        inner = outer.routes[-1].app  # type: ignore[attr-defined]
        main = next(route.endpoint for route in inner.routes if route.path == "/")
        known = [request.cookies.get(name) for name in ("access-token", "access-token-unsecure")]
        user = next((inner.tokens[token] for token in known if token in inner.tokens), None)
        return HTMLResponse(markup.mended(main(request, user).body), headers=markup.HEADERS)

    return page


def serve(app: Gate, bound: socket.socket) -> None:
    """Serve until Ctrl+C."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, server_header=False)
    _Server(config).run(sockets=[bound])


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Open pages wait for news for as long as they are there; to cut them off now is no error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
