"""Ranni's box answers: what upstream's two parsers read, what they choke on, and writing them back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import Imported, import_panel, ranni
from lib_ranni.panel.types import Box, Element, Mask, Panel


def _read(text: str) -> Imported:
    return ranni.read(text)


def _named(imported: Imported) -> list[str]:
    return [element.description for element in imported.panel.elements]


def test_centers_and_sizes_in_pixels_become_boxes() -> None:
    imported = _read("(black dog,[192,384,384,768]),(white cat,[576,576,192,384])")
    dog, cat = imported.panel.elements
    assert (dog.description, cat.description) == ("black dog", "white cat")
    assert dog.box == Box(0.0, 0.0, 0.5, 1.0)
    assert cat.box == Box(0.625, 0.5, 0.875, 1.0)
    assert imported.problems == ()
    assert imported.settings == {}
    assert imported.panel.aspect == 1.0


def test_half_of_an_odd_size_is_rounded_down_as_upstream_does() -> None:
    box = _read("(egg,[100,100,31,51])").panel.elements[0].box
    assert (box.x0 * 768, box.y0 * 768) == (pytest.approx(85), pytest.approx(75))
    assert (box.x1 * 768, box.y1 * 768) == (pytest.approx(116), pytest.approx(126))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(dog (black),[300,300,100,100])", ["dog (black)"]),
        ("(dog, big,[300,300,100,100])", ["dog, big"]),
        ("Here it is (as you wished): (dog,[300,300,100,100])", ["dog"]),
        ("(dog,[300,300,100,100])\n(cat,[500,300,100,100])", ["dog", "cat"]),
        ("( dog , [300.5, 300, 99.5, 100] )", ["dog"]),
        ("(red apple,[100,100,50,50]),(red apple,[300,100,50,50])", ["red apple", "red apple"]),
        ("(dog,[300,300,100,100]),(dog, 1", ["dog"]),
        ("(a smile :( on a face,[300,300,100,100])", ["on a face"]),
    ],
)
def test_labels_and_prose_that_break_upstream_are_read(text: str, names: list[str]) -> None:
    assert _named(_read(text)) == names


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("(cat,[1,2,3])", "four numbers"),
        ("(cat,[1,2,3,4,5])", "four numbers"),
        ("(cat,[a,b,c,d])", "four numbers"),
        ("(cat,[300,300,0,10])", "no extent"),
        (",[300,300,10,10])", "no label"),
        ("(cat,[9000,9000,10,10])", "outside the canvas"),
    ],
)
def test_a_bad_box_is_left_out_and_told(bad: str, fault: str) -> None:
    imported = _read(f"(dog,[300,300,100,100]),{bad}")
    assert _named(imported) == ["dog"]
    assert any(fault in problem.message for problem in imported.problems)


def test_a_box_over_the_edge_is_cut_where_upstream_loses_it() -> None:
    imported = _read("(dog,[0,384,200,200])")
    assert imported.panel.elements[0].box == Box(0.0, 284 / 768, 100 / 768, 484 / 768)
    assert "elements[0].box" in str(imported.problems[0])


@pytest.mark.parametrize("text", ["no parens", "(dog, 1", "(dog,[1,2", "[300,300,100,100]", "()"])
def test_without_a_box_the_error_shows_one(text: str) -> None:
    with pytest.raises(InputError, match=r"\(a cat,\[384,384,200,300\]\)"):
        _read(text)


def test_a_list_of_counts_is_told_apart() -> None:
    with pytest.raises(InputError, match="without boxes"):
        _read("(red apple, 6), (table, 1)")


_names = st.lists(
    st.text("abcdefg '-日本", min_size=1).map(lambda t: " ".join(t.split())).filter(bool),
    min_size=1,
    max_size=5,
    unique=True,
)


@st.composite
def _pixel_boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(st.integers(0, 767)), draw(st.integers(0, 767))
    x1, y1 = draw(st.integers(x0 + 1, 768)), draw(st.integers(y0 + 1, 768))
    return Box(x0 / 768, y0 / 768, x1 / 768, y1 / 768)


@given(_names, st.data())
def test_what_is_written_is_read_as_the_same_panel(names: list[str], data: st.DataObject) -> None:
    panel = Panel(
        elements=tuple(
            Element(id=f"e{n}", description=name, box=data.draw(_pixel_boxes()))
            for n, name in enumerate(names, 1)
        )
    )
    text = ranni.write(panel).text
    back = _read(text)
    assert [e.description for e in back.panel.elements] == names
    for before, after in zip(panel.elements, back.panel.elements, strict=True):
        for side in ("x0", "y0", "x1", "y1"):
            assert getattr(after.box, side) == pytest.approx(getattr(before.box, side), abs=1e-9)


def test_a_label_is_written_without_what_breaks_upstream_and_losses_are_told() -> None:
    panel = Panel(
        base="a yard",
        elements=(
            Element(
                id="e1",
                description="dog (black), big",
                box=Box(0, 0, 0.5, 0.5),
                mask=Mask(1, 1, (0, 1)),
                negative="cat",
            ),
            Element(id="e2", description="(),", box=Box(0.5, 0.5, 0.5001, 1)),
        ),
    )
    exported = ranni.write(panel)
    assert exported.text == "(dog black big,[192,192,384,384]),(thing,[384,576,1,384])"
    assert {problem.path for problem in exported.problems} == {
        *("base", "elements[0].mask", "elements[0].negative"),
        *("elements[0].description", "elements[1].description"),
    }


def test_the_format_is_found_out() -> None:
    assert import_panel("(dog,[300,300,100,100])").format == "ranni"
    assert import_panel("('dog',[300,300,100,100])").format == "layout_json"
