"""A file of any kind that can hold a panel: pictures with infotexts, requests of ours, foreign layouts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lib_ranni.errors import InputError, MetadataError
from lib_ranni.panel.formats import (
    FORMATS,
    Imported,
    forge_couple,
    import_panel,
    regional_prompter,
    tiled_diffusion,
)
from lib_ranni.panel.formats.infotexts import document_of, parameters_of_text
from lib_ranni.panel.problems import Problem, is_unicode
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.service.bodies import told
from lib_ranni.service.picture_texts import PARAMETERS, texts_of
from lib_ranni.service.request import MODES, read

MAX_FILE = 32 * 2**20
"""Bytes of a file: a large picture."""

MAX_WORDS = 8 * 2**20
"""Characters of the text in it, as large as a panel may be."""

INFOTEXT_KEY = "Ranni"
"""The name under which an infotext of the WebUI holds the request."""

REQUEST_CHUNK = "ranni"
"""The name under which pictures of the command line hold theirs."""

Answer = dict[str, Any]

_MIXING = ("mode", "base_ratio", "feather", "overlap")
"""The fields of the command line's request that are settings of guidance here."""

_MOST_DIGITS = 20

_ELSE = "choose a picture that was drawn with one, or a file with a layout"


def opened(data: bytes) -> Answer:
    """The panel of a file, its guidance settings (as far as they are told), its prompts and its seed.

    Raises `InputError` where it holds no panel.
    """
    texts = texts_of(data)
    if texts is None:
        return _of_text(_words(data))
    if REQUEST_CHUNK in texts:
        document = document_of(_checked(texts[REQUEST_CHUNK]))
        found = None if document is None else _of_request(document, "picture")
    else:
        found = _of_infotext(_checked(texts.get(PARAMETERS, "")), "picture")
    if found is None:
        raise MetadataError(f"this picture holds no panel; {_ELSE}")
    return found


def _words(data: bytes) -> str:
    try:
        return _checked(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        kinds = "a PNG, JPEG or WebP picture, or UTF-8 text"
        raise InputError(f"this file is neither {kinds}; {_ELSE}") from error


def _checked(words: str) -> str:
    if len(words) > MAX_WORDS:
        raise InputError(f"the text in this file is longer than {MAX_WORDS // 2**20} MiB; {_ELSE}")
    return words if is_unicode(words) else words.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _of_text(words: str) -> Answer:
    """The panel of a text file: JSON of ours, an infotext, or a layout of another tool."""
    document = document_of(words)
    if document is not None:
        found = _of_request(document, "request")
        if found is not None:
            return found
        if FORMATS["panel"].detects(words):
            # Longer than what is imported from elsewhere may be: masks are long.
            reading = repair(document)
            return _answer(reading.panel or Panel(), {}, "panel", reading.problems)
    else:
        found = _of_infotext(words, "infotext")
        if found is not None:
            return found
    imported = import_panel(words)
    return _answer(imported.panel, imported.settings, imported.format, imported.problems)


def _of_request(document: Answer, format: str) -> Answer | None:
    """A request of the extension (`panel`, `guidance`) or of the command line (`panels`, its settings)."""
    guidance, mixing = document.get("guidance"), None
    if isinstance(document.get("panels"), list):
        guidance = mixing = {name: document[name] for name in _MIXING if name in document}
        if mixing.get("mode") not in MODES:
            mixing.pop("mode", None)
        given = {"panel": document["panels"], "guidance": guidance}
    elif isinstance(document.get("panel"), (dict, list)):
        given = {"panel": document["panel"], "guidance": guidance}
    else:
        return None
    reading = read(given)
    panels, problems = reading.request.panels, list(reading.problems)
    if not panels:
        return None
    if len(panels) > 1:
        problems.append(Problem("panel", f"has {len(panels)} panels, one for each picture", "the first read"))
    settings = msgspec.to_builtins(reading.request.guidance)
    if mixing is not None:
        settings = {name: settings[name] for name in mixing}
    prompts = {name: document.get(name) for name in ("prompt", "negative")}
    texts = {name: text for name, text in prompts.items() if isinstance(text, str) and text}
    return {**_answer(panels[0], settings, format, problems, **texts), "seed": _seed(document.get("seed"))}


def _of_infotext(words: str, format: str) -> Answer | None:
    """The panel of what the WebUI writes beside a picture: ours, or that of another extension."""
    parameters = parameters_of_text(words)
    document = document_of(parameters.get(INFOTEXT_KEY, ""))
    if document is not None:
        found = _of_request(document, format)
        if found is not None:
            negative = _without(parameters["Negative prompt"], found["panel"].get("negative", ""))
            texts = {"prompt": parameters["Prompt"] or None, "negative": negative or None}
            return {**found, **texts, "seed": _seed(parameters.get("Seed"))}
    imported = _of_others(parameters)
    if imported is None:
        return None
    base = imported.panel.base
    return _answer(imported.panel, imported.settings, imported.format, imported.problems, prompt=base)


def _seed(value: Any) -> int | None:
    """A seed as a request or an infotext has it, as far as it is one."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _of_others(parameters: Answer) -> Imported | None:
    """The panel of an extension whose regions drew the picture."""
    if tiled_diffusion.has_regions(parameters):
        return tiled_diffusion.from_parameters(parameters)
    if "forge_couple" in parameters:
        return forge_couple.from_parameters(parameters)
    if "RP Active" in parameters:
        return regional_prompter.from_parameters(parameters)
    return None


def _without(negative: str, added: str) -> str:
    """A negative prompt as it was before the panel's own was added to it."""
    return negative.removesuffix(added).rstrip().removesuffix(",") if added else negative


def _answer(
    panel: Panel,
    guidance: dict[str, Any],
    format: str,
    problems: Iterable[Problem],
    prompt: str | None = None,
    negative: str | None = None,
) -> Answer:
    return {
        "panel": to_document(panel),
        "guidance": guidance,
        "format": format,
        "problems": told(problems),
        "prompt": prompt or None,
        "negative": negative or None,
        "seed": None,
    }
