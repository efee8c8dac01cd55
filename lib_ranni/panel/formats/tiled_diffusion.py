"""Tiled Diffusion's region control: its files of boxes, its infotexts, and requests to the WebUI's API.

Each box is drawn with the prompt of the picture and its own behind it. Boxes of the type Foreground cover
the others; among themselves those of a type are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import msgspec
from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import infotexts
from lib_ranni.panel.formats.boxes import Quad, quad
from lib_ranni.panel.formats.conversion import (
    Exported,
    Imported,
    corners,
    given,
    imported,
    is_number,
    note_losses,
)
from lib_ranni.panel.formats.literals import literal
from lib_ranni.panel.formats.prompts import joined, with_lora, with_tags, without_tags
from lib_ranni.panel.problems import Problems, shown
from lib_ranni.panel.types import MAX_ELEMENTS, Panel

NAME = "tiled_diffusion"
SCRIPT = "tiled diffusion"
PARAMETER = "Tiled Diffusion"
CONTROL = "Region control"

_FIELDS = ("enable", "x", "y", "w", "h", "prompt", "neg_prompt", "blend_mode", "feather_ratio", "seed")
_FRONT, _BACK = "Foreground", "Background"
# Among the positional arguments of the API.
_CONTROL_ON, _BASE_DRAWN, _FIRST_BOX = 18, 19, 21
_USUAL_FEATHER = 0.2
_SHOWN, _MOST = 8, 16
"""How many boxes there are room for: in its tab as it is, and at most."""

_STEP = 1e-4
_MOST_FEATHER = 0.5


class _Box(Struct, frozen=True):
    """A box as it was read: its element but for the base's words, its type and its soft edge in 0..1."""

    fields: dict[str, Any]
    front: bool
    feather: float

    @property
    def sides(self) -> Quad:
        """(x0, y0, x1, y1) in 0..1."""
        box = self.fields["box"]
        return box["x0"], box["y0"], box["x1"], box["y1"]


def detects(text: str) -> bool:
    """Whether the text is a file of its boxes, or has its region control among its settings."""
    document = infotexts.document_of(text)
    if document is not None:
        return "bbox_controls" in document or _of_request(document) is not None
    return f"{PARAMETER}: " in text and CONTROL in text


def has_regions(parameters: Mapping[str, Any]) -> bool:
    """Whether the parameters of an infotext are those of a picture with regions."""
    value = parameters.get(PARAMETER)
    return CONTROL in value if isinstance(value, (str, dict)) else False


def read(text: str) -> Imported:
    """The panel of a file of boxes, an infotext or an API request. Raises `InputError` without boxes."""
    text = given(text)
    document = infotexts.document_of(text)
    if document is None:
        return from_parameters(infotexts.parameters_of_text(text))
    found = _of_request(document)
    if found is not None:
        boxes, drawn = found
        return _panel(boxes, infotexts.parameters_of_request(document), drawn)
    controls = document.get("bbox_controls")
    if not isinstance(controls, list):
        raise InputError('Tiled Diffusion keeps its boxes as a list under "bbox_controls"; there is none')
    return _panel({f"bbox_controls[{index}]": box for index, box in enumerate(controls)}, {})


def from_parameters(parameters: Mapping[str, Any]) -> Imported:
    """The panel of an infotext's parameters: `Prompt`, `Negative prompt`, `Size` and `Tiled Diffusion`."""
    regions = _object(_object(parameters.get(PARAMETER)).get(CONTROL))
    if not regions:
        raise InputError(
            f"this picture has no {CONTROL!r} under {PARAMETER!r}: it was drawn in tiles, without regions"
        )
    return _panel({f"{CONTROL}[{shown(name)}]": box for name, box in regions.items()}, parameters)


