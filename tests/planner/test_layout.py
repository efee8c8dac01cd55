"""Boxes of stories: valid, apart, of a sensible size, and in the relations that the story tells."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.planner.builtin.english import read_english
from lib_ranni.planner.builtin.layout import MAX_PLACED, Layout, lay_out
from lib_ranni.planner.builtin.layout_rects import Rect, around, common_area
from lib_ranni.planner.builtin.layout_relations import clears, holds
from lib_ranni.planner.builtin.layout_sizes import best_columns
from lib_ranni.planner.builtin.story import Kind, Link, Spot, Story, Thing
from tests.planner.strategies import aspects, plain_stories, stories


def boxes(layout: Layout, thing: int) -> list[Rect]:
    return [placed.rect for placed in layout.placed if placed.thing == thing]


def plan(prompt: str, aspect: float = 1.0) -> tuple[Story, Layout, list[Rect]]:
    """A prompt's story, its layout, and one rectangle around each thing."""
    story = read_english(prompt)
    layout = lay_out(story, aspect)
    return story, layout, [around(boxes(layout, n)) for n in range(len(story.things))]


def in_pixels(rect: Rect, aspect: float) -> Rect:
    return Rect(rect.x0 * aspect, rect.y0, rect.x1 * aspect, rect.y1)


@given(stories(), aspects)
def test_any_story_gets_valid_boxes_for_every_instance(story: Story, aspect: float) -> None:
    layout = lay_out(story, aspect)
    for placed in layout.placed:
        rect = placed.rect
        assert -1e-9 <= rect.x0 < rect.x1 <= 1 + 1e-9
        assert -1e-9 <= rect.y0 < rect.y1 <= 1 + 1e-9
    for index, thing in enumerate(story.things):
        expected = 0 if index in layout.left_out else thing.count
        assert len(boxes(layout, index)) == expected
    assert len(layout.placed) <= MAX_PLACED


@given(stories(), aspects)
def test_a_layout_is_deterministic(story: Story, aspect: float) -> None:
    assert lay_out(story, aspect) == lay_out(story, aspect)


@given(plain_stories(), aspects)
def test_unrelated_things_do_not_overlap(story: Story, aspect: float) -> None:
    layout = lay_out(story, aspect)
    for one, two in combinations(layout.placed, 2):
        assert common_area(one.rect, two.rect) < 1e-9


@given(stories(), aspects)
def test_what_does_not_hold_is_noted(story: Story, aspect: float) -> None:
    story.rows = []
    story.links = [link for link in story.links if link.kind in {"left", "above"}]
    for thing in story.things:
        thing.spot = None
    layout = lay_out(story, aspect)
    whole = {n: around(boxes(layout, n)) for n in range(len(story.things)) if n not in layout.left_out}
    kept = [link for link in story.links if {link.subject, link.target} <= whole.keys()]
    false = []
    for link in kept:
        subject, target = whole[link.subject], whole[link.target]
        slanted = clears(link.kind, subject, target)  # wholly on that side, however far to another as well
        if link.subject != link.target and not (holds(link.kind, subject, target) or slanted):
            false.append(link)
    assert len(layout.notes) == len(false)


def test_what_is_kept_on_a_slant_is_no_contradiction() -> None:
    story = Story([Thing("cat", "cat") for _ in range(3)])
    story.links = [Link("left", 0, 1), Link("above", 0, 2), Link("above", 1, 2)]
    layout = lay_out(story, 0.1)
    second, third = boxes(layout, 1)[0], boxes(layout, 2)[0]
    assert clears("above", second, third)
    assert not holds("above", second, third)
    assert layout.notes == []


@given(st.permutations(range(6)), st.sampled_from(["left", "above"]), st.data())
def test_relations_without_contradiction_hold(order: list[int], kind: Kind, data: st.DataObject) -> None:
    """Any part of one order along one axis can be kept entirely."""
    story = Story([Thing("cat", "cat") for _ in order])
    pairs = data.draw(st.lists(st.sampled_from(list(combinations(order, 2))), unique=True, max_size=10))
    story.links = [Link(kind, *pair) for pair in pairs]
    layout = lay_out(story, 1.0)
    assert layout.notes == []
    for link in story.links:
        subject, target = boxes(layout, link.subject)[0], boxes(layout, link.target)[0]
        assert holds(kind, subject, target)


