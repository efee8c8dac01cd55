"""LoRAs of single elements, through the host's own Lora extension.

The host knows one set of networks for the whole model and applies it lazily, layer by layer, when a layer
runs next. So an element's LoRA acts while something runs that is the element's own: its text through the
text encoder, in latent mode its rows through the whole UNet, and in attention mode, where all regions share
one pass, its text through the keys and values of the cross-attention.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules import extra_networks, shared

from lib_ranni.errors import MissingError
from lib_ranni.panel.problems import shown
from lib_ranni.panel.types import Element, Lora
from lib_ranni.sampling.advertised import Advertised
from lib_ranni.sampling.advertised import advertised as read_advertised
from lib_ranni.webui import loaded_blocks, lora_check, settings

_LOG = logging.getLogger("ranni")

Loras = tuple[Lora, ...]

_MOST_WEIGHT = 10.0
_BY_DOTS = ("diffusers_weight_map", "diffusers_weight_mapping")
"""What models have whose LoRAs are named otherwise: SD 3."""


def split(element: Element) -> tuple[str, Loras]:
    """An element's words without tags such as `<lora:ink:0.8>`, and its LoRAs, those of the tags included."""
    words, data = extra_networks.parse_prompt(element.description)
    named = [_lora(params.positional) for params in data.get("lora", []) if params.positional]
    return words, (*element.lora, *(lora for lora in named if lora is not None))


def _lora(items: Sequence[str]) -> Lora | None:
    try:
        weight = float(items[1]) if len(items) > 1 else 1.0
        return Lora(items[0].strip(), min(_MOST_WEIGHT, max(-_MOST_WEIGHT, weight)))
    except ValueError:
        return None


def missing(loras: Sequence[Lora]) -> list[str]:
    """The names of those that the host does not have."""
    host = _host()
    if host is None:
        return [lora.name for lora in loras]
    return [lora.name for lora in loras if lora.name not in host.available_network_aliases]


def names() -> tuple[str, ...]:
    """The names of all that the host has, sorted."""
    host = _host()
    return () if host is None else tuple(sorted(host.available_networks, key=str.casefold))


def refresh() -> None:
    """Have the host look for files anew."""
    host = _host()
    if host is not None:
        host.list_available_networks()


def file_of(name: str) -> Path:
    """The file of a network, by the host's list. Raises `MissingError`."""
    host = _host()
    found = None if host is None else host.available_network_aliases.get(name)
    if found is None:
        raise MissingError(f"the WebUI has no LoRA {shown(name)}; GET /ranni/v1/loras lists those it has")
    return Path(found.filename)


def matched(name: str) -> int | None:
    """How many modules of the model that is loaded a network changes; None where the host cannot tell."""
    host = _host()
    found = None if host is None else host.available_network_aliases.get(name)
    if host is None or found is None:
        return None
    try:
        return len(host.load_network(name, found).modules)
    except Exception as error:  # the host's loader fails in as many ways as there are files
        _LOG.info("the WebUI cannot load %s: %s", name, error)
        return None


def activated(p: Any, data: Mapping[str, Sequence[Any]]) -> None:
    """The host has loaded what the tags of the prompts say: tell what does not act, and filter by blocks."""
    host = _host()
    tags = [tag for kind in data if kind in ("lora", "lyco") for tag in data[kind] if tag.positional]
    if host is None or not tags or any(hasattr(shared.sd_model, name) for name in _BY_DOTS):
        return
    if settings.checks_loras():
        lora_check.look(p, host, list(host.loaded_networks), [tag.positional[0] for tag in tags])
    for problem in loaded_blocks.filter_loaded(host, shared.sd_model, tags):
        lora_check.tell(p, problem)


def advertised() -> dict[str, Advertised]:
    """What the files of all that the host has say of themselves, by name."""
    host = _host()
    found = {} if host is None else host.available_networks
    return {name: _advertised(found[name]) for name in sorted(found)}


def worn() -> list[Advertised]:
    """What the files of the LoRAs in use say of themselves."""
    host = _host()
    loaded = [] if host is None else host.loaded_networks
    return [_advertised(getattr(network, "network_on_disk", None)) for network in loaded]


def _advertised(on_disk: Any) -> Advertised:
    return read_advertised(getattr(on_disk, "metadata", None) or {})


class ElementNetworks:
    """The LoRAs of the elements of one pass. They come and go at every step; each file is read once."""

    def __init__(self) -> None:
        self._read: dict[str, Any] = {}

    def look(self, p: Any, names: Sequence[str]) -> None:
        """Tell of those of the elements that do not act."""
        host = _host()
        if host is not None and names and settings.checks_loras():
            lora_check.look(p, host, [self._read[name] for name in names if name in self._read], names)

    @contextmanager
    def added(self, loras: Loras) -> Iterator[None]:
        """Load these beside those of the prompt, and only those of the prompt again afterwards."""
        host = _host()
        if not loras or host is None:
            yield
            return
        before, filtered = [], {}
        for net in host.loaded_networks:
            name = getattr(net, loaded_blocks.SOURCE, net.name)
            before.append((name, net.te_multiplier, net.unet_multiplier, net.dyn_dim))
            if name != net.name:
                filtered[name] = net
        own = {lora.name for lora in loras}
        kept = [entry for entry in before if entry[0] not in own]
        self._load(
            host,
            [*kept, *((lora.name, lora.weight, lora.weight, None) for lora in loras)],
            {name: net for name, net in filtered.items() if name not in own},
        )
        try:
            yield
        finally:
            self._load(host, before, filtered)

    def _load(
        self, host: Any, entries: Sequence[tuple[str, float, float, Any]], filtered: Mapping[str, Any]
    ) -> None:
        names, te, unet, dyn = ([entry[n] for entry in entries] for n in range(4))
        # The host forgets at once what it read, unless it is told to keep it.
        host.networks_in_memory.update(self._read)
        host.load_networks(names, te, unet, dyn)
        self._read.update({net.name: net for net in host.loaded_networks})
        host.loaded_networks[:] = [filtered.get(net.name, net) for net in host.loaded_networks]


def _host() -> Any | None:
    """The Lora extension's module, which it puts under this name; None where it is switched off."""
    found = sys.modules.get("networks")
    return found if hasattr(found, "load_networks") and hasattr(found, "loaded_networks") else None
