"""The user's prompt files: a folder of them, found by short names."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from lib_ranni.errors import InputError, MissingError
from lib_ranni.evaluation.prompt_sets.expression import parse
from lib_ranni.evaluation.prompt_sets.reading import PromptSet, read_prompts
from lib_ranni.panel.problems import shown

SUFFIXES = (".tsv", ".csv", ".txt", ".jsonl", ".json", ".parquet")

_KNOWN = {
    "parti": ("partiprompts*",),
    "geneval": ("geneval*", "evaluation_metadata*"),
    "diffusiondb": ("diffusiondb*", "metadata*", "part-*"),
    "journeydb": ("journeydb*", "*_anno*"),
    "mjhq": ("mjhq*", "meta_data*"),
    "compbench": ("t2i_compbench*", "t2i-compbench*"),
}
"""Names that the published files have, in small letters."""


class PromptFolder:
    """The prompt files that lie in one folder; what is below it, or hidden, is not looked at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """The names of the files, sorted; none where there is no such folder."""
        return sorted(self._files(), key=lambda name: (name.casefold(), name))

    def file(self, name: str) -> Path:
        """The file of a name: its whole, or without suffix, or how it begins, or a set's short name.

        Raises `MissingError` where there is none, `InputError` where there are several.
        """
        files = self._files()
        word = name.casefold()
        ways = (
            [path for path in files.values() if path.name == name],
            [path for path in files.values() if word in (path.name.casefold(), path.stem.casefold())],
            [path for path in files.values() if word and _plain(path.stem).startswith(_plain(word))],
            [
                p
                for p in files.values()
                if any(fnmatchcase(p.stem.casefold(), k) for k in _KNOWN.get(word, ()))
            ],
        )
        found = next((paths for paths in ways if paths), [])
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(sorted(path.name for path in found)[:20])
            raise InputError(f"several prompt sets are called {shown(name)}: {names}; name one of them")
        known = ", ".join(self.names()[:20]) or f"none; put files into {self._folder}"
        raise MissingError(f"there is no prompt set {shown(name)}; there are: {known}")

    def read(self, expression: str) -> PromptSet:
        """The prompts that an expression wants of a file in the folder. Raises `InputError`."""
        wanted = parse(expression)
        return read_prompts(self.file(wanted.source), wanted)

    def _files(self) -> dict[str, Path]:
        """Name -> file. Links that lead out of the folder are none of its files."""
        try:
            root = self._folder.resolve()
            return {
                path.name: path
                for path in self._folder.iterdir()
                if path.suffix.lower() in SUFFIXES
                and not path.name.startswith(".")
                and path.is_file()
                and path.resolve().parent == root
            }
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"{self._folder} cannot be listed: {error.strerror or error}") from error


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
