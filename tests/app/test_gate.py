"""Who is let through: by origin, by name of the host, by login; on requests and on web sockets."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lib_ranni.standalone.app.gate import Gate, login
from tests.app.waiting import answer_of

HERE = {"host": "127.0.0.1:7870"}
TOKENS = ("t0ken",)


async def _inner(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _status(path: str, *, tokens: Any = None, only_here: bool = True, **headers: str) -> int:
    gate = Gate(_inner, tokens, only_here=only_here)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=gate)
        named = {**HERE, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post(path, headers=named)

    answer = answer_of(ask())
    if answer.status_code != 204:
        assert set(answer.json()) == {"error", "problems"}
    return answer.status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"origin": "http://127.0.0.1:7870"}, 204),
        ({"origin": "http://127.0.0.1:7870", "sec_fetch_site": "same-origin"}, 204),
        ({"sec_fetch_site": "none"}, 204),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "https://elsewhere.example", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "http://127.0.0.1:7870", "sec_fetch_site": "cross-site"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"host": "localhost:7870"}, 204),
        ({"host": "[::1]:7870"}, 204),
        # A name that somebody made resolve to this machine.
        ({"host": "rebound.example:7870", "origin": "http://rebound.example:7870"}, 403),
        ({"host": "localhost.elsewhere.example"}, 403),
        ({"host": "["}, 403),
        ({"host": ""}, 403),
    ],
)
def test_only_the_apps_own_page_on_this_machine(headers: dict[str, str], status: int) -> None:
    assert _status("/ranni/v1/panels/save", **headers) == status


def test_a_proxy_may_pass_on_the_name_that_the_browser_knows() -> None:
    seen = {"host": "backend:80", "origin": "https://app.example"}
    assert _status("/x", only_here=False, **seen) == 403
    assert _status("/x", only_here=False, x_forwarded_host="app.example", **seen) == 204
    assert _status("/x", only_here=False, x_forwarded_host="app.example, inner", **seen) == 204


@pytest.mark.parametrize(
    ("cookie", "status"),
    [
        ("", 401),
        ("access-token=other", 401),
        ("access-token=t0ken", 204),
        ("a=b; access-token-unsecure=t0ken", 204),
        ("access-token=t0ken; \x00;;=", 204),
        ("=;;", 401),
    ],
)
def test_our_paths_need_gradios_login(cookie: str, status: int) -> None:
    assert _status("/ranni/v1/version", tokens=TOKENS, cookie=cookie) == status
    assert _status("/theme.css", tokens=TOKENS, cookie=cookie) == 204


def test_a_web_socket_of_another_site_is_closed_before_it_opens() -> None:
    async def closed(origin: str) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def opened(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})

        headers = [(b"host", b"127.0.0.1:7870"), (b"origin", origin.encode())]
        scope = {"type": "websocket", "path": "/queue/join", "headers": headers}
        await Gate(opened, None, only_here=True)(scope, None, send)  # type: ignore[arg-type]
        return [message["type"] for message in sent]

    assert answer_of(closed("https://elsewhere.example")) == ["websocket.close"]
    assert answer_of(closed("http://127.0.0.1:7870")) == ["websocket.accept"]


def test_a_login_is_the_whole_pair() -> None:
    fits = login("ann:s:ecret 🔑")
    assert fits("ann", "s:ecret 🔑")
    assert not any(
        fits(*pair) for pair in [("ann", ""), ("ann", "s"), ("", "ann:s:ecret 🔑"), ("Ann", "s:ecret 🔑")]
    )
