"""Elements of a reply as it arrives: the same as of the whole reply, however it is cut into pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.planner.llm.partial import PartialReply
from lib_ranni.planner.llm.reply import ReplyError, read_reply
from lib_ranni.planner.llm.schema import to_reply
from tests.planner.test_reply import CASES, panels

_AROUND = [
    "%s",
    "```json\n%s\n```",
    "Here it's: %s Isn't it {nice}?",
    "<think>%s</think>%s",
    "\ufeff%s<|im_end|>",
]


def fed(reply: str, size: int, aspect: float = 1.0) -> list[Element]:
    partial = PartialReply(aspect)
    found = []
    for begin in range(0, len(reply), size):
        found += partial.feed(reply[begin : begin + size])
    return found


@settings(max_examples=100)
@given(panels(), st.sampled_from(_AROUND), st.integers(1, 40), st.booleans())
def test_the_parts_are_the_whole(panel: Panel, around: str, size: int, indented: bool) -> None:
    reply = to_reply(panel)
    if indented:
        reply = json.dumps(json.loads(reply), indent=2)
    assert tuple(fed(around.replace("%s", reply), size)) == read_reply(reply).panel.elements


@pytest.mark.parametrize("case", CASES)
def test_pieces_do_not_matter(case: dict[str, Any]) -> None:
    whole = fed(case["reply"], len(case["reply"]) + 1)
    for size in (1, 2, 3, 7):
        assert fed(case["reply"], size) == whole


_FOLLOWED = (
    "plain",
    "pretty",
    "json_fence",
    "gpt_prose",
    "json_lines",
    "r1_closed",
    "r1_draft_inside",
    "tool_call_object",
)


@pytest.mark.parametrize("case", [case for case in CASES if case.values[0]["name"] in _FOLLOWED])
def test_usual_replies_are_followed(case: dict[str, Any]) -> None:
    assert tuple(fed(case["reply"], 4)) == read_reply(case["reply"]).panel.elements


def test_an_element_is_there_as_soon_as_its_object_is_closed() -> None:
    partial = PartialReply()
    assert (
        partial.feed(
            '{"base": "x", "elements": [{"id": "a", "description": "a {cat} \\"Tom\\"", "box": [0, 0'
        )
        == []
    )
    assert partial.feed(", 500, 1000]") == []
    assert partial.feed("}") == [Element(id="a", description='a {cat} "Tom"', box=Box(0, 0, 0.5, 1))]
    assert (
        partial.feed(', {"description": "a dog", "box": {"x0": 500, "y0": 0, "x1": 1000, "y1": 1000}') == []
    )
    assert partial.feed("}]}") == [Element(id="e1", description="a dog", box=Box(0.5, 0, 1, 1))]
    assert partial.feed("") == []


def test_each_element_comes_once() -> None:
    entry = '{"id": "a", "description": "a cat", "box": [0, 0, 500, 1000]}'
    reply = f'{{"elements": [{entry}]}}'
    assert [element.id for element in fed(f"Draft: {reply}\nFinal: {reply}", 3)] == ["a"]
    other = entry.replace("500", "600")
    assert [element.id for element in fed(entry + other, 3)] == ["a", "e1"]


def test_drafts_in_thoughts_are_not_shown() -> None:
    draft = '{"description": "a draft", "box": [0, 0, 500, 1000]}'
    final = draft.replace("draft", "cat")
    for before, after in (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thinking>{", "</thinking>")):
        assert [element.description for element in fed(f"{before}{draft}{after}{final}", 1)] == ["a cat"]
    assert fed(f"<think>{draft}", 1) == []


def test_fractions_and_percentages() -> None:
    cat = '{"description": "a cat", "box": [0.5, 0, 1, 1]}'
    reply = f'[{cat}, {{"description": "a dog", "box": ["0%", "0%", "50%", "50%"]}}]'
    assert [element.box for element in fed(reply, 5)] == [Box(0.5, 0, 1, 1), Box(0, 0, 0.5, 0.5)]


def test_what_cannot_be_placed_is_left_out() -> None:
    point = '{"description": "a cat", "box": [5, 5, 5, 5]}'
    outside = '{"description": "a cat", "box": [-9, -9, -5, -5]}'
    nothing = '{"description": "", "box": [0, 0, 500, 1000]}'
    assert fed(f"[{point}, {outside}, {nothing}]", 4) == []


@settings(max_examples=200)
@given(st.lists(st.text(max_size=20) | st.sampled_from(list("{}[]\"'\\<>:,")), max_size=40))
def test_any_pieces_do(pieces: list[str]) -> None:
    partial, whole = PartialReply(), PartialReply()
    found = [element for piece in pieces for element in partial.feed(piece)]
    assert found == whole.feed("".join(pieces))


def test_odd_ids_are_replaced() -> None:
    entry = '{"id": %s, "description": "a cat", "box": [0, 0, 500, %d]}'
    ids = ('"\\ud83d"', f'"{"x" * 100}"', "7", '""', "null", '"e1"')
    found = fed("".join(entry % (name, 900 + n) for n, name in enumerate(ids)), 5)
    assert [element.id for element in found] == ["e1", "e2", "7", "e3", "e4", "e5"]


@pytest.mark.parametrize(
    "piece", ["{", "}", "<", '{"', "\\", "'", '{"a":', "[{", "<think>", '{"description":"a","box":[1,2,3,4]']
)
def test_long_replies_end(piece: str) -> None:
    assert fed(piece * (200_000 // len(piece)), 7) == []


def test_thousands_of_elements_in_small_pieces() -> None:
    entries = [{"id": f"e{n}", "description": "a cat", "box": [n % 900, 0, 1000, 1000]} for n in range(2000)]
    assert len(fed(json.dumps({"elements": entries}), 3)) == 2000


def test_only_so_much_is_listened_to() -> None:
    partial = PartialReply()
    assert partial.feed("x" * 2**21) == []
    assert partial.feed('{"description": "a cat", "box": [0, 0, 500, 1000]}') == []


def test_a_truncated_reply_has_at_least_what_was_shown() -> None:
    reply = '{"elements": [{"description": "a cat", "box": [0, 0, 500, 1000]}, {"description": "a dog"'
    for end in range(len(reply)):
        found = fed(reply[:end], 4)
        try:
            whole = read_reply(reply[:end]).panel.elements
        except ReplyError:
            whole = ()
        assert tuple(found) == whole[: len(found)]
