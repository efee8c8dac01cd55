"""The planners that the extension offers, made of the host's settings."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import gradio as gr
import msgspec
from modules import shared

from lib_ranni.errors import PlannerError, RanniError
from lib_ranni.planner.llm.key import Key
from lib_ranni.planner.llm.manner import Manner
from lib_ranni.planner.llm.servers import Server, server_named
from lib_ranni.planner.planners import NAMES, Settings, make_planner
from lib_ranni.planner.protocol import Cancelled, Done, Planner, finish, never
from lib_ranni.service.host import Connection
from lib_ranni.service.planning import plan_request
from lib_ranni.webui import folders, settings

PLANNERS = NAMES
_LOCAL = "lib_ranni.planner.local.model"

_lock = threading.Lock()
_kept: dict[str, tuple[Settings, Planner]] = {}


def connection() -> Connection:
    """The language model that the settings name."""
    chosen = settings.planning()
    return Connection(chosen.server, chosen.base_url, chosen.model)


def server(wanted: Connection | None = None, key: str = "") -> Server:
    """The server of a connection (None: of the settings), with the key that is kept for its address.

    Raises `InputError` for what is no address or no key, and for another server where settings are frozen.
    """
    chosen, present = settings.planning(), connection()
    if wanted is not None and wanted != present:
        # Where nobody may choose another server, nobody may have the key or the host's network tried there.
        settings.require_free()
    wanted = wanted or present
    named = server_named(wanted.server, base_url=wanted.base_url, model=wanted.model)
    secret = key or folders.keys().key_for(named.url)
    return msgspec.structs.replace(
        named,
        key=Key(secret) if secret else named.key,
        read_timeout=chosen.read_timeout,
        total_timeout=chosen.total_timeout,
    )


def planner(name: str) -> Planner:
    """The planner of a name, the same one for as long as the settings stay. Raises `InputError`."""
    chosen = settings.planning()
    wanted = Settings(
        server=server(),
        folder=_path(chosen.folder),
        device=chosen.device,
        element_lora=_path(chosen.element_lora),
        box_lora=_path(chosen.box_lora),
        manner=Manner(chosen.style, chosen.asks_again, chosen.temperature, chosen.max_tokens),
        prompts=_path(chosen.prompts),
        cache=folders.root() / "cache" if chosen.caches else None,
        falls_back=chosen.falls_back,
    )
    with _lock:
        known = _kept.get(name)
        if known is None or known[0] != wanted:
            _kept[name] = known = (wanted, make_planner(name, wanted))
        return known[1]


def plan(prompt: str, *, name: str, aspect: float, seed: int | None, cancelled: Cancelled = never) -> Done:
    """Plan a prompt for a canvas of this width / height.

    Raises `InputError` for an unknown name and `PlannerError` when the planner fails.
    """
    return finish(planner(name).plan(plan_request(prompt, aspect, seed), cancelled))


def interrupted() -> Callable[[], bool]:
    """Whether the host's Interrupt has been pressed since this call."""
    state = shared.state
    if not state.job_count:
        # The flag of the last job; the next one would take it back in the same way.
        state.interrupted = False
    before = state.interrupted
    return lambda: bool(state.interrupted) and not before


def list_models() -> None:
    """Ask the server that is set for its models, for the settings page; what is wrong is shown there."""
    from lib_ranni.planner.llm.openai import OpenAIBackend

    try:
        asked = msgspec.structs.replace(server(), connect_timeout=5.0, read_timeout=15.0, retries=0)
        settings.list_models(OpenAIBackend(asked).models())
    except RanniError as error:
        gr.Warning(str(error))


def make_room() -> None:
    """Put language models of this process away: a picture is about to be drawn.

    One that is writing a plan at the moment stays where it is.
    """
    local = sys.modules.get(_LOCAL)
    if local is not None:
        with suppress(PlannerError):
            local.offload_all(wait=1.0)


def _path(text: str) -> Path | None:
    return Path(text.strip()).expanduser() if text.strip() else None
