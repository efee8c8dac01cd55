"""The few-step entries in the real host: everywhere a sampler can be chosen, and the same again."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lib_ranni.evaluation.scoring import detect
from lib_ranni.panel.types import Panel
from lib_ranni.sampling.presets import PRESETS, Preset
from lib_ranni.sampling.prior_files import load_prior
from lib_ranni.standalone.checkpoint import load_checkpoint
from tests.standalone.drawing import Recorder, request
from tests.webui_live.host import Drawn, Host, encoded, panel, pixels

pytestmark = pytest.mark.usefixtures("recorder")

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
PROMPT = "a red circle to the left of a blue square"
LORAS = Path(__file__).parents[2] / "models" / "loras"
SMALL = {"prompt": PROMPT, "width": 64, "height": 64, "seed": 11, "cfg_scale": 1.5}
LABELS = {preset.label: preset for preset in PRESETS.values()}
ENTRIES = pytest.mark.parametrize("label", LABELS)
HIRES = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.5}

_PASTED: tuple[tuple[str, str, Any], ...] = (
    ("prompt", "Prompt", str),
    ("cfg_scale", "CFG scale", float),
    ("seed", "Seed", int),
    ("width", "Size-1", int),
    ("height", "Size-2", int),
    ("denoising_strength", "Denoising strength", float),
)


@pytest.fixture(autouse=True)
def _no_fault(host: Host) -> Iterator[None]:
    """Nothing is reported in the host's log."""
    host.get("/ranni-recorder/faults")
    yield
    assert host.get("/ranni-recorder/faults").json() == []


def _steps(preset: Preset) -> int:
    return 8 if preset.rule == "sa" else 2


def _picture() -> str:
    values = np.random.default_rng(3).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return encoded(Image.fromarray(values).resize((64, 64), Image.Resampling.BICUBIC))


def _fields(kind: str, preset: Preset) -> dict[str, Any]:
    fields: dict[str, Any] = {"steps": _steps(preset), "sampler_name": preset.label, **SMALL}
    if kind == "img2img":
        return {**fields, "init_images": [_picture()], "denoising_strength": 0.5}
    return {**fields, **({"hires": HIRES, "batch": {"batch_size": 2}}.get(kind, {}))}


def _again(host: Host, drawn: Drawn, kind: str, number: int = 0) -> Drawn:
    """What the host draws from an infotext alone, and from the picture that it begins with."""
    if kind == "img2img":
        # For img2img the host's API takes sampler, steps and settings from there; its page takes these, too.
        found = host.post("/sdapi/v1/png-info", {"image": drawn.files[number]}).json()["parameters"]
        fields = {field: kind(found[key]) for field, key, kind in _PASTED}
        return host.redraw(drawn.infotexts[number], "img2img", init_images=[_picture()], **fields)
    # Its API takes "Use same sampler" of a hires pass for a sampler's name; its page does not.
    sampler = re.search(r"Sampler: ([^,]+),", drawn.infotexts[number])[1]
    same: dict[str, Any] = {"batch_size": 2} if kind == "batch" else {}
    same |= {"hr_sampler_name": sampler, "hr_scheduler": "Automatic"} if kind == "hires" else {}
    return host.redraw(drawn.infotexts[number], **same)


def _line(infotext: str) -> str:
    return infotext.splitlines()[-1]


@ENTRIES
@pytest.mark.parametrize("kind", ["txt2img", "img2img", "hires", "batch"])
def test_an_entry_draws_and_draws_the_same_from_its_infotext(host: Host, label: str, kind: str) -> None:
    preset = LABELS[label]
    drawn = host.draw(kind if kind == "img2img" else "txt2img", **_fields(kind, preset))
    again = _again(host, drawn, kind)
    assert again.files == drawn.files, "the pictures and what is written into them"
    for infotext in drawn.infotexts:
        assert f"Sampler: {label}, Schedule type: Automatic" in infotext
    if kind == "batch":
        first, second = drawn.pictures
        alone = host.redraw(drawn.infotexts[1])
        # Convolutions of two pictures at once differ from those of one in the last digit.
        assert np.abs(alone.pixels - pixels(second)).max() <= 2
        assert np.abs(pixels(first) - pixels(second)).max() > 2


