"""Rows of prompt files: PartiPrompts' table, text, JSON lines and documents, CSV, Parquet, by their content.

The layouts of PartiPrompts (TSV), T2I-CompBench (text), GenEval (JSON lines), DiffusionDB (Parquet, and JSON
by part), JourneyDB (JSON lines) and MJHQ-30K (JSON) are known, and any table or JSON with a prompt in it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.evaluation.prompt_sets.entries import Skipped, lines, members
from lib_ranni.panel.types import MAX_TEXT

Container = Literal["tsv", "csv", "text", "jsonl", "json", "parquet"]

_HEAD = 2**18
_COLUMNS = ("prompt", "text", "caption", "p")
"""Where a row's prompt may be, the likeliest first."""

_SHORT_NAMES = {"p": "prompt", "se": "seed", "c": "cfg", "st": "step", "sa": "sampler"}
_SAMPLERS = (
    *("ddim", "plms", "k_euler", "k_euler_ancestral", "k_heun", "k_dpm_2"),
    *("k_dpm_2_ancestral", "k_lms", "others"),
)
"""DiffusionDB's numbers of samplers, from 1."""

_MIDJOURNEY = re.compile(r"\s(?:--|—)[a-z].*|<?https?://\S+", re.DOTALL)
"""Midjourney's own arguments, which end a prompt, and addresses of pictures before it."""

_UNSEEN = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")


class Row(Struct, frozen=True):
    """A prompt, and all its row's cells by their columns. `id` is the file's own, or counts the rows."""

    id: str
    text: str
    cells: Mapping[str, str]


class Kind(Struct, frozen=True):
    """A known set: the columns that tell it, and what its rows need."""

    name: str
    columns: frozenset[str]
    unique: bool = False
    """Whether it says the same prompt many times, of which one is taken."""
    arguments: bool = False
    """Whether its prompts carry Midjourney's arguments."""


_OTHER = Kind("", frozenset())
_KINDS = (
    Kind("PartiPrompts", frozenset({"prompt", "category", "challenge"})),
    Kind("GenEval", frozenset({"prompt", "tag", "include"})),
    Kind("DiffusionDB", frozenset({"prompt", "seed", "cfg", "step", "sampler"}), unique=True),
    Kind("JourneyDB", frozenset({"prompt", "img_path"}), arguments=True),
    Kind("MJHQ-30K", frozenset({"prompt", "category"})),
)


class Reader:
    """The rows of one file, one at a time. `skipped` counts what is no prompt, by what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: Skipped = Skipped()
        self.container: Container = "text"
        self.kind = _OTHER

    def rows(self) -> Iterator[Row]:
        """Read the file. Raises `InputError` where it holds no prompts, or cannot be read."""
        try:
            with self.path.open("rb") as file:
                head = file.read(_HEAD)
                file.seek(0)
                self.container = sniff(head, self.path)
                for number, (name, cells) in enumerate(self._raw(file)):
                    if number == 0:
                        self.kind = _kind_of(cells)
                    row = self._row(name, cells)
                    if row is not None:
                        yield row
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _raw(self, file: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
        """(id, values by column) of each row."""
        if self.container == "parquet":
            return parquet_rows(self.path)
        read: Callable[[BinaryIO, Skipped], Iterator[tuple[str, dict[str, Any]]]] = {
            "tsv": _tsv_rows,
            "csv": _csv_rows,
            "text": _text_rows,
            "jsonl": _line_rows,
            "json": _document_rows,
        }[self.container]
        return read(file, self.skipped)

    def _row(self, name: str, values: dict[str, Any]) -> Row | None:
        column = next((found for found in _COLUMNS if _found(values, found) is not None), None)
        words = _found(values, column) if column else None
        if not isinstance(words, str):
            self.skipped["no prompt"] += 1
            return None
        words = _MIDJOURNEY.sub(" ", words) if self.kind.arguments else words
        text = " ".join(words.translate(_UNSEEN).split())
        if self.kind.name == "DiffusionDB":
            text = text.rstrip(", ")
        if not text:
            self.skipped["an empty prompt"] += 1
        elif len(text) > MAX_TEXT:
            self.skipped[f"a prompt of more than {MAX_TEXT} characters"] += 1
        elif self.kind.name == "DiffusionDB" and _unfit(values.get("prompt_nsfw")):
            self.skipped["marked as not safe for work"] += 1
        else:
            return Row(name, text, {key: _cell(key, value) for key, value in values.items()})
        return None


def sniff(head: bytes, path: Path) -> Container:
    """What kind of file begins so. Raises `InputError` for one that holds no text."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is in UTF-16; save it in UTF-8")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return _json_kind(start)
    first = start.partition(b"\n")[0].decode("utf-8", "replace").strip("\r")
    for container, names in (("tsv", first.split("\t")), ("csv", _csv_cells(first))):
        if len(names) > 1 and any(name.strip().casefold() in _COLUMNS for name in names):
            return container  # type: ignore[return-value]
    return "text"


