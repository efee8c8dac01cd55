"""Replies of language models as they come: a corpus with what a careful reader makes of each; properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.errors import PlannerError
from lib_ranni.panel.reading import check
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_json
from lib_ranni.planner.llm.reply import MAX_REPLY, ReplyError, ReplyReading, read_reply
from lib_ranni.planner.llm.schema import reply_schema, to_reply

_CORPUS = Path(__file__).parents[1] / "fixtures/replies"


def _cases() -> list[Any]:
    cases = []
    for path in sorted(_CORPUS.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            cases.append(pytest.param(case, id=f"{path.stem}-{case['name']}"))
    return cases


CASES = _cases()


def _thousandths(box: Box) -> list[int]:
    return [round(1000 * side) for side in (box.x0, box.y0, box.x1, box.y1)]


def _elements(panel: Panel) -> list[list[Any]]:
    return [[element.description, *_thousandths(element.box)] for element in panel.elements]


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 160


@pytest.mark.parametrize("case", CASES)
def test_corpus(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(ReplyError) as caught:
            read_reply(case["reply"])
        for words in case["error"]:
            assert words in str(caught.value)
        return
    panel = read_reply(case["reply"]).panel
    expected = case["expected"]
    assert _elements(panel) == expected["elements"]
    assert panel.base == expected.get("base", panel.base)
    assert panel.negative == expected.get("negative", panel.negative)
    assert check(to_json(panel)) == panel


# Properties --------------------------------------------------------------------------------------------

_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(list("\n\t\"'{}[]<>:,\\/猫")),
    max_size=30,
)
_DESCRIPTION = _TEXT.map(lambda text: f"thing {text}".strip())


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(st.integers(0, 900)), draw(st.integers(0, 900))
    x1, y1 = draw(st.integers(max(x0 + 1, 101), 1000)), draw(st.integers(max(y0 + 1, 101), 1000))
    return Box(x0 / 1000, y0 / 1000, x1 / 1000, y1 / 1000)


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    things = draw(st.lists(st.tuples(_DESCRIPTION, boxes(), st.booleans()), min_size=1, max_size=5))
    elements = tuple(
        Element(id=f"e{number}", description=words, box=box, locked=locked)
        for number, (words, box, locked) in enumerate(things, 1)
    )
    base, negative = (draw(_TEXT.map(lambda text: f"soft {text}".strip())) for _ in range(2))
    return Panel(base=base, negative=negative, elements=elements)


@given(panels())
def test_what_is_written_is_read(panel: Panel) -> None:
    assert read_reply(to_reply(panel)) == ReplyReading(panel)


@given(
    panels(),
    st.sampled_from(["```json\n%s\n```", "Here it is:\n\n%s\n\nEnjoy!", "<think>hm</think>%s", "\ufeff%s"]),
)
def test_what_stands_around_a_plan_does_not_matter(panel: Panel, around: str) -> None:
    assert read_reply(around.replace("%s", to_reply(panel))) == ReplyReading(panel)


@settings(max_examples=150)
@given(panels(), st.data(), st.booleans())
def test_what_is_complete_survives_truncation(panel: Panel, data: st.DataObject, indented: bool) -> None:
    reply = to_reply(panel)
    if indented:
        reply = json.dumps(json.loads(reply), indent=2)
    cut = data.draw(st.integers(0, len(reply)))
    begins = [json.loads(reply)["elements"][: number + 1] for number in range(len(panel.elements))]
    complete = sum(_end_of(reply, len(elements)) <= cut for elements in begins)
    try:
        reading = read_reply(reply[:cut])
    except ReplyError:
        assert complete == 0
        return
    assert reading.panel.elements[:complete] == panel.elements[:complete]
    assert len(reading.panel.elements) <= complete + 1
    assert reading.repairs or reading.panel == panel


def _end_of(reply: str, count: int) -> int:
    """Where the object of the `count`-th element ends."""
    decoder = json.JSONDecoder()
    at = reply.index("[", reply.index('"elements":')) + 1
    for _ in range(count):
        at = reply.index("{", at)
        at = decoder.raw_decode(reply, at)[1]
    return at


def _outcome(text: str) -> Panel | str:
    """The panel of a reply, or why there is none."""
    try:
        return read_reply(text).panel
    except ReplyError as error:
        return str(error)


@settings(max_examples=200)
@given(st.text(max_size=200))
def test_any_text_is_a_plan_or_an_error_that_says_why(text: str) -> None:
    outcome = _outcome(text)
    assert outcome == (check(to_json(outcome)) if isinstance(outcome, Panel) else outcome)
    assert outcome != ""


_PIECES = [
    *'{}[](),:"\'\\/ \n', "{{", '"box":', '"elements": [', '"description":', "[1,2,3,4]", '"a cat"', "“", "”",
    "<think>", "</think>", "```", "//", "/*", "#", "NaN", "1e999", "-", "％", "，", "：", "｛", "｝",
    '"base": "x"', "Final split ratio:", "Regional Prompt:", " BREAK ", "canvas.add_local_description(",
    "1. cat:", '{"id":"e1","description":"a cat","box":[100,200,300,400]}', "\ufeff", "null", "true",
    "(a,[1,2,3,4])", "\x00", "\ud800",
]  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_any_mixture_is_a_plan_or_an_error_that_says_why(text: str) -> None:
    outcome = _outcome(text)
    assert outcome == (check(to_json(outcome)) if isinstance(outcome, Panel) else outcome)
    assert outcome != ""


# Size --------------------------------------------------------------------------------------------------

_ELEMENT = '{"id": "e%d", "description": "a cat", "box": [%d, 200, 990, 400]}'
_PLAN = '{"base": "", "negative": "", "elements": [%s]}'
_LONG = [
    "\n" * 300 + '"', " " * 300 + '"', " ( , 1", "\n- 1", "1 , (", " is at", "(e1)", "\\n",
    "[", "{", "{{", '{"a":', '[{"a":', '"', "'", "<think>", "</think>", "\\", '\\"', "```json\n", "/*", "//",
    "1,", "[1,2,3,4],", '{"box":[1,2,3,4]},', '{"description":"a" b "c"', '"a" b ', "(a,[1,2,3,4])",
    "Final split ratio: 1,1\n", "Regional Prompt: a BREAK ", "canvas.add_local_description(", "#",
    "a ", "\n", "\ud83d", "９", "[[1,2,3,4],", '{"elements":[', "{'a':'", "“", "{“a”：", "a: (1 ", "| 1 ",
    "{'a':\"b' ", "<div>[1,2,3,4]", "I'm sorry ", '"box": ', "]}", '{"a":"b"}', "[1,2,3,4]: a\n", "1. a: [",
    "<",
]  # fmt: skip


@pytest.mark.parametrize("piece", _LONG)
def test_long_repetitions_end(piece: str) -> None:
    many = piece * (50_000 // len(piece))
    for text in (many, "{" + many + _PLAN[:40], f'{{"a": "x" "y{many}', f"- a cat: (1, {many}"):
        outcome = _outcome(text)
        assert len(outcome.elements if isinstance(outcome, Panel) else outcome) <= 2_000


def test_thousands_of_elements() -> None:
    reply = _PLAN % ", ".join(_ELEMENT % (n, n % 900) for n in range(5000))
    reading = read_reply(reply)
    assert len(reading.panel.elements) == 1000
    assert any("5000 elements" in repair for repair in reading.repairs)
    assert len(read_reply(reply.replace('"', "'")).panel.elements) == 1000


def test_thousands_of_faults_are_told_briefly() -> None:
    reply = _PLAN % ", ".join(['{"description": "fog"}'] * 5000 + [_ELEMENT % (1, 1)])
    reading = read_reply(reply)
    assert len(reading.panel.elements) == 1
    assert len(reading.repairs) < 50


def test_fifty_megabytes() -> None:
    plan = _PLAN % (_ELEMENT % (1, 100))
    for text in ("blah " * 10_000_000 + plan, plan + "\n" * 50_000_000):
        reading = read_reply(text)
        assert _elements(reading.panel) == [["a cat", 100, 200, 990, 400]]
        assert f"{MAX_REPLY:,} were read" in reading.repairs[0]
    with pytest.raises(ReplyError, match="no plan"):
        read_reply("x" * 50_000_000)


# What else is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "repair"),
    [
        ('{"elements": [%s' % (_ELEMENT % (1, 1)), "cut off"),
        ("{'elements': [{'description': 'a cat', 'box': [1, 2, 300, 400]}]}", "quotes"),
        ('{"elements": [{"description": "a cat", "box": [1, 2, 300, 400]},]}', "commas"),
        ('{"elements": [{"description": "a cat", "box": [1, 2, 300, 400]}}', "brackets"),
        ('{"elements": [/* x */ {"description": "a cat", "box": [1, 2, 300, 400]}]}', "comments"),
        ('{"elements": [{"description": "a cat", "box": [0.1, 0.2, 0.3, 0.4]}]}', "fractions"),
        ('{"elements": [{"description": "a cat", "box": [0, 0, 2048, 2048]}]}', "pixels of 2048 by 2048"),
        ('{"elements": [{"description": "a cat", "box": [500, 2, 300, 400]}]}', "x0 < x1"),
        ("1. a cat: [1, 2, 300, 400]", "list in words"),
        ("<think>" + _PLAN % (_ELEMENT % (1, 1)), "does not end"),
        (_PLAN % (_ELEMENT % (1, 1) + "," + _ELEMENT % (1, 2)), "already taken"),
    ],
)
def test_mends_are_told(reply: str, repair: str) -> None:
    reading = read_reply(reply)
    assert any(repair in words for words in reading.repairs), reading.repairs


def test_pixels_of_a_wide_canvas() -> None:
    cat = {"description": "a cat", "box": [0, 0, 960, 1080]}
    dog = {"description": "a dog", "box": [960, 0, 1920, 1080]}
    reply = json.dumps({"elements": [cat, dog]})
    panel = read_reply(reply, aspect=16 / 9).panel
    assert panel.aspect == 16 / 9
    assert _elements(panel) == [["a cat", 0, 0, 500, 1000], ["a dog", 500, 0, 1000, 1000]]


@pytest.mark.parametrize("aspect", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_any_aspect(aspect: float) -> None:
    assert 0.1 <= read_reply(_PLAN % (_ELEMENT % (1, 1)), aspect).panel.aspect <= 10


def test_a_repeated_example_is_no_plan() -> None:
    example = _PLAN % (_ELEMENT % (1, 100))
    with pytest.raises(ReplyError, match="repeats the example"):
        read_reply(f"```json\n{example}\n```", examples=(example,))
    other = _PLAN % (_ELEMENT % (1, 200))
    assert _elements(read_reply(f"{other}\n{example}", examples=(example,)).panel)[0][1] == 200


def test_errors_are_planner_errors() -> None:
    with pytest.raises(PlannerError, match="empty"):
        read_reply("")


# The schema --------------------------------------------------------------------------------------------

_KNOWN_TO_GRAMMARS = {
    *("type", "properties", "items", "minItems", "maxItems", "minimum", "maximum", "required"),
    "additionalProperties",
}


def _objects(schema: Any) -> list[dict[str, Any]]:
    found = (
        [schema] if isinstance(schema, dict) and "type" in schema and isinstance(schema["type"], str) else []
    )
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return found + [item for value in inner for item in _objects(value)]


def test_the_schema_is_strict_and_plain() -> None:
    parts = _objects(reply_schema())
    assert len(parts) >= 7
    for part in parts:
        assert set(part) <= _KNOWN_TO_GRAMMARS
        if part["type"] == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])


@given(panels())
def test_panels_fit_the_schema(panel: Panel) -> None:
    document = msgspec.json.decode(to_reply(panel))
    for element in document["elements"]:
        element.pop("locked", None)
    jsonschema.validate(document, reply_schema())


def test_locked_elements_are_marked() -> None:
    locked = Element(id="a", description="a cat", box=Box(0.1, 0.2, 0.30001, 0.4), locked=True)
    thin = Element(id="b", description="a hair", box=Box(0.99991, 0, 0.99992, 1))
    document = json.loads(to_reply(Panel(elements=(locked, thin))))
    assert document["elements"] == [
        {"id": "a", "description": "a cat", "box": [100, 200, 300, 400], "locked": True},
        {"id": "b", "description": "a hair", "box": [999, 0, 1000, 1000]},
    ]