def test_all_entries_are_values_of_the_axis(host: Host) -> None:
    """A grid over the samplers, each cell the same as alone."""
    grid = next(s for s in host.get("/sdapi/v1/script-info").json() if s["name"] == "x/y/z plot")
    axis = grid["args"][0]["choices"].index("Sampler")
    options = [True, True, False, False, False, False, False, 0, False]
    args = [axis, "", list(LABELS), 0, "", [], 0, "", [], *options]
    drawn = host.draw(**{**SMALL, "steps": 8}, script_name="x/y/z plot", script_args=args)
    cells = {re.search(r"Sampler: ([^,]+),", text)[1]: n for n, text in enumerate(drawn.infotexts) if n}
    assert set(cells) == set(LABELS)
    for label in ("YOSO 1-step", "TCD", "SA-Solver"):
        assert _again(host, drawn, "txt2img", cells[label]).files[0] == drawn.files[cells[label]]


def test_they_are_listed_and_none_is_mistaken_for_another(host: Host) -> None:
    names = [entry["name"] for entry in host.get("/sdapi/v1/samplers").json()]
    assert names[: len(names) - len(LABELS)] == [name for name in names if name not in LABELS]
    assert len(names) == len(set(names))
    assert set(LABELS) <= set(names)
    for words in ("Karras", "SGM Uniform"):  # a schedule that is chosen does nothing, and says nothing
        drawn = host.draw(**{**SMALL, "steps": 2}, sampler_name="LCM exact grid", scheduler=words)
        assert "Sampler: LCM exact grid, Schedule type: Automatic" in drawn.infotexts[0]


@pytest.fixture(scope="module")
def engine() -> Recorder:
    return Recorder(load_checkpoint())


@pytest.mark.parametrize("steps", [1, 3])
@ENTRIES
def test_the_values_are_those_of_the_library(host: Host, engine: Recorder, label: str, steps: int) -> None:
    preset = LABELS[label]
    steps = steps + 7 if preset.rule == "sa" else steps
    # An ordinary sampler scales the noise as the host's option says.
    unit = {"sgm_noise_multiplier": preset.rule == "sa"}
    host.post("/sdapi/v1/options", unit)
    asked = {**SMALL, "steps": steps, "sampler_name": label}
    ours = host.draw(**asked, recorder={"latents": True}).latents
    host.post("/sdapi/v1/options", {"sgm_noise_multiplier": False})
    prior = "default" if preset.prior == "on" else ""
    fields = {"steps": steps, "cfg": 1.5, "seed": 11, "width": 64, "height": 64}
    theirs = engine.latents_of(
        request(Panel(base=PROMPT), mode="plain", preset=preset.id, prior=prior, **fields)
    )
    assert np.abs(ours - theirs.numpy()).max() <= 1e-4 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("mode", ["attention", "latent"])
@pytest.mark.parametrize("label", ["YOSO 1-step", "Turbo", "InstaFlow"])
def test_one_step_follows_the_panel(host: Host, engine: Recorder, mode: str, label: str) -> None:
    asked = {"panel": panel(), "guidance": {"mode": mode, "base_ratio": 0.2}}
    fields = {**SMALL, "steps": 1, "sampler_name": label, "recorder": {"latents": True}}
    guided, plain = host.draw(request=asked, **fields), host.draw(**fields)
    assert "Ranni problem" not in guided.infotexts[0]
    assert np.abs(guided.latents - plain.latents).max() > 0.05
    assert np.array_equal(guided.latents, host.draw(request=asked, **fields).latents)


