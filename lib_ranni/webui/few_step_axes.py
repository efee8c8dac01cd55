"""Axes of the X/Y/Z plot over the options of the few-step entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lib_ranni.errors import InputError
from lib_ranni.webui import latent_prior
from lib_ranni.webui.few_step_options import AS_PRESET, option_of, timesteps_of

OWN = "own"
"""The value of the timesteps that the entry has itself."""


class OptionAxis(NamedTuple):
    """An axis: how its values read, which option they set, to what, and which are allowed."""

    name: str
    type: Callable[[Any], Any]
    field: str
    read: Callable[[Any], Any] = lambda value: value
    choices: Callable[[], list[str]] | None = None
    low: float = 0.0
    high: float = 1.0

    def apply(self, p: Any, value: Any, _: Any) -> None:
        """One cell's value, which lasts as long as the cell."""
        # Cells are shallow copies of one object: what they share must not be changed in place.
        p.override_settings = {**p.override_settings, option_of(self.field): self.read(value)}


def _timesteps(value: str) -> str:
    return "" if value.strip().lower() == OWN else ", ".join(map(str, timesteps_of(value)))


def _readable(value: str) -> str:
    """A value of the axis of timesteps, parted by blanks or bars: commas part the values."""
    try:
        _timesteps(value)
    except InputError as error:
        raise RuntimeError(f"Few-step timesteps: {error}, or {OWN}") from error
    return value


AXES = (
    OptionAxis("Few-step timesteps", _readable, "timesteps", _timesteps),
    OptionAxis("TCD gamma", float, "gamma"),
    OptionAxis("Prior", str, "prior", choices=lambda: [AS_PRESET, *latent_prior.names()]),
    OptionAxis("Prior weight", float, "prior_weight"),
    OptionAxis("Enforce preset", str, "enforces", lambda value: value == "True", lambda: ["True", "False"]),
)
