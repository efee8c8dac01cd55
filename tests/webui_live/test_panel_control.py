"""Panel control in the real host, with conditioners of random values: which rows, when, and what of it stays.

What `ranni_sdv21_v1` is to Stable Diffusion 2.1 is made here of a small checkpoint of that kind.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lib_ranni.guidance.panel_control import PREFIX, PanelConditioner, Widths
from tests.webui_live.host import Host, panel, pixels, request_of
from tests.webui_live.test_rows import ARRANGEMENTS, check_arrangement

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="a conditioner must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
NAME = "ranni-live-test"
MODES = ("attention", "latent", "panel")
PROMPT = "a red circle and a blue square"
ENDS_IN_NOISE = 4.9e-8
HIRES = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.5}


def random_conditioner(text: int, out: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = PanelConditioner(Widths((4, 8, 16, 32), text, out)).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.count_nonzero() == 0:
            parameter.normal_(0, 0.3)
    return dict(model.state_dict())


@pytest.fixture(scope="module")
def conditioner(host: Host) -> Iterator[str]:
    """The name of a file for the shapes checkpoint."""
    path = Path(FOLDER) / "models" / "Ranni" / f"{NAME}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(random_conditioner(64, 64), str(path))
    yield NAME
    path.unlink()


@pytest.fixture(scope="module")
def release(host: Host) -> Iterator[str]:
    """The title of a checkpoint with a conditioner of its own: tensors of the release's names and kinds."""
    models = host.get("/sdapi/v1/sd-models").json()
    source = next((m["filename"] for m in models if m["model_name"].endswith("tinysd2")), None)
    if source is None:
        pytest.skip("the WebUI has no small checkpoint of Stable Diffusion 2 named tinysd2")
    folder = Path(FOLDER) / "models" / "Stable-diffusion" / NAME
    folder.mkdir(exist_ok=True)
    own = {PREFIX + name: t.half() for name, t in random_conditioner(256, 64).items()}
    save_file({**load_file(source), **own}, str(folder / "ranni_sdv21_v1.safetensors"))
    shutil.copy(Path(source).with_suffix(".yaml"), folder / "ranni_sdv21_v1.yaml")
    host.post("/sdapi/v1/refresh-checkpoints", {})
    titles = [m["title"] for m in host.get("/sdapi/v1/sd-models").json()]
    yield next(title for title in titles if NAME in title)
    shutil.rmtree(folder)
    host.post("/sdapi/v1/refresh-checkpoints", {})


@pytest.fixture
def released(host: Host, release: str) -> Iterator[None]:
    """That checkpoint is loaded."""
    current = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": release})
    yield
    host.post("/sdapi/v1/options", {"sd_model_checkpoint": current})


def asked(mode: str = "panel", hires: Any = None, **control: Any) -> dict[str, Any]:
    guidance = {"mode": mode, "base_ratio": 0.2, "control": control, **({"hires": hires} if hires else {})}
    return {"panel": panel(negative="a square"), "guidance": guidance}


def drawn(host: Host, request: Any, **fields: Any) -> Any:
    given = {"prompt": PROMPT, "recorder": {"latents": True, "residuals": True}, "steps": 4, **fields}
    return host.draw(request=request, **given)


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("mode", MODES)
def test_the_release_draws_by_its_own_conditioner_and_schedule(host: Host, mode: str) -> None:
    for sampler in ("DDIM", "Euler"):
        acting = drawn(host, asked(mode, scale=0.6), sampler_name=sampler)
        zero = drawn(host, asked(mode, scale=0), sampler_name=sampler)
        assert "Ranni problem" not in acting.infotexts[0]
        assert np.isfinite(acting.latents).all()
        assert not np.array_equal(acting.latents, zero.latents)
        first = acting.residuals[0].added  # of the conditioned row and of the negative one
        assert first[0] > 0.0 == first[1]
        assert acting.last_alpha == pytest.approx(ENDS_IN_NOISE, rel=0.1)
        assert "Noise Schedule: Zero Terminal SNR" in acting.infotexts[0]
        if mode != "panel":
            without = asked(mode)
            assert np.array_equal(zero.latents, drawn(host, without, sampler_name=sampler).latents)
    assert drawn(host, None).last_alpha > 1e-3
    assert host.get("/sdapi/v1/options").json()["sd_noise_schedule"] == "Default"