def test_strength_is_heard_by_a_single_step(host: Host) -> None:
    """The host's own samplers start a single step at the last timestep, whatever the strength."""
    found = []
    for strength in (0.1, 0.4, 0.8):
        fields = {**SMALL, "steps": 1, "sampler_name": "LCM exact grid", "denoising_strength": strength}
        drawn = host.draw("img2img", init_images=[_picture()], recorder={"latents": True}, **fields)
        found.append(drawn.latents)
    plain = host.draw(
        "img2img", init_images=[_picture()], recorder={"latents": True}, **{**fields, "steps": 4}
    )
    moved = [float(np.abs(latents - found[0]).mean()) for latents in found[1:]]
    assert 0.005 < moved[0] < moved[1]
    assert not np.array_equal(plain.latents, found[2])


def test_a_locked_model_says_that_it_renoises(host: Host) -> None:
    fields = {**SMALL, "steps": 1, "sampler_name": "SDXS 1-step", "init_images": [_picture()]}
    texts = {
        strength: host.draw(
            "img2img", recorder={"comments": True}, denoising_strength=strength, **fields
        ).infotexts[0]
        for strength in (0.4, 1.0)
    }
    assert "SDXS 1-step knows no timestep but 999" in texts[0.4]
    assert "knows no timestep" not in texts[1.0]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("label", ["LCM exact grid", "TCD", "Turbo", "SA-Solver"])
def test_what_a_mask_keeps_is_kept(host: Host, label: str, soft: bool) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64))
    fields = {**SMALL, "steps": _steps(LABELS[label]), "sampler_name": label, "denoising_strength": 0.8}
    drawn = host.draw(
        "img2img",
        init_images=[_picture()],
        mask=encoded(mask),
        mask_blur=0,
        inpainting_fill=1,
        alwayson_scripts={"soft inpainting": {"args": [True, 1, 0.5, 4, 0, 0.5, 2]}} if soft else {},
        **fields,
    )
    before = pixels(Image.open(io.BytesIO(base64.b64decode(_picture()))))
    changed = np.abs(drawn.pixels - before).max(2)
    if soft:  # it blends by how much was changed, far from the border as well
        assert changed[:, :16].mean() < 0.5 * changed[:, 48:].mean()
    else:
        assert changed[:, :31].max() == 0
    assert changed[:, 33:].mean() > 2


def test_an_interrupted_picture_is_the_prediction_so_far(host: Host) -> None:
    fields = {**SMALL, "steps": 4, "sampler_name": "LCM exact grid"}
    # One call of the model is one step.
    stopped = host.draw(recorder={"latents": True, "interrupt_at": 2}, **fields).latents
    whole = host.draw(recorder={"latents": True}, **fields).latents
    assert np.isfinite(stopped).all()
    assert np.abs(stopped - whole).max() > 1e-3
    assert np.array_equal(host.draw(recorder={"latents": True}, **fields).latents, whole)


def test_it_goes_on_with_the_refiner(host: Host) -> None:
    options = host.get("/sdapi/v1/options").json()
    current = options["sd_model_checkpoint"]
    titles = [model["title"] for model in host.get("/sdapi/v1/sd-models").json()]
    other = next((title for title in titles if title.startswith("other/")), None)
    if other is None:
        pytest.skip("the WebUI has no second checkpoint of the same kind")
    fields = {**SMALL, "steps": 4, "sampler_name": "LCM exact grid", "n_iter": 2}
    try:
        plain = host.draw(**fields)
        refined = host.draw(refiner_checkpoint=other, refiner_switch_at=0.5, **fields)
        assert "Refiner: other" in refined.infotexts[0]  # and its hash, once the host knows it
        assert [a == b for a, b in zip(plain.files, refined.files, strict=True)] == [False] * len(plain.files)
        assert host.draw(refiner_checkpoint=other, refiner_switch_at=0.5, **fields).files == refined.files
        assert host.draw(**fields).files == plain.files
    finally:
        host.post("/sdapi/v1/options", {"sd_model_checkpoint": current})


