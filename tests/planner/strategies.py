"""Random stories for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from lib_ranni.planner.builtin.story import Link, Spot, Story, Thing

HEADS = ("cat", "circle", "table", "giraffe", "bus", "apple", "sky", "grass", "sun", "猫", "大树", "草地")
STRIPS = {"sky": "top", "sun": "top", "grass": "bottom", "草地": "bottom"}
KINDS = ("left", "above", "on", "under", "next", "between", "front", "inside", "hold")


@st.composite
def things(draw: st.DrawFn, most: int = 24, spots: bool = True) -> Thing:
    head = draw(st.sampled_from(HEADS))
    thing = Thing(head, head, draw(st.integers(1, most)), size=draw(st.sampled_from([0.65, 1.0, 1.35])))
    thing.strip = STRIPS.get(head, "")  # type: ignore[assignment]
    place = st.sampled_from([None, 0.0, 0.5, 1.0])
    if spots and draw(st.integers(0, 3)) == 0:
        thing.spot = Spot(draw(place), draw(place), draw(st.booleans()))
    return thing


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Any story: contradictions, cycles and relations of a thing to itself included."""
    story = Story(draw(st.lists(things(), max_size=9)))
    if not story.things:
        return story
    index = st.integers(0, len(story.things) - 1)
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=12)):
        other = draw(index) if kind == "between" else None
        story.links.append(Link(kind, draw(index), draw(index), other))  # type: ignore[arg-type]
    for axis in draw(st.lists(st.sampled_from(["x", "y"]), max_size=2)):
        story.rows.append((axis, tuple(draw(st.lists(index, max_size=5)))))  # type: ignore[arg-type]
    return story


@st.composite
def plain_stories(draw: st.DrawFn) -> Story:
    """Things without any relation, none of them scenery."""
    found = draw(st.lists(things(spots=False), min_size=1, max_size=9))
    for thing in found:
        thing.strip = ""
    return Story(found)


aspects = st.sampled_from([0.1, 0.5, 0.75, 1.0, 1.5, 2.0, 10.0])