def widths_of(checkpoint: str) -> tuple[int, int]:
    """Of a checkpoint's texts, and behind its first convolution."""
    with safe_open(checkpoint, "pt") as file:
        names = file.keys()
        key = next(name for name in names if name.endswith("attn2.to_k.weight"))
        first = file.get_slice("model.diffusion_model.input_blocks.0.0.weight")
        return file.get_slice(key).get_shape()[1], first.get_shape()[0]


def test_checkpoints_of_every_kind_have_panel_control(host: Host, conditioner: str) -> None:
    """Whatever is installed: SD1, SD2, SDXL; weights that draw nothing serve as well."""
    current = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    path = Path(FOLDER) / "models" / "Ranni" / f"{NAME}-fitting.safetensors"
    request = asked(scale=0.6, conditioner=path.stem)
    found = {}
    try:
        for model in host.get("/sdapi/v1/sd-models").json():
            save_file(random_conditioner(*widths_of(model["filename"])), str(path))
            host.post("/sdapi/v1/options", {"sd_model_checkpoint": model["title"]})
            both = drawn(host, request, batch_size=2)
            alone = drawn(host, request, seed=2, override_settings={"batch_cond_uncond": False})
            scale = max(1.0, float(np.abs(alone.latents).max()))
            added = both.residuals[0].added
            found[model["model_name"]] = (
                "Ranni problem" not in both.infotexts[0],
                min(added[:2]) > 0 == max(added[2:]),
                bool(np.abs(both.latents[1] - alone.latents[0]).max() <= 1e-4 * scale),
            )
    finally:
        host.post("/sdapi/v1/options", {"sd_model_checkpoint": current, "batch_cond_uncond": True})
        path.unlink(missing_ok=True)
    assert found == dict.fromkeys(found, (True, True, True))


@pytest.mark.parametrize("mode", MODES)
def test_a_scale_of_zero_changes_no_bit(host: Host, conditioner: str, mode: str) -> None:
    zero = drawn(host, asked(mode, scale=0, conditioner=conditioner, postfix="4k"))
    off = drawn(host, None if mode == "panel" else asked(mode))
    assert np.array_equal(zero.latents, off.latents)
    assert drawn(host, asked(mode, scale=0.5, conditioner=conditioner)).residuals[0].added[0] > 0


def test_twenty_of_fifty_ddim_steps_are_active(host: Host, conditioner: str) -> None:
    request = asked(scale=0.6, start=1000, stop=600, conditioner=conditioner)
    calls = drawn(host, request, sampler_name="DDIM", steps=50, width=64, height=64).residuals
    active = [call.timestep for call in calls if max(call.added) > 0]
    assert active == [float(t) for t in range(981, 600, -20)]
    assert len(active) == 20


@pytest.mark.parametrize(
    "sampler", ["Euler", "Euler a", "DPM++ 2M", "DPM++ 2M SDE", "DPM++ SDE", "Heun", "LCM", "UniPC", "PLMS"]
)
def test_every_sampler_is_gated_by_the_timestep_of_its_calls(
    host: Host, conditioner: str, sampler: str
) -> None:
    request = asked("attention", scale=0.6, start=900, stop=420, conditioner=conditioner)
    fields = {"sampler_name": sampler, "scheduler": "Karras", "steps": 9, "width": 64, "height": 64}
    calls = drawn(host, request, **fields).residuals
    assert [call.added[0] > 0 for call in calls] == [420 < call.timestep <= 900 for call in calls]
    assert len({call.added[0] > 0 for call in calls}) == 2
    assert any(call.timestep % 1 for call in calls) == (sampler not in ("PLMS", "LCM"))