@given(st.lists(st.sampled_from(["on", "under", "front", "inside", "hold"]), min_size=1, max_size=4))
def test_chains_of_contact_hold(kinds: list[Kind]) -> None:
    story = Story([Thing("box", "box") for _ in range(len(kinds) + 1)])
    story.links = [Link(kind, n, n + 1) for n, kind in enumerate(kinds)]
    assert lay_out(story, 1.0).notes == []


@pytest.mark.parametrize("aspect", [0.66, 1.0, 1.5])
@pytest.mark.parametrize(
    ("prompt", "kind", "subject", "target"),
    [
        ("a red car to the left of a blue bench", "left", 0, 1),
        ("a toaster right of a zebra", "left", 1, 0),
        ("an umbrella above a fork", "above", 0, 1),
        ("a giraffe below a bus", "above", 1, 0),
        ("a cat on a table", "on", 0, 1),
        ("a lamp on top of a piano", "on", 0, 1),
        ("a dog under a bed", "under", 0, 1),
        ("a bird next to a bottle", "next", 0, 1),
        ("a bicycle in front of a wall clock", "front", 0, 1),
        ("a mouse behind an elephant", "front", 1, 0),
        ("an apple in a bowl", "inside", 0, 1),
        ("a girl holding an umbrella", "hold", 1, 0),
        ("three dogs on a sofa", "on", 0, 1),
    ],
)
def test_a_relation_holds(prompt: str, kind: Kind, subject: int, target: int, aspect: float) -> None:
    _, layout, whole = plan(prompt, aspect)
    pixels = [in_pixels(rect, aspect) for rect in whole]
    assert holds(kind, pixels[subject], pixels[target])
    assert layout.notes == []


def test_between_stands_between() -> None:
    _, layout, whole = plan("a cat between a dog and a horse")
    assert holds("between", whole[0], whole[1], whole[2])
    assert layout.notes == []


def test_two_of_one_thing_have_something_between_them() -> None:
    story, layout, whole = plan("a cat between two dogs")
    one, two = boxes(layout, 1)
    assert story.things[1].count == 2
    assert holds("between", whole[0], one, two)


def test_rows_run_in_order() -> None:
    _, _, across = plan("from left to right: a cup, a book and a pen")
    assert across[0].x1 <= across[1].x0
    assert across[1].x1 <= across[2].x0
    _, _, down = plan("from top to bottom: a cup, a book and a pen")
    assert down[0].y1 <= down[1].y0
    assert down[1].y1 <= down[2].y0


def test_things_on_one_support_stand_side_by_side_above_it() -> None:
    _, _, (cat, dog, sofa) = plan("a cat and a dog on a sofa")
    assert common_area(cat, dog) == 0
    for animal in (cat, dog):
        assert sofa.y0 < animal.y1 < sofa.y1
        assert animal.y1 - sofa.y0 == pytest.approx(0.2 * (animal.y1 - animal.y0), rel=0.01)


def test_what_is_in_front_comes_later() -> None:
    story = Story([Thing("ball", "ball"), Thing("box", "box"), Thing("table", "table")])
    story.links = [Link("inside", 0, 1), Link("on", 1, 2)]
    assert [placed.thing for placed in lay_out(story, 1.0).placed] == [2, 1, 0]


def test_scenery_lies_behind_everything() -> None:
    story = Story(
        [Thing("cow", "cow"), Thing("sky", "sky", strip="top"), Thing("grass", "grass", strip="bottom")]
    )
    layout = lay_out(story, 1.0)
    assert [placed.thing for placed in layout.placed] == [1, 2, 0]
    sky, grass = layout.placed[0].rect, layout.placed[1].rect
    assert (sky.x0, sky.x1, sky.y0) == (0, 1, 0)
    assert (grass.x0, grass.x1, grass.y1) == (0, 1, 1)


def test_above_the_grass_is_clear_of_it() -> None:
    story = Story([Thing("bird", "bird"), Thing("grass", "grass", strip="bottom")], [Link("above", 0, 1)])
    layout = lay_out(story, 1.0)
    assert layout.notes == []
    assert boxes(layout, 0)[0].y1 <= boxes(layout, 1)[0].y0


