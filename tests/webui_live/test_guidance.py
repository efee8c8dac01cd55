"""Guidance in the real host: it acts, it is right for every way the host arranges rows, and it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.webui_live.host import Host, encoded, panel, pixels, request_of

MODES = ("attention", "latent")


def request(mode: str, base_ratio: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {"panel": panel(**fields), "guidance": {"mode": mode, "base_ratio": base_ratio}}


def share(picture: np.ndarray, color: tuple[int, int, int], box: tuple[float, float, float, float]) -> float:
    """Share of a box, 0..1, whose pixels are near a color."""
    return float(_cut(_near(picture, color), box).mean())


def hits(picture: np.ndarray, color: tuple[int, int, int], box: tuple[float, float, float, float]) -> float:
    """Share of all pixels near a color, 0..1, that lie in a box."""
    near = _near(picture, color)
    return float(_cut(near, box).sum() / max(1, near.sum()))


def _near(picture: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - np.array(color)).sum(-1) < 200


def _cut(picture: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(box, (width, height) * 2, strict=True))
    return picture[y0:y1, x0:x1]


LEFT, RIGHT = (0.1, 0.35, 0.4, 0.65), (0.6, 0.35, 0.9, 0.65)
"""The inner parts of the panel's boxes."""
AROUND_LEFT, AROUND_RIGHT = (0.03, 0.28, 0.47, 0.72), (0.53, 0.28, 0.97, 0.72)
"""The panel's boxes, and a few pixels for the edges of what lies in them."""
FILL = {"attention": 0.5, "latent": 0.2}
"""How much of a box's inner part its color fills; in latent mode the checkpoint draws smaller."""
RED, BLUE, GREEN = (220, 20, 40), (40, 70, 200), (40, 160, 60)


def lies_apart(
    picture: np.ndarray, left: tuple[int, int, int], right: tuple[int, int, int], mode: str = "attention"
) -> bool:
    """Whether both colors fill their boxes and are nowhere else."""
    fill = FILL[mode]
    return (
        share(picture, left, LEFT) > fill > share(picture, left, RIGHT)
        and share(picture, right, RIGHT) > fill > share(picture, right, LEFT)
        and hits(picture, left, AROUND_LEFT) > 0.9
        and hits(picture, right, AROUND_RIGHT) > 0.9
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", ["Euler", "DPM++ 2M", "DDIM", "UniPC"])
def test_colors_land_in_their_boxes(host: Host, sampler: str, mode: str) -> None:
    drawn = host.draw(request=request(mode), sampler_name=sampler, steps=12)
    assert lies_apart(drawn.pixels, RED, BLUE, mode)


def test_pictures_of_a_batch_follow_their_own_panels(host: Host) -> None:
    swapped = {"panel": [panel(), panel("a blue square", "a red circle")], "guidance": {"base_ratio": 0}}
    drawn = host.draw(request=swapped, batch_size=2, steps=12)
    assert lies_apart(pixels(drawn.pictures[0]), RED, BLUE)
    assert lies_apart(pixels(drawn.pictures[1]), BLUE, RED)


@pytest.mark.parametrize(
    "idle",
    [[False, {"panel": panel()}], {"panel": {"elements": []}}, {"panel": panel(), "enabled": False}, {}],
)
def test_idle_it_changes_no_bit(host: Host, idle: Any) -> None:
    plain, drawn = host.draw(), host.draw(request=idle)
    assert np.array_equal(plain.pixels, drawn.pixels)
    assert drawn.request is None


def test_after_guidance_the_host_draws_as_before(host: Host) -> None:
    before = host.draw()
    for mode in MODES:
        host.draw(request=request(mode))
    assert np.array_equal(before.pixels, host.draw().pixels)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("upscaler", "scale"), [("Latent", 1.5), ("Lanczos", 2.0)])
def test_the_hires_pass_is_guided(host: Host, mode: str, upscaler: str, scale: float) -> None:
    fields = {"enable_hr": True, "hr_upscaler": upscaler, "hr_scale": scale, "denoising_strength": 0.7}
    drawn = host.draw(request=request(mode), steps=12, **fields)
    assert drawn.pictures[0].size == (int(128 * scale), int(128 * scale))
    once = {**request(mode), "guidance": {"mode": mode, "base_ratio": 0, "hires": {"enabled": False}}}
    unguided = host.draw(request=once, steps=12, **fields)
    assert np.abs(drawn.pixels - unguided.pixels).max() > 20
    assert lies_apart(drawn.pixels, RED, BLUE, mode)


