"""Where the extension keeps what is the user's: `ranni` in the WebUI's data folder."""

from __future__ import annotations

from pathlib import Path

from modules import paths_internal

from lib_ranni.evaluation.prompt_sets.folder import PromptFolder
from lib_ranni.service.keys import KeyFile
from lib_ranni.service.panels import PanelFolder
from lib_ranni.webui import settings


def root() -> Path:
    """The folder; it need not exist."""
    return Path(paths_internal.data_path) / "ranni"


def keys() -> KeyFile:
    """The keys of language models. Settings would not do: the host puts them into its pages and its API."""
    return KeyFile(root() / "keys.json")


def panels() -> PanelFolder:
    """The kept panels."""
    return PanelFolder(root() / "panels")


def prompt_sets() -> PromptFolder:
    """The files of prompt sets: those of the folder in the settings, or of `models/Ranni/prompts`."""
    chosen = settings.prompt_sets()
    return PromptFolder(Path(chosen) if chosen else Path(paths_internal.models_path) / "Ranni" / "prompts")
