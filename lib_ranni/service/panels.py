"""Panels that the user keeps by name: a folder of JSON files, one for each."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lib_ranni.errors import InputError, MissingError, RanniError, TakenError
from lib_ranni.panel.problems import Problem, is_unicode
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json

_SUFFIX = ".json"
_MOST_BYTES = 8 * 2**20
_MOST_LETTERS = 80
_MOST_NAME_BYTES = 240
"""File systems hold names of 255 bytes, the suffix included."""

_SEPARATORS = re.compile(r'[<>:"/\\|?*]')
_TURNING = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that end a line or turn its direction: a name with them shows as another one."""

_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever suffix follows."""

_writing = threading.Lock()


class Kept(NamedTuple):
    """A kept panel, mended where needed, and what was mended."""

    panel: Panel
    problems: tuple[Problem, ...]


class PanelFolder:
    """The kept panels of one folder, which is made when the first is saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """The names of all kept panels, sorted. Raises `InputError` where the folder cannot be read."""
        with _told(f"the kept panels in {self._folder} cannot be listed"):
            return sorted(self._files(), key=lambda name: (name.casefold(), name))

    def read(self, name: str) -> Kept:
        """The panel of a name. Raises `MissingError`, or `InputError` where its file is none."""
        path = self._file(name)
        with _told(f"the kept panel {_quoted(name)} cannot be read"):
            if path.stat().st_size > _MOST_BYTES:
                raise InputError(f"the kept panel {_quoted(name)} is larger than {_MOST_BYTES // 2**20} MiB")
            reading = repair(path.read_bytes())
        return Kept(reading.panel or Panel(), reading.problems)

    def save(self, name: str, panel: Panel, *, replace: bool = False) -> str:
        """Keep a panel; returns its name as it is kept.

        Raises `TakenError` where another has the name and is not to be replaced, and `InputError` for what
        is no name.
        """
        name = checked_name(name)
        with _writing, _told(f"the panel cannot be kept in {self._folder}"):
            taken = self._path(name)
            if os.path.lexists(taken) and not replace:
                raise TakenError(f"there is a kept panel {_quoted(name)}; replace it, or choose another")
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(taken, to_json(panel, indent=2).encode())
        return name

    def rename(self, name: str, to: str) -> str:
        """Give a kept panel another name; returns that. Raises like `save`, and `MissingError`."""
        to = checked_name(to)
        with _writing, _told(f"the kept panel {_quoted(name)} cannot be renamed"):
            old, new = self._file(name), self._path(to)
            # On some systems a name in other letters is the same file.
            if os.path.lexists(new) and not (new.exists() and new.samefile(old)):
                raise TakenError(f"there is a kept panel {_quoted(to)} already; choose another name")
            old.replace(new)
        return to

    def delete(self, name: str) -> None:
        """Keep a panel no longer. Raises `MissingError` where there is none of this name."""
        with _writing, _told(f"the kept panel {_quoted(name)} cannot be deleted"):
            self._file(name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / (name + _SUFFIX)

    def _files(self) -> dict[str, Path]:
        """Name -> file. Only what the folder itself holds: no folders, and no links that lead out of it."""
        root = self._folder.resolve()
        return {
            unicodedata.normalize("NFC", path.stem): path
            for path in self._folder.glob(f"*{_SUFFIX}")
            if not path.name.startswith(".") and path.is_file() and path.resolve().parent == root
        }

    def _file(self, name: str) -> Path:
        """The file of a name that is kept: looked up, so that no name leads anywhere else."""
        files = self._files()
        found = files.get(unicodedata.normalize("NFC", name))
        if found is None:
            known = ", ".join(_quoted(known) for known in sorted(files)[:20])
            known = known or f"none; put JSON files into {self._folder}"
            raise MissingError(f"there is no kept panel {_quoted(name)}; there are: {known}")
        return found


def checked_name(name: str) -> str:
    """A name as it is kept. Raises `InputError` for one that not every system can have as a file's."""
    name = unicodedata.normalize("NFC", name) if is_unicode(name) else ""
    if not name or len(name) > _MOST_LETTERS or len(name.encode()) > _MOST_NAME_BYTES:
        raise InputError(f"a name has 1 to {_MOST_LETTERS} characters; choose such a name")
    fault = _SEPARATORS.search(name)
    if fault:
        raise InputError(f"a name has no {fault[0]} in it; choose another name")
    if any(sign in _TURNING or unicodedata.category(sign) == "Cc" for sign in name):
        raise InputError("the name has invisible signs in it; type it anew")
    if name != name.strip() or name.startswith(".") or name.endswith("."):
        raise InputError("a name neither begins nor ends with a dot or a blank; choose another name")
    if _DEVICES.fullmatch(name):
        raise InputError(f"{_quoted(name)} is the name of a device on Windows; choose another name")
    return name


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Faults of the file system as `InputError`."""
    try:
        yield
    except RanniError:
        raise
    except OSError as error:
        raise InputError(f"{what}: {error.strerror or error}") from error


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    number, name = tempfile.mkstemp(prefix=".ranni-", dir=path.parent)
    written = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            written.unlink()
        raise


def _quoted(name: str) -> str:
    """A name for a message: short, and without what does not show or cannot be written."""
    return "“" + "".join(sign if sign.isprintable() else "?" for sign in name[:_MOST_LETTERS]) + "”"
