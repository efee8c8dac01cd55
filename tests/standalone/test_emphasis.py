"""Emphasis: what brackets, weights, escapes and BREAK mean, and that nothing hostile costs time or fails."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.standalone.emphasis import DEEPEST, STRONGEST, Span, parse_emphasis


def _pairs(prompt: str) -> list[tuple[str, float]]:
    return [(span.text, round(span.weight, 4)) for span in parse_emphasis(prompt)]


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("", [("", 1.0)]),
        ("a red circle", [("a red circle", 1.0)]),
        ("a (red) circle", [("a ", 1.0), ("red", 1.1), (" circle", 1.0)]),
        ("a ((red)) circle", [("a ", 1.0), ("red", 1.21), (" circle", 1.0)]),
        ("a [red] circle", [("a ", 1.0), ("red", 0.9091), (" circle", 1.0)]),
        ("([red])", [("red", 1.0)]),
        ("(red:1.5)", [("red", 1.5)]),
        ("(red: 1.5 )", [("red", 1.5)]),
        ("(red:.5)", [("red", 0.5)]),
        ("(red:-1)", [("red", -1.0)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        ("(unclosed", [("unclosed", 1.1)]),
        ("[unclosed (both", [("unclosed ", 0.9091), ("both", 1.0)]),
        ("closed) never opened]", [("closed) never opened]", 1.0)]),
        (r"a \(red\) \[x\] \\ y", [("a (red) [x] \\ y", 1.0)]),
        ("scale 1:2, (a:b)", [("scale 1:2, ", 1.0), ("a:b", 1.1)]),
        ("no bracket :1.5)", [("no bracket :1.5)", 1.0)]),
        ("()", [("", 1.0)]),
        ("(x:1e5)", [("x:1e5", 1.1)]),
    ],
)
def test_meaning(prompt: str, spans: list[tuple[str, float]]) -> None:
    assert _pairs(prompt) == spans


def test_break_is_a_word_of_its_own() -> None:
    assert parse_emphasis("a BREAK b") == [Span("a ", 1.0), Span("", 1.0, True), Span(" b", 1.0)]
    assert _pairs("BREAKFAST and OUTBREAK, Break") == [("BREAKFAST and OUTBREAK, Break", 1.0)]


def test_emphasis_goes_on_over_a_break() -> None:
    spans = parse_emphasis("(a BREAK b:2)")
    assert [(span.text, span.weight, span.breaks) for span in spans] == [
        ("a ", 2.0, False),
        ("", 1.0, True),
        (" b", 2.0, False),
    ]


def test_weights_stay_in_bounds() -> None:
    assert _pairs("(x:100000)") == [("x", STRONGEST)]
    assert _pairs("(x:-100000)") == [("x", -STRONGEST)]
    assert _pairs("(" * 60 + "x" + ")" * 60) == [("x", STRONGEST)]
    assert _pairs("(x:" + "9" * 400 + ")") == [("x", STRONGEST)]
    assert _pairs("((x:" + "9" * 400 + "):0)") == [("x", 0.0)]


@pytest.mark.parametrize("piece", ["(", "[", ")", "([", "(a", "(a:1)", "a(", "BREAK ", "\\", ":1)", "B"])
def test_ten_thousand_of_anything_take_no_time(piece: str) -> None:
    started = time.perf_counter()
    spans = parse_emphasis(piece * (10_000 // len(piece)))
    assert time.perf_counter() - started < 2
    assert all(-STRONGEST <= span.weight <= STRONGEST for span in spans)


def test_brackets_too_deep_are_characters() -> None:
    text = "".join(span.text for span in parse_emphasis("(" * (DEEPEST + 3) + "x"))
    assert text == "(((x"


@given(st.text(alphabet="ab ()[]:.\\0123456789-BREAKé中😀\u202e\x00"))
def test_nothing_is_lost_and_nothing_fails(prompt: str) -> None:
    spans = parse_emphasis(prompt)
    assert spans
    assert all(abs(span.weight) <= STRONGEST for span in spans)
    kept = "".join(span.text for span in spans)
    assert [c for c in kept if c in "abé中😀"] == [c for c in prompt if c in "abé中😀"]
