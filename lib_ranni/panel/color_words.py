"""Color words in descriptions: what they look like, and whether a text says one."""

from __future__ import annotations

import re

COLORS = {
    "red": "#ff0000",
    "orange": "#ff8000",
    "yellow": "#ffff00",
    "green": "#00a000",
    "blue": "#0000ff",
    "purple": "#800080",
    "pink": "#ffc0cb",
    "brown": "#8b4513",
    "black": "#000000",
    "white": "#ffffff",
    "gray": "#808080",
    "grey": "#808080",
    "cyan": "#00ffff",
    "magenta": "#ff00ff",
    "violet": "#8f00ff",
    "turquoise": "#40e0d0",
    "teal": "#008080",
    "navy": "#000080",
    "maroon": "#800000",
    "beige": "#f5f5dc",
    "tan": "#d2b48c",
    "gold": "#ffd700",
    "golden": "#ffd700",
    "silver": "#c0c0c0",
    "bronze": "#cd7f32",
    "copper": "#b87333",
    "ivory": "#fffff0",
    "cream": "#fffdd0",
    "crimson": "#dc143c",
    "scarlet": "#ff2400",
    "indigo": "#4b0082",
    "lavender": "#e6e6fa",
    "lilac": "#c8a2c8",
    "olive": "#808000",
    "lime": "#bfff00",
    "coral": "#ff7f50",
    "peach": "#ffdab9",
    "salmon": "#fa8072",
    "khaki": "#f0e68c",
    "burgundy": "#800020",
    "mustard": "#ffdb58",
    "aqua": "#00ffff",
    "azure": "#007fff",
    "amber": "#ffbf00",
    "charcoal": "#36454f",
    "blond": "#faf0be",
    "blonde": "#faf0be",
}
"""What a color word looks like."""

_HUES = "红橘橙黄绿青蓝紫粉棕褐黑白灰金银"
_SAID = re.compile(rf"\b(?:{'|'.join(COLORS)})\b|[{_HUES}](?=色|的)|米色", re.IGNORECASE)


def says_color(text: str) -> bool:
    """Whether a text names a color, in English or Chinese."""
    return _SAID.search(text) is not None
