"""What the routes and the gradio parts ask of the program they run in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import Cancelled, Planner


class Connection(Struct, frozen=True):
    """Which language model is asked, as a user writes it down.

    `server` is one of `PRESETS`, or empty for an address of one's own; a `base_url` stands in for the
    preset's. An empty `model` takes the server's usual one, or its first.
    """

    server: str = "ollama"
    base_url: str = ""
    model: str = ""


class Host(Protocol):
    """The WebUI, or the stand-alone app. All methods may be called from several threads at once."""

    @property
    def panels(self) -> Path:
        """The folder of the kept panels; it need not exist."""
        ...

    def planner(self, name: str) -> Planner:
        """The planner of a name. Raises `InputError` for an unknown one, or where a setting is missing."""
        ...

    def interrupted(self) -> Cancelled:
        """What tells whether the host was told to stop since this call."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> Sequence[tuple[int, int]]:
        """For each text its tokens, and how many fit into the 75-token chunks that it takes."""
        ...

    def loras(self) -> tuple[str, ...]:
        """The names of the LoRAs that an element may use, sorted."""
        ...

    def list_loras(self) -> None:
        """Look for LoRA files anew."""
        ...

    def lora_file(self, name: str) -> Path:
        """The file of a LoRA. Raises `MissingError` where there is none of this name."""
        ...

    def matched_modules(self, name: str) -> int | None:
        """How many modules of the model that is loaded take a LoRA's file; None where that is not known."""
        ...

    def checkpoint(self) -> Path | None:
        """The file of the model that is loaded."""
        ...

    def require_local(self, instead: str) -> None:
        """Raise `InputError` where nobody may write files from a page; `instead` says what can be done."""
        ...

    def connection(self) -> Connection:
        """The language model that is set."""
        ...

    def server(self, connection: Connection | None = None, key: str = "") -> Server:
        """The server of a connection (None: the one that is set), with its key.

        Without a `key`, it is the one kept for this address, or the environment's. Raises `InputError`
        for what is no address or no key.
        """
        ...

    def save_connection(self, connection: Connection, key: str | None = None) -> None:
        """Use this connection from now on. A `key` is kept for its address; an empty one forgets it.

        Raises `InputError` where the values are wrong or cannot be kept.
        """
        ...
