"""Omost's canvas code and conditions: places, colors, order, odd words, and code that must never run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import import_panel, omost
from lib_ranni.panel.formats.literals import arguments, literal
from lib_ranni.panel.types import Box, Element

_GLOBAL = """canvas.set_global_description(
    description='A harbor in the evening.',
    detailed_descriptions=['Boats at rest.', "The water's still."],
    tags='harbor, boats, dusk',
    HTML_web_color_name='darkslateblue',
)"""


def _local(**changes: str) -> str:
    values = {
        "location": "'on the left'",
        "offset": "'no offset'",
        "area": "'a small square area'",
        "distance_to_viewer": "2.0",
        "description": "'A red boat.'",
        "detailed_descriptions": "['Its sails are down.', 'It rocks.']",
        "tags": "'boat, red'",
        "atmosphere": "'calm'",
        "style": "'oil painting'",
        "quality_meta": "'fine detail'",
        "HTML_web_color_name": "'firebrick'",
        **changes,
    }
    return f"canvas.add_local_description({', '.join(f'{k}={v}' for k, v in values.items())})"


def _code(*calls: str) -> str:
    return "\n".join(
        ["Sure!", "```python", "canvas = Canvas()", _GLOBAL, *calls, "```", "Enjoy (all of it)."]
    )


def _element(**changes: str) -> Element:
    return omost.read(_code(_local(**changes))).panel.elements[0]


def test_a_canvas_is_read_with_all_its_words() -> None:
    imported = import_panel(_code(_local()))
    assert (imported.format, imported.problems, imported.settings) == ("omost", (), {})
    assert imported.panel.base == (
        "A harbor in the evening, Boats at rest, The water's still, harbor, boats, dusk"
    )
    boat = imported.panel.elements[0]
    assert boat.description == (
        "A red boat, Its sails are down, It rocks, boat, red, calm, oil painting, fine detail"
    )
    assert boat.colors == ("#b22222",)
    # 50 by 50 around (15, 45) on a grid of 90 by 90; what is left of the canvas does not count.
    assert boat.box == Box(0.0, 20 / 90, 40 / 90, 70 / 90)


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({"location": "'in the center'", "area": "'a large vertical area'"}, (15, 0, 75, 90)),
        ({"location": "'on the bottom-right'", "area": "'a small horizontal area'"}, (45, 55, 90, 90)),
        (
            {
                "location": "'in the center'",
                "offset": "'slightly to the upper-left'",
                "area": "'a small square area'",
            },
            (10, 10, 60, 60),
        ),
        ({"location": "'on the right'", "offset": "'slightly to the lower'"}, (50, 30, 90, 80)),
        ({"location": "'on the top'", "area": "'a medium-sized horizontal area'"}, (5, 0, 85, 40)),
    ],
)
def test_words_become_rectangles_of_the_grid(
    changes: dict[str, str], sides: tuple[float, float, float, float]
) -> None:
    box = _element(**changes).box
    assert [box.x0 * 90, box.y0 * 90, box.x1 * 90, box.y1 * 90] == pytest.approx(sides)


def test_every_place_offset_and_size_is_on_the_canvas() -> None:
    calls = [
        _local(location=repr(place), offset=repr(offset), area=repr(area), description=repr(f"t{n}"))
        for n, (place, offset, area) in enumerate(
            (p, o, a) for p in omost._LOCATIONS for o in omost._OFFSETS for a in omost._AREAS
        )
    ]
    assert len(calls) == 729
    imported = omost.read(_code(*calls))
    assert len(imported.panel.elements) == 729
    assert imported.problems == ()


def test_who_is_farther_stands_behind() -> None:
    calls = [_local(description=repr(name), distance_to_viewer=d) for name, d in [("a", "1"), ("b", "10.5")]]
    far, near = omost.read(_code(*calls, _local(description="'c'", distance_to_viewer="1"))).panel.elements[
        :2
    ]
    assert far.description.startswith("b")
    assert near.description.startswith("a")


@pytest.mark.parametrize(
    ("changes", "path", "repair"),
    [
        ({"location": "'on the top left'"}, "location", "on the top-left"),
        ({"location": "'somewhere'"}, "location", "in the center"),
        ({"area": "'a large area'"}, "area", "a large"),
        ({"area": "7"}, "area", "a medium-sized square area"),
        ({"offset": "None"}, "", ""),
        ({"distance_to_viewer": "-1"}, "distance_to_viewer", "read as 1"),
        ({"distance_to_viewer": "1e400"}, "distance_to_viewer", "read as 1"),
        ({"HTML_web_color_name": "'darkgren'"}, "HTML_web_color_name", "darkgreen"),
        ({"HTML_web_color_name": "'#12zz'"}, "HTML_web_color_name", "left out"),
    ],
)
def test_odd_words_are_read_as_the_nearest_and_told(changes: dict[str, str], path: str, repair: str) -> None:
    imported = omost.read(_code(_local(**changes)))
    assert len(imported.panel.elements) == 1
    found = [(problem.path, problem.repair) for problem in imported.problems]
    assert (found == []) == (path == "")
    assert all(name == f"descriptions[0].{path}" and repair in mend for name, mend in found)


def test_navyblue_is_a_color_to_omost() -> None:
    assert _element(HTML_web_color_name="'navyblue'").colors == ("#000080",)


def test_positional_arguments_comments_and_triple_quotes_are_read() -> None:
    call = '''canvas . add_local_description("on the right", 'no offset', # to the right (really
        "a large square area", 3, """A "tall"
        house""", ["old " + "bricks", r"C:\\d"], u"house", tags = 'x')'''
    imported = omost.read(_code(call))
    assert imported.panel.elements[0].description == 'A "tall"\n        house, old bricks, C:\\d, x'


def test_the_last_canvas_of_a_conversation_counts() -> None:
    text = _code(_local(description="'old'")) + "\nUser: again\n" + _code(_local(description="'new'"))
    assert [e.description[:3] for e in omost.read(text).panel.elements] == ["new"]


def test_a_reply_that_was_cut_off_keeps_what_is_whole() -> None:
    text = _code(_local(), _local(description="'second'"))
    cut = text[: text.rindex("style=")]
    imported = omost.read(cut)
    assert len(imported.panel.elements) == 1
    assert "cut off" in imported.problems[0].message


@pytest.mark.parametrize(
    "description",
    [
        "__import__('pathlib').Path({path!r}).write_text('x')",
        "open({path!r}, 'w')",
        "f'{{open({path!r}, chr(119))}}'",
        "(lambda: open({path!r}, 'w'))()",
        "[open({path!r}, 'w') for _ in 'x'][0]",
    ],
)
def test_code_is_never_run(description: str, tmp_path: Path) -> None:
    target = tmp_path / "run.txt"
    code = _code(_local(description=description.format(path=str(target))), _local(description="'fine'"))
    imported = omost.read(code)
    assert [e.description.split(",")[0] for e in imported.panel.elements] == ["fine"]
    assert "no description" in imported.problems[0].message
    assert not target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "canvas.add_local_description()",
        "canvas.add_local_description(description=1)",
        "x.add_local_description(",
    ],
)
def test_code_that_places_nothing_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="places nothing"):
        omost.read(text)


def _conditions(*rects: list[Any]) -> str:
    first = {
        "rect": [0, 90, 0, 90],
        "prefixes": ["A shore."],
        "suffixes": ["sand.", "sea."],
        "color": [1, 2, 3],
    }
    rest = [
        {"rect": r, "prefixes": ["A shore.", f"thing {n}."], "suffixes": ["x."]} for n, r in enumerate(rects)
    ]
    return json.dumps([first, *rest])


def test_saved_conditions_are_top_bottom_left_right() -> None:
    imported = import_panel(_conditions([9, 45, 0, 90]))
    assert imported.format == "omost"
    assert imported.panel.base == "A shore, sand, sea"
    assert imported.panel.elements[0].description == "thing 0, x"
    assert imported.panel.elements[0].box == Box(0.0, 0.1, 1.0, 0.5)


def test_bad_conditions_are_left_out_and_told() -> None:
    imported = omost.read(_conditions([1, 2, 3], ["a", 1, 2, 3], [0, 45, 0, 45], [10**400, 0, 0, 1]))
    assert len(imported.panel.elements) == 1
    assert [problem.path for problem in imported.problems] == [f"conditions[{n}]" for n in (1, 2, 4)]
    with pytest.raises(InputError, match="not JSON"):
        omost.read('[{"rect": [0,')


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (
            "[('a', [1, -2.5, 3e2, +4]), {'b': None, \"c\": True}]",
            [["a", [1, -2.5, 300.0, 4]], {"b": None, "c": True}],
        ),
        (r"'a\d\n\8'", "a\\d\n\\8"),
        ("'''a''' \"b\" # done", "ab"),
        ("'a' + 'b'", "ab"),
    ],
)
def test_literals_are_read(source: str, value: Any) -> None:
    assert literal(source) == value


@pytest.mark.parametrize(
    "source",
    [
        *(
            "",
            "x",
            "f'a'",
            "b'a'",
            "1 if 2 else 3",
            "lambda: 1",
            "[].append",
            "a.b",
            "'a'.join([])",
            "(1)(2)",
        ),
        *("[1][0]", "{1: 2}", "{**{}}", "1 + 2", "-'a'", "...", "0x1F", "1for", "not 1", "'a' * 9", "{1, 2}"),
        *("[" * 30 + "]" * 30, "-" * 5000 + "1", "'a'" + "+'a'" * 5000, "[1," * 9, "'a", "9" * 9000 + "j"),
        *("[" + "1," * 50_000 + "]", "'\\N{no such sign}'", "'\\x1'", "\ud800", "'\x00'", "a := 1", "“a”"),
    ],
)
def test_everything_else_is_no_literal(source: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        literal(source)


def test_an_argument_that_is_no_literal_costs_only_itself() -> None:
    assert arguments("(1, x, a=[1, 2], b=f(2, 3), # c=1,\n c='(,')") == (
        [1, None],
        {"a": [1, 2], "b": None, "c": "(,"},
    )


_json_like = st.recursive(
    st.text(max_size=8) | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(_json_like)
def test_what_python_writes_is_read_back(value: Any) -> None:
    assert literal(repr(value)) == value
