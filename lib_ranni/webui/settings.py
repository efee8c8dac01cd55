"""The extension's page of the host's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gradio as gr
import msgspec
from modules import shared
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.guidance.memory_store import MOST_BYTES
from lib_ranni.planner.llm.manner import Style
from lib_ranni.planner.llm.servers import PRESETS
from lib_ranni.service.host import Connection
from lib_ranni.webui.options import TEXT, TICK, Option, add, among, between

_Options = TypeVar("_Options", bound=Struct)

_SECTION = ("ranni", "Ranni")
_PLANNER_SECTION = ("ranni_planner", "Ranni: language models")

_MOST_ROWS = "ranni_latent_rows"
_INFOTEXT = "ranni_infotext"
_NESTED = "ranni_nested"
_MEMORY = "ranni_memory_mb"
_LORA_CHECK = "ranni_lora_check"
_PROMPT_SETS = "ranni_prompt_sets"


class PlanningOptions(Struct, frozen=True):
    """What the settings say about language models, by the names of their options after `ranni_`."""

    server: str = "ollama"
    base_url: str = ""
    model: str = ""
    style: Style = "panel"
    asks_again: int = 2
    temperature: float = 0.2
    max_tokens: int = 2048
    read_timeout: float = 120.0
    total_timeout: float = 600.0
    falls_back: bool = True
    caches: bool = True
    prompts: str = ""
    folder: str = ""
    device: str = "auto"
    element_lora: str = ""
    box_lora: str = ""


_listed_models: list[str] = []


def list_models(names: Sequence[str]) -> None:
    """Offer these names as models."""
    _listed_models[:] = names


def _model_choices() -> dict[str, Any]:
    chosen = str(_value("ranni_model", ""))
    return {"choices": list(dict.fromkeys(["", chosen, *_listed_models]))}


def _open_dropdown(**arguments: Any) -> Any:
    """A dropdown that takes other words too; among its arguments the host's refresh would choke on that."""
    return gr.Dropdown(allow_custom_value=True, **arguments)


_PLANNING: dict[str, Option] = {
    "server": Option(
        "Server of the language model",
        *among((*PRESETS, "")),
        "OpenAI-compatible; empty: another, by its address",
    ),
    "base_url": Option("Its address", *TEXT, "empty: the usual one; such as http://192.168.1.5:11434/v1"),
    "model": Option(
        "Model", _open_dropdown, _model_choices, "empty: the server's first; refresh to list them"
    ),
    "style": Option(
        "How it is asked",
        *among(("panel", "regions")),
        "panel: boxes as JSON; regions: RPG's way, recaption and split ratio",
    ),
    "asks_again": Option("Corrections it is asked for", *between(0, 10, 1), "each costs a reply"),
    "temperature": Option("Temperature", *between(0, 2, 0.05), ""),
    "max_tokens": Option("Tokens of a reply", *between(256, 16384, 256), "a model that thinks needs many"),
    "read_timeout": Option("Seconds of silence before giving up", *between(5, 900, 5), ""),
    "total_timeout": Option("Seconds for a whole reply", *between(10, 3600, 10), ""),
    "falls_back": Option("Plan without the model where it fails", *TICK, "the reason is told"),
    "caches": Option("Keep good replies on disk", *TICK, "the same prompt then costs nothing"),
    "prompts": Option("Folder of prompt files of your own", *TEXT, "they stand in for ours of the same name"),
    "folder": Option("Local model: its folder", *TEXT, "for the planners local and ranni"),
    "device": Option("Local model: where it runs", *among(("auto", "cuda", "cpu")), ""),
    "element_lora": Option("Ranni: LoRA of the element turn", *TEXT, "path of the file"),
    "box_lora": Option("Ranni: LoRA of the box turn", *TEXT, "path of the file"),
}
"""By the fields of `PlanningOptions`."""


def _add_planning_options(refresh: Callable[[], None]) -> None:
    usual = PlanningOptions()
    for name, option in _PLANNING.items():
        more = {"refresh": refresh} if name == "model" else {}
        add(f"ranni_{name}", getattr(usual, name), option, _PLANNER_SECTION, **more)


def planning() -> PlanningOptions:
    """What is set about language models."""
    return chosen(PlanningOptions)


