"""The host's list of samplers with an entry for every preset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules import sd_samplers
from modules.sd_samplers_common import SamplerData

from lib_ranni.sampling.presets import PRESETS, Preset
from lib_ranni.webui.few_step_sampler import FewStepSampler, SaSolverSampler

_MARK = "ranni_preset"
"""Option of an entry that says it is ours, and for which preset."""


def register() -> None:
    """Put the entries into the host's lists, in place of those of an earlier load; once for each load."""
    unregister()
    # In place: other code may hold the very list. Not at its head, which is what the host falls back to.
    taken = {data.name for data in sd_samplers.all_samplers}
    for preset in PRESETS.values():
        # Another extension's entry of the same name draws otherwise; its pictures must stay what they are.
        label = f"{preset.label} (Ranni)" if preset.label in taken else preset.label
        sd_samplers.all_samplers.append(_entry(preset, label))
    _rebuild()


def unregister() -> None:
    """Take the entries out again."""
    sd_samplers.all_samplers[:] = [data for data in sd_samplers.all_samplers if _MARK not in data.options]
    _rebuild()


def preset_of(name: str | None) -> Preset | None:
    """The preset of the host's entry of a name; None for other entries."""
    data = sd_samplers.all_samplers_map.get(name)
    return None if data is None else PRESETS.get(data.options.get(_MARK, ""))


def is_many_step(preset: Preset) -> bool:
    """Whether an entry is an ordinary sampler, for any model and as many steps as one likes."""
    return preset.rule == "sa"


def _rebuild() -> None:
    """What the host derives of its list of samplers."""
    known = sd_samplers.all_samplers_map
    known.clear()
    known.update({data.name: data for data in sd_samplers.all_samplers})
    sd_samplers.set_samplers()
    # It remembers names that it did not find.
    sd_samplers.get_sampler_and_scheduler.cache_clear()


def _entry(preset: Preset, label: str) -> Any:
    options: dict[str, Any] = {_MARK: preset.id}
    if preset.rule in ("renoise", "tcd", "ancestral", "sa"):
        options |= {"uses_ensd": True}
    return SamplerData(label, _constructor(preset), [f"ranni_{preset.id}"], options)


def _constructor(preset: Preset) -> Callable[[Any], Any]:
    kind = SaSolverSampler if is_many_step(preset) else FewStepSampler
    return lambda model: kind(preset, model)