def _object(value: Any) -> dict[str, Any]:
    """An object, also as JSON or as Python writes it (older versions of the WebUI did); else an empty one."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = infotexts.document_of(value) or literal(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _of_request(document: Mapping[str, Any]) -> tuple[dict[str, Any], bool] | None:
    """The boxes of an API request, and whether the prompt is drawn behind them; None without regions."""
    values = infotexts.arguments_of(document, SCRIPT)
    if values is None or len(values) <= _FIRST_BOX or values[_CONTROL_ON] is not True:
        return None
    boxes = {}
    for begin in range(_FIRST_BOX, len(values), len(_FIELDS)):
        box = dict(zip(_FIELDS, values[begin : begin + len(_FIELDS)], strict=False))
        # All there is room for are sent; those that were never used say nothing.
        if box["enable"] is not False or box.get("prompt"):
            boxes[f"args[{begin}]"] = box
    return boxes, values[_BASE_DRAWN] is True


def _panel(entries: Mapping[str, Any], parameters: Mapping[str, Any], drawn: bool = False) -> Imported:
    """The panel of boxes by their paths. `drawn`: the prompt is known to be drawn behind them as well."""
    problems = Problems()
    prompt = problems.text("Prompt", parameters.get("Prompt", ""), infotexts.MAX_PROMPT)
    before = without_tags(prompt)
    if len(entries) > MAX_ELEMENTS:
        problems.add("", f"has {len(entries)} boxes, at most {MAX_ELEMENTS} are allowed", "rest left out")
    boxes = []
    for path, entry in list(entries.items())[:MAX_ELEMENTS]:
        box = _box(path, entry, problems)
        if box is not None:
            boxes.append(box)
    boxes.sort(key=lambda box: box.front)
    for box in boxes:
        box.fields["description"] = joined(before, box.fields["description"])
        if drawn and not box.front:
            # It is averaged with the picture's prompt.
            box.fields["base_ratio"] = 0.5
    document: dict[str, Any] = {
        "base": prompt,
        "negative": parameters.get("Negative prompt", ""),
        "elements": [box.fields for box in boxes],
    }
    aspect = infotexts.aspect_of(parameters)
    if aspect is not None:
        document["aspect"] = aspect
    mixing: dict[str, Any] = {"mode": "latent", "base_ratio": 0.0, "overlap": _overlaps(boxes, problems)}
    feather = _feather(boxes, aspect or 1.0, problems)
    return imported(NAME, document, problems, {**mixing, **({"feather": feather} if feather else {})})


def _box(path: str, entry: Any, problems: Problems) -> _Box | None:
    """A box that is switched on, has a place and words of its own; None, and told, for others."""
    if not isinstance(entry, dict):
        problems.add(path, f"must be an object, not {shown(entry)}", "left out")
        return None
    if entry.get("enable") is False:
        problems.add(path, "is switched off", "left out")
        return None
    sides = quad([entry.get(name) for name in ("x", "y", "w", "h")])
    if sides is None:
        problems.add(path, "needs four numbers, x, y, w and h", "left out")
        return None
    x, y, width, height = sides
    # What sticks out is not drawn.
    x0, y0, x1, y1 = max(0.0, x), max(0.0, y), min(1.0, x + width), min(1.0, y + height)
    if x1 <= x0 or y1 <= y0:
        problems.add(path, "has no extent on the canvas", "left out")
        return None
    words, loras = with_lora(problems.text(f"{path}.prompt", entry.get("prompt") or ""))
    if not words.strip():
        problems.add(path, "has no prompt of its own", "left to the base prompt")
        return None
    negative = problems.text(f"{path}.neg_prompt", entry.get("neg_prompt") or "")
    fields = {
        "description": words,
        "lora": loras,
        "negative": negative,
        "box": corners(x0, y0, x1, y1),
    }
    seed = entry.get("seed")
    # Below 0 stands for a seed of chance.
    if seed is not None and not (is_number(seed) and seed < 0):
        fields["seed"] = seed
    kind = entry.get("blend_mode", _BACK)
    if kind not in (_FRONT, _BACK):
        fault = f"must be {_FRONT} or {_BACK}, not {shown(kind)}"
        problems.add(f"{path}.blend_mode", fault, f"read as {_BACK}")
    feather = entry.get("feather_ratio")
    feather = _USUAL_FEATHER if feather is None else feather
    feather = problems.number(f"{path}.feather_ratio", feather, 0.0, 1.0, _USUAL_FEATHER)
    return _Box(fields, kind == _FRONT, feather)


def _overlaps(boxes: list[_Box], problems: Problems) -> str:
    """How boxes that overlap are mixed: those of one type are averaged, one of each type is not."""
    if len({box.front for box in boxes}) < 2:
        return "blend"
    for first, second in combinations(boxes, 2):
        if first.front == second.front and _meet(first.sides, second.sides):
            problems.add("blend_mode", "has boxes of one type that overlap", "the later one drawn in front")
            break
    return "front"


def _meet(first: Quad, second: Quad) -> bool:
    """Whether two boxes overlap by more than rounding explains."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    return width > _STEP and min(first[3], second[3]) - max(first[1], second[1]) > _STEP


