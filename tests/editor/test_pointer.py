"""The canvas under a mouse and fingers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.editor.conftest import opened
from tests.editor.driving import click, drag, element, ids, load, selected, sides, spot, tool, value

NEAR = 0.004
A = element("e1", (0.1, 0.1, 0.3, 0.3))
B = element("e2", (0.5, 0.5, 0.9, 0.9))


@pytest.fixture
def plain(page: Any) -> Any:
    """A page without snapping."""
    tool(page, "snap")
    return page


def test_a_drawn_box_is_described_at_once_and_undone_in_one_step(plain: Any) -> None:
    drag(plain, (0.2, 0.3), (0.6, 0.7))
    plain.keyboard.type("a <b>red</b> circle")
    (found,) = value(plain)["elements"]
    assert found["id"] == "e1"
    assert found["description"] == "a <b>red</b> circle"
    assert sides(plain) == pytest.approx([0.2, 0.3, 0.6, 0.7], abs=NEAR)
    assert selected(plain) == ["e1"]
    plain.click(".ranni-hint")
    tool(plain, "undo")
    assert value(plain)["elements"][0]["description"] == "new element"
    tool(plain, "undo")
    assert ids(plain) == []
    tool(plain, "redo")
    assert sides(plain) == pytest.approx([0.2, 0.3, 0.6, 0.7], abs=NEAR)


def test_a_drag_moves_once_and_tells_once(plain: Any) -> None:
    load(plain, A, B)
    drag(plain, (0.2, 0.2), (0.4, 0.3))
    assert sides(plain) == pytest.approx([0.3, 0.2, 0.5, 0.4], abs=NEAR)
    plain.wait_for_timeout(250)
    assert plain.evaluate("changes.length") == 1
    assert plain.evaluate("changes[0]") == value(plain)
    assert value(plain)["provenance"] == {"edited": True}
    tool(plain, "undo")
    assert sides(plain) == [0.1, 0.1, 0.3, 0.3]


def test_a_drag_stops_at_the_edge(plain: Any) -> None:
    load(plain, A)
    drag(plain, (0.2, 0.2), (1.02, -0.03))
    assert sides(plain) == pytest.approx([0.8, 0, 1, 0.2], abs=NEAR)


@pytest.mark.parametrize(
    ("handle", "end", "expected"),
    [
        ("nw", (0.2, 0.25), (0.2, 0.25, 0.8, 0.8)),
        ("n", (0.6, 0.1), (0.4, 0.1, 0.8, 0.8)),
        ("ne", (0.9, 0.3), (0.4, 0.3, 0.9, 0.8)),
        ("e", (0.7, 0.1), (0.4, 0.4, 0.7, 0.8)),
        ("se", (0.95, 0.9), (0.4, 0.4, 0.95, 0.9)),
        ("s", (0.1, 0.6), (0.4, 0.4, 0.8, 0.6)),
        ("sw", (0.1, 0.95), (0.1, 0.4, 0.8, 0.95)),
        ("w", (0.99, 0.5), (0.79, 0.4, 0.8, 0.8)),
    ],
)
def test_each_handle_resizes(plain: Any, handle: str, end: Any, expected: Any) -> None:
    load(plain, element("e1", (0.4, 0.4, 0.8, 0.8)))
    click(plain, 0.6, 0.6)
    start = (
        0.4 if "w" in handle else 0.8 if "e" in handle else 0.6,
        0.4 if "n" in handle else 0.8 if "s" in handle else 0.6,
    )
    drag(plain, start, end)
    assert sides(plain) == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize(
    ("keys", "start", "end", "expected"),
    [
        (["Shift"], (0.8, 0.6), (0.9, 0.6), (0.4, 0.4, 0.9, 0.65)),
        (["Shift"], (0.6, 0.6), (0.6, 0.7), (0.3, 0.4, 0.9, 0.7)),
        (["Alt"], (0.8, 0.6), (0.9, 0.65), (0.3, 0.35, 0.9, 0.65)),
        (["Alt", "Shift"], (0.4, 0.5), (0.5, 0.5), (0.5, 0.45, 0.7, 0.55)),
        (["Shift"], (0.8, 0.6), (1.2, 1.2), (0.4, 0.4, 1, 0.7)),
    ],
)
def test_shift_keeps_the_proportions_and_alt_the_center(
    plain: Any, keys: list[str], start: Any, end: Any, expected: Any
) -> None:
    load(plain, element("e1", (0.4, 0.4, 0.8, 0.6)))
    click(plain, 0.6, 0.5)
    for key in keys:
        plain.keyboard.down(key)
    drag(plain, start, end)
    for key in keys:
        plain.keyboard.up(key)
    assert sides(plain) == pytest.approx(expected, abs=NEAR)


def test_several_are_scaled_about_the_opposite_handle_and_locked_ones_stay(plain: Any) -> None:
    locked = element("e3", (0.6, 0.1, 0.7, 0.2), locked=True)
    load(plain, A, element("e2", (0.4, 0.2, 0.5, 0.5)), locked)
    plain.focus(".ranni-canvas")
    plain.keyboard.press("Control+a")
    drag(plain, (0.5, 0.5), (0.9, 0.9))
    assert sides(plain, "e1") == pytest.approx([0.1, 0.1, 0.5, 0.5], abs=NEAR)
    assert sides(plain, "e2") == pytest.approx([0.7, 0.3, 0.9, 0.9], abs=NEAR)
    assert sides(plain, "e3") == [0.6, 0.1, 0.7, 0.2]
    assert selected(plain) == ["e1", "e2", "e3"]
    drag(plain, (0.9, 0.9), (0.1, 0.1))
    assert min(sides(plain, "e2")[2] - sides(plain, "e2")[0], sides(plain, "e1")[3]) >= 0.01
    tool(plain, "undo")
    tool(plain, "undo")
    assert sides(plain, "e1") == [0.1, 0.1, 0.3, 0.3]


def test_escape_takes_a_drag_back(plain: Any) -> None:
    load(plain, A)
    drag(plain, (0.2, 0.2), (0.6, 0.6), drop=False)
    assert sides(plain) != [0.1, 0.1, 0.3, 0.3]
    plain.keyboard.press("Escape")
    plain.mouse.up()
    assert sides(plain) == [0.1, 0.1, 0.3, 0.3]
    plain.wait_for_timeout(250)
    assert plain.evaluate("changes") == []


def test_snapping_meets_the_neighbor_and_shows_the_guide(page: Any) -> None:
    load(page, A, B)
    drag(page, (0.2, 0.2), (0.405, 0.25), drop=False)
    page.wait_for_selector(".ranni-guide", state="attached")
    page.mouse.up()
    assert sides(page)[2] == 0.5
    assert page.locator(".ranni-guide").count() == 0
    drag(page, (0.4, 0.25), (0.4, 0.25))
    page.mouse.move(*spot(page, 0.4, 0.25))
    page.mouse.down()
    page.keyboard.down("Control")
    page.mouse.move(*spot(page, 0.41, 0.27), steps=3)
    page.mouse.up()
    page.keyboard.up("Control")
    assert sides(page)[2] == pytest.approx(0.51, abs=NEAR)


def test_the_grid_is_snapped_to(page: Any) -> None:
    tool(page, "grid")
    drag(page, (0.13, 0.19), (0.44, 0.56))
    assert sides(page) == [0.125, 0.1875, 0.4375, 0.5625]


def test_shift_selects_several_and_they_move_together(plain: Any) -> None:
    load(plain, A, B)
    click(plain, 0.2, 0.2)
    click(plain, 0.7, 0.7, "Shift")
    assert selected(plain) == ["e1", "e2"]
    drag(plain, (0.7, 0.7), (0.65, 0.75))
    assert sides(plain, "e1") == pytest.approx([0.05, 0.15, 0.25, 0.35], abs=NEAR)
    assert sides(plain, "e2") == pytest.approx([0.45, 0.55, 0.85, 0.95], abs=NEAR)
    click(plain, 0.65, 0.75, "Shift")
    assert selected(plain) == ["e1"]
    click(plain, 0.4, 0.05)
    assert selected(plain) == []
    assert len(ids(plain)) == 2


def test_a_marquee_selects_what_it_meets(plain: Any) -> None:
    load(plain, A, B, element("e3", (0.05, 0.8, 0.2, 0.95)))
    plain.keyboard.down("Shift")
    drag(plain, (0.4, 0.05), (0.25, 0.9), drop=False)
    plain.wait_for_selector(".ranni-marquee")
    plain.mouse.up()
    plain.keyboard.up("Shift")
    assert selected(plain) == ["e1"]
    assert plain.locator(".ranni-marquee").count() == 0
    assert len(ids(plain)) == 3


def test_alt_click_goes_through_what_lies_below(plain: Any) -> None:
    load(plain, *(element(f"e{n}", (0.1, 0.1, 0.9 - n / 10, 0.9 - n / 10)) for n in (1, 2, 3)))
    click(plain, 0.2, 0.2)
    seen = [selected(plain)]
    for _ in range(3):
        click(plain, 0.2, 0.2, "Alt")
        seen.append(selected(plain))
    assert seen == [["e3"], ["e2"], ["e1"], ["e3"]]


def test_a_selected_element_below_is_dragged_and_a_click_takes_the_top(plain: Any) -> None:
    load(plain, element("e1", (0, 0, 1, 0.8)), A | {"id": "e2"})
    click(plain, 0.7, 0.7)
    drag(plain, (0.2, 0.2), (0.2, 0.3))
    assert sides(plain, "e1") == pytest.approx([0, 0.1, 1, 0.9], abs=NEAR)
    click(plain, 0.2, 0.2)
    assert selected(plain) == ["e2"]


def test_a_locked_background_is_drawn_on_and_control_draws_anywhere(plain: Any) -> None:
    load(plain, element("e1", (0, 0, 1, 1), locked=True))
    drag(plain, (0.2, 0.2), (0.4, 0.4))
    assert ids(plain) == ["e1", "e2"]
    assert sides(plain, "e1") == [0, 0, 1, 1]
    plain.keyboard.down("Control")
    drag(plain, (0.25, 0.25), (0.35, 0.35))
    plain.keyboard.up("Control")
    assert sides(plain, "e3") == pytest.approx([0.25, 0.25, 0.35, 0.35], abs=NEAR)
    click(plain, 0.8, 0.8)
    assert selected(plain) == ["e1"]
    drag(plain, (0.6, 0.6), (0.8, 0.8))
    assert sides(plain, "e4") == pytest.approx([0.6, 0.6, 0.8, 0.8], abs=NEAR)
    drag(plain, (-0.1, 0.2), (-0.02, 0.6))
    assert len(ids(plain)) == 4


def test_a_wheel_zooms_about_the_pointer_and_dragging_pans(plain: Any) -> None:
    load(plain, A)
    # What is selected somewhere would be pasted by the middle button on Linux.
    plain.fill("#elsewhere", json.dumps(A))
    plain.press("#elsewhere", "Control+a")
    click(plain, 0.2, 0.2)
    before = spot(plain, 0.2, 0.2)
    width = plain.evaluate("document.querySelector('.ranni-page').getBBox().width")
    plain.mouse.move(*before)
    plain.mouse.wheel(0, -300)
    plain.wait_for_function(
        "before => document.querySelector('.ranni-page').getBBox().width > 1.3 * before", arg=width
    )
    # Chromium tells where a wheel turns in whole pixels.
    assert spot(plain, 0.2, 0.2) == pytest.approx(before, abs=1.5)
    for button, key in (("middle", None), ("left", " ")):
        start = spot(plain, 0.2, 0.2)
        if key:
            plain.keyboard.down("Space")
        plain.mouse.move(*start)
        plain.mouse.down(button=button)
        plain.mouse.move(start[0] + 30, start[1] + 20, steps=3)
        plain.mouse.up(button=button)
        if key:
            plain.keyboard.up("Space")
        assert spot(plain, 0.2, 0.2) == pytest.approx((start[0] + 30, start[1] + 20), abs=0.5)
    assert ids(plain) == ["e1"]
    assert sides(plain) == [0.1, 0.1, 0.3, 0.3]
    tool(plain, "fit")
    assert spot(plain, 0.2, 0.2) == pytest.approx(before, abs=0.5)
    drag(plain, (0.2, 0.2), (0.3, 0.3))
    assert sides(plain) == pytest.approx([0.2, 0.2, 0.4, 0.4], abs=NEAR)


def test_a_wheel_without_the_focus_is_the_pages(plain: Any) -> None:
    load(plain, A)
    plain.mouse.move(*spot(plain, 0.2, 0.2))
    width = plain.evaluate("document.querySelector('.ranni-page').getBBox().width")
    plain.mouse.wheel(0, -300)
    plain.wait_for_timeout(100)
    assert plain.evaluate("document.querySelector('.ranni-page').getBBox().width") == width


@pytest.fixture
def touched(browser: Any, site: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 400, "height": 900}, has_touch=True)
    yield from opened(context, f"{site}/tests/editor/page.html")
    context.close()


def _fingers(session: Any, kind: str, *places: tuple[float, float]) -> None:
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_finger_selects_and_drags_and_two_zoom(touched: Any) -> None:
    tool(touched, "snap")
    load(touched, A)
    touched.touchscreen.tap(*spot(touched, 0.2, 0.2))
    assert selected(touched) == ["e1"]
    session = touched.context.new_cdp_session(touched)
    _fingers(session, "touchStart", spot(touched, 0.2, 0.2))
    for x in (0.3, 0.4, 0.5):
        _fingers(session, "touchMove", spot(touched, x, 0.5))
    _fingers(session, "touchEnd")
    assert sides(touched) == pytest.approx([0.4, 0.4, 0.6, 0.6], abs=0.01)
    before = touched.evaluate("document.querySelector('.ranni-page').getBBox().width")
    document = value(touched)
    (x0, y0), (x1, y1) = spot(touched, 0.45, 0.5), spot(touched, 0.55, 0.5)
    _fingers(session, "touchStart", (x0, y0))
    _fingers(session, "touchStart", (x0, y0), (x1, y1))
    for step in (10, 20, 30):
        _fingers(session, "touchMove", (x0 - step, y0), (x1 + step, y1))
    _fingers(session, "touchEnd")
    width = touched.evaluate("document.querySelector('.ranni-page').getBBox().width")
    assert width > 1.5 * before
    (x0, y0), (x1, y1) = spot(touched, 0.45, 0.5), spot(touched, 0.5, 0.5)
    _fingers(session, "touchStart", (x0, y0), (x1, y1))
    for step in (10, 20, 30):
        _fingers(session, "touchMove", (x0 + step, y0 + step), (x1 + step, y1 + step))
    _fingers(session, "touchEnd")
    assert spot(touched, 0.45, 0.5) == pytest.approx((x0 + 30, y0 + 30), abs=3)
    assert touched.evaluate("document.querySelector('.ranni-page').getBBox().width") == pytest.approx(
        width, rel=0.05
    )
    assert value(touched) == document


def test_a_finger_resizes_several_and_puts_down_a_point(touched: Any) -> None:
    tool(touched, "snap")
    load(touched, A, B)
    touched.focus(".ranni-canvas")
    touched.keyboard.press("Control+a")
    session = touched.context.new_cdp_session(touched)
    _fingers(session, "touchStart", spot(touched, 0.9, 0.9))
    for at in (0.8, 0.6, 0.5):
        _fingers(session, "touchMove", spot(touched, at, at))
    _fingers(session, "touchEnd")
    assert sides(touched, "e2") == pytest.approx([0.3, 0.3, 0.5, 0.5], abs=0.01)
    touched.touchscreen.tap(*spot(touched, 0.4, 0.4))
    touched.click("text=Place points")
    touched.locator(".ranni-canvas").scroll_into_view_if_needed()
    touched.touchscreen.tap(*spot(touched, 0.35, 0.45))
    (point,) = value(touched)["elements"][1]["keypoints"]
    assert (point["name"], point["x"], point["y"]) == (
        "nose",
        pytest.approx(0.35, abs=0.01),
        pytest.approx(0.45, abs=0.01),
    )


def test_a_drag_draws_anew_only_what_moves(plain: Any) -> None:
    many = [
        element(f"e{n}", (n % 10 / 10, n // 10 / 10, n % 10 / 10 + 0.08, n // 10 / 10 + 0.08))
        for n in range(100)
    ]
    load(plain, *many)
    click(plain, 0.04, 0.04)
    click(plain, 0.14, 0.04, "Shift")
    plain.evaluate(
        "() => { window.drawn = new Set(); new MutationObserver(all => all.forEach(({target}) => drawn.add("
        "target.closest?.('[data-id]')?.dataset.id ?? target.closest?.('.ranni-side')?.className))).observe("
        "document.querySelector('.ranni-editor'), {subtree: true, childList: true, attributes: true}); }"
    )
    drag(plain, (0.04, 0.04), (0.3, 0.3), drop=False)
    plain.wait_for_function("drawn.size > 0")
    assert set(plain.evaluate("[...drawn].filter(Boolean)")) == {"e0", "e1"}
    plain.mouse.up()
