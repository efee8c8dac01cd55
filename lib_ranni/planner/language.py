"""Which of the planners' two languages a text is in."""

from __future__ import annotations

import re

_HAN = re.compile(r"[㐀-鿿豈-﫿]")


def is_chinese(text: str) -> bool:
    """Whether a text has a Chinese character; all else is read as English."""
    return _HAN.search(text) is not None