@pytest.mark.parametrize("mode", MODES)
def test_img2img_is_guided(host: Host, mode: str) -> None:
    start = host.draw(request=request("attention"), steps=12).pictures[0]
    asked = request(mode, left="a green triangle")
    drawn = host.draw("img2img", asked, init_images=[encoded(start)], denoising_strength=0.8, steps=16)
    assert share(drawn.pixels, GREEN, LEFT) > 0.6 * FILL[mode]
    assert share(drawn.pixels, BLUE, RIGHT) > FILL[mode]
    assert hits(drawn.pixels, GREEN, AROUND_LEFT) > 0.85


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("only_masked", [False, True])
def test_inpainting_sees_the_panel_through_its_crop(host: Host, only_masked: bool, mode: str) -> None:
    start = host.draw(request=request("attention"), steps=12).pictures[0]
    mask = Image.new("L", (128, 128), 0)
    mask.paste(255, (4, 34, 64, 94))
    drawn = host.draw(
        "img2img",
        request(mode, left="a green triangle"),
        init_images=[encoded(start)],
        mask=encoded(mask),
        inpaint_full_res=only_masked,
        inpaint_full_res_padding=16,
        inpainting_fill=2,
        denoising_strength=1.0,
        steps=16,
    )
    assert share(drawn.pixels, GREEN, LEFT) > 0.6 * FILL[mode]
    assert share(drawn.pixels, BLUE, RIGHT) > FILL[mode]
    assert hits(drawn.pixels, GREEN, AROUND_LEFT) > 0.85
    assert share(drawn.pixels, GREEN, RIGHT) < 0.05


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(152, 120), (136, 128), (128, 168), (200, 136)])
def test_odd_sizes(host: Host, size: tuple[int, int], mode: str) -> None:
    drawn = host.draw(request=request(mode), width=size[0], height=size[1], steps=12)
    assert drawn.pictures[0].size == size
    assert lies_apart(drawn.pixels, RED, BLUE, mode)


@pytest.mark.parametrize("mode", MODES)
def test_regional_prompter_keeps_its_picture_and_is_named(host: Host, mode: str) -> None:
    if "regional prompter" not in host.get("/sdapi/v1/scripts").json()["txt2img"]:
        pytest.skip("Regional Prompter is not installed in the WebUI")
    columns = [True, False, "Matrix", "Columns", "Mask", "Prompt", "1,1", "0.2", False, False, False]
    columns += ["Attention", [], "0", "0", "0.4", None, "0", "0", False]
    theirs: dict[str, Any] = {"prompt": "a red circle BREAK a blue square"}
    theirs["alwayson_scripts"] = {"Regional Prompter": {"args": columns}}
    lone = host.draw(**theirs)
    both = host.draw(request=request(mode), **theirs)
    assert np.array_equal(lone.pixels, both.pixels)
    assert "sd-webui-regional-prompter has taken over the cross-attention" in both.infotexts[0]
    guided = host.draw(request=request(mode))
    assert "Ranni problem" not in guided.infotexts[0]


def test_a_picture_within_a_picture_is_left_alone(host: Host, recorder: None) -> None:
    fields = {"recorder": {"draw_within": True}, "steps": 12}
    usual = host.draw(request=request("attention"), **fields)
    guided = host.draw(request=request("attention"), override_settings={"ranni_nested": True}, **fields)
    host.post("/sdapi/v1/options", {"ranni_nested": False})
    assert lies_apart(guided.pixels, RED, BLUE)
    assert not lies_apart(usual.pixels, RED, BLUE)
    assert usual.request is not None
    assert usual.request == guided.request


OPTIMIZATIONS = ("sdp", "sdp-no-mem", "sub-quadratic", "V1", "InvokeAI", "Doggettx", "None")


