"""The real app in a process of its own, and a small reverse proxy in front of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class App:
    """`lib-ranni app` on a free port, with a home of its own. It is there once `url` has been asked for."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.out = folder / "out"
        self.panels = folder / "panels"
        own = {"XDG_DATA_HOME": str(folder / "data"), "OMP_NUM_THREADS": "1"}
        # A proxy that nobody has: the queue must not use it for its calls of the app.
        own["HTTP_PROXY"] = own["http_proxy"] = "http://127.0.0.1:9"
        command = [sys.executable, "-m", "lib_ranni.standalone.cli", "app", "--port", "0"]
        self._process = subprocess.Popen(
            [*command, "--out", str(self.out), "--panels", str(self.panels), *words],
            cwd=folder,
            env={**os.environ, **own, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._url = ""
        self._said: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        """Its own address as it has said it."""
        if not self._url:
            assert self._process.stdout is not None
            self._url = self._process.stdout.readline().strip()
            assert self._url.startswith("http://"), self.said
        return self._url

    @property
    def port(self) -> int:
        found = re.search(r":(\d+)/", self.url)
        assert found is not None
        return int(found[1])

    @property
    def said(self) -> str:
        """All that it has written on standard error."""
        return "".join(self._said)

    def stop(self) -> int:
        """Press Ctrl+C; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(20)
        finally:
            self._process.kill()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line)


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := self.request.recv(65536)):
                return
            head += piece
        method, path, rest = head.split(b" ", 2)
        server = self.server
        assert isinstance(server, Proxy)
        prefix = server.prefix.encode()
        server.asked.append(path.decode())
        if not path.startswith(prefix + b"/"):
            self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        # Without keep-alive each request comes with a connection, whose head alone is read here.
        rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
        with socket.create_connection(("127.0.0.1", server.target)) as there:
            there.sendall(b" ".join((method, path.removeprefix(prefix), rest)))
            back = threading.Thread(target=_pump, args=(there, self.request))
            back.start()
            _pump(self.request, there)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class Proxy(socketserver.ThreadingTCPServer):
    """Shows the app of a port under `prefix`, which it takes away from the paths, and nothing beside it."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, target: int, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.prefix = prefix
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.prefix}/"
