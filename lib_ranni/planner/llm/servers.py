"""Which servers there are: addresses, keys, and what one waits for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.key import Key

KEY_VARIABLE = "RANNI_API_KEY"
"""Where a key is looked for when the server is none of the known ones."""


class Preset(Struct, frozen=True):
    """A known server: the address of its OpenAI-compatible interface, and where its users keep their key."""

    base_url: str
    key_variable: str = KEY_VARIABLE
    model: str = ""


PRESETS: dict[str, Preset] = {
    "openai": Preset("https://api.openai.com/v1", "OPENAI_API_KEY", "gpt-4o-mini"),
    "deepseek": Preset("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", "deepseek-chat"),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", "gemini-2.0-flash"
    ),
    "openrouter": Preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "ollama": Preset("http://127.0.0.1:11434/v1"),
    "lm-studio": Preset("http://127.0.0.1:1234/v1"),
    "llama.cpp": Preset("http://127.0.0.1:8080/v1"),
    "vllm": Preset("http://127.0.0.1:8000/v1"),
}


class Server(Struct, frozen=True):
    """An OpenAI-compatible server and the model to ask there; an empty `model` takes its first.

    Times are in seconds: to connect, between two pieces of a reply (a model that thinks, or loads, sends
    none), and for a whole reply with its retries. `retries` are further tries after a passing fault.
    """

    base_url: str
    model: str = ""
    key: Key = Key("")
    connect_timeout: float = 10.0
    read_timeout: float = 120.0
    total_timeout: float = 600.0
    retries: int = 2
    longest_pause: float = 30.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"{_shown(self.base_url)} is no address of a server; give one like http://127.0.0.1:11434/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError(
                "the server's address must hold no user name, password or query; a key has its own place"
            )

    @property
    def url(self) -> str:
        """The address without a slash at its end, or the name of a route that was pasted with it."""
        url = self.base_url.rstrip("/")
        for route in ("/chat/completions", "/completions", "/models"):
            url = url.removesuffix(route)
        return url

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, which no proxy reaches."""
        host = urlsplit(self.base_url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def server_named(
    name: str,
    *,
    base_url: str = "",
    model: str = "",
    key: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Server:
    """A known server, with another address or model where they are given.

    Without a `key` the environment is asked: the server's own variable first, then RANNI_API_KEY.
    Raises `InputError` for an unknown name.
    """
    preset = PRESETS.get(name) if name else Preset(base_url)
    if preset is None:
        raise InputError(f"there is no server {name!r}; choose one of {', '.join(PRESETS)}")
    moved = bool(base_url) and base_url.rstrip("/") != preset.base_url
    # A key belongs to an address: it is not shown to another one.
    variables = (KEY_VARIABLE,) if moved else (preset.key_variable, KEY_VARIABLE)
    found = key or next((environment[v] for v in variables if environment.get(v)), "")
    return Server(base_url or preset.base_url, model or preset.model, Key(found))


def _shown(url: str) -> str:
    """An address for a message; whatever stands before an @ stays out of it."""
    return repr(url.rpartition("@")[2][:80])
