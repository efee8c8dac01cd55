"""What a LoRA file is, and the same in the form that the WebUI loads: for the routes and for the page."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import Struct

from lib_ranni.errors import LoraError, TakenError
from lib_ranni.lora.blocks import parse_blocks
from lib_ranni.lora.checks import asks_alpha, host_opens
from lib_ranni.lora.jobs import Outcome, Wish, convert_file
from lib_ranni.lora.layout import FAMILIES, Family
from lib_ranni.lora.reading import Lora, read_lora
from lib_ranni.lora.report import Report, inspect
from lib_ranni.panel.problems import Problem, Problems
from lib_ranni.service.bodies import require_none, text_of
from lib_ranni.service.host import Host

SUFFIX = "_webui"
"""What the name of a converted file has more than its source's."""

MAX_ALPHA = 1e6

_converting = threading.Lock()


class Asked(Struct, frozen=True):
    """A LoRA by the host's name for it, and what its file does not tell: alpha, or the base model."""

    name: str
    alpha: float | None = None
    family: Family | None = None
    blocks: str = ""


class Checked(Struct, frozen=True):
    """A report on a file, and how many modules of it act in the model that is loaded (None: not known)."""

    report: Report
    matched: int | None
    asks_alpha: bool


def read_asked(body: dict[str, Any]) -> Asked:
    """What a body asks for. Raises `Refused` where a value is wrong."""
    problems = Problems()
    alpha, family = body.get("alpha"), body.get("family")
    if alpha is not None:
        alpha = problems.number("alpha", alpha, 1e-6, MAX_ALPHA, 1.0)
    if family is not None and family not in FAMILIES:
        problems.found.append(
            Problem("family", f"must be one of {', '.join(get_args(Family))}", "leave it out")
        )
    blocks = problems.text("blocks", body.get("blocks", ""), 1000)
    name = text_of(body, "name")
    require_none(problems)
    return Asked(name, alpha, family, blocks)


def check(host: Host, asked: Asked) -> Checked:
    """Read a file and ask the model that is loaded. Raises `InputError` saying what the file is instead."""
    lora = _read(host, asked)
    # What the host could not open without running it is not shown to it.
    matched = host.matched_modules(asked.name) if host_opens(lora) else 0
    report = inspect(lora)
    return Checked(msgspec.structs.replace(report, path=lora.path.name), matched, asks_alpha(lora))


def convert(host: Host, asked: Asked) -> Outcome:
    """Write the file that the WebUI loads beside its source; one that is there already is never replaced.

    Raises `TakenError` then, and `InputError` where it cannot be converted.
    """
    host.require_local("convert it with `lib-ranni lora convert`")
    lora = _read(host, asked)
    out = lora.path.with_name(f"{lora.name}{SUFFIX}.safetensors")
    base = host.checkpoint() if any(delta.axis == "out" for delta in lora.modules.values()) else None
    with _converting:
        if out.exists():
            raise TakenError(f"there is {out.name} already; use it, or delete it first")
        try:
            outcome = convert_file(lora, Wish(out=out, blocks=parse_blocks(asked.blocks), base=base))
        except OSError as error:
            raise LoraError(f"{out.name} cannot be written: {error.strerror or error}") from error
    host.list_loras()
    beside = tuple(Path(path).name for path in outcome.embeddings)
    return msgspec.structs.replace(outcome, path=Path(outcome.path).name, embeddings=beside)


def _read(host: Host, asked: Asked) -> Lora:
    return read_lora(host.lora_file(asked.name), alpha=asked.alpha, family=asked.family)


def check_lora(host: Host, body: dict[str, Any]) -> Any:
    """The route `loras/check`."""
    return msgspec.to_builtins(check(host, read_asked(body)), str_keys=True)


def convert_lora(host: Host, body: dict[str, Any]) -> Any:
    """The route `loras/convert`."""
    return msgspec.to_builtins(convert(host, read_asked(body)), str_keys=True)