def _radius(width: float, height: float, aspect: float) -> float:
    """Half the shorter side of a box, which a feather of 1 softens, in units of the canvas' shorter side."""
    return min(width * aspect, height) / 2 / min(aspect, 1.0)


def _feather(boxes: list[_Box], aspect: float, problems: Problems) -> float:
    """The width of the soft edges, in units of the canvas' shorter side: that of the narrowest."""
    edges = []
    for box in boxes:
        x0, y0, x1, y1 = box.sides
        if box.front:
            edges.append(min(box.feather * _radius(x1 - x0, y1 - y0, aspect), _MOST_FEATHER))
    least = round(min(edges, default=0.0), 4)
    if max(edges, default=0.0) - least > 1e-3:
        problems.add("feather_ratio", "makes edges of several widths", f"all {least:g} wide")
    return least


def write(panel: Panel, settings: Mapping[str, Any] | None = None) -> Exported:
    """The panel as a file of boxes; of `settings`, `feather` and `overlap` are used.

    The base prompt is not in it: its place is the WebUI's prompt, which comes before that of each box.
    Raises `InputError` when there are no elements, or more than the extension has room for.
    """
    if not 0 < len(panel.elements) <= _MOST:
        raise InputError(
            f"Tiled Diffusion has room for 1 to {_MOST} regions, not {len(panel.elements)}; change the number"
        )
    settings = settings or {}
    problems = Problems()
    note_losses(panel, frozenset({"element.negative", "element.lora", "element.seed"}), problems)
    if len(panel.elements) > _SHOWN:
        fault = f"are more than the {_SHOWN} that it shows"
        problems.add("elements", fault, f"start the WebUI with --md-max-regions {len(panel.elements)}")
    feather = problems.number("feather", settings.get("feather", 0.0), 0.0, _MOST_FEATHER, 0.0)
    backs = set() if settings.get("overlap") == "blend" else _covered(panel, problems)
    controls = []
    for index, element in enumerate(panel.elements):
        path = f"elements[{index}]"
        x, width = _span(element.box.x0, element.box.x1)
        y, height = _span(element.box.y0, element.box.y1)
        seed = -1 if element.seed is None else element.seed
        words = with_tags(element.description, element, path, problems)
        kind = _BACK if index in backs else _FRONT
        ratio = round(min(1.0, feather / _radius(width, height, panel.aspect)), 4)
        values = (True, x, y, width, height, words, element.negative, kind, ratio, seed)
        controls.append(dict(zip(_FIELDS, values, strict=True)))
    text = msgspec.json.format(msgspec.json.encode({"bbox_controls": controls}), indent=2).decode("utf-8")
    return Exported(text, NAME, problems.all())


def _span(low: float, high: float) -> tuple[float, float]:
    """Where a side begins and how long it is, in steps of its sliders."""
    begin = min(round(low, 4), 1 - _STEP)
    return begin, max(_STEP, round(round(high, 4) - begin, 4))


def _covered(panel: Panel, problems: Problems) -> set[int]:
    """The elements that stand behind others; three on one another are more than two types can tell."""
    backs: set[int] = set()
    boxes = [(box.x0, box.y0, box.x1, box.y1) for box in (element.box for element in panel.elements)]
    for low, high in combinations(range(len(boxes)), 2):
        if _meet(boxes[low], boxes[high]):
            backs.add(low)
    if any(_meet(boxes[low], boxes[high]) for low, high in combinations(sorted(backs), 2)):
        problems.add("overlap", "this format has two layers only", "the elements behind are averaged")
    return backs
