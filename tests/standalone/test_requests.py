"""Requests: ranges, what belongs to which picture, and JSON that reads back or is refused in one line."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError
from lib_ranni.panel import edits
from lib_ranni.panel.types import MAX_SEED, Box, Element, Panel, Provenance
from lib_ranni.standalone.requests import MAX_BATCH, Request, checked, from_json, to_json
from lib_ranni.standalone.schedulers import SAMPLERS, make_scheduler
from tests.panel.strategies import panels, seeds, texts
from tests.standalone.drawing import changed, element, request, two


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request that can be drawn."""
    batch = draw(st.integers(1, 3))
    return Request(
        panels=tuple(
            draw(st.lists(panels(most=2), min_size=1, max_size=1) | _exactly(panels(most=2), batch))
        ),
        prompt=draw(texts),
        negative=draw(texts),
        mode=draw(st.sampled_from(["plain", "attention", "latent"])),
        base_ratio=draw(st.floats(0, 1)),
        feather=draw(st.floats(0, 0.5)),
        overlap=draw(st.sampled_from(["front", "blend"])),
        start=draw(st.floats(0, 1)),
        end=draw(st.floats(0, 1)),
        steps=draw(st.integers(1, 1000)),
        cfg=draw(st.floats(0, 100)),
        sampler=draw(st.sampled_from(sorted(SAMPLERS))),
        seed=draw(seeds),
        seeds=tuple(draw(st.just([]) | _exactly(seeds, batch))),
        batch=batch,
        width=8 * draw(st.integers(8, 512)),
        height=8 * draw(st.integers(8, 512)),
        model=draw(texts),
    )


def _exactly(values: st.SearchStrategy[Any], count: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=count, max_size=count)


@given(requests())
def test_json_reads_back_the_same_request(given_request: Request) -> None:
    assert from_json(to_json(checked(given_request))) == given_request


@given(requests(), st.integers(0, 64), st.integers(0, 64))
def test_json_reads_back_edits(given_request: Request, margin: int, feather: int) -> None:
    once = changed(given_request, before=given_request, edit_margin=margin, edit_feather=feather)
    twice = changed(given_request, before=once)
    assert from_json(to_json(twice)) == twice


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_ratio", -0.1),
        ("base_ratio", 1.1),
        ("base_ratio", float("nan")),
        ("feather", 0.6),
        ("start", -0.1),
        ("end", 1.1),
        ("cfg", float("inf")),
        ("cfg", float("nan")),
        ("cfg", -1.0),
        ("steps", 0),
        ("steps", 1001),
        ("steps", 2.5),
        ("batch", 0),
        ("batch", MAX_BATCH + 1),
        ("width", 100),
        ("width", 56),
        ("height", 8192),
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("mode", "both"),
        ("overlap", "behind"),
        ("sampler", "foo"),
        ("sampler", ["ddim"]),
        ("prompt", "x" * 10_001),
        ("prompt", "half \ud800 of a pair"),
        ("negative", "\udcff"),
        ("negative", None),
        ("panels", ()),
        ("panels", (Panel(), Panel())),
        ("seeds", (1, 2)),
        ("seeds", (-1,)),
    ],
)
def test_a_value_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field) as caught:
        checked(changed(request(), **{field: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "1",
        "[]",
        '"text"',
        "{}",
        '{"panels": 3}',
        '{"panels": null}',
        '{"panels": []}',
        '{"panels": "abc"}',
        '{"panels": {"a": 1}}',
        '{"panels": [3]}',
        '{"panels": [{}], "prompt": 3}',
        '{"panels": [{}], "steps": "many"}',
        '{"panels": [{}], "steps": 1e400}',
        '{"panels": [{}], "cfg": NaN}',
        '{"panels": [{}], "seeds": [1, 2]}',
        '{"panels": [{}], "width": 1000000008}',
        '{"panels": [{}], "mode": null}',
        '{"panels": [{}], "before": 3}',
        '{"panels": [{}], "before": []}',
        '{"panels": [{}], "before": {"panels": [{}], "steps": 0}}',
        '{"panels": [{}], "before": ' * 101 + '{"panels": [{}]}' + "}" * 101,
        '{"panels": [{}], "before": ' * 9000,
        '{"panels": [{}], "before": ' * 900 + '{"panels": [{}]}' + "}" * 900,
        "[" * 100_000,
        '{"panels": [' + "[" * 5000,
        "\ud800",
        b"\xff\xfe",
        b"\x00" * 100,
    ],
)
def test_hostile_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InputError):
        from_json(text)