def test_palettes_act_to_the_end_by_the_shapes_own_conditioner(host: Host) -> None:
    """What no text names is drawn in its palette's color."""
    guidance = {"mode": "attention", "control": {"scale": 1, "stop": 600}}
    fields = {"prompt": "a circle and a square, gray background", "steps": 20, "cfg_scale": 2}

    def red(*colors: str) -> Any:
        elements = panel("a circle", "a square", colors=list(colors))["elements"]
        request = {"panel": {"elements": elements, "base": "gray background"}, "guidance": guidance}
        return drawn(host, request, sampler_name="DDIM", **fields)

    found, bare = red("#d72328"), red()
    assert all(call.added[0] > 0 for call in found.residuals)
    assert [call.added[0] > 0 for call in bare.residuals] == [call.timestep > 600 for call in bare.residuals]
    channels = found.pixels[58:70, 26:38].mean((0, 1))  # in the middle of the left box
    assert channels[0] > 150
    assert max(channels[1:]) < 90


@pytest.mark.parametrize("mode", MODES)
def test_the_hires_pass_has_a_residual_of_its_own_size_while_its_timesteps_last(
    host: Host, conditioner: str, mode: str
) -> None:
    def second(stop: float, **hires: Any) -> list[bool]:
        request = asked(mode, hires, scale=0.6, stop=stop, conditioner=conditioner)
        found = drawn(host, request, sampler_name="DDIM", steps=10, **HIRES)
        assert "Ranni problem" not in found.infotexts[0]
        first = [max(call.added) > 0 for call in found.residuals if call.height == 16]
        assert any(first)
        return [max(call.added) > 0 for call in found.residuals if call.height == 24]

    # At a denoising strength of 0.5 its timesteps begin near 500.
    assert not any(second(600))
    acting = second(0)
    assert acting
    assert all(acting)
    assert not any(second(0, enabled=False))


@pytest.mark.parametrize("mode", ["panel", "latent", "attention"])
@pytest.mark.parametrize("arranged", ARRANGEMENTS)
def test_a_picture_is_the_same_however_its_rows_are_arranged(
    host: Host, conditioner: str, arranged: str, mode: str
) -> None:
    request = asked(mode, scale=0.5, stop=0, conditioner=conditioner)
    check_arrangement(host, arranged, request, "Euler")


def test_words_and_ends_of_the_prompt_are_heard_where_they_may_be(host: Host, conditioner: str) -> None:
    faint = {"scale": 1e-9, "conditioner": conditioner}
    plain = drawn(host, None).latents
    ends_closed = drawn(host, asked(**faint, local_mask=False)).latents
    bound = drawn(host, asked(**faint)).latents
    unsaid = drawn(host, asked(**faint), prompt="two things").latents
    unsaid_unbound = drawn(host, asked(**faint, local_mask=False), prompt="two things").latents
    assert np.abs(plain - ends_closed).max() > 1e-3
    assert np.abs(bound - ends_closed).max() > 1e-3
    assert np.array_equal(unsaid, unsaid_unbound)
    # Emphasis is no part of a label, nor of the words it is looked for in.
    loud = asked(**faint)
    loud["panel"]["elements"][0]["description"] = "(a RED:1.3) circle"
    assert np.array_equal(drawn(host, loud).latents, bound)


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_without_a_conditioner_is_drawn_and_it_is_told(host: Host, mode: str) -> None:
    other = {"override_settings": {"sd_model_checkpoint": "tinysd2"}}
    found = drawn(host, asked(mode, scale=0.6, postfix="4k"), **other)
    without = drawn(host, None if mode == "panel" else asked(mode), **other)
    assert "tinysd2.safetensors has no panel conditioner" in found.infotexts[0]
    assert np.array_equal(found.latents, without.latents)


def test_the_refiner_goes_without_where_it_has_none(host: Host, release: str) -> None:
    fields = {"sampler_name": "DDIM", "steps": 10, "override_settings": {"sd_model_checkpoint": release}}
    fields |= {"refiner_checkpoint": "tinysd2", "refiner_switch_at": 0.5}
    found = drawn(host, asked("attention", scale=0.6, stop=0), **fields)
    acting = [call.added[0] > 0 for call in found.residuals]
    assert acting[0]
    assert acting == sorted(acting, reverse=True)
    assert "tinysd2.safetensors has no panel conditioner" in found.infotexts[0]


