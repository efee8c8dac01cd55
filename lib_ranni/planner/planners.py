"""The planners by name, each made of its part of one set of settings."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.planner.llm.backend import Backend
from lib_ranni.planner.llm.manner import USUAL, Manner
from lib_ranni.planner.llm.servers import Server, server_named
from lib_ranni.planner.protocol import Planner

NAMES = ("builtin", "openai", "local", "ranni")
"""No model; a model behind a server; a model in this process; Ranni's own Llama with its two LoRA files."""


class Settings(Struct, frozen=True, kw_only=True):
    """What planners are made of.

    `server` is for `openai`, `folder` (of a causal language model) for `local` and `ranni`, the LoRA files
    are for `ranni`. `prompts` is a folder of the user's own prompt files, those of `ranni` among them.
    `cache` is a folder for good replies (None: off). Without `falls_back` a plan that a model cannot make
    fails instead of being made by the built-in planner.
    """

    server: Server = server_named("ollama", environment={})
    folder: Path | None = None
    device: str = "auto"
    element_lora: Path | None = None
    box_lora: Path | None = None
    manner: Manner = USUAL
    prompts: Path | None = None
    cache: Path | None = None
    falls_back: bool = True


def make_planner(name: str, settings: Settings) -> Planner:
    """The planner of a name. Nothing is loaded or asked before it plans.

    Raises `InputError` for an unknown name, or where a setting that it needs is missing.
    """
    # Vocabularies and libraries of models cost time when they are imported; a host starts without them.
    from lib_ranni.planner.builtin.planner import BuiltinPlanner

    builtin = BuiltinPlanner()
    if name == "builtin":
        return builtin
    if name == "openai":
        from lib_ranni.planner.llm.openai import OpenAIBackend

        return _asking(OpenAIBackend(settings.server), settings, builtin)
    if name == "local":
        from lib_ranni.planner.local.model import LocalBackend

        return _asking(LocalBackend(_folder(settings), device=settings.device), settings, builtin)
    if name == "ranni":
        return _ranni(settings)
    raise InputError(f"there is no planner {name!r}; choose one of {', '.join(NAMES)}")


def _asking(backend: Backend, settings: Settings, builtin: Planner) -> Planner:
    from lib_ranni.planner.llm.cache import ReplyCache
    from lib_ranni.planner.llm.planner import LanguagePlanner
    from lib_ranni.planner.llm.prompts import Prompts

    return LanguagePlanner(
        backend,
        manner=settings.manner,
        prompts=Prompts(settings.prompts),
        cache=None if settings.cache is None else ReplyCache(settings.cache),
        fallback=builtin if settings.falls_back else None,
    )


def _ranni(settings: Settings) -> Planner:
    from lib_ranni.planner.local.ranni import RanniPlanner

    if settings.box_lora is None:
        raise InputError("Ranni's planner needs its LoRA files; say where the one for boxes is")
    return RanniPlanner.from_files(
        _folder(settings), settings.element_lora, settings.box_lora, settings.prompts, device=settings.device
    )


def _folder(settings: Settings) -> Path:
    if settings.folder is None:
        raise InputError("say in which folder the language model is")
    return settings.folder
