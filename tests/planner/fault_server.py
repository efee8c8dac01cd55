"""A server on a real socket that plays a script of replies, faulty ones too, and notes what it was asked.

A `Play` is a function of a connection, so that a fault may be anything that bytes and pauses can do. When it
returns, the connection is closed.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

CRLF = b"\r\n"
TLS_HELLO = b"\x16\x03"
_LONGEST_HEAD = 1 << 20
_LONGEST_PLAY = 30.0
"""Seconds after which a play that the client does not end gives up."""


@dataclass(frozen=True)
class Request:
    """What a client sent; the names of headers are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Connection:
    """One connection that has been accepted, and the request that came over it."""

    sock: socket.socket
    over: threading.Event
    request: Request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait; raises `ConnectionError` as soon as the client has gone or the server stops."""
        end = time.monotonic() + min(seconds, _LONGEST_PLAY)
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(min(left, 0.05))
            with contextlib.suppress(TimeoutError):
                _received(self.sock)
            if self.over.is_set():
                raise ConnectionError("the server stops")


Play = Callable[[Connection], None]


@dataclass
class FaultServer:
    """Plays `script`, one for each chat in turn, and the last again and again; `models` answers GET."""

    script: list[Play]
    models: Play
    requests: list[Request] = field(default_factory=list)
    accepted: int = 0
    """How many connections there were."""
    gone: int = 0
    """How many clients hung up before their reply was over."""
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Any]:
        """The bodies of all chats, as they came."""
        return [request.document for request in self.requests if request.method == "POST"]

    def _serve(self, listener: socket.socket) -> None:
        while not self._over.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with sock:
            try:
                request = read_request(sock)
                if request is None:
                    sock.sendall(head("400 Bad Request"))
                else:
                    self._play(request)(Connection(sock, self._over, request))
            except OSError:
                with self._lock:
                    self.gone += 1
            _close(sock)

    def _play(self, request: Request) -> Play:
        with self._lock:
            self.requests.append(request)
            if request.method == "GET":
                return self.models
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextlib.contextmanager
def fault_server(*script: Play, models: Play | None = None) -> Iterator[FaultServer]:
    """A server on a free port of this machine, stopped at the end."""
    server = FaultServer(list(script), models or reply_json({"data": [{"id": "first"}, {"id": "second"}]}))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.02)
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=server._serve, args=(listener,))
        thread.start()
        try:
            yield server
        finally:
            server._over.set()
            thread.join()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The address of a server that lets nobody connect: its queue is full, and it never looks at it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}/v1"


def unused_port() -> int:
    """A port that nobody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def read_request(sock: socket.socket) -> Request | None:
    """The request of a connection; None where the client sends something else than HTTP."""
    sock.settimeout(_LONGEST_PLAY)
    data = b""
    while CRLF * 2 not in data and len(data) < _LONGEST_HEAD:
        data += _received(sock)
        if data.startswith(TLS_HELLO):
            return None
    top, _, body = data.partition(CRLF * 2)
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += _received(sock)
    method, path, _ = (first + "  ").split(" ", 2)
    return Request(method, path, headers, body)


def _received(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise ConnectionError("the client has gone")
    return data


def _close(sock: socket.socket) -> None:
    """Close so that what was sent still arrives: a plain close with bytes unread resets the connection."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(0.5)
        while sock.recv(65536):
            pass


def head(status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """The head of a response; headers with _ for -."""
    lines = [f"HTTP/1.1 {status}"]
    if kind:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def reply(body: bytes, status: str = "200 OK", kind: str = "application/json", **headers: str) -> Play:
    """One whole response with its length."""

    def play(connection: Connection) -> None:
        connection.send(head(status, kind, Content_Length=str(len(body)), **headers) + body)

    return play


def reply_json(document: Any, status: str = "200 OK", **headers: str) -> Play:
    return reply(json.dumps(document).encode(), status, **headers)


def refuse(status: str, message: str, **headers: str) -> Play:
    """A state and OpenAI's form of an error."""
    return reply_json({"error": {"message": message, "type": "invalid_request_error"}}, status, **headers)


def raw(*parts: bytes | float) -> Play:
    """These bytes, and pauses of so many seconds between them."""

    def play(connection: Connection) -> None:
        for part in parts:
            if isinstance(part, bytes):
                connection.send(part)
            else:
                connection.pause(part)

    return play


def event(text: str = "", finish: str | None = None, **turn: Any) -> bytes:
    """A piece of a streamed reply."""
    choice = {"index": 0, "delta": {"content": text, **turn}, "finish_reason": finish}
    document = {"object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STREAM = head(kind="text/event-stream")


def stream(*texts: str, pause: float = 0.0) -> Play:
    """A faultless streamed reply, `pause` seconds before each piece."""
    parts: list[bytes | float] = [STREAM]
    for text in texts:
        parts += [pause, event(text)]
    return raw(*parts, event("", "stop"), DONE)


def completion(content: Any, finish: str = "stop", **turn: Any) -> Play:
    """A faultless reply in one piece."""
    choice = {"message": {"role": "assistant", "content": content, **turn}, "finish_reason": finish}
    return reply_json({"object": "chat.completion", "choices": [choice]})
