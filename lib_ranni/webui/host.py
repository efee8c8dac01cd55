"""The WebUI as a host of the routes and of the gradio parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modules import extra_networks, sd_hijack, shared

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import Cancelled, Planner
from lib_ranni.service.host import Connection
from lib_ranni.service.tokens import estimated
from lib_ranni.webui import folders, networks, planning, settings


class WebUI:
    """Settings are the host's options; keys and panels are in our folder."""

    @property
    def panels(self) -> Path:
        """The folder of the kept panels."""
        return folders.root() / "panels"

    def planner(self, name: str) -> Planner:
        """The planner of a name, as the settings have it."""
        return planning.planner(name)

    def interrupted(self) -> Cancelled:
        """Whether the host's Interrupt was pressed since this call."""
        return planning.interrupted()

    def count_tokens(self, texts: Sequence[str]) -> Sequence[tuple[int, int]]:
        """By the text encoder of the model that is loaded; estimated where none is."""
        plain = [extra_networks.parse_prompt(text)[0] for text in texts]
        counted = [sd_hijack.model_hijack.get_prompt_lengths(text) for text in plain]
        if all(isinstance(count, int) for count, _ in counted):
            return counted
        return estimated(plain)

    def loras(self) -> tuple[str, ...]:
        """Those that the host's Lora extension has found."""
        return networks.names()

    def list_loras(self) -> None:
        """As the host's own refresh does."""
        networks.refresh()

    def lora_file(self, name: str) -> Path:
        """By the host's list, so that no name leads anywhere else. Raises `MissingError`."""
        return networks.file_of(name)

    def matched_modules(self, name: str) -> int | None:
        """Tried with the host's own loader; the picture that is being drawn does not notice."""
        return networks.matched(name)

    def checkpoint(self) -> Path | None:
        """The file of the model that is loaded."""
        info = getattr(shared.sd_model, "sd_checkpoint_info", None)
        return None if info is None else Path(info.filename)

    def require_local(self, instead: str) -> None:
        """Raise `InputError` where the host is open to other machines."""
        if getattr(shared.cmd_opts, "disable_extension_access", False):
            raise InputError(f"this WebUI is open to other machines, so pages write no files; {instead}")

    def connection(self) -> Connection:
        """The language model of the settings."""
        return planning.connection()

    def server(self, connection: Connection | None = None, key: str = "") -> Server:
        """The server of a connection, with the key kept for it. Raises `InputError`."""
        return planning.server(connection, key)

    def save_connection(self, connection: Connection, key: str | None = None) -> None:
        """Into the host's options, and the key into its file. Raises `InputError`."""
        server = planning.server(connection, key or "")
        settings.save_connection(connection)
        if key is not None:
            folders.keys().save(server.url, key)
