"""A host of real planners and of folders of a test."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lib_ranni.errors import InputError, MissingError
from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.servers import Server, server_named
from lib_ranni.planner.planners import Settings, make_planner
from lib_ranni.planner.protocol import Cancelled, Planner
from lib_ranni.service.host import Connection
from lib_ranni.service.keys import KeyFile
from lib_ranni.service.tokens import estimated


class PlainHost:
    """Keeps the connection in memory; `stop` is its Interrupt."""

    def __init__(self, folder: Path, connection: Connection | None = None, base: Path | None = None) -> None:
        self.panels = folder / "panels"
        self.keys = KeyFile(folder / "keys.json")
        self.stop = threading.Event()
        self.folder, self.base, self.matched = folder, base, 3
        self.listed, self.is_open = 0, False
        self._connection = connection or Connection()

    def planner(self, name: str) -> Planner:
        return make_planner(name, Settings(server=self.server(), falls_back=False))

    def interrupted(self) -> Cancelled:
        return self.stop.is_set

    def count_tokens(self, texts: Sequence[str]) -> Sequence[tuple[int, int]]:
        return estimated(texts)

    def loras(self) -> tuple[str, ...]:
        return ("Clay", "ink")

    def list_loras(self) -> None:
        self.listed += 1

    def lora_file(self, name: str) -> Path:
        path = self.folder / f"{name}.safetensors"
        if "/" in name or not path.is_file():
            raise MissingError(f"there is no LoRA {name!r}")
        return path

    def matched_modules(self, name: str) -> int | None:
        return self.matched

    def checkpoint(self) -> Path | None:
        return self.base

    def require_local(self, instead: str) -> None:
        if self.is_open:
            raise InputError(f"open to other machines; {instead}")

    def connection(self) -> Connection:
        return self._connection

    def server(self, connection: Connection | None = None, key: str = "") -> Server:
        found = connection or self._connection
        server = server_named(found.server, base_url=found.base_url, model=found.model, environment={})
        return msgspec.structs.replace(server, key=Key(key or self.keys.key_for(server.url)))

    def save_connection(self, connection: Connection, key: str | None = None) -> None:
        url = self.server(connection).url
        if key is not None:
            self.keys.save(url, key)
        self._connection = connection
