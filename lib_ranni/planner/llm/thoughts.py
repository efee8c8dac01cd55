"""What a reasoning model thinks is no reply: drafts in its thoughts must not become a plan."""

from __future__ import annotations

import re

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "analysis")
_OPENINGS = (
    *(f"<{name}>" for name in _NAMES),
    *("[think]", "◁think▷", "<|channel|>analysis<|message|>", "<unused94>"),
)
_CLOSINGS = (
    *(f"</{name}>" for name in _NAMES),
    *("[/think]", "◁/think▷", "<|channel|>final<|message|>", "<unused95>"),
)
TAG = re.compile(
    f"(?P<open>{'|'.join(map(re.escape, _OPENINGS))})|(?P<close>{'|'.join(map(re.escape, _CLOSINGS))})",
    re.IGNORECASE,
)
"""The marks that models put around their thoughts."""

LONGEST_TAG = max(map(len, (*_OPENINGS, *_CLOSINGS)))
_NEAR = 500


def may_open(text: str) -> bool:
    """Whether a thought may open here once more of the text has come."""
    return len(text) < LONGEST_TAG and any(tag.startswith(text.lower()) for tag in _OPENINGS)


def spoken(text: str) -> tuple[str, str]:
    """What a reply says, and what it was still thinking when it ended.

    Without an opening mark, as some servers cut it off, all before the closing one is a thought.
    """
    parts: list[str] = []
    begin, thinking = 0, False
    for match in TAG.finditer(text):
        if not thinking and _is_quoted(text, match.start(), match.end()):
            continue
        if match["close"]:
            if not thinking:
                parts.clear()
            begin, thinking = match.end(), False
        elif not thinking:
            parts.append(text[begin : match.start()])
            begin, thinking = match.end(), True
    if thinking:
        return "".join(parts), text[begin:]
    return "".join((*parts, text[begin:])), ""


def _is_quoted(text: str, begin: int, end: int) -> bool:
    """Whether this part of the text stands between two quotation marks of its line."""
    before = text[max(0, begin - _NEAR) : begin].rpartition("\n")[2].replace('\\"', "")
    return before.count('"') % 2 == 1 and '"' in text[end : end + _NEAR].partition("\n")[0]
