"""Reading one element of an untrusted panel document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lib_ranni.panel.problems import Problems, is_unicode, shown
from lib_ranni.panel.types import (
    FULL_CANVAS,
    MAX_COLORS,
    MAX_SEED,
    Box,
    Element,
    Keypoint,
    Lora,
    Mask,
    clamped_box,
)

_FIELDS = set(Element.__struct_fields__) - {"extra"}
_SIDES = ("x0", "y0", "x1", "y1")
_SHORT_HEX = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


class ElementReader:
    """Reads elements one after the other, giving each its own id."""

    def __init__(self, problems: Problems, given_ids: Sequence[Any]) -> None:
        self._problems = problems
        self._given = {value for value in given_ids if isinstance(value, str)}
        self._used: set[str] = set()
        self._counter = 0

    def read(self, path: str, value: Any) -> Element | None:
        """The element at `path`, mended; None when it has no description or no place."""
        problems = self._problems
        if not isinstance(value, dict):
            problems.add(path, f"must be an object, not {shown(value)}", "element dropped")
            return None
        description = problems.text(f"{path}.description", value.get("description", ""))
        if not description.strip():
            problems.add(f"{path}.description", "must say what the element is", "element dropped")
            return None
        mask = self._mask(f"{path}.mask", value.get("mask"))
        box = self._box(f"{path}.box", value.get("box"), mask)
        if box is None:
            return None
        start, end = self._span(path, value)
        ratio = value.get("base_ratio")
        return Element(
            id=self._id(path, value.get("id")),
            description=description,
            box=box,
            mask=mask,
            negative=problems.text(f"{path}.negative", value.get("negative", "")),
            colors=self._colors(f"{path}.colors", value.get("colors", [])),
            keypoints=self._keypoints(f"{path}.keypoints", value.get("keypoints", [])),
            weight=problems.number(f"{path}.weight", value.get("weight", 1.0), 0.0, 10.0, 1.0),
            base_ratio=None if ratio is None else problems.number(f"{path}.base_ratio", ratio, 0.0, 1.0, 0.0),
            start=start,
            end=end,
            lora=self._loras(f"{path}.lora", value.get("lora", [])),
            seed=problems.whole(f"{path}.seed", value.get("seed"), 0, MAX_SEED),
            locked=problems.flag(f"{path}.locked", value.get("locked", False)),
            extra=problems.unknown(path, value, _FIELDS),
        )

    def _id(self, path: str, value: Any) -> str:
        if value is not None:
            usable = isinstance(value, str) and 0 < len(value) <= 64 and is_unicode(value)
            if usable and value not in self._used:
                self._used.add(value)
                return str(value)
            fault = "is already taken" if usable else "is not a text of 1..64 characters"
            self._problems.add(f"{path}.id", f"{shown(value)} {fault}", "given a new one")
        while True:
            self._counter += 1
            fresh = f"e{self._counter}"
            if fresh not in self._used and fresh not in self._given:
                self._used.add(fresh)
                return fresh

    def _box(self, path: str, value: Any, mask: Mask | None) -> Box | None:
        problems = self._problems
        if value is None and mask is not None:
            return FULL_CANVAS
        if not isinstance(value, dict):
            what = "is missing" if value is None else f"must be an object, not {shown(value)}"
            problems.add(path, what, "element dropped")
            return None
        missing = [side for side in _SIDES if side not in value]
        if missing:
            problems.add(path, f"lacks {', '.join(missing)}", "element dropped")
            return None
        before = len(problems.found)
        # Wide limits here: where a rectangle leaves the canvas is one problem, not four.
        sides = [problems.number(f"{path}.{s}", value[s], -1e6, 1e6, -1.0) for s in _SIDES]
        if 10 < max(sides) <= 1000 and min(sides) >= 0 and all(side.is_integer() for side in sides):
            problems.add(path, "is not in 0..1", "read as thousandths of the canvas")
            sides = [side / 1000 for side in sides]
        x0, y0, x1, y1 = sides
        if 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1:
            return Box(*sides)
        box = clamped_box(*sides)
        if box is None:
            problems.add(path, "lies outside the canvas", "element dropped")
        elif len(problems.found) == before:
            problems.add(
                path,
                "needs 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1",
                f"set to ({box.x0:.3g}, {box.y0:.3g}, {box.x1:.3g}, {box.y1:.3g})",
            )
        return box

    def _span(self, path: str, value: dict[str, Any]) -> tuple[float, float]:
        start = self._problems.number(f"{path}.start", value.get("start", 0.0), 0.0, 1.0, 0.0)
        end = self._problems.number(f"{path}.end", value.get("end", 1.0), 0.0, 1.0, 1.0)
        if start >= end:
            self._problems.add(f"{path}.start", f"must be below end = {end:g}", "set to the whole run")
            return 0.0, 1.0
        return start, end

    def _colors(self, path: str, value: Any) -> tuple[str, ...]:
        colors = []
        for index, item in enumerate(self._list(path, value)):
            match = _SHORT_HEX.fullmatch(item) if isinstance(item, str) else None
            if match is None:
                self._problems.add(f"{path}[{index}]", f"must be #rrggbb, not {shown(item)}", "dropped")
                continue
            digits = match[1].lower()
            color = "#" + (digits if len(digits) == 6 else "".join(d * 2 for d in digits))
            if color != item:
                fault = f"must be #rrggbb, not {shown(item)}"
                self._problems.add(f"{path}[{index}]", fault, f"read as {color}")
            colors.append(color)
        if len(colors) > MAX_COLORS:
            self._problems.add(path, f"has {len(colors)} colors, at most {MAX_COLORS} count", "rest dropped")
        return tuple(colors[:MAX_COLORS])

    def _keypoints(self, path: str, value: Any) -> tuple[Keypoint, ...]:
        points = []
        for index, item in enumerate(self._list(path, value)):
            place = f"{path}[{index}]"
            if not isinstance(item, dict) or not {"x", "y"} <= item.keys() or not _name(item):
                self._problems.add(place, "must be an object with name, x and y", "dropped")
                continue
            x = self._problems.number(f"{place}.x", item["x"], 0.0, 1.0, 0.5)
            y = self._problems.number(f"{place}.y", item["y"], 0.0, 1.0, 0.5)
            points.append(Keypoint(item["name"], x, y))
        return tuple(points)

    def _loras(self, path: str, value: Any) -> tuple[Lora, ...]:
        loras = []
        for index, item in enumerate(self._list(path, value)):
            place = f"{path}[{index}]"
            if not isinstance(item, dict) or not _name(item, 256):
                self._problems.add(place, "must be an object with name and weight", "dropped")
                continue
            weight = self._problems.number(f"{place}.weight", item.get("weight", 1.0), -10.0, 10.0, 1.0)
            loras.append(Lora(item["name"], weight))
        return tuple(loras)

    def _mask(self, path: str, value: Any) -> Mask | None:
        if value is None:
            return None
        try:
            return msgspec.convert(value, Mask)
        except (msgspec.ValidationError, UnicodeError) as error:
            self._problems.add(path, f"is not a mask of width, height and runs: {error}", "dropped")
            return None

    def _list(self, path: str, value: Any) -> list[Any]:
        if isinstance(value, list):
            return value
        self._problems.add(path, f"must be a list, not {shown(value)}", "dropped")
        return []


def _name(item: dict[str, Any], limit: int = 64) -> bool:
    name = item.get("name")
    return isinstance(name, str) and 0 < len(name) <= limit and is_unicode(name)
