from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from lib_ranni.evaluation import suite as suite_module
from lib_ranni.evaluation.captions import NUMBER_WORDS, plural
from lib_ranni.evaluation.scenes import BACKGROUNDS, COLORS, SHAPES
from lib_ranni.evaluation.scoring import Detection
from lib_ranni.evaluation.suite import (
    CATEGORIES,
    Entry,
    Expected,
    element_name,
    judge,
    layout_iou,
    limited,
    load_suite,
    on_side,
)
from lib_ranni.evaluation.suite_writing import SIZES, encoded
from lib_ranni.panel.types import Box, Element, Panel

ENTRIES = load_suite()


def seen(name: str, x: float = 0.5, y: float = 0.5, size: float = 0.2) -> Detection:
    color, shape = name.split()
    half = size / 2
    return Detection(shape, color, Box(x - half, y - half, x + half, y + half), 1.0)


PAIR = Entry(
    "t", "spatial", "a red circle left of a blue square", 1,
    (Expected("circle", "red"), Expected("square", "blue")), ((0, "left", 1),),
)  # fmt: skip
GOOD = [seen("red circle", 0.3), seen("blue square", 0.7)]


def test_right_picture_passes() -> None:
    assert judge(PAIR, GOOD).correct
    assert judge(PAIR, GOOD[::-1]).problems == ()


@pytest.mark.parametrize(
    ("detections", "problem"),
    [
        ([], "0 red circles instead of 1"),
        (GOOD[:1], "0 blue squares instead of 1"),
        ([*GOOD, seen("green star", 0.5, 0.1)], "1 unwanted green star"),
        ([*GOOD, seen("red circle", 0.1, 0.1)], "2 red circles instead of 1"),
        ([seen("red circle", 0.3), seen("red square", 0.7)], "1 unwanted red square"),
        ([seen("red square", 0.3), seen("blue circle", 0.7)], "0 red circles instead of 1"),
        (
            [seen("red circle", 0.7), seen("blue square", 0.3)],
            "the red circle is not left of the blue square",
        ),
        (
            [seen("red circle", 0.48), seen("blue square", 0.52)],
            "the red circle is not left of the blue square",
        ),
    ],
)
def test_each_fault_flips_the_verdict(detections: list[Detection], problem: str) -> None:
    verdict = judge(PAIR, detections)
    assert not verdict.correct
    assert problem in verdict.problems


def test_counts() -> None:
    entry = Entry("t", "counting", "three green stars", 1, (Expected("star", "green", 3),))
    stars = [seen("green star", x) for x in (0.2, 0.5, 0.8)]
    assert judge(entry, stars).correct
    assert not judge(entry, stars[:2]).correct
    assert not judge(entry, [*stars, seen("green star", 0.5, 0.2)]).correct


def test_sides() -> None:
    center = seen("red circle").box
    for side, x, y in (("left", 0.3, 0.4), ("right", 0.7, 0.7), ("above", 0.6, 0.3), ("below", 0.1, 0.7)):
        assert on_side(seen("red circle", x, y).box, side, center)  # type: ignore[arg-type]
        assert not on_side(center, side, seen("red circle", x, y).box)  # type: ignore[arg-type]


def test_the_suite_is_what_its_writer_writes() -> None:
    path = Path(suite_module.__file__).with_name("suite_shapes.json")
    assert path.read_bytes() == encoded()


def test_suite_sizes_and_ids() -> None:
    assert len(ENTRIES) >= 200
    assert len({entry.id for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.prompt for entry in ENTRIES}) == len(ENTRIES)
    assert len({entry.seed for entry in ENTRIES}) == len(ENTRIES)
    assert Counter(entry.category for entry in ENTRIES) == SIZES
    sides = Counter(entry.relations[0][1] for entry in ENTRIES if len(entry.relations) == 1)
    assert min(sides.values()) >= 9
    assert {w.shape for e in ENTRIES for w in e.expected} == set(SHAPES)
    assert {w.color for e in ENTRIES for w in e.expected} == set(COLORS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_entry_is_consistent(entry: Entry) -> None:
    for want in entry.expected:
        assert want.shape in SHAPES
        assert want.color in COLORS
        assert want.color != entry.background
        if want.count == 1:
            assert want.name in entry.prompt
        else:
            number = NUMBER_WORDS[want.count]
            assert any(f"{n} {plural(want.name)}" in entry.prompt for n in (number, str(want.count)))
    assert len({want.name for want in entry.expected}) == len(entry.expected)
    total = sum(want.count for want in entry.expected)
    low, high = {"single": (1, 1), "binding-2": (2, 2), "binding-3/4": (3, 4)}.get(entry.category, (2, 5))
    assert low <= total <= high
    assert bool(entry.relations) == (entry.category == "spatial")
    for i, _, j in entry.relations:
        assert i != j
        assert entry.expected[i].count == entry.expected[j].count == 1
    if entry.background is not None:
        assert entry.background in BACKGROUNDS
        assert f"{entry.background} background" in entry.prompt
    # An object of a background's color needs a named background, or a plain model may hide it.
    if {want.color for want in entry.expected} & set(BACKGROUNDS):
        assert entry.background is not None


def test_prompt_names_things_in_the_order_of_the_relations() -> None:
    for entry in ENTRIES:
        if len(entry.relations) > 1:
            places = [entry.prompt.index(want.name) for want in entry.expected]
            assert all(a < b for a, b in pairwise(places))


def test_limited_takes_evenly() -> None:
    some = limited(ENTRIES, 25)
    assert Counter(entry.category for entry in some) == dict.fromkeys(CATEGORIES, 5)
    assert [e.id for e in some] == [e.id for e in ENTRIES if e in some]
    assert limited(ENTRIES, None) == limited(ENTRIES, 10_000) == ENTRIES
    assert limited(ENTRIES, 0) == ()


def test_a_bad_suite_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text('[{"id": "x", "category": "none", "prompt": "p", "seed": 1, "expected": []}]')
    with pytest.raises(msgspec.ValidationError, match="category"):
        load_suite(path)


def element(number: int, description: str, box: Box) -> Element:
    return Element(id=f"e{number}", description=description, box=box)


def test_element_names() -> None:
    assert element_name("a large Red circle") == "red circle"
    assert element_name("two blue crosses") == "blue cross"
    assert element_name("a plain white background") is None


def test_layout_iou() -> None:
    left, right = seen("red circle", 0.3), seen("red circle", 0.7)
    panel = Panel(
        elements=(
            element(1, "a red circle", left.box),
            element(2, "a red circle", right.box),
            element(3, "a white wall", Box(0, 0, 1, 1)),
        )
    )
    assert layout_iou(panel, [right, left]) == pytest.approx(1.0)
    assert layout_iou(panel, [right]) == pytest.approx(0.5)
    assert layout_iou(panel, [seen("blue circle", 0.3)]) == 0
    assert layout_iou(Panel(base="a red circle"), [left]) is None
