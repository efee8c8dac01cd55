"""`Panel` -> JSON. What `reading` reads back is the same panel."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from lib_ranni.panel.types import Panel, Provenance


def _fields(record: Struct) -> dict[str, Any]:
    """A record without fields at their default; unknown fields of newer versions go back in place."""
    document: dict[str, Any] = {}
    known = set(record.__struct_fields__) - {"extra"}
    for info in fields(record):
        value = getattr(record, info.name)
        if info.name == "extra":
            document.update({name: item for name, item in value.items() if name not in known})
        elif info.default_factory is NODEFAULT and value == info.default:
            continue
        else:
            document[info.name] = msgspec.to_builtins(value)
    return document


def _encoded(panel: Panel) -> bytes:
    document = _fields(panel)
    document["elements"] = [_fields(element) for element in panel.elements]
    if panel.provenance != Provenance():
        document["provenance"] = _fields(panel.provenance)
    return msgspec.json.encode({"version": panel.version, **document})


def to_document(panel: Panel) -> dict[str, Any]:
    """The panel as plain dicts, lists, texts and numbers; fields at their default are left out."""
    # By way of JSON: tuples become lists, and nothing in it is shared with the panel.
    return msgspec.json.decode(_encoded(panel), type=dict[str, Any])


def to_json(panel: Panel, *, indent: int | None = None) -> str:
    """The panel as JSON text, on one line or indented."""
    text = _encoded(panel)
    if indent is not None:
        text = msgspec.json.format(text, indent=indent)
    return text.decode("utf-8")
