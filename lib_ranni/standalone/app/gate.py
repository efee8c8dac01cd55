"""Who may talk to the app: pages that it served itself and, where there is a password, who has given it.

Browsers let any web page send requests to this machine; a page cannot hide that they come from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Container, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import msgspec

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_COOKIES = ("access-token", "access-token-unsecure")
"""Gradio's: the first where the connection is encrypted."""

_OURS = "/ranni/"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def login(pair: str) -> Callable[[str, str], bool]:
    """What tells whether a user name and a password are those of `USER:PASSWORD`."""
    wanted = pair.encode()
    return lambda user, password: secrets.compare_digest(f"{user}:{password}".encode(), wanted)


class Gate:
    """Lets requests through to an ASGI app, or answers them itself with 401 or 403.

    `tokens` are Gradio's logins; None: there is no password. With `only_here` a page must have been opened
    under a name of this machine: else any name that resolves to it would do.
    """

    def __init__(self, app: Any, tokens: Container[str] | None, *, only_here: bool) -> None:
        self._app = app
        self._tokens = tokens
        self._only_here = only_here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or web socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            await self._answer(send, *refusal)

    async def _answer(self, send: Send, status: int, message: str) -> None:
        body = msgspec.json.encode({"error": message, "problems": []})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._only_here and _name(f"//{host}") not in _LOOPBACK:
            return 403, (
                f"the app answers to localhost only, not to {host[:80]!r}; "
                "behind a proxy start it with --root-path, for other machines with --listen"
            )
        if not _is_own(headers):
            return 403, "this request comes from a page of another site; open the app's own page"
        if self._tokens is not None and scope["path"].startswith(_OURS) and not self._is_known(headers):
            return 401, "log in on the app's page first"
        return None

    def _is_known(self, headers: dict[str, str]) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return any(name in cookies and cookies[name].value in (self._tokens or ()) for name in _COOKIES)


def _is_own(headers: dict[str, str]) -> bool:
    """Whether no page of another site sent this. Programs that are no browsers send no origin."""
    site = headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        # A link from elsewhere may open the page; it cannot read what it opened.
        return True
    # A proxy may pass on the name under which the browser knows the app.
    forwarded = headers.get("x-forwarded-host", "").partition(",")[0].strip()
    named = origin.partition("://")[2]
    return site is None and bool(named) and named in (headers.get("host"), forwarded)


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