def test_epsilon_and_other_families(host: Host) -> None:
    """One Euler step from the last timestep is the host's own, whatever the model predicts."""
    current = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    try:
        for model in host.get("/sdapi/v1/sd-models").json():
            host.post("/sdapi/v1/options", {"sd_model_checkpoint": model["title"]})
            latents = {
                name: host.draw(**SMALL, steps=1, sampler_name=name, recorder={"latents": True}).latents
                for name in ("Turbo", "Euler")
            }
            scale = max(1.0, float(np.abs(latents["Euler"]).max()))
            assert np.abs(latents["Turbo"] - latents["Euler"]).max() <= 1e-4 * scale, model["title"]
    finally:
        host.post("/sdapi/v1/options", {"sd_model_checkpoint": current})


def test_zero_terminal_snr_is_left_out_for_an_epsilon(host: Host) -> None:
    current = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    titles = [model["title"] for model in host.get("/sdapi/v1/sd-models").json()]
    tiny = next((title for title in titles if title.startswith("tinyxl/")), None)
    if tiny is None:
        pytest.skip("the WebUI has no checkpoint that predicts epsilon")
    try:
        host.post("/sdapi/v1/options", {"sd_model_checkpoint": tiny})
        fields = {**SMALL, "steps": 1, "sampler_name": "DMD2 4-step"}
        plain = host.draw(recorder={"latents": True}, **fields)
        host.post("/sdapi/v1/options", {"sd_noise_schedule": "Zero Terminal SNR"})
        asked = {"latents": True, "comments": True}
        zero = host.draw(recorder=asked, **fields)
        assert np.array_equal(zero.latents, plain.latents)
        assert "zero terminal SNR is left out" in zero.infotexts[0]
    finally:
        host.post("/sdapi/v1/options", {"sd_noise_schedule": "Default", "sd_model_checkpoint": current})


@pytest.mark.parametrize("sgm", [False, True])
def test_the_prior_moves_the_first_noise_of_any_sampler(host: Host, sgm: bool) -> None:
    """One step from the last timestep is the library's own with the same prior."""
    host.post("/sdapi/v1/options", {"sgm_noise_multiplier": sgm})
    fields = {**SMALL, "steps": 1, "override_settings": {"ranni_prior": "default"}}
    label = "Turbo" if not sgm else "PCM"  # sigma times the noise, and noise of variance 1
    ours = host.draw(sampler_name=label, recorder={"latents": True}, **fields)
    euler = host.draw(sampler_name="Euler", recorder={"latents": True}, **fields)
    without = host.draw(**{**SMALL, "steps": 1}, sampler_name="Euler", recorder={"latents": True})
    assert np.abs(ours.latents - euler.latents).max() <= 1e-4
    assert np.abs(euler.latents - without.latents).max() > 1e-3
    assert "Latent prior: default, Latent prior weight: 1.0, Latent prior hash: " in euler.infotexts[0]
    assert "Latent prior" not in without.infotexts[0]
    assert _again(host, euler, "txt2img").files[0] == host.draw(sampler_name="Euler", **fields).files[0]
    host.post("/sdapi/v1/options", {"sgm_noise_multiplier": False})


def test_options_are_written_and_read_back(host: Host) -> None:
    wanted = {
        "ranni_gamma": 0.7,
        "ranni_timesteps": "899, 499, 99",
        "ranni_prior": "default",
        "ranni_prior_weight": 0.5,
    }
    fields = {**SMALL, "steps": 2, "sampler_name": "TCD"}
    drawn = host.draw(override_settings=wanted, **fields)
    for said in (
        "TCD gamma: 0.7",
        'Few-step timesteps: "899, 499, 99"',
        "Latent prior: default",
        "Latent prior weight: 0.5",
    ):
        assert said in drawn.infotexts[0]
    assert _again(host, drawn, "txt2img").files[0] == drawn.files[0]
    assert host.draw(**fields).files[0] != drawn.files[0]
    solver = {"ranni_sa_predictor": 3, "ranni_sa_corrector": 4, "ranni_sa_tau": 0.5, "ranni_sa_tau_from": 100}
    drawn = host.draw(override_settings=solver, **SMALL, steps=8, sampler_name="SA-Solver")
    assert "SA predictor: 3, SA corrector: 4, SA tau: 0.5, SA tau from: 100" in drawn.infotexts[0]
    assert _again(host, drawn, "txt2img").files[0] == drawn.files[0]


