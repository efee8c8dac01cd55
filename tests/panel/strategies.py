"""Hypothesis strategies for panels and their parts; everything they make is valid."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lib_ranni.panel.types import Box, Element, Keypoint, Lora, Mask, Panel, Provenance

units = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)
texts = st.text(max_size=20)
names = st.text(min_size=1, max_size=12)
descriptions = st.text(min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
colors = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KNOWN = {*Panel.__struct_fields__, *Element.__struct_fields__, *Provenance.__struct_fields__}
extras = st.dictionaries(st.text(max_size=8).filter(lambda key: key not in KNOWN), json_values, max_size=3)


@st.composite
def boxes(draw: st.DrawFn, least: float = 1e-4) -> Box:
    """Any box with sides of at least `least`."""
    x0, y0 = draw(st.floats(0, 1 - 2 * least)), draw(st.floats(0, 1 - 2 * least))
    return Box(x0, y0, draw(st.floats(x0 + least, 1)), draw(st.floats(y0 + least, 1)))


@st.composite
def masks(draw: st.DrawFn) -> Mask:
    """A small mask that covers something."""
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    off = draw(st.integers(0, width * height - 1))
    on = draw(st.integers(1, width * height - off))
    return Mask(width, height, (off, on, width * height - off - on))


keypoints = st.builds(Keypoint, names, units, units)
loras = st.builds(Lora, names, st.floats(-10, 10))


@st.composite
def elements(draw: st.DrawFn, ids: st.SearchStrategy[str] = names, **fixed: Any) -> Element:
    """Any element; `fixed` sets fields."""
    start = draw(st.floats(0, 0.9))
    fields: dict[str, Any] = {
        "id": draw(ids),
        "description": draw(descriptions),
        "box": draw(boxes()),
        "mask": draw(st.none() | masks()),
        "negative": draw(texts),
        "colors": tuple(draw(st.lists(colors, max_size=5))),
        "keypoints": tuple(draw(st.lists(keypoints, max_size=2))),
        "weight": draw(st.floats(0, 10)),
        "base_ratio": draw(st.none() | units),
        "start": start,
        "end": draw(st.floats(start + 0.01, 1)),
        "lora": tuple(draw(st.lists(loras, max_size=2))),
        "seed": draw(st.none() | seeds),
        "locked": draw(st.booleans()),
        "extra": draw(extras),
    }
    return Element(**{**fields, **fixed})


provenances = st.builds(
    Provenance,
    texts,
    texts,
    texts,
    st.none() | seeds,
    st.lists(texts, max_size=2).map(tuple),
    st.booleans(),
    extras,
)


@st.composite
def panels(draw: st.DrawFn, most: int = 4, **fixed: Any) -> Panel:
    """Any panel of at most `most` elements; `fixed` sets fields of each element."""
    ids = draw(st.lists(names, max_size=most, unique=True))
    return Panel(
        base=draw(texts),
        elements=tuple(draw(elements(ids=st.just(i), **fixed)) for i in ids),
        aspect=draw(st.floats(0.1, 10)),
        provenance=draw(provenances),
        extra=draw(extras),
    )