@pytest.mark.parametrize("end", ["normal", "hires", "interrupted", "model fails"])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_the_host_stays_changed(host: Host, conditioner: str, mode: str, end: str) -> None:
    fields = HIRES if end == "hires" else {}
    before = drawn(host, None, **fields).latents
    host.post("/ranni-recorder/remember", None)
    recorder = {"interrupted": {"interrupt_at": 3}, "model fails": {"fail_at": 3}}.get(end)
    request = asked(mode, scale=0.6, stop=0, conditioner=conditioner)
    answer = host.generation(request=request, recorder=recorder, **fields)
    assert answer.status_code == (500 if end == "model fails" else 200)
    assert host.get("/ranni-recorder/changes").json() == []
    assert np.array_equal(drawn(host, None, **fields).latents, before)


def test_cells_of_a_grid_over_scale_and_stop_differ_and_say_what_they_are(
    host: Host, conditioner: str
) -> None:
    request = asked("attention", conditioner=conditioner)
    grid = host.grid(("Control scale", "0.3, 0.6, 1"), ("Control stop", "200, 600, 800"))
    found = host.draw(request=request, sampler_name="DDIM", steps=10, **grid)
    cells = [n for n, picture in enumerate(found.pictures) if picture.size == (128, 128)]
    assert len({pixels(found.pictures[n]).tobytes() for n in cells}) == len(cells) == 9
    controls = [(request_of(found.infotexts[n]) or {})["guidance"]["control"] for n in cells]
    said = [(control["scale"], control.get("stop", 600.0)) for control in controls]
    assert said == [(scale, stop) for stop in (200, 600, 800) for scale in (0.3, 0.6, 1)]
    assert "X Type: [Ranni] Control scale" in found.infotexts[0]
    assert "Y Type: [Ranni] Control stop" in found.infotexts[0]
    for n in cells[:2]:
        alone = host.draw(request=request_of(found.infotexts[n]), sampler_name="DDIM", steps=10)
        assert np.array_equal(alone.pixels, pixels(found.pictures[n]))


@pytest.mark.parametrize(
    ("axis", "values"),
    [("Postfix", "oil, photo"), ("Local mask", ["True", "False"]), ("Control start", "1000, 700")],
)
def test_each_axis_acts(host: Host, conditioner: str, axis: str, values: Any) -> None:
    request = asked("panel", scale=0.6, stop=0, conditioner=conditioner)
    found = host.draw(request=request, prompt=PROMPT, **host.grid((axis, values)))
    cells = [picture for picture in found.pictures if picture.size == (128, 128)]
    assert len({pixels(cell).tobytes() for cell in cells}) == len(cells) == 2


def test_the_axis_of_conditioners_offers_the_checkpoints_own_and_the_files(
    host: Host, conditioner: str
) -> None:
    request = asked("attention", scale=0.6)
    found = host.draw(request=request, **host.grid(("Conditioner", ["from the checkpoint", conditioner])))
    said = [request_of(text) or {} for text in found.infotexts[1:]]
    assert [one["guidance"]["control"].get("conditioner", "") for one in said] == ["", conditioner]
    assert not any("Ranni problem" in text for text in found.infotexts[1:])
    cells = [picture for picture in found.pictures if picture.size == (128, 128)]
    assert len({pixels(cell).tobytes() for cell in cells}) == len(cells) == 2


def test_an_infotext_brings_all_of_it_back(host: Host, conditioner: str) -> None:
    control = {"scale": 0.7, "start": 950.0, "stop": 123.5, "local_mask": False, "conditioner": conditioner}
    control["postfix"] = 'a "quoted", style: x'
    first = drawn(host, asked("panel", **control))
    parsed = host.post("/sdapi/v1/png-info", {"image": first.files[0]}).json()["parameters"]
    assert json.loads(parsed["Ranni"])["guidance"]["control"] == control
    assert parsed["Prompt"] == PROMPT
    assert np.array_equal(first.latents, drawn(host, parsed["Ranni"]).latents)
