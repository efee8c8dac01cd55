"""Memory edits in the real host: exact with every sampler, in every pass, and never at a picture's cost."""

from __future__ import annotations

import json
import uuid
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ranni.guidance.edit_region import edit_region
from lib_ranni.panel.reading import load
from lib_ranni.panel.writing import to_document
from tests.unit_operations import BEFORE, OPERATIONS, require_edited
from tests.webui_live.host import Drawn, Host, encoded, panel, pixels
from tests.webui_live.pages import EDITOR, SCRIPT, panel_text, switch_on, type_in
from tests.webui_live.tab import Tab
from tests.webui_live.test_journey import drawn

OLD, NEW = panel(), panel(right="a green star")


class User:
    """Somebody with a session of his own."""

    def __init__(self, host: Host) -> None:
        self._host, self.key = host, uuid.uuid4().hex

    def request(self, document: Any, **memory: Any) -> dict[str, Any]:
        return {"panel": document, "memory": {"key": self.key, **memory}}

    def draw(self, document: Any, kind: str = "txt2img", **fields: Any) -> Drawn:
        return self._host.draw(kind, self.request(document), **{"steps": 4, **fields})


@pytest.fixture
def user(host: Host) -> User:
    return User(host)


def differences(before: Drawn, after: Drawn, size: tuple[int, int], image: int = 0) -> tuple[int, int]:
    """Largest difference of a pixel (0..255) where the edit does not reach, and anywhere."""
    region = edit_region(load(json.dumps(OLD)), load(json.dumps(NEW)), size)
    kept = (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    assert 0.1 < kept.mean() < 1
    levels = np.abs(pixels(before.pictures[image]) - pixels(after.pictures[image])).max(2)
    return int(levels[kept].max()), int(levels.max())


def edits_of(drawn: Drawn, host: Host, image: int = 0) -> list[Any]:
    """The earlier pictures in an infotext, as PNG Info reads them."""
    found = host.post("/sdapi/v1/png-info", {"image": drawn.files[image]}).json()["parameters"]
    return json.loads(found.get("Ranni edits", "[]"))


@pytest.fixture(scope="module")
def first(host: Host) -> tuple[User, Drawn]:
    drawer = User(host)
    return drawer, drawer.draw(to_document(BEFORE), steps=12, seed=5)


@pytest.mark.parametrize("way", ["in words", "by hand"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_six_operations(host: Host, first: tuple[User, Drawn], operation: str, way: str) -> None:
    drawer, before = first
    words, by_hand = OPERATIONS[operation]
    document = to_document(by_hand(BEFORE))
    if way == "in words":
        asked = {"panel": to_document(BEFORE), "instruction": words}
        document = host.post("/ranni/v1/edit", asked).json()["panel"]
    after = drawer.draw(document, steps=12, seed=5)
    require_edited(operation, load(json.dumps(document)), before.pictures[0], after.pictures[0])
    assert edits_of(after, host)[0] == {"panel": to_document(BEFORE)}


SAMPLERS = (
    *("Euler", "DDIM", "DPM++ 2M", "Heun", "UniPC", "PLMS", "LMS", "Restart", "LCM"),
    *("Euler a", "DPM++ SDE", "DPM++ 2M SDE"),
)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_rest_is_kept_to_the_bit_with_every_sampler(user: User, sampler: str) -> None:
    fields: dict[str, Any] = {"sampler_name": sampler, "width": 136, "height": 104}
    before, after = user.draw(OLD, **fields), user.draw(NEW, **fields)
    kept, most = differences(before, after, (13, 17))
    assert (kept, most > 10) == (0, True)


@pytest.mark.parametrize("sampler", ["DDIM CFG++", "DPM adaptive"])
def test_samplers_that_cannot_keep_are_named(user: User, sampler: str) -> None:
    drawn = user.draw(OLD, sampler_name=sampler, steps=2)
    assert f"{sampler} cannot be edited with memory" in drawn.infotexts[0]


def test_every_picture_of_batches_has_its_own_memory_and_undo_brings_it_back(user: User, host: Host) -> None:
    fields = {"batch_size": 2, "n_iter": 2, "seed": -1}
    before, after = user.draw(OLD, **fields), user.draw(NEW, **fields)
    for image in range(4):
        kept, most = differences(before, after, (16, 16), image)
        assert (kept, most > 10) == (0, True)
        assert len(edits_of(after, host, image)) == 1
    back = user.draw(OLD, **fields)
    pairs = list(zip(before.pictures, back.pictures, strict=True))
    assert [np.array_equal(pixels(one), pixels(other)) for one, other in pairs] == [True] * 4
    fresh = user.draw(OLD, **fields)
    assert not np.array_equal(fresh.pixels, before.pixels)


def test_a_chain_is_drawn_again_from_its_infotext(user: User, host: Host) -> None:
    user.draw(OLD)
    user.draw(NEW)
    third = host.draw(request=user.request(panel("a yellow triangle", "a green star"), margin=0), steps=4)
    chain = edits_of(third, host)
    assert [(step.get("margin"), step["panel"]["elements"][1]["description"]) for step in chain] == [
        (None, "a blue square"),
        (1, "a green star"),
    ]
    assert third.request is not None
    other = User(host)
    for step in (*chain, {"panel": third.request["panel"], "margin": third.request["memory"]["margin"]}):
        margins = {name: step[name] for name in ("margin", "feather") if name in step}
        again = host.draw(request=other.request(step["panel"], **margins), steps=4)
    assert np.array_equal(again.pixels, third.pixels)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": 2}, "seed 1 (not 2)"),
        ({"steps": 5}, "steps 4 (not 5)"),
        ({"scheduler": "Karras"}, "scheduler Automatic (not Karras)"),
        ({"sampler_name": "DDIM"}, "sampler Euler (not DDIM)"),
        ({"prompt": "black background"}, "prompt plain background (not black background)"),
        ({"override_settings": {"sd_model_checkpoint": "tinysd2"}}, "checkpoint shapes"),
    ],
)
def test_what_does_not_fit_is_named_and_drawn_plain(
    user: User, host: Host, fields: dict[str, Any], said: str
) -> None:
    user.draw(OLD)
    drawn, plain = user.draw(NEW, **fields), host.draw(request={"panel": NEW}, **{"steps": 4, **fields})
    assert said in drawn.infotexts[0]
    assert np.array_equal(drawn.pixels, plain.pixels)


@pytest.mark.parametrize(("upscaler", "scale"), [("Latent", 1.5), ("Lanczos", 1.25)])
def test_the_hires_pass_keeps_the_rest(user: User, upscaler: str, scale: float) -> None:
    fields = {"enable_hr": True, "hr_upscaler": upscaler, "hr_scale": scale, "denoising_strength": 0.7}
    before, after = user.draw(OLD, **fields), user.draw(NEW, **fields)
    side = int(16 * scale)
    kept, most = differences(before, after, (side, side))
    assert (kept, most > 10) == (0, True)


def test_a_real_picture_to_start_from(user: User) -> None:
    start = Image.linear_gradient("L").resize((128, 128)).convert("RGB")
    fields: dict[str, Any] = {"init_images": [encoded(start)], "denoising_strength": 0.6, "steps": 8}
    before, after = user.draw(OLD, "img2img", **fields), user.draw(NEW, "img2img", **fields)
    kept, most = differences(before, after, (16, 16))
    assert (kept, most > 10) == (0, True)
    fields["init_images"] = [encoded(start.rotate(90))]
    assert "picture to start from" in user.draw(NEW, "img2img", **fields).infotexts[0]


def test_only_the_masked_part(user: User) -> None:
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (64, 20, 128, 110))
    fields: dict[str, Any] = {
        "init_images": [encoded(Image.new("RGB", (128, 128), "white"))],
        "mask": encoded(mask),
        "inpaint_full_res": True,
        "denoising_strength": 0.9,
        "steps": 8,
    }
    before, after = user.draw(OLD, "img2img", **fields), user.draw(NEW, "img2img", **fields)
    levels = np.abs(before.pixels - after.pixels).max(2)
    assert levels[:, :56].max() == 0
    assert levels[40:88, 74:118].max() > 10
    assert np.array_equal(user.draw(OLD, "img2img", **fields).pixels, before.pixels)