@pytest.mark.parametrize(
    ("axis", "values", "keys"),
    [
        ("Few-step timesteps", "own, 899 499, 999|19", 'Few-step timesteps: "899, 499"'),
        ("TCD gamma", "0, 0.5, 1", "TCD gamma: 0.5"),
        ("Prior", "none, default", "Latent prior: default"),
        ("Prior weight", "0.2, 1", "Latent prior weight: 0.2"),
        ("Enforce preset", "False, True", "Few-step enforced: True"),
    ],
)
def test_axes(host: Host, axis: str, values: str, keys: str) -> None:
    grid = next(s for s in host.get("/sdapi/v1/script-info").json() if s["name"] == "x/y/z plot")
    number = grid["args"][0]["choices"].index(f"[Ranni] {axis}")
    listed = values.split(", ")
    texts = ["", listed] if axis in ("Prior", "Enforce preset") else [values, []]
    options = [True, True, False, False, False, False, False, 0, False]
    args = [number, *texts, 0, "", [], 0, "", [], *options]
    prior = {"override_settings": {"ranni_prior": "default"}} if axis == "Prior weight" else {}
    steps = 20 if axis == "Enforce preset" else 2
    drawn = host.draw(
        **SMALL, **prior, steps=steps, sampler_name="TCD", script_name="x/y/z plot", script_args=args
    )
    cells = [n for n, picture in enumerate(drawn.pictures) if picture.size == (64, 64)]
    assert len(cells) == len({drawn.files[n] for n in cells}) == len(listed)
    assert any(keys in drawn.infotexts[n] for n in cells)
    for n in cells:
        assert np.array_equal(_again(host, drawn, "txt2img", n).pixels, pixels(drawn.pictures[n]))
    assert "Few-step timesteps" not in host.draw(**SMALL, steps=2, sampler_name="TCD").infotexts[0]


@pytest.fixture
def lora(host: Host) -> Iterator[str]:
    """A LoRA that says it is for the entry TCD, and with which guidance scale."""
    name = "ranni-live-few"
    path = Path(FOLDER) / "models" / "Lora" / f"{name}.safetensors"
    random = torch.Generator().manual_seed(0)
    key, width = "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_q", 128
    tensors = {
        f"{key}.lora_down.weight": torch.randn(2, width, generator=random) * 0.1,
        f"{key}.lora_up.weight": torch.randn(width, 2, generator=random) * 0.1,
    }
    save_file(tensors, path, {"ranni": json.dumps({"presets": ["tcd"], "cfg": 1.5})})
    host.post("/sdapi/v1/refresh-loras", {})
    yield name
    path.unlink()
    host.post("/sdapi/v1/refresh-loras", {})


@pytest.mark.skipif(not FOLDER, reason="a LoRA must be put into the WebUI: set RANNI_WEBUI_DIR to its folder")
def test_an_entry_sets_steps_scale_and_lora_where_it_may(host: Host, lora: str) -> None:
    fields = {**SMALL, "sampler_name": "TCD", "steps": 40, "cfg_scale": 7, "scheduler": "Karras"}
    asked = {"recorder": {"comments": True}, **fields}
    left = host.draw(**asked).infotexts[0]
    assert "Steps: 40, Sampler: TCD, Schedule type: Automatic, CFG scale: 7" in left
    assert "TCD is made for 1 to 20 steps, not 40" in left
    assert "no LoRA for TCD is in use" in left
    enforced = {"override_settings": {"ranni_enforces": True}}
    told = host.draw(**asked, **enforced).infotexts[0]
    assert told.startswith(f"{PROMPT} <lora:{lora}:1>\n")
    assert "Steps: 4, Sampler: TCD, Schedule type: Automatic, CFG scale: 1.5" in told
    assert f"LoRA {lora} (TCD); steps 40 -> 4; CFG scale 7 -> 1.5" in told
    assert "no LoRA for" not in told
    drawn = host.draw(**fields, **enforced)
    assert np.array_equal(host.redraw(drawn.infotexts[0]).pixels, drawn.pixels)
    by_hand = {**fields, "prompt": f"{PROMPT} <lora:{lora}:1>", "steps": 4, "cfg_scale": 1.5}
    assert np.array_equal(host.draw(**by_hand).pixels, drawn.pixels)
    hires = {**HIRES, "hr_sampler_name": "TCD", "hr_second_pass_steps": 40}
    second = host.draw(**{**fields, "sampler_name": "Euler", "steps": 2}, **hires, **enforced).infotexts[0]
    assert "Steps: 2, Sampler: Euler, Schedule type: Karras, CFG scale: 7" in second
    assert f'Hires prompt: "{PROMPT} <lora:{lora}:1>"' in second
    assert "Hires steps: 4" in second


