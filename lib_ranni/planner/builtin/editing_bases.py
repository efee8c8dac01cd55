"""The base prompt with another background or another style."""

from __future__ import annotations

import re

from lib_ranni.planner.builtin.chinese_words import chinese, is_attribute
from lib_ranni.planner.builtin.editing_steps import Rebase
from lib_ranni.planner.builtin.english_phrases import PhraseReader
from lib_ranni.planner.builtin.english_words import english, tokenize
from lib_ranni.planner.language import is_chinese

_PARTS = re.compile(r"[,，;；、]")


def new_base(base: str, step: Rebase) -> str:
    """The base with its style or its scene exchanged; the other one stays."""
    parts = [part.strip() for part in _PARTS.split(base) if part.strip()]
    kept = [part for part in parts if _is_style(part) != step.style]
    text = step.text
    if not step.style:
        return ", ".join([_scene(text), *kept])
    styled = _is_style(text)
    if is_chinese(text):
        text = text if styled else f"{text}风格"
    elif not re.search(r"\b(?:style|styled)\b", text) and not styled:
        text = f"{text} style"
    return ", ".join([*kept, text])


def _scene(text: str) -> str:
    """A color or other attribute alone is that of the background."""
    if is_chinese(text):
        bare = text.strip("的 ")
        return f"{bare}背景" if is_attribute(bare) else text
    reader = PhraseReader(text, tokenize(text))
    return f"{text} background" if all(map(reader.is_attribute, text.lower().split())) else text


def _is_style(part: str) -> bool:
    """Whether a part of a base prompt speaks of style or quality, not of what is there."""
    if is_chinese(part):
        return part in chinese().sets["styles"] or part.endswith(("风格", "画风", "画质", "画"))
    words = part.lower().split()
    listed = [english().has("style", word) or english().has("pictures", word) for word in words]
    return bool(words) and (words[-1] in {"style", "painting", "art"} or all(listed))
