"""Prompts of the WebUI: texts joined by commas, and the LoRA tags in them."""

from __future__ import annotations

import re
from typing import Any

from lib_ranni.panel.formats.conversion import one_line
from lib_ranni.panel.problems import Problems
from lib_ranni.panel.types import Element

_NAME = r"[^:<>]{1,256}"
_LORA = re.compile(rf"<lora:({_NAME})(?::([^<>]{{0,80}}))?>")
_WEIGHT = re.compile(r"(?:^|[:=])([+-]?(?:\d{1,4}\.?\d{0,9}|\.\d{1,9}))(?=$|[:@])")


def joined(common: str | None, words: str) -> str:
    """Both texts, `common` first, with one comma between them."""
    if not common or not words:
        return common or words
    return f"{common.rstrip(' ,')}, {words}"


def with_lora(text: str) -> tuple[str, list[dict[str, Any]]]:
    """The text without its LoRA tags, and these; a text that is nothing else stays."""
    loras = []
    for match in _LORA.finditer(text):
        weight = _WEIGHT.search(match[2] or "")
        loras.append({"name": match[1], "weight": float(weight[1]) if weight else 1.0})
    if not loras:
        return text, []
    parts = (one_line(part) for part in _LORA.sub("", text).split(","))
    words = ", ".join(part for part in parts if part)
    return (words, loras) if words else (text, [])


def with_tags(words: str, element: Element, path: str, problems: Problems) -> str:
    """The words with a tag for each LoRA of the element at `path`."""
    tags = []
    for lora in element.lora:
        if re.fullmatch(_NAME, lora.name):
            tags.append(f"<lora:{lora.name}:{lora.weight:g}>")
        else:
            problems.add(f"{path}.lora", "has a name that a tag cannot hold", "left out")
    return " ".join([words, *tags])


def without_tags(text: str) -> str:
    """The text without LoRA tags and the blanks around them; the same text where there are none."""
    return with_lora(text)[0] if _LORA.sub("", text).strip(" ,\n\t") else ""
