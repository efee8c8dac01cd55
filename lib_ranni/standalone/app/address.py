"""Where the app listens."""

from __future__ import annotations

import socket

from msgspec import Struct

from lib_ranni.errors import InputError

_BACKLOG = 128


class Address(Struct, frozen=True):
    """Where the app listens, and under which path a proxy shows it."""

    host: str = "127.0.0.1"
    port: int = 7870
    root_path: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether other machines cannot reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def reachable(self) -> str:
        """The host's name as this machine reaches it."""
        name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"[{name}]" if ":" in name else name


def listening(address: Address) -> socket.socket:
    """A socket at this address. Raises `InputError` where it is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address.host, address.port))
        made.listen(_BACKLOG)
    except (OSError, OverflowError, TypeError) as error:  # the last for names that cannot be encoded
        made.close()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"the app cannot listen at {address.host}:{address.port} ({reason}); "
            "give another --port or --host"
        ) from error
    return made
