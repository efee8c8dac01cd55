"""Tells, under the picture, of LoRAs that the host loaded and that do nothing, or only in part.

The host goes by the names in a file and says nothing where it knows none of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from modules import errors

from lib_ranni.errors import LoraError
from lib_ranni.lora.checks import asks_alpha, loads_as_is
from lib_ranni.lora.containers import read_keys
from lib_ranni.lora.layout import PLANS, host_names
from lib_ranni.lora.reading import Lora, read_lora
from lib_ranni.lora.report import inspect

_LOG = logging.getLogger("ranni")

PROBLEM = "Ranni LoRA problem"
"""Key of an infotext under which an API caller, too, learns of a LoRA that does not act."""

_TOLD = "_ranni_loras_told"
"""Where the host's processing object keeps what it was told."""

_MOST_KNOWN = 256
_CONVERT = "convert it with *Check a LoRA*, or `lib-ranni lora convert`"

_known: dict[tuple[str, int, int, int], str] = {}
_lock = threading.Lock()


def look(p: Any, host: Any, networks: Sequence[Any], asked: Iterable[str]) -> None:
    """Look whether networks act that were loaded for `asked` names; comment on those that do not."""
    try:
        _look(p, host, networks, asked)
    except Exception as error:  # a check that fails must not cost the picture
        errors.report(f"Ranni: the LoRAs are not checked: {error}", exc_info=error)


def _look(p: Any, host: Any, networks: Sequence[Any], asked: Iterable[str]) -> None:
    there = {network.name for network in networks}
    for network in networks:
        tell(p, _of_loaded(network))
    for name in dict.fromkeys(asked):
        on_disk = host.available_network_aliases.get(name)
        # Of one that is nowhere the host tells itself.
        if on_disk is not None and name not in there:
            tell(p, _cached(name, Path(on_disk.filename), -1, lambda path, name=name: _unread(name, path)))


def tell(p: Any, sentence: str) -> None:
    """Say something under the picture and in its infotext, and once for a job in the console."""
    told = getattr(p, _TOLD, None)
    if told is None:
        told = set()
        setattr(p, _TOLD, told)
    if sentence:
        p.comment(f"Ranni: {sentence}")
        known = p.extra_generation_params.get(PROBLEM, "")
        if sentence not in known:
            p.extra_generation_params[PROBLEM] = f"{known}; {sentence}".removeprefix("; ")
        if sentence not in told:
            _LOG.warning("%s", sentence)
        told.add(sentence)


def _of_loaded(network: Any) -> str:
    found = {module.network_key.partition(".")[0] for module in network.modules.values()}
    return _cached(
        network.name,
        Path(network.network_on_disk.filename),
        len(found),
        lambda path: _in_part(network.name, path, found, len(network.modules)),
    )


def _cached(name: str, path: Path, count: int, sentence: Any) -> str:
    """A file is looked into once, as long as it and what the model makes of it stay the same."""
    try:
        state = path.stat()
    except OSError:
        return ""
    key = (f"{name}\n{path}", state.st_mtime_ns, state.st_size, count)
    with _lock:
        if key in _known:
            return _known[key]
    try:
        made = str(sentence(path))
    except LoraError as error:
        made = f"the LoRA {name} does nothing: {error}"
    with _lock:
        _known[key] = made
        while len(_known) > _MOST_KNOWN:
            del _known[next(iter(_known))]
    return made


def _in_part(name: str, path: Path, found: set[str], matched: int) -> str:
    """What is wrong with a file of which the host matched the modules named `found`."""
    heads = {key.partition(".")[0] for key in read_keys(path)} - {"bundle_emb"}
    if heads <= found:
        return ""
    lora = read_lora(path)
    total = len(lora.modules)
    if matched >= total:
        return ""
    family = f"{lora.format}, for {lora.family or 'an unknown base model'}"
    advice = _advice(lora)
    if not matched:
        return (
            f"the LoRA {name} does nothing: the WebUI finds none of its {total} modules ({family}); {advice}"
        )
    return f"of the LoRA {name} only {matched} of {total} modules act ({family}); {advice}"


def _advice(lora: Lora) -> str:
    if asks_alpha(lora):
        return f"{_CONVERT}, with the alpha that its trainer was given"
    lost = [target for target in lora.modules if not loads_as_is(lora, target)]
    if not lost:
        kin = PLANS[lora.family].kin if lora.family else "its own kind"
        return f"the checkpoint that is loaded is of another kind; choose one of {kin}"
    nameable = set(host_names(lora.family).values()) if lora.family else set()
    if nameable and not nameable.intersection(lost):
        return "the WebUI has no names for the others"
    return _CONVERT


def _unread(name: str, path: Path) -> str:
    """What is wrong with a file that the host could not load."""
    wrong = next(iter(inspect(read_lora(path)).warnings), "its console says why")
    return f"the LoRA {name} does nothing, as the WebUI could not load it: {wrong}"