@pytest.mark.parametrize("mode", MODES)
def test_every_attention_of_the_host_draws_the_same(host: Host, recorder: None, mode: str) -> None:
    asked = {"panel": panel(negative="a square"), "guidance": {"mode": mode, "base_ratio": 0.2}}

    def drawn(name: str) -> np.ndarray:
        host.post("/sdapi/v1/options", {"cross_attention_optimization": name})
        return host.draw(request=asked, recorder={"latents": True}, steps=4, height=192).latents

    try:
        usual = drawn("Automatic")
        assert {
            name: float(np.abs(drawn(name) - usual).max()) < 1e-3 for name in OPTIMIZATIONS
        } == dict.fromkeys(OPTIMIZATIONS, True)
    finally:
        host.post("/sdapi/v1/options", {"cross_attention_optimization": "Automatic"})


@pytest.mark.parametrize(
    "neighbour",
    [
        {"token_merging_ratio": 0.5},
        {"hypertile_enable_unet": True, "hypertile_max_depth_unet": 3, "hypertile_max_tile_unet": 64},
    ],
)
def test_beside_what_changes_self_attention(host: Host, neighbour: dict[str, Any]) -> None:
    fields = {"steps": 12, "width": 256, "height": 256}
    alone = host.draw(request=request("attention"), **fields)
    drawn = host.draw(request=request("attention"), override_settings=neighbour, **fields)
    host.post("/sdapi/v1/options", {"token_merging_ratio": 0.0, "hypertile_enable_unet": False})
    assert not np.array_equal(drawn.pixels, alone.pixels)
    assert share(drawn.pixels, RED, LEFT) > share(drawn.pixels, RED, RIGHT) + 0.2
    assert share(drawn.pixels, BLUE, RIGHT) > share(drawn.pixels, BLUE, LEFT) + 0.2


def test_variants_of_dynamic_prompts_are_chosen_for_each_picture(host: Host) -> None:
    names = host.get("/sdapi/v1/scripts").json()["txt2img"]
    name = next((found for found in names if found.startswith("dynamic prompts")), None)
    if name is None:
        pytest.skip("Dynamic Prompts is not installed in the WebUI")
    theirs = {"alwayson_scripts": {name: {"args": [True]}}, "batch_size": 4}
    asked = {"panel": panel("a {red|green|blue|yellow} {circle|star}", "a blue square")}
    drawn = host.draw(request=asked, prompt="{plain|white|black} background", **theirs)
    found = [request_of(text) for text in drawn.infotexts]
    lefts = [r["panel"]["elements"][0]["description"] for r in found if r is not None]
    assert len(lefts) == 4
    assert len(set(lefts)) > 1
    assert not any("{" in text for text in lefts)
    again = host.draw(request=found[2], prompt=drawn.infotexts[2].split("\n")[0], seed=3)
    assert np.abs(again.pixels - pixels(drawn.pictures[2])).max() <= 2
    off = host.draw(request=asked, alwayson_scripts={name: {"args": [False]}})
    assert off.request is not None
    assert "{red|green" in off.request["panel"]["elements"][0]["description"]


@pytest.mark.parametrize("tiles_at_once", [1, 2])
def test_tiled_diffusion_goes_with_latent_mode(host: Host, tiles_at_once: int) -> None:
    if "tiled diffusion" not in host.get("/sdapi/v1/scripts").json()["txt2img"]:
        pytest.skip("Tiled Diffusion is not installed in the WebUI")
    args = [True, "MultiDiffusion", True, False, 256, 256, 16, 16, 8, tiles_at_once]
    tiled = {"alwayson_scripts": {"Tiled Diffusion": {"args": args}}, "width": 256, "height": 256}
    alone = host.draw(**tiled)
    attention = host.draw(request=request("attention"), **tiled)
    assert "in tiles, as by Tiled Diffusion, use latent mode" in attention.infotexts[0]
    assert np.array_equal(alone.pixels, attention.pixels)
    latent = host.draw(request=request("latent"), steps=12, **tiled)
    assert "Ranni problem" not in latent.infotexts[0]
    assert share(latent.pixels, RED, LEFT) > share(latent.pixels, RED, RIGHT) + 0.1
    assert share(latent.pixels, BLUE, RIGHT) > share(latent.pixels, BLUE, LEFT) + 0.01