@pytest.mark.skipif(not FOLDER, reason="a LoRA must be put into the WebUI: set RANNI_WEBUI_DIR to its folder")
def test_the_one_step_lora_draws_by_what_its_header_says(host: Host) -> None:
    """One step of the shipped file, without the entry's own prior."""
    place = Path(FOLDER) / "models" / "Lora" / "ranni-live-one-step.safetensors"
    shutil.copy(LORAS / "shapes-one-step.safetensors", place)
    host.post("/sdapi/v1/refresh-loras", {})
    try:
        fields = {
            **SMALL,
            "width": 128,
            "height": 128,
            "cfg_scale": 1,
            "steps": 1,
            "sampler_name": "YOSO 1-step",
        }
        drawn = host.draw(**{**fields, "prompt": f"a red circle <lora:{place.stem}:1>"})
        assert "Latent prior: none" in drawn.infotexts[0]
        assert "Latent prior: default" in host.draw(**fields).infotexts[0]
        assert [seen.name for seen in detect(drawn.pictures[0])] == ["red circle"]
    finally:
        place.unlink()
        host.post("/sdapi/v1/refresh-loras", {})


@pytest.mark.skipif(not FOLDER, reason="priors are read from the WebUI: set RANNI_WEBUI_DIR to its folder")
def test_priors_are_estimated_and_used(host: Host, tmp_path: Path) -> None:
    for n in range(3):
        values = np.random.default_rng(n).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(values).resize((64, 64)).save(tmp_path / f"{n}.png")
    place = Path(FOLDER) / "models" / "Ranni" / "priors"
    name = "ranni-live-prior"
    try:
        told = host.press("script_txt2img_ranni_estimate_prior", name, 10, str(tmp_path))
        assert "3 pictures" in told[0]
        prior, about = load_prior(place / f"{name}.safetensors")
        assert (prior.count, about.count, prior.mean.shape) == (3, 3, (4,))
        fields = {**SMALL, "steps": 1, "sampler_name": "LCM exact grid"}
        drawn = host.draw(**fields, override_settings={"ranni_prior": name}, recorder={"latents": True})
        assert f"Latent prior: {name}" in drawn.infotexts[0]
        assert np.abs(drawn.latents - host.draw(**fields, recorder={"latents": True}).latents).max() > 1e-4
    finally:
        (place / f"{name}.safetensors").unlink(missing_ok=True)


def test_reloading_the_ui_twice_leaves_one_of_each(host: Host) -> None:
    before = host.get("/sdapi/v1/samplers").json()
    fields = {**SMALL, "steps": 2, "sampler_name": "LCM exact grid"}
    drawn = host.draw(**fields)
    for _ in range(2):
        host.press("settings_restart_gradio")
        # A request in the moment between the host's start and that of its API would bring the host down.
        time.sleep(20)
        assert host.get("/sdapi/v1/samplers").json() == before
        assert host.draw(**fields).files == drawn.files


def test_an_entry_leaves_nothing_behind(host: Host) -> None:
    host.draw(**SMALL, steps=1, sampler_name="Euler")
    host.post("/ranni-recorder/remember", {})
    host.draw(**SMALL, steps=2, sampler_name="TCD")
    host.draw(**SMALL, steps=1, sampler_name="Euler")
    assert host.get("/ranni-recorder/changes").json() == []