def _json_kind(start: bytes) -> Container:
    """JSON lines begin with a whole row; a document's first line is no row, or not whole."""
    try:
        first = msgspec.json.decode(start.partition(b"\n")[0])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # A damaged first row of JSON lines is followed by others.
        followed = re.search(rb"\}\s*\n\s*\{", start)
        return "jsonl" if start.startswith(b"{") and followed else "json"
    is_row = isinstance(first, dict) and any(isinstance(_found(first, name), str) for name in _COLUMNS)
    return "jsonl" if is_row else "json"


def _csv_cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _tsv_rows(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """Quotes mean nothing: PartiPrompts has a prompt that begins with one."""
    names: list[str] = []
    for number, line in lines(file, skipped):
        cells = line.split("\t")
        if not names:
            names = cells
        elif len(cells) == len(names):
            yield str(number - 1), dict(zip(names, cells, strict=True))
        elif line.strip():
            skipped[f"not {len(names)} cells"] += 1


def _csv_rows(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(line + "\n" for _, line in lines(file, skipped))
    names: list[str] = []
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            skipped["no row of CSV"] += 1
            continue
        if not names:
            names = cells
        elif cells:
            number += 1
            if len(cells) == len(names):
                yield str(number), dict(zip(names, cells, strict=True))
            else:
                skipped[f"not {len(names)} cells"] += 1


def _text_rows(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in lines(file, skipped):
        if line.strip():
            yield str(number), {"prompt": line}


def _line_rows(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in lines(file, skipped):
        if line.strip():
            values = _decoded(line.encode(), skipped)
            if values is not None:
                yield str(number), values


def _document_rows(file: BinaryIO, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    """A list of rows or of texts, or an object of them by their ids."""
    first = file.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    file.seek(0)
    for number, member in members(file, skipped):
        if first == b"[":
            values = _decoded(member, skipped)
            name = str(number)
        else:
            held = _decoded(b"{" + member + b"}", skipped, whole=False)
            if held is None:
                continue
            name, value = next(iter(held.items()))
            values = _values(value, skipped)
        if values is not None:
            yield name[:200], values


def _decoded(data: bytes, skipped: Skipped, *, whole: bool = True) -> dict[str, Any] | None:
    """A row of JSON. Not `whole`: an object of one member, whatever that is."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        skipped["no JSON"] += 1
        return None
    if whole:
        return _values(found, skipped)
    return found if isinstance(found, dict) and found else None


def _values(found: Any, skipped: Skipped) -> dict[str, Any] | None:
    if isinstance(found, str):
        return {"prompt": found}
    if not isinstance(found, dict):
        skipped["no prompt"] += 1
        return None
    values: dict[str, Any] = found
    if {"p", "se", "c"} <= values.keys():
        values = {_SHORT_NAMES.get(name, name): value for name, value in values.items()}
    return values


def parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, without columns that hold more than texts and numbers, such as pictures."""
    try:
        from pyarrow import ArrowException, types
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"{path} is a Parquet file, which pyarrow reads: pip install pyarrow, or save it as CSV or as "
            "JSON lines"
        ) from error
    plain = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    try:
        file = ParquetFile(path)
        names = [f.name for f in file.schema_arrow if any(fits(f.type) for fits in plain)]
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=names):
            for values in batch.to_pylist():
                number += 1
                yield str(values.get("image_name") or number), values
    except ArrowException as error:
        reason = (str(error).splitlines() or ["it is damaged"])[0][:200]
        raise InputError(f"{path} cannot be read as Parquet: {reason}") from error


def _kind_of(values: Mapping[str, Any]) -> Kind:
    names = {name.casefold() for name in values}
    return next((kind for kind in _KINDS if kind.columns <= names), _OTHER)


def _found(values: Mapping[str, Any], column: str | None) -> Any:
    return next((value for name, value in values.items() if name.strip().casefold() == column), None)


def _unfit(value: Any) -> bool:
    try:
        return float(value) > 0.5
    except (TypeError, ValueError):
        return False


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if name == "sampler" and isinstance(value, int) and 1 <= value <= len(_SAMPLERS):
        return _SAMPLERS[value - 1]
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()