@pytest.mark.parametrize("x", [0.0, 1.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_corners(x: float, y: float) -> None:
    (placed,) = lay_out(Story([Thing("cat", "cat", spot=Spot(x, y))]), 1.5).placed
    rect = placed.rect
    assert (rect.x0 < 0.05 and rect.x1 < 0.6) if x == 0 else (rect.x1 > 0.95 and rect.x0 > 0.4)
    assert (rect.y0 < 0.05 and rect.y1 < 0.6) if y == 0 else (rect.y1 > 0.95 and rect.y0 > 0.4)


def test_center_stays_in_the_center() -> None:
    story = Story([Thing("cat", "cat", spot=Spot(0.0, 0.0)), Thing("dog", "dog", spot=Spot(0.5, 0.5))])
    dog = boxes(lay_out(story, 1.0), 1)[0]
    assert dog.cx == pytest.approx(0.5)
    assert dog.cy == pytest.approx(0.5)


def test_the_background_is_behind_and_may_be_covered() -> None:
    story = Story([Thing("castle", "castle", spot=Spot(behind=True)), Thing("dog", "dog")])
    assert [placed.thing for placed in lay_out(story, 1.0).placed] == [0, 1]


def test_sizes_are_sensible() -> None:
    (single,) = plan("a ball")[2]
    assert 0.55 <= single.width <= 0.65
    one, two = plan("a cat and a chair")[2]
    assert all(0.35 <= rect.width <= 0.43 for rect in (one, two))
    mouse, elephant = plan("a mouse next to an elephant")[2]
    assert mouse.width * mouse.height < elephant.width * elephant.height
    large, small = plan("a large ball and a small ball")[2]
    assert large.width / small.width == pytest.approx(1.35 / 0.65)
    giraffe, car = plan("a giraffe next to a car")[2]
    assert giraffe.height > giraffe.width
    assert car.width > car.height


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.6])
@pytest.mark.parametrize(
    "prompt", ["a red circle", "four blue squares", "a star above a ring", "a big heart"]
)
def test_plain_shapes_are_square_in_pixels(prompt: str, aspect: float) -> None:
    story, layout, _ = plan(prompt, aspect)
    assert len(layout.placed) == sum(thing.count for thing in story.things)
    for placed in layout.placed:
        assert placed.rect.width * aspect == pytest.approx(placed.rect.height)


@pytest.mark.parametrize("count", range(1, 25))
def test_counts_up_to_two_dozen_do_not_overlap(count: int) -> None:
    layout = lay_out(Story([Thing("apple", "apple", count)]), 1.0)
    assert len(layout.placed) == count
    for one, two in combinations(layout.placed, 2):
        assert common_area(one.rect, two.rect) < 1e-9
    assert min(placed.rect.width for placed in layout.placed) > 0.1


@pytest.mark.parametrize(("count", "aspect", "columns"), [(4, 1.0, 2), (6, 1.5, 3), (3, 3.0, 3), (3, 0.3, 1)])
def test_columns_fit_the_canvas(count: int, aspect: float, columns: int) -> None:
    assert best_columns(count, (1.0, 1.0), aspect) == columns


def test_contradictions_are_dropped_and_noted() -> None:
    story = Story([Thing("cat", "cat"), Thing("dog", "dog"), Thing("cow", "cow")])
    story.links = [Link("left", 0, 1), Link("left", 1, 2), Link("left", 2, 0), Link("above", 0, 1)]
    layout = lay_out(story, 1.0)
    assert len(layout.notes) == 2
    assert "“cow” left of “cat”" in layout.notes[0]
    whole = [boxes(layout, n)[0] for n in range(3)]
    assert holds("left", whole[0], whole[1])
    assert holds("left", whole[1], whole[2])


def test_what_does_not_fit_in_is_left_out_and_said() -> None:
    story = Story([Thing("cat", "cat", 24) for _ in range(6)])
    layout = lay_out(story, 1.0)
    assert layout.left_out == [4, 5]
    assert len(layout.placed) == 96


def test_the_holder_stands_where_what_is_held_is_said_to_be() -> None:
    _, layout, (girl, umbrella, house) = plan("a girl holding an umbrella in front of a house")
    assert layout.notes == []
    assert girl.width > umbrella.width
    assert common_area(girl, house) > 0