def test_what_is_interrupted_or_fails_is_not_remembered(user: User, host: Host, recorder: None) -> None:
    before = user.draw(OLD)
    user.draw(NEW, recorder={"interrupt_at": 3})
    failed = host.generation(request=user.request(NEW), recorder={"fail_at": 3}, steps=4)
    assert failed.status_code == 500
    after = user.draw(NEW)
    assert edits_of(after, host) == [{"panel": {"version": 1, **OLD}}]
    assert differences(before, after, (16, 16))[0] == 0


def test_nothing_of_it_stays_in_the_host(user: User, host: Host, recorder: None) -> None:
    user.draw(OLD)
    user.draw(NEW)
    host.post("/ranni-recorder/remember", {})
    user.draw(NEW)
    user.draw(NEW, recorder={"interrupt_at": 3}, steps=5)
    assert host.get("/ranni-recorder/changes").json() == []


def test_a_picture_within_a_picture_leaves_memory_alone(user: User, host: Host, recorder: None) -> None:
    fields: dict[str, Any] = {"recorder": {"draw_within": True}}
    for nested in (False, True):
        settings = {"override_settings": {"ranni_nested": nested}}
        user.draw(OLD, **fields, **settings)
        assert len(edits_of(user.draw(NEW, **fields, **settings), host)) == 1
    host.post("/sdapi/v1/options", {"ranni_nested": False})


