"""JSON as language models write it: found in prose, cut off, with missing commas, brackets or quotes.

What is flawless is decoded by the standard library; only the rest is read sign by sign. Nothing raises, and
the time grows with the length of the text.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from msgspec import Struct

_MAX_DEPTH = 32
_SLACK = 200_000
"""How many characters are looked at, in all, for the end of texts with quotes in them."""

_OBJECT, _OBJECT_END = "{｛", "}｝"
_LIST, _LIST_END = "[［【(（", "]］】)）"
_COLONS = ":：="
_CLOSERS = {
    **dict.fromkeys('"＂', '"＂'),
    **dict.fromkeys("“”„", '”“"'),
    **dict.fromkeys("‘’", "’‘'"),
    "'": "'",
    "`": "`",
    "「": "」",
    "『": "』",
    "«": "»",
}
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_CONSTANTS |= dict.fromkeys(("nan", "inf", "infinity", "+infinity", "-infinity"), math.nan)  # type: ignore[arg-type]
_NOTHING: Any = object()
"""Stands for a value that is not there, or not complete."""

_GAP = r"[\s\u200b-\u200f\u2060\ufeff]*"
_START = re.compile(
    rf"""[{{｛](?={_GAP}(?:["'“”‘’„＂`「{{｛}}/\#]|[\w\-]{{1,40}}\s{{0,9}}[:：=]))"""
    rf"""|[\[［【](?={_GAP}(?:["'“”‘’„＂`「{{｛\[［【(（\]］/\#.]|[-+]?\d))"""
)
_BLANK = re.compile(r"(?:[\s\u200b-\u200f\u2060\ufeff\\]+|//[^\n]*|#[^\n]*|/\*[\s\S]*?(?:\*/|\Z))*")
_COMMA = re.compile(r"[,，、;；]")
_NUMBER = re.compile(
    r"[+\-−－]?(?:\d[\d_]*(?:[.．]\d*)?|[.．]\d+)(?:[eE][+-]?\d{1,4})?(?:\s{0,2}[%％]|px\b)?"
)
_KEY = re.compile(r"[\w\-. ]{1,60}?(?=\s{0,9}[:：=])")
_BARE = re.compile(r"[^,，\n{}\[\]｛｝［］]+")
_KEY_AHEAD = re.compile(r"\s{0,80}[\"'“”‘’＂][\w \-]{1,40}[\"'“”‘’＂]\s{0,9}[:：]")
_AFTER = re.compile(
    r"""[\s\u200b\ufeff]{0,80}(?:
        [:：=}\]｝］】]|\Z|//|/\*|\#
      | [)）]\s{0,80}(?:[,，)\]}）］｝]|\Z)
      | [,，、;；]\s{0,80}(?:["'“”‘’„＂`「{\[(｛［（}\])｝］）\-+.\d/\#]|\Z)
      | [,，、;；]\s{0,80}(?:[A-Za-z_]\w{0,40}["'”’]?\s{0,9}[:：=]|(?:true|false|null|None)\b)
      | \n\s{0,80}(?:["'“”‘{\[]|[A-Za-z_]\w{0,40}\s{0,9}:)
      | ["'“”‘’＂][\w \-]{1,40}["'“”‘’＂]\s{0,9}[:：]
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\s\S]))")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DECODER = json.JSONDecoder(strict=False)


class Found(Struct, frozen=True):
    """A list or object at `begin:end` of a text; `mends` names what was mended, `cut` a missing end."""

    value: Any
    begin: int
    end: int
    mends: tuple[str, ...] = ()
    cut: bool = False


def find(text: str, start: int = 0) -> Found | None:
    """The first list or object that begins at or behind `start`."""
    match = _START.search(text, start)
    if match is None:
        return None
    begin = match.start()
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        reader = _Reader(text, begin)
        value = reader.value(0)
        found = None if value is _NOTHING else value
        return Found(found, begin, max(reader.at, begin + 1), tuple(reader.mends), reader.cut)
    return Found(value, begin, end)


class _Reader:
    """Reads one value from `at` on, whatever is missing in it."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.cut = False
        self.mends: dict[str, None] = {}
        self._lists = self._objects = 0
        self._slack = _SLACK

    def value(self, depth: int, in_list: bool = False) -> Any:
        """The value at hand; `_NOTHING` where there is none."""
        sign = self._sign()
        if not sign:
            self.cut = True
            return _NOTHING
        if sign in _OBJECT or sign in _LIST:
            if depth >= _MAX_DEPTH:
                self._mend("nested too deep")
                self._skip()
                return _NOTHING
            return self._object(depth + 1, in_list) if sign in _OBJECT else self._list(depth + 1)
        if sign in _CLOSERS:
            return self._string()
        number = _NUMBER.match(self.text, self.at)
        return self._word() if number is None else self._number(number)

    def _mend(self, what: str) -> None:
        self.mends.setdefault(what)

    def _sign(self) -> str:
        """The next sign that is neither blank nor in a comment; empty at the end."""
        match = _BLANK.match(self.text, self.at)
        if match is not None and match.end() > self.at:
            if "/" in match[0] or "#" in match[0]:
                self._mend("comments")
            self.at = match.end()
        return self.text[self.at : self.at + 1]

    def _next(self, first: bool) -> str:
        """The next sign behind the comma, if there is one."""
        sign, comma = self._sign(), False
        while sign and _COMMA.match(sign):
            comma = True
            self.at += 1
            sign = self._sign()
        closes = sign in _OBJECT_END or sign in _LIST_END
        if comma == closes and not first and sign:
            self._mend("commas")
        return sign

    def _object(self, depth: int, in_list: bool) -> Any:
        members: dict[str, Any] = {}
        key = ""
        self.at += 1
        self._objects += 1
        while sign := self._next(not members):
            if sign in _OBJECT_END:
                self.at += 1
                break
            if sign in _LIST_END and self._lists:
                self._mend("brackets")
                break
            if sign in _OBJECT:
                self._mend("brackets")
                if members and in_list:
                    break
                inner = self.value(depth)
                if not members:
                    # Braces are doubled where a model repeats a template's.
                    self.at += self._sign() in tuple(_OBJECT_END)
                    self._objects -= 1
                    return inner
                members[key] = [*_listed(members.get(key)), inner]
                continue
            name = self._key(sign)
            if name is None:
                continue
            key = name
            value = self.value(depth)
            if value is not _NOTHING:
                members[key] = value
        else:
            self.cut = True
        self._objects -= 1
        return members

    def _key(self, sign: str) -> str | None:
        """The key with its colon; None, and gone past it, if there is none."""
        if sign in _CLOSERS:
            key = self._string()
        else:
            match = _KEY.match(self.text, self.at)
            if match is None:
                self.at += 1
                return None
            self._mend("quotes")
            self.at = match.end()
            key = match[0].strip()
        if key is _NOTHING or self._sign() not in tuple(_COLONS):
            return None
        self.at += 2 if self.text.startswith("=>", self.at) else 1
        return str(key).strip()

    def _list(self, depth: int) -> Any:
        items: list[Any] = []
        whole = True
        self.at += 1
        self._lists += 1
        while sign := self._next(not items):
            if sign in _LIST_END:
                self.at += 1
                break
            numbers = len(items) == 4 and all(isinstance(item, (int, float)) for item in items)
            misses = sign in _OBJECT_END or (numbers and sign in _OBJECT)
            misses = misses or (sign in _CLOSERS and _KEY_AHEAD.match(self.text, self.at) is not None)
            if misses and self._objects:
                self._mend("brackets")
                break
            if sign in _OBJECT_END:
                self.at += 1
                continue
            value = self.value(depth, in_list=True)
            if value is not _NOTHING:
                items.append(value)
        else:
            self.cut, whole = True, False
        self._lists -= 1
        # Where a list of plain values is cut off, its last may be half of one.
        return items if whole or any(isinstance(item, (dict, list)) for item in items) else _NOTHING

    def _string(self) -> Any:
        """A text; one with quotes in it ends where what follows looks like JSON."""
        opener = self.text[self.at]
        begin = self.at + 1
        if opener not in '"':
            self._mend("quotes")
        first = -1
        for match in _string_marks(_CLOSERS[opener]).finditer(self.text, begin):
            mark, at = match[0], match.start()
            if mark == "\n":
                if _KEY_AHEAD.match(self.text, at + 1):
                    self._mend("quotes")
                    self.at = at
                    return _unescaped(self.text[begin:at].rstrip(" ,"))
            elif mark[0] != "\\":
                if _AFTER.match(self.text, at + 1):
                    if first >= 0:
                        self._mend("quotes")
                    self.at = at + 1
                    return _unescaped(self.text[begin:at])
                first = at if first < 0 else first
            if first >= 0:
                self._slack -= at - first
                if self._slack < 0:
                    break
        if first < 0:
            self.cut = True
            self.at = len(self.text)
            return _NOTHING
        self._mend("quotes")
        self.at = first + 1
        return _unescaped(self.text[begin:first])

    def _number(self, match: re.Match[str]) -> Any:
        self.at = match.end()
        if self.at == len(self.text):
            # There may have been more digits.
            self.cut = True
            return _NOTHING
        word = unicodedata.normalize("NFKC", match[0]).replace("−", "-").replace("_", "").removesuffix("px")
        if word.endswith("%"):
            return word
        try:
            number = float(word)
        except ValueError:
            return _NOTHING
        return int(number) if number.is_integer() and abs(number) < 2**53 else number

    def _word(self) -> Any:
        """A value without quotes: a constant, or a text up to the comma."""
        match = _BARE.match(self.text, self.at)
        if match is None:
            self.at += 1
            return _NOTHING
        self.at = match.end()
        if self.at == len(self.text):
            self.cut = True
            return _NOTHING
        word = match[0].strip()
        if word not in ("true", "false", "null"):
            self._mend("quotes")
        return _CONSTANTS.get(word.lower(), word)

    def _skip(self) -> None:
        """Go behind the bracket that closes the one at hand, or to the end."""
        depth = 0
        for match in _BRACKETS.finditer(self.text, self.at):
            depth += 1 if match[0] in "{[" else -1 if match[0] in "}]" else 0
            if depth <= 0:
                self.at = match.end()
                return
        self.at = len(self.text)
        self.cut = True


_BRACKETS = re.compile(r'"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\Z)|[{}\[\]]')
_STRING_MARKS = {closers: re.compile(rf"\\[\s\S]|[{closers}]|\n") for closers in set(_CLOSERS.values())}


def _string_marks(closers: str) -> re.Pattern[str]:
    return _STRING_MARKS[closers]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _unescaped(text: str) -> str:
    """The text that its escapes stand for."""
    if "\\" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])

    text = _ESCAPE.sub(plain, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