def test_damaged_json_is_a_request_or_refused() -> None:
    text = to_json(request(two(), two(), seeds=(1, 2)))
    rng = Random(5)
    outcomes: set[type] = set()
    for _ in range(400):
        at, length = rng.randrange(len(text)), rng.randrange(1, 6)
        noise = "".join(rng.choice('{}[]",:0129.-eE\\ux\x00é') for _ in range(rng.randrange(4)))
        try:
            outcomes.add(type(from_json(text[:at] + noise + text[at + length :])))
        except InputError:
            outcomes.add(InputError)
    assert outcomes == {Request, InputError}


def test_unknown_fields_and_damaged_panels_are_mended() -> None:
    document = json.loads(to_json(request()))
    document["newer"] = {"a": 1}
    document["panels"][0]["elements"][0]["box"]["x1"] = 7
    read = from_json(json.dumps(document))
    assert read.panels[0].elements[0].box.x1 == 1


def test_seeds_follow_by_ones_or_are_given() -> None:
    assert [request(batch=3, seed=5).seed_of(n) for n in range(3)] == [5, 6, 7]
    assert [request(batch=2, seed=MAX_SEED).seed_of(n) for n in range(2)] == [MAX_SEED, 0]
    assert [request(batch=2, seeds=(9, 4)).seed_of(n) for n in range(2)] == [9, 4]


def test_one_panel_serves_all_pictures_or_each_has_its_own() -> None:
    one, other = two(), Panel(base="nothing")
    assert request(one, batch=3).panel(2) is one
    assert request(one, other).panel(1) is other


def test_plain_prompt_is_the_requests_or_the_panels_own_words() -> None:
    panel = Panel(base="a room", elements=(element(1, "a cat"), element(2, "a lamp")))
    planned = msgspec.structs.replace(panel, provenance=Provenance(prompt="a cat by a lamp"))
    assert request(panel, prompt="mine").plain_prompt(0) == "mine"
    assert request(planned).plain_prompt(0) == "a cat by a lamp"
    assert request(panel).plain_prompt(0) == "a cat, a lamp, a room"
    assert request(Panel()).plain_prompt(0) == ""


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_keeps_the_checkpoints_schedule(sampler: str) -> None:
    config = {
        "beta_start": 0.002,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "prediction_type": "v_prediction",
        "trained_betas": None,
        "clip_sample": True,
    }
    scheduler = make_scheduler(sampler, config)
    assert (scheduler.config.beta_start, scheduler.config.beta_end) == (0.002, 0.02)
    assert scheduler.config.prediction_type == "v_prediction"


def test_an_unknown_sampler_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match="euler-a"):
        make_scheduler("nope", {})


def test_an_edited_panel_no_longer_speaks_with_the_words_it_was_planned_from() -> None:
    element = Element(id="e1", description="red circle", box=Box(0, 0, 0.5, 0.5))
    planned = Panel(base="gray background", elements=(element,), provenance=Provenance(prompt="a red circle"))
    edited = edits.replace(planned, "e1", "blue square")
    assert Request(panels=(planned,)).plain_prompt(0) == "a red circle"
    assert Request(panels=(edited,)).plain_prompt(0) == "blue square, gray background"
    assert Request(panels=(edited,), prompt="my own words").plain_prompt(0) == "my own words"