def chosen(kind: Callable[[], _Options]) -> _Options:
    """What is set, by the names of a record after `ranni_`; in place of a wrong kind of value, the usual."""
    usual = kind()
    values = {}
    for name in usual.__struct_fields__:
        default = getattr(usual, name)
        value = _value(f"ranni_{name}", default)
        if type(default) in (int, float) and type(value) in (int, float) and value == type(default)(value):
            # The host's sliders and its API make 2 and 2.0 the same.
            value = type(default)(value)
        values[name] = value if type(value) is type(default) else default
    return msgspec.structs.replace(usual, **values)


def require_free() -> None:
    """Raise `InputError` where the host was started so that nobody changes its settings."""
    if getattr(shared.cmd_opts, "freeze_settings", False):
        raise InputError("this WebUI was started with --freeze-settings; its language model stays as it is")


def save_connection(connection: Connection) -> None:
    """Set the language model and keep that. Raises `InputError` where the settings are frozen."""
    require_free()
    wanted = {f"ranni_{name}": getattr(connection, name) for name in connection.__struct_fields__}
    try:
        for name, value in wanted.items():
            shared.opts.set(name, value)
        shared.opts.save(shared.config_filename)
    except (AssertionError, OSError) as error:
        raise InputError(f"the WebUI does not keep this setting: {error}") from error
    if any(_value(name, None) != value for name, value in wanted.items()):
        raise InputError("the WebUI does not let this setting be changed; look at its --freeze options")


_OTHERS: dict[str, tuple[Any, Option]] = {
    _MOST_ROWS: (
        0,
        Option(
            "Latent mode: regions in one call of the UNet",
            *between(0, 64, 1),
            "0: as many as there are, or one a picture where the host does not batch; fewer save memory",
        ),
    ),
    _INFOTEXT: (
        True,
        Option(
            "Write panel and settings into the infotext",
            *TICK,
            "without them a picture cannot be made again",
        ),
    ),
    _NESTED: (
        False,
        Option(
            "Guide pictures that are drawn within a picture",
            *TICK,
            "such as the faces that ADetailer draws anew",
        ),
    ),
    _MEMORY: (
        MOST_BYTES // 2**20,
        Option(
            "Memory edits: megabytes that are kept",
            *between(0, 16384, 64),
            "all users together, in main memory; 512 x 512 in 20 steps takes about 2, 1024 x 1024 about 9",
        ),
    ),
    _LORA_CHECK: (
        True,
        Option(
            "Tell of LoRAs that do nothing, or only in part",
            *TICK,
            "under the picture; with and without a panel",
        ),
    ),
}
"""Usual values and options, by name."""

_FOLDER_OF_SETS = Option(
    "Folder of prompt sets", *TEXT, "for the axis [Ranni] Prompt set; empty: models/Ranni/prompts"
)


def add_options(refresh: Callable[[], None]) -> None:
    """Called when the host makes its settings; `refresh` asks for the models that they offer."""
    _add_planning_options(refresh)
    for name, (usual, option) in _OTHERS.items():
        add(name, usual, option, _SECTION)
    # Through the API anybody could otherwise have texts of the whole machine read.
    add(_PROMPT_SETS, "", _FOLDER_OF_SETS, _SECTION, restrict_api=True)


def _value(name: str, default: Any) -> Any:
    """A setting; before the host has made its page, the default."""
    return getattr(shared.opts, name, default)


def most_rows(images: int, wanted: int) -> int:
    """Rows of our own that go through the UNet at once, at least 1."""
    chosen = int(_value(_MOST_ROWS, 0))
    if chosen > 0:
        return chosen
    return max(1, wanted if shared.opts.batch_cond_uncond else images)


def writes_infotext() -> bool:
    """Whether pictures carry what they were made of."""
    return bool(_value(_INFOTEXT, True))


def guides_nested() -> bool:
    """Whether a picture that an extension draws while another is processed follows the panel too."""
    return bool(_value(_NESTED, False))


def memory_bytes() -> int:
    """How much of the main memory remembered pictures may take."""
    return int(_value(_MEMORY, MOST_BYTES // 2**20)) * 2**20


def checks_loras() -> bool:
    """Whether LoRAs that do not act are told of."""
    return bool(_value(_LORA_CHECK, True))


def prompt_sets() -> str:
    """The folder of the user's prompt sets; empty for the usual one."""
    return str(_value(_PROMPT_SETS, "")).strip()
