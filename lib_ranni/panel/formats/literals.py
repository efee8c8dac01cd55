"""Python literals in untrusted text, read with `ast` and never run.

`ast` itself fails on deep nesting, so the source is looked over first: only texts, numbers, lists,
tuples, dicts and calls' arguments pass, and none of them deep.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from typing import Any

_MAX_DEPTH = 12
_MAX_ITEMS = 20_000
_QUOTES = ('"""', "'''", '"', "'")
_MARK = re.compile(r"\"\"\"|'''|[\"'#()\[\]{}]")
_REST = {
    '"': re.compile(r'[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"'),
    "'": re.compile(r"[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'"),
    '"""': re.compile(r'[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*"""'),
    "'''": re.compile(r"[^'\\]*(?:(?:\\[\s\S]|'(?!''))[^'\\]*)*'''"),
}
_CODE = re.compile(r"[A-Za-z0-9_\s()\[\]{},=:.+\-]*")
_FOLLOWED = re.compile(r"[\w)\]}\"]\s*[(\[{]|\b[A-Za-z_]\w*\s*\.")
_CHAIN = re.compile(r"(?:[+\-][^+\-,()\[\]{}]*){40}")
_WORD = re.compile(r"\b\w+")
_NUMBER = re.compile(r"[\d_]+(?:[eE]\d*)?")
_NAMED = re.compile(r"(?:\s|#[^\n]*\n)*(?:([A-Za-z_]\w{0,60})\s{0,9}=)?")
_ESCAPE = re.compile(r"\\([\s\S])")
_KNOWN_ESCAPES = "\\'\"abfnrtvxuUN0123\n"


class Cut(ValueError):
    """The source ends, or goes too deep, before its bracket is closed. `position` is where to go on."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__("a bracket is not closed")


def _marks(source: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """(kind, begin, end) of each text (`"`), comment (`#`) and bracket from `start` on."""
    while match := _MARK.search(source, start):
        mark, begin, start = match[0], match.start(), match.end()
        if mark == "#":
            newline = source.find("\n", start)
            start = len(source) if newline < 0 else newline
        elif mark in _QUOTES:
            rest = _REST[mark].match(source, start)
            if rest is None:
                raise Cut(start)
            mark, start = '"', rest.end()
        yield mark, begin, start


def closing(source: str, start: int) -> int:
    """The index behind the bracket that closes the one at `start`. Raises `Cut` if there is none."""
    depth = 0
    for mark, _, end in _marks(source, start):
        depth += (mark in "([{") - (mark in ")]}")
        if depth > _MAX_DEPTH:
            raise Cut(end)
        if depth <= 0:
            return end
    raise Cut(len(source))


def literal(source: str) -> Any:
    """The value of a Python literal. Raises `ValueError` for anything else."""
    return _value(_parsed(source).body)


def arguments(source: str) -> tuple[list[Any], dict[str, Any]]:
    """The positional and named arguments in `(...)`; one that is no literal is None."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for piece in _pieces(source):
        match = _NAMED.match(piece)
        try:
            value = literal(piece[match.end() :] if match else piece)
        except ValueError:
            value = None
        if match and match[1]:
            named[match[1]] = value
        else:
            positional.append(value)
    return positional, named


def _pieces(source: str) -> list[str]:
    """What stands between the commas of `(...)`, those of inner brackets aside."""
    pieces: list[str] = []
    depth, begin, last = 0, 1, 1
    for mark, start, end in _marks(source):
        if depth == 1:
            for comma in re.finditer(",", source[last:start]):
                pieces.append(source[begin : last + comma.start()])
                begin = last + comma.end()
        depth += (mark in "([{") - (mark in ")]}")
        last = end
    pieces.append(source[begin : max(begin, last - 1)])
    return [piece for piece in pieces if piece.strip()]


def _parsed(source: str) -> ast.Expression:
    try:
        return ast.parse(_looked_over(source).strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"not a Python literal: {error}") from error


def _looked_over(source: str) -> str:
    """The source, harmless to `ast`: without comments and odd escapes. Raises `ValueError` otherwise."""
    parts: list[str] = []
    code: list[str] = []
    depth = last = 0
    for mark, begin, end in _marks(source):
        code.append(source[last:begin])
        parts.append(source[last:begin])
        if mark == '"':
            parts.append(_text(source, begin, end))
            code.append('" "')
        elif mark != "#":
            depth += 1 if mark in "([{" else -1
            if depth > _MAX_DEPTH:
                raise ValueError("nested too deep")
            code.append(mark)
            parts.append(mark)
        last = end
    code.append(source[last:])
    parts.append(source[last:])
    _check_code("".join(code))
    return "".join(parts)


def _check_code(code: str) -> None:
    """Refuse what `ast` would nest deep or warn about; texts are `" "` here."""
    if not _CODE.fullmatch(code.replace('"', "")):
        raise ValueError("only texts, numbers, lists, tuples and dicts are read")
    if code.count(",") > _MAX_ITEMS:
        raise ValueError(f"at most {_MAX_ITEMS} items are read")
    if _FOLLOWED.search(code) or _CHAIN.search(code):
        raise ValueError("calls, indices, attributes and long sums are not read")
    for word in _WORD.findall(code):
        name = not word[0].isdigit()
        if name and keyword.iskeyword(word) and word not in ("True", "False", "None"):
            raise ValueError(f"{word} is not part of a literal")
        if not name and not _NUMBER.fullmatch(word):
            raise ValueError("a number is not written in digits")


def _text(source: str, begin: int, end: int) -> str:
    """A text literal as it stands, or with escapes that Python warns about doubled."""
    start = begin
    while start > 0 and begin - start < 3 and (source[start - 1].isalnum() or source[start - 1] == "_"):
        start -= 1
    prefix = source[start:begin].lower()
    if prefix not in ("", "r", "u"):
        raise ValueError("only plain texts are read, without f or b in front")
    if prefix == "r":
        return source[begin:end]

    def escape(match: re.Match[str]) -> str:
        return match[0] if match[1] in _KNOWN_ESCAPES else "\\" + match[0]

    return _ESCAPE.sub(escape, source[begin:end])


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and (
        node.value is None or isinstance(node.value, (str, int, float, bool))
    ):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _value(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise ValueError("a dict's keys must be texts")
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        number = _value(node.operand)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value(node.left), _value(node.right)
        if isinstance(left, str) and isinstance(right, str):
            return left + right
    raise ValueError("not a literal")