def test_a_grid_over_the_margin_edits_one_picture(user: User, host: Host) -> None:
    scripts = host.get("/sdapi/v1/script-info").json()
    axes = next(s for s in scripts if s["name"] == "x/y/z plot" and not s["is_img2img"])["args"][0]["choices"]
    user.draw(OLD)
    axis = axes.index("[Ranni] Edit margin")
    none: list[Any] = [0, "", []]
    given = [axis, "0,3", [], *none, *none, True, True, False, True, False, False, False, 0, False]
    drawn = user.draw(NEW, script_name="x/y/z plot", script_args=given)
    narrow, wide = (pixels(picture) for picture in drawn.pictures[1:3])
    assert not np.array_equal(narrow, wide)
    assert [len(edits_of(drawn, host, image)) for image in (1, 2)] == [1, 1]


def test_the_tab_remembers_by_the_page_that_is_open(host: Host) -> None:
    def text(document: Any, key: str) -> str:
        return json.dumps({"panel": document, "memory": {"enabled": True, "key": key}})

    tab, keys = Tab(host), [uuid.uuid4().hex for _ in range(2)]
    usual = {"txt2img_steps": 2, "txt2img_width": 128, "txt2img_height": 128, "txt2img_seed": -1}

    def generate(document: Any, key: str) -> Any:
        ours = {"script_txt2img_ranni_enabled-checkbox": True}
        return tab.generate(**usual, **ours, script_txt2img_ranni_request=text(document, key))

    before, other = generate(OLD, keys[0]), generate(OLD, keys[1])
    after = generate(NEW, keys[0])
    region = edit_region(load(json.dumps(OLD)), load(json.dumps(NEW)), (16, 16))
    kept = (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    assert np.abs(before.picture - after.picture).max(2)[kept].max() == 0
    assert "% of the picture is drawn anew" in after.log
    assert not np.array_equal(before.picture, other.picture)
    assert keys[0] not in after.infotext


def test_keep_the_rest_and_edit_here_in_the_browser(page: Any, host: Host) -> None:
    for name, value in (("steps", 3), ("width", 128), ("height", 128), ("seed", -1)):
        type_in(page, f"#txt2img_{name} input[type=number]", str(value))
    page.fill("#txt2img_prompt textarea", "plain background")
    switch_on(page)
    page.click(f"{SCRIPT}_keep label")

    def draw(document: Any) -> np.ndarray:
        page.fill(f"{SCRIPT}_panel textarea", json.dumps(document))
        page.wait_for_timeout(1500)
        return drawn(page, host)

    before, after = draw(OLD), draw(NEW)
    region = edit_region(load(json.dumps(OLD)), load(json.dumps(NEW)), (16, 16))
    kept = (region == 0).repeat_interleave(8, 0).repeat_interleave(8, 1).numpy()
    assert np.abs(before - after).max(2)[kept].max() == 0
    assert np.abs(before - after).max() > 10
    page.fill("#txt2img_prompt textarea", "black background")
    page.fill(f"{SCRIPT}_panel textarea", json.dumps(panel("a pink heart")))
    page.wait_for_timeout(1000)
    page.click(f"{EDITOR} [data-text=edit_here]")
    page.wait_for_function("document.querySelector('#txt2img_seed input').value !== '-1'")
    page.wait_for_timeout(500)
    assert json.loads(panel_text(page))["elements"] == NEW["elements"]
    assert page.input_value("#txt2img_prompt textarea") == "plain background"
    third = draw(panel("a yellow triangle", "a green star"))
    levels = np.abs(third - after).max(2)
    assert levels[40:88, 80:].max() == 0
    assert levels[40:88, 10:50].max() > 10
