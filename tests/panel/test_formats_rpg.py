"""RPG's plans: the ratio grammar, everything language models were seen to write, and writing them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import import_panel, rpg
from lib_ranni.panel.formats.grid import Band, Grid, find_grid, read_shares
from lib_ranni.panel.types import Box, Element, Panel

Sides = tuple[float, float, float, float]


def _plan(ratio: str, prompt: str) -> str:
    return f"Final split ratio: {ratio}\nRegional Prompt: {prompt}"


def _letters(count: int) -> str:
    return " BREAK ".join("abcdefghij"[:count])


def _boxes(text: str) -> list[Sides]:
    return [
        tuple(round(side, 4) for side in (e.box.x0, e.box.y0, e.box.x1, e.box.y1))  # type: ignore[misc]
        for e in rpg.read(text).panel.elements
    ]


_HALVES = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]


@pytest.mark.parametrize(
    ("ratio", "count", "boxes"),
    [
        ("1,1", 2, _HALVES),
        ("1;1;1", 3, [(0, 0, 1, 0.3333), (0, 0.3333, 1, 0.6667), (0, 0.6667, 1, 1)]),
        (
            "1,2,1,1;2,4,6",
            5,
            [
                *((0, 0, 0.5, 0.3333), (0.5, 0, 0.75, 0.3333), (0.75, 0, 1, 0.3333)),
                *((0, 0.3333, 0.4, 1), (0.4, 0.3333, 1, 1)),
            ],
        ),
        ("1;1,2,3", 3, [(0, 0, 1, 0.5), (0, 0.5, 0.4, 1), (0.4, 0.5, 1, 1)]),
        ("0.5,0.25,0.25;0.5", 3, [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 1, 1)]),
        ("3,1", 2, [(0, 0, 0.75, 1), (0.75, 0, 1, 1)]),
        ("300,100", 2, [(0, 0, 0.75, 1), (0.75, 0, 1, 1)]),
        ("1", 1, [(0, 0, 1, 1)]),
        (".5,.5;", 2, _HALVES),
    ],
)
def test_ratios_mean_what_the_paper_says(ratio: str, count: int, boxes: list[Sides]) -> None:
    assert _boxes(_plan(ratio, _letters(count))) == boxes


def test_three_rows_of_different_cells() -> None:
    panel = rpg.read(_plan("1,1,1;2,1,1;4,3,2,3", _letters(7))).panel
    assert len(panel.elements) == 7
    assert panel.elements[5].box == Box(0.375, 3 / 7, 0.625, 1.0)


@pytest.mark.parametrize(
    ("ratio", "count", "boxes", "fault"),
    [
        # A height in front of the only row, which upstream takes for a region twice as wide.
        ("1,0.5,0.5", 2, _HALVES, "height of its only row"),
        ("1,1,1", 2, _HALVES, "height of its only row"),
        # Rows without heights, of which upstream swallows the last prompts.
        (
            "1,1;1,1",
            4,
            [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)],
            "leaves out",
        ),
    ],
)
def test_slips_of_planners_are_set_right_and_told(
    ratio: str, count: int, boxes: list[Sides], fault: str
) -> None:
    text = _plan(ratio, _letters(count))
    assert _boxes(text) == boxes
    assert fault in rpg.read(text).problems[0].message


@pytest.mark.parametrize(
    ("ratio", "count", "message"),
    [
        ("1,1", 3, r"makes 2 regions, but the regional prompt has 3 texts; give one text"),
        ("1,1,1;1,1,1", 3, r"makes 4 regions, but the regional prompt has 3 texts"),
        ("1", 2, r"makes 1 region, but the regional prompt has 2 texts"),
        ("1,1,1", 1, r"makes 3 regions, but the regional prompt has 1 text;"),
        ("0,1", 2, r"above 0"),
        ("0,0", 2, r"above 0"),
        ("-1,2", 2, r"above 0"),
        ("1/0,1", 2, r"is no share"),
        ("nonsense", 2, r"no split ratio"),
        (",".join(["1"] * 3000), 2, r"too many numbers"),
    ],
)
def test_ratios_that_do_not_fit_are_errors_that_say_what_to_do(ratio: str, count: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rpg.read(_plan(ratio, _letters(count)))


@pytest.mark.parametrize(
    "text",
    [
        "**Final split ratio:** 1,1\n**Regional Prompt:** a BREAK b",
        "**Final split ratio: 1,1**\n**Regional Prompt: a BREAK b**",
        "Final split ratio: 0.5, 0.5\nRegional Prompt: a BREAK b",
        "Final split ratio:\n0.5,0.5\nRegional Prompt:\na BREAK b",
        "final Split Ratio:0.5,0.5\nregional prompts:a BREAK b",
        "Final split ratio: 0.5,0.5.\nRegional Prompt: a BREAK b",
        "Final split ratio: 50%,50%\nRegional Prompt: a BREAK b",
        "Final split ratio：５０％，５０％\nRegional Prompt：a BREAK b",
        "Final split ratio: 1/2, 1/2\nRegional Prompt: a BREAK b",
        "Final split ratio: `1,1`\nRegional Prompt: `a BREAK b`",
        "Final split ratio: (1,1)\nRegional Prompt: a BREAK b",
        "Final split ratio: 1,1\nRegional Prompt: a BREAK\n\nb",
        "Final split ratio: 1,1\nRegional Prompt: a\n\nBREAK\n\nb\n\nI hope you like it.",
        "Final split ratio: 1,1\nRegional Prompt: a BREAK b\n\nShall I draw it?",
        "Final split ratio: 1,1\nRegional Prompt:\n- Region 0: a BREAK\n- Region 1: b",
        "Final split ratio: 1,1\nRegional Prompt: a BREAK b BREAK",
        "Regional Prompt: a BREAK b\nFinal split ratio: 1,1",
        "Split ratio: 1,1\nRegional_prompt: a BREAK b",
        "Final split ratio: 3;1\nRegional Prompt: x BREAK y\n\nOn reflection:\n\n"
        + _plan("1,1", "a BREAK b"),
        f"<think>{_plan('3;1', 'x BREAK y')}</think>\n{_plan('1,1', 'a BREAK b')}",
        "1,1\na BREAK b",
    ],
)
def test_every_way_to_write_two_halves_is_read_alike(text: str) -> None:
    imported = import_panel(text)
    assert imported.format == "rpg"
    assert [element.description for element in imported.panel.elements] == ["a", "b"]
    assert _boxes(text) == _HALVES


def test_the_nested_form_of_the_first_version_is_read() -> None:
    text = (
        "Horizontal split ratio: 1;2\nVertical split ratio: 1,(1,1); 2,(2,1)\nRegional Prompt: " + _letters(4)
    )
    boxes = _boxes(text)
    assert boxes[1] == (0.5, 0, 1, 0.3333)
    assert boxes[2] == (0, 0.3333, 0.6667, 1)


def test_the_final_ratio_counts_even_if_another_comes_later() -> None:
    text = "Final split ratio: 1,1\nHorizontal split ratio: 1;1\nRegional Prompt: a BREAK b"
    assert _boxes(text) == _HALVES


def test_a_word_that_begins_like_break_parts_nothing() -> None:
    elements = rpg.read(_plan("1,1", "a BREAKFAST BREAK UNBREAKABLE glass")).panel.elements
    assert [element.description for element in elements] == ["a BREAKFAST", "UNBREAKABLE glass"]


def test_the_caption_becomes_the_base_prompt() -> None:
    text = (
        "Caption: an old one\n" + _plan("1", "x") + "\n\nCaption: two friends\n" + _plan("1,1", "a BREAK b")
    )
    imported = rpg.read(text)
    assert imported.panel.base == "two friends"
    assert imported.settings == {"mode": "attention"}
    assert rpg.read(_plan("1,1", "a BREAK b")).settings == {"mode": "attention", "base_ratio": 0.0}


def test_a_region_without_text_is_left_to_the_base() -> None:
    imported = rpg.read(_plan("1,1,1", "a BREAK BREAK c"))
    assert [element.description for element in imported.panel.elements] == ["a", "c"]
    assert "has no text" in imported.problems[0].message


@pytest.mark.parametrize("text", ["Final split ratio: 1,1", _plan("1,1", ""), _plan("1,1", "\n\n**")])
def test_a_plan_without_prompt_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"regional prompt|Regional Prompt"):
        rpg.read(text)


def test_long_runs_of_blanks_cost_no_time() -> None:
    with pytest.raises(InputError):
        rpg.read("Final split ratio" + " " * 500_000 + "\nsplit ratio:" + " " * 400_000)


_word = st.text("abcdefgh", min_size=1, max_size=8)
_description = st.lists(_word, min_size=1, max_size=4).map(" ".join)
_band = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@st.composite
def grid_panels(draw: st.DrawFn, upright: bool = False) -> Panel:
    """Panels whose boxes are a grid, in reading order, each with a text of its own."""
    rows = draw(st.lists(st.tuples(st.integers(1, 12), _band), min_size=1, max_size=4))
    grid = Grid(tuple(Band(float(h), tuple(map(float, row))) for h, row in rows), upright)
    return Panel(
        base=draw(st.just("") | _description),
        elements=tuple(
            Element(id=f"e{n}", description=draw(_description), box=Box(*sides))
            for n, sides in enumerate(grid.boxes(), 1)
        ),
    )


def assert_same_boxes(before: Panel, after: Panel) -> None:
    assert len(before.elements) == len(after.elements)
    for old, new in zip(before.elements, after.elements, strict=True):
        assert [getattr(new.box, side) for side in ("x0", "y0", "x1", "y1")] == pytest.approx(
            [getattr(old.box, side) for side in ("x0", "y0", "x1", "y1")], abs=1e-6
        )


@given(grid_panels())
def test_what_is_written_is_read_as_the_same_panel(panel: Panel) -> None:
    exported = rpg.write(panel)
    imported = import_panel(exported.text)
    assert (imported.format, imported.problems, exported.problems) == ("rpg", (), ())
    assert imported.panel.base == panel.base
    assert [(e.id, e.description) for e in imported.panel.elements] == [
        (e.id, e.description) for e in panel.elements
    ]
    assert_same_boxes(panel, imported.panel)


def _tile(text: str, *sides: float) -> Element:
    return Element(id=text[:8], description=text, box=Box(*sides))


def test_small_ratios_are_written_as_whole_numbers_in_reading_order() -> None:
    panel = Panel(
        elements=(
            _tile("right\nBREAK up", 0.5, 0, 1, 0.25),
            _tile("down", 0, 0.25, 1, 1),
            _tile("left", 0, 0, 0.5, 0.25),
        )
    )
    exported = rpg.write(panel)
    assert (
        exported.text == "Final split ratio: 1,1,1;3\nRegional Prompt: left BREAK right break up BREAK down"
    )
    assert "BREAK" in exported.problems[0].message


@pytest.mark.parametrize(
    "boxes",
    [
        [],
        [(0.1, 0, 1, 1)],
        [(0, 0, 0.5, 1), (0.4, 0, 1, 1)],
        [(0, 0, 0.5, 1), (0.5, 0, 1, 0.9)],
        [(0, 0, 0.5, 0.5), (0, 0.5, 0.5, 1), (0.5, 0, 1, 1)],
        [(0, 0, 1, 0.5)],
    ],
)
def test_what_is_no_grid_of_rows_is_refused(boxes: list[Sides]) -> None:
    panel = Panel(elements=tuple(_tile(f"t{n}", *sides) for n, sides in enumerate(boxes)))
    with pytest.raises(InputError, match="tile the canvas in rows"):
        rpg.write(panel)


def test_columns_of_rows_are_found_upright() -> None:
    boxes = [Box(0.5, 0, 1, 1), Box(0, 0, 0.5, 0.5), Box(0, 0.5, 0.5, 1)]
    found = find_grid(boxes)
    assert found is not None
    assert found.grid.upright
    assert found.order == (1, 2, 0)


def test_odd_shares_survive_as_decimals() -> None:
    panel = Panel(elements=(_tile("a", 0, 0, 0.1234567, 1), _tile("b", 0.1234567, 0, 1, 1)))
    text = rpg.write(panel).text
    assert "0.1234567,0.8765433" in text
    assert_same_boxes(panel, rpg.read(text).panel)


def test_a_share_that_is_no_number_is_an_error_unless_problems_are_noted() -> None:
    with pytest.raises(InputError, match="write it like 1,1;2,1,1"):
        read_shares("1,one", ";", ",", None)
    assert read_shares(" 1 , .5 ;2.", ";", ",", None) == [[1.0, 0.5], [2.0]]
