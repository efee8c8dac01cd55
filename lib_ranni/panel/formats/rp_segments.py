"""Regional Prompter's keywords: a prompt taken apart into common text, base and regions.

Keywords are whole words, so that BREAKFAST and GRAND are none, and ADDCOMM and ADDBASE may stand in any
order. Between the regions stay the keywords that parted them.
"""

from __future__ import annotations

import re

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.problems import Problems
from lib_ranni.panel.types import MAX_ELEMENTS

_KEYWORDS = re.compile(r"(?<!\w)(ADDCOMM|ADDBASE|ADDCOL|ADDROW|ADDP|BREAK|AND)(?!\w)")
_REGION_KEYWORDS = re.compile(r"(?<!\w)(?:ADDCOMM|ADDBASE|ADDCOL|ADDROW|ADDP)(?!\w)")
_COMMENT = re.compile(r"#[^\n]*")


class Segments(Struct, frozen=True):
    """The parts of a prompt. `common` and `base` are None where there are none.

    `keys[i]` is the keyword between `regions[i]` and `regions[i + 1]`: ADDCOL, ADDROW, BREAK or AND.
    """

    common: str | None
    base: str | None
    regions: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def explicit(self) -> bool:
        """Whether the prompt itself says which regions stand side by side."""
        return any(key in ("ADDCOL", "ADDROW") for key in self.keys)

    @property
    def plain(self) -> bool:
        """Whether the prompt has no keyword at all."""
        return self.common is None and self.base is None and not self.keys


def has_keywords(text: str) -> bool:
    """Whether the text has a keyword that nothing but Regional Prompter knows."""
    return _REGION_KEYWORDS.search(text) is not None


def without_keywords(text: str) -> str:
    """The text with its keywords in small letters, so that none of them parts it."""
    return _KEYWORDS.sub(lambda match: match[0].lower(), text)


def without_comments(text: str) -> str:
    """The text without what stands behind `#` on each line."""
    return _COMMENT.sub("", text)


def split_prompt(
    text: str,
    path: str,
    problems: Problems,
    *,
    use_common: bool = False,
    use_base: bool = False,
    keep_and: bool = False,
    keep_break: bool = False,
) -> Segments:
    """Take a prompt apart. `keep_and` and `keep_break` leave these two words to the WebUI.

    Raises `InputError` for prompt mode (ADDP) and for more regions than a panel holds.
    """
    kept = {word for word, keep in (("AND", keep_and), ("BREAK", keep_break)) if keep}
    texts, keys = _cut(text, kept)
    if "ADDP" in keys:
        raise InputError(
            f"the {path} uses ADDP, which finds regions only while drawing; place the things as boxes here"
        )
    # A keyword turns its part on; without one, the part is the first segment that is left.
    use_base = use_base or "ADDBASE" in keys
    common, texts, keys = _taken("ADDCOMM", texts, keys, use_common)
    base, texts, keys = _taken("ADDBASE", texts, keys, use_base)
    if "ADDCOL" in keys or "ADDROW" in keys:
        texts, keys = _with_inner(texts, keys)
    if len(texts) > MAX_ELEMENTS:
        raise InputError(f"the {path} has {len(texts)} regions; a panel has at most {MAX_ELEMENTS}")
    return Segments(common, base, tuple(texts), tuple(keys))


def _cut(text: str, kept: set[str]) -> tuple[list[str], list[str]]:
    """The texts between keywords, without blanks around, and the keywords; `kept` ones stay in the text."""
    texts: list[str] = []
    keys: list[str] = []
    last = 0
    for match in _KEYWORDS.finditer(text):
        if match[1] not in kept:
            texts.append(text[last : match.start()].strip())
            keys.append(match[1])
            last = match.end()
    return [*texts, text[last:].strip()], keys


def _taken(
    key: str, texts: list[str], keys: list[str], first: bool
) -> tuple[str | None, list[str], list[str]]:
    """What ends with `key`, or else the first segment if there should be one; and the rest of both lists."""
    places = {index for index, found in enumerate(keys) if found == key}
    if not places and first:
        places = {0}
    if not places or not texts:
        return None, texts, keys
    taken = [text for index, text in enumerate(texts) if index in places and text]
    if len(taken) > 1:
        taken = [text.rstrip(" ,") for text in taken]
    rest = [text for index, text in enumerate(texts) if index not in places]
    return ", ".join(taken), rest, [found for index, found in enumerate(keys) if index not in places]


def _with_inner(texts: list[str], keys: list[str]) -> tuple[list[str], list[str]]:
    """BREAK and AND back in their regions, where they mean to the WebUI what they always do."""
    joined = texts[:1]
    outer: list[str] = []
    for key, text in zip(keys, texts[1:], strict=True):
        if key in ("ADDCOL", "ADDROW"):
            outer.append(key)
            joined.append(text)
        else:
            joined[-1] = f"{joined[-1]} {key} {text}".strip()
    return joined, outer
