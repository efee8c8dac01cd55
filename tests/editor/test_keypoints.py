"""Keypoints: put down, dragged, named, and given away as a pose."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from tests.editor.driving import click, drag, element, load, sides, tool, value

NEAR = 0.004
A = element("e1", (0.2, 0.2, 0.8, 0.8))


def _points(page: Any) -> list[tuple[str, float, float]]:
    return [(p["name"], p["x"], p["y"]) for p in value(page)["elements"][0].get("keypoints", [])]


@pytest.fixture
def posed(page: Any) -> Any:
    load(page, A)
    click(page, 0.5, 0.3)
    return page


def test_points_are_put_down_in_turn_and_dragged(posed: Any) -> None:
    posed.click("text=Place points")
    click(posed, 0.5, 0.3)
    drag(posed, (0.4, 0.4), (0.5, 0.45))
    posed.fill("[data-field=add_keypoint]", "<i>tail</i>")
    click(posed, 0.1, 0.9)
    near = pytest.approx
    assert _points(posed) == [
        ("nose", near(0.5, abs=NEAR), near(0.3, abs=NEAR)),
        ("neck", near(0.5, abs=NEAR), near(0.45, abs=NEAR)),
        ("<i>tail</i>", near(0.1, abs=NEAR), near(0.9, abs=NEAR)),
    ]
    posed.keyboard.press("Escape")
    assert posed.get_attribute("text=Place points", "aria-pressed") == "false"
    assert posed.locator(".ranni-points path").count() == 1
    drag(posed, (0.5, 0.45), (0.6, 0.6))
    assert _points(posed)[1] == ("neck", near(0.6, abs=NEAR), near(0.6, abs=NEAR))
    assert sides(posed) == [0.2, 0.2, 0.8, 0.8]
    for _ in range(4):
        tool(posed, "undo")
    assert _points(posed) == []


def test_points_need_no_mouse(posed: Any) -> None:
    posed.focus("[aria-label='Add a point']")
    posed.keyboard.press("Enter")
    posed.fill("[data-field=add_keypoint]", "left_eye")
    posed.press("[data-field=add_keypoint]", "Enter")
    assert _points(posed) == [("nose", 0.5, 0.5), ("left_eye", 0.5, 0.5)]
    posed.focus("[data-tool=move_1]")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp"):
        posed.keyboard.press(key)
    assert _points(posed)[1] == ("left_eye", 0.51, 0.45)
    posed.fill("[data-field=keypoint_0]", "neck")
    assert _points(posed)[0][0] == "neck"
    posed.click("[aria-label='Remove point 1']")
    assert [name for name, *_ in _points(posed)] == ["left_eye"]
    tool(posed, "undo")
    tool(posed, "undo")
    tool(posed, "undo")
    assert _points(posed) == [("nose", 0.5, 0.5), ("left_eye", 0.5, 0.5)]


def test_points_stay_with_a_box_and_a_locked_one_keeps_them(page: Any) -> None:
    point = {"name": "eye", "x": 0.5, "y": 0.5, "later": 1}
    load(page, A | {"keypoints": [point]})
    drag(page, (0.5, 0.3), (0.55, 0.35))
    assert value(page)["elements"][0]["keypoints"] == [
        point | {"x": pytest.approx(0.55, abs=NEAR), "y": pytest.approx(0.55, abs=NEAR)}
    ]
    load(page, A | {"keypoints": [point], "locked": True})
    page.click("li[data-id=e1] .ranni-name")
    assert page.is_disabled("text=Place points")
    assert page.locator("[data-point]").count() == 0
    assert page.locator(".ranni-points circle").count() == 1


def test_a_drag_of_a_point_is_taken_back_by_escape(page: Any) -> None:
    load(page, A | {"keypoints": [{"name": "eye", "x": 0.5, "y": 0.5}]})
    click(page, 0.4, 0.3)
    drag(page, (0.5, 0.5), (0.7, 0.7), drop=False)
    assert _points(page) != [("eye", 0.5, 0.5)]
    page.keyboard.press("Escape")
    page.mouse.up()
    assert _points(page) == [("eye", 0.5, 0.5)]


def test_a_pose_is_copied_as_json_and_saved_as_a_picture(page: Any) -> None:
    body = [
        {"name": "nose", "x": 0.5, "y": 0.25},
        {"name": "neck", "x": 0.5, "y": 0.5},
        {"name": "tail", "x": 0, "y": 0},
    ]
    load(page, A | {"keypoints": body}, element("e2", (0, 0, 0.1, 0.1)))
    page.evaluate("editor.setAspect(512, 256)")
    page.click("li[data-id=e2] .ranni-name")
    page.click("text=Copy OpenPose JSON")
    page.wait_for_selector("button:text('Copied')")
    page.evaluate("editor.setAspect(512, 256)")  # draws anew, and changes nothing
    page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    assert page.is_visible("button:text('Copied')")
    pose = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert pose == {
        "people": [{"pose_keypoints_2d": [256, 64, 1, 256, 128, 1] + [0] * 48}],
        "canvas_width": 512,
        "canvas_height": 256,
    }
    with page.expect_download() as saved:
        page.click("text=Save pose as PNG")
    assert saved.value.suggested_filename == "pose.png"
    picture = Image.open(io.BytesIO(saved.value.path().read_bytes())).convert("RGB")
    assert picture.size == (512, 256)
    assert [picture.getpixel(at) for at in ((256, 64), (256, 128), (10, 200))] == [
        (255, 0, 0),
        (255, 85, 0),
        (0, 0, 0),
    ]
    assert sum(picture.getpixel((256, 96))) > 60
