"""The routes in the WebUI, behind the host's own protection."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import shared

from lib_ranni.service import routes
from lib_ranni.webui.host import WebUI


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
    routes.mount(app, WebUI(), [Depends(_allowed)])
