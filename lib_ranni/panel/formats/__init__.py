"""Layouts of other tools, read as our panels and written back where their format has room for one.

    import_panel(text)              finds out the format: Omost, RPG, Tiled Diffusion, Ranni, ...
    export_panel(panel, "rpg")      raises `InputError` where the panel does not fit the format

No input makes these raise anything but `InputError`, and nothing read is ever run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import (
    forge_couple,
    layout_json,
    omost,
    panel_json,
    ranni,
    regional_prompter,
    rpg,
    tiled_diffusion,
)
from lib_ranni.panel.formats.conversion import MAX_BYTES, Exported, Imported, given
from lib_ranni.panel.problems import shown
from lib_ranni.panel.types import Panel

__all__ = ["FORMATS", "MAX_BYTES", "Exported", "Format", "Imported", "export_panel", "import_panel"]


class Writer(Protocol):
    """Writes a panel; raises `InputError` when it does not fit the format."""

    def __call__(self, panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported: ...


class Format(Struct, frozen=True):
    """A way to write layouts. `write` is None where panels do not fit into it."""

    name: str
    title: str
    detects: Callable[[str], bool]
    read: Callable[[str], Imported]
    write: Writer | None = None


FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        # In the order in which an unknown text is tried: the most particular first.
        Format("panel", "Panel (JSON)", panel_json.detects, panel_json.read, panel_json.write),
        Format("omost", "Omost canvas", omost.detects, omost.read),
        Format("rpg", "RPG plan", rpg.detects, rpg.read, rpg.write),
        Format(
            "tiled_diffusion",
            "Tiled Diffusion",
            tiled_diffusion.detects,
            tiled_diffusion.read,
            tiled_diffusion.write,
        ),
        Format("forge_couple", "Forge Couple", forge_couple.detects, forge_couple.read, forge_couple.write),
        Format(
            "regional_prompter",
            "Regional Prompter",
            regional_prompter.detects,
            regional_prompter.read,
            regional_prompter.write,
        ),
        Format(
            "layout_json", "Captions with boxes", layout_json.detects, layout_json.read, layout_json.write
        ),
        Format("ranni", "Ranni box answer", ranni.detects, ranni.read, ranni.write),
    )
}
"""All formats by name."""


def _format(name: str, choices: Mapping[str, Format]) -> Format:
    if name not in choices:
        raise InputError(f"there is no format {shown(name)} for this; choose one of {', '.join(choices)}")
    return choices[name]


def import_panel(text: str | bytes, format: str | None = None) -> Imported:
    """Read a layout of at most `MAX_BYTES` bytes; without `format`, the format is found out.

    Raises `InputError`, whose message says what to do, when there is no layout to be had from the text.
    """
    words = given(text)
    if format is not None:
        return _format(format, FORMATS).read(words)
    for item in FORMATS.values():
        if item.detects(words):
            return item.read(words)
    raise InputError(
        "this text is no layout that is known here; say which format it is in, one of " + ", ".join(FORMATS)
    )


def export_panel(panel: Panel, format: str, settings: Mapping[str, Any] | None = None) -> Exported:
    """Write a panel in another format; `settings` are those of guidance, such as `mode` and `base_ratio`.

    Raises `InputError` when the format has no writer or the panel does not fit it.
    """
    choices = {name: item for name, item in FORMATS.items() if item.write is not None}
    write = _format(format, choices).write
    if write is None:
        raise AssertionError("a format without a writer was chosen among those with one")
    return write(panel, settings)
