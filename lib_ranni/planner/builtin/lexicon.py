"""The word lists of the built-in planner, read once from the text files beside this module."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from msgspec import Struct

Phrase = tuple[str, ...]


class Lexicon(Struct, frozen=True):
    """Sections of a word file: sets of words, `word=value` tables, and tables of phrases."""

    sets: dict[str, frozenset[str]]
    tables: dict[str, dict[str, str]]
    phrases: dict[str, dict[Phrase, str]]

    def has(self, section: str, word: str) -> bool:
        """Whether a word is listed in a section."""
        return word in self.sets[section]

    def lookup(self, section: str, word: str) -> str | None:
        """What a `word=value` table gives for a word."""
        return self.tables[section].get(word)

    def match(self, section: str, words: list[str], start: int) -> tuple[int, str] | None:
        """The longest phrase of a section at `words[start:]`, as (number of words, value)."""
        table = self.phrases[section]
        for length in range(min(6, len(words) - start), 0, -1):
            value = table.get(tuple(words[start : start + length]))
            if value is not None:
                return length, value
        return None


@lru_cache(maxsize=4)
def load(name: str) -> Lexicon:
    """The lexicon of `words_<name>.txt`."""
    path = Path(__file__).with_name(f"words_{name}.txt")
    sets: dict[str, set[str]] = {}
    tables: dict[str, dict[str, str]] = {}
    phrases: dict[str, dict[Phrase, str]] = {}
    section, lines = "", False
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section, _, kind = line.strip("[]").partition(":")
            lines = kind == "lines"
            sets.setdefault(section, set())
            tables.setdefault(section, {})
            phrases.setdefault(section, {})
        elif lines:
            phrase, _, value = line.partition("=")
            phrases[section][tuple(phrase.split())] = value
        else:
            for entry in line.split():
                word, _, value = entry.partition("=")
                sets[section].add(word)
                if value:
                    tables[section][word] = value
    return Lexicon({k: frozenset(v) for k, v in sets.items()}, tables, phrases)
