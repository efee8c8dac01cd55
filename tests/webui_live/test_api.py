"""The extension's routes, its argument and its infotext in the real host."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui_live.host import Host, encoded, panel, pixels, request_of

BAD_PANELS: list[tuple[Any, str]] = [
    (7, "panel"),
    ({"elements": 7}, "panel.elements"),
    (
        {"elements": [{"description": "a", "box": {"x0": 0, "y0": 0, "x1": 9, "y1": 1}}]},
        "panel.elements[0].box",
    ),
    ({"elements": [{"description": "<b>a</b>"}]}, "panel.elements[0].box"),
    ({"base": 1}, "panel.base"),
    ({"aspect": 1e300, "elements": []}, "panel.aspect"),
]


@pytest.mark.parametrize(("bad", "path"), BAD_PANELS)
@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
def test_a_bad_panel_is_refused_with_its_path(host: Host, kind: str, bad: Any, path: str) -> None:
    start = encoded(Image.new("RGB", (128, 128), "gray"))
    fields: dict[str, Any] = {} if kind == "txt2img" else {"init_images": [start]}
    answer = host.generation(kind, {"panel": bad}, **fields)
    assert answer.status_code == 422
    assert path in [fault["loc"][-1] for fault in answer.json()["detail"]]


def test_an_unknown_planner_is_refused(host: Host) -> None:
    answer = host.generation(request={"planner": {"name": "../../etc"}})
    assert answer.status_code == 422
    assert "choose one of builtin" in answer.json()["detail"][0]["msg"]


def test_a_planned_picture_says_what_was_planned(host: Host) -> None:
    prompt = "a red circle to the left of a blue square, plain background"
    drawn = host.draw(request=[True, {"planner": {"name": "builtin"}}], prompt=prompt)
    assert drawn.request is not None
    found = [element["description"] for element in drawn.request["panel"]["elements"]]
    assert found == ["red circle", "blue square"]
    assert drawn.infotexts[0].startswith(prompt)


def test_what_an_infotext_says_draws_the_same_picture(host: Host) -> None:
    asked = {"panel": panel(), "guidance": {"mode": "latent", "base_ratio": 0.3, "feather": 0.1}}
    first = host.draw(request=asked)
    again = host.draw(request=first.request)
    assert np.array_equal(first.pixels, again.pixels)
    assert first.request == again.request


def test_an_infotext_goes_through_png_info(host: Host) -> None:
    hard = panel('a "red", circle:\nwith \\ and ünïcode 红色 <b>{}', "x: y, z: 1, w: 2")
    drawn = host.draw(request={"panel": hard})
    parsed = host.post("/sdapi/v1/png-info", {"image": drawn.files[0]}).json()["parameters"]
    assert json.loads(parsed["Ranni"]) == drawn.request
    found = [element["description"] for element in json.loads(parsed["Ranni"])["panel"]["elements"]]
    assert found == [element["description"] for element in hard["elements"]]
    again = host.draw(request=parsed["Ranni"])
    assert np.array_equal(drawn.pixels, again.pixels)


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        (("Mode", ["attention", "latent"]), ("Base ratio", "0, 0.3, 0.6"), None),
        (("Base ratio", "0, 0.3, 0.6"), ("End", "0.3, 0.6, 1"), None),
        (("Layout noise", "0, 3, 10"), ("Attention bias", "0, 0.2, 1"), None),
        (("Feather", "0, 0.1"), ("Base ratio", "0.1, 0.5"), ("Mode", ["attention", "latent"])),
    ],
)
def test_every_cell_of_a_grid_is_drawn_again_from_its_infotext(host: Host, x: Any, y: Any, z: Any) -> None:
    given = [axis[1] for axis in (x, y, z) if axis is not None]
    count = math.prod(len(values if isinstance(values, list) else values.split(", ")) for values in given)
    asked = {"panel": panel(colors=["#00ff00"])}
    drawn = host.draw(request=asked, prompt="a red circle", **host.grid(x, y, z))
    found = [request_of(text) for text in drawn.infotexts]
    cells = [n for n, picture in enumerate(drawn.pictures) if picture.size == (128, 128)]
    assert len(cells) == count
    assert len({pixels(drawn.pictures[n]).tobytes() for n in cells}) == count
    assert len({json.dumps(found[n]) for n in cells}) == count
    for n in cells:
        alone = host.draw(request=found[n], prompt="a red circle")
        assert np.array_equal(alone.pixels, pixels(drawn.pictures[n]))


@pytest.mark.parametrize(
    ("values", "complaint"), [("magic", "none of attention, latent"), ("attention, magic", "none of")]
)
def test_values_of_an_axis_are_checked_before_anything_is_drawn(
    host: Host, values: str, complaint: str
) -> None:
    answer = host.generation(request={"panel": panel()}, **host.grid(("Mode", values), typed=True))
    assert answer.status_code == 500
    assert complaint in json.dumps(answer.json())


def test_the_routes_answer(host: Host) -> None:
    version = host.get("/ranni/v1/version").json()
    assert version["modes"] == ["attention", "latent", "panel"]
    assert "$defs" in host.get("/ranni/v1/schema").json()
    planned = host.post("/ranni/v1/plan", {"prompt": "two red apples"}).json()
    assert len(planned["panel"]["elements"]) == 2
    moved = {"panel": planned["panel"], "operations": [{"op": "move", "id": "e1", "by": [0, 0.1]}]}
    assert "Moved" in host.post("/ranni/v1/edit", moved).json()["changes"][0]
    preview = host.post("/ranni/v1/preview", {"panel": panel(), "size": 200})
    assert Image.open(io.BytesIO(preview.content)).size == (200, 200)
    masks = host.post(
        "/ranni/v1/masks", {"panel": panel(), "width": 16, "height": 8, "guidance": {"base_ratio": 0.25}}
    )
    maps = np.asarray(Image.open(io.BytesIO(masks.content))).reshape(3, 8, 16)
    assert int(masks.headers["X-Ranni-Maps"]) == 3
    assert np.abs(maps.astype(int).sum(0) - 255).max() <= 2
    assert maps[1, 4, 4] == 191


@pytest.mark.parametrize(
    ("route", "data", "status"),
    [
        ("plan", b"{", 400),
        ("plan", b"[]", 422),
        ("plan", b"[" * 5000, 400),
        ("plan", b'{"prompt": NaN}', 400),
        ("plan", b'{"prompt": "\xff"}', 400),
        ("plan", b'{"prompt": "' + b"x" * 9_000_000 + b'"}', 413),
        ("plan", b'{"prompt": "x", "planner": "../secret"}', 422),
        ("plan", b'{"prompt": "x", "aspect": 1e300}', 422),
        ("edit", b'{"panel": {}, "operations": [{"op": "fly"}]}', 422),
        ("edit", b'{"panel": {}, "operations": [{"op": "remove", "id": "e9"}]}', 422),
        ("validate", b"{}", 422),
        ("preview", b'{"panel": {}, "size": 100000}', 422),
        ("preview", b'{"panel": {"elements": 3}}', 422),
        ("masks", b'{"panel": {}, "width": 0}', 422),
        ("masks", b'{"panel": {}, "guidance": {"overlap": "magic"}}', 422),
    ],
)
def test_bad_bodies_are_4xx(host: Host, route: str, data: bytes, status: int) -> None:
    answer = host.send(f"/ranni/v1/{route}", data)
    assert answer.status_code == status
    assert answer.json()["error"]
