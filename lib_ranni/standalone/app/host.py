"""The app as a host of the routes and of the gradio parts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lib_ranni.errors import InputError, MissingError
from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.servers import Server, server_named
from lib_ranni.planner.planners import Settings, make_planner
from lib_ranni.planner.protocol import Cancelled, Planner, never
from lib_ranni.service.host import Connection
from lib_ranni.service.keys import KeyFile
from lib_ranni.service.tokens import estimated, room
from lib_ranni.standalone.app.models import Models


def data_folder() -> Path:
    """Where a user's own files of this program are; it need not exist."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "lib-ranni"


class AppHost:
    """Planners are the command line's; a connection chosen in the page holds until the app ends.

    With `fixed`, no page may change which language model is asked: whoever may open the page could
    otherwise have the key sent anywhere.
    """

    def __init__(
        self, settings: Settings, connection: Connection, models: Models, panels: Path, *, fixed: bool = False
    ) -> None:
        self._keys = KeyFile(data_folder() / "keys.json")
        self._settings = msgspec.structs.replace(settings, server=self._with_key(settings.server))
        self._connection = connection
        self._models = models
        self._panels = panels
        self._fixed = fixed
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Settings, Planner]] = {}

    @property
    def panels(self) -> Path:
        """The folder of the kept panels."""
        return self._panels

    def planner(self, name: str) -> Planner:
        """The planner of a name, the same one for as long as the settings stay. Raises `InputError`."""
        with self._lock:
            wanted = self._settings
            known = self._kept.get(name)
            if known is None or known[0] != wanted:
                self._kept[name] = known = (wanted, make_planner(name, wanted))
            return known[1]

    def interrupted(self) -> Cancelled:
        """Nobody stops all pages at once; a page that leaves ends its own plan."""
        return never

    def count_tokens(self, texts: Sequence[str]) -> Sequence[tuple[int, int]]:
        """By the tokenizer of the checkpoint that is loaded; estimated where none is."""
        checkpoint = self._models.checkpoint
        if checkpoint is None:
            return estimated(texts)
        counts = [checkpoint.encoder.count(text) for text in texts]
        return [(count, room(count)) for count in counts]

    def loras(self) -> tuple[str, ...]:
        """None: the stand-alone engine does not apply the LoRAs of single elements."""
        return ()

    def list_loras(self) -> None:
        """There are none."""

    def lora_file(self, name: str) -> Path:
        """There are none here. Raises `MissingError`."""
        raise MissingError("the app has no folder of LoRAs; use `lib-ranni lora inspect FILE`")

    def matched_modules(self, name: str) -> int | None:
        """Not known here."""
        return None

    def checkpoint(self) -> Path | None:
        """Not told here, as no LoRA is converted."""
        return None

    def require_local(self, instead: str) -> None:
        """Raise `InputError`: pages of the app write no LoRAs."""
        raise InputError(f"the app converts no LoRAs; {instead}")

    def connection(self) -> Connection:
        """The language model that is asked now."""
        return self._connection

    def server(self, connection: Connection | None = None, key: str = "") -> Server:
        """The server of a connection, with the key kept for it. Raises `InputError`."""
        if connection is None or connection == self._connection:
            server = self._settings.server
        else:
            self._require_free()
            server = self._with_key(_server(connection, self._settings.server))
        return msgspec.structs.replace(server, key=Key(key)) if key else server

    def save_connection(self, connection: Connection, key: str | None = None) -> None:
        """Ask this one until the app ends; a key goes into a file of this user. Raises `InputError`."""
        self._require_free()
        server = _server(connection, self._settings.server)
        if key is not None:
            self._keys.save(server.url, key)
        with self._lock:
            self._connection = connection
            self._settings = msgspec.structs.replace(self._settings, server=self._with_key(server))

    def _with_key(self, server: Server) -> Server:
        found = self._keys.key_for(server.url)
        return msgspec.structs.replace(server, key=Key(found)) if found else server

    def _require_free(self) -> None:
        if self._fixed:
            raise InputError(
                "this app is open to other machines without a password, so the language model stays as it "
                "is; start it with --auth USER:PASSWORD to change it here"
            )


def _server(connection: Connection, before: Server) -> Server:
    named = server_named(connection.server, base_url=connection.base_url, model=connection.model)
    return msgspec.structs.replace(named, read_timeout=before.read_timeout)
