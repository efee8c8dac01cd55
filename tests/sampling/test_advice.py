"""Warnings before a picture is drawn: each wrong setting is told, a right one is not."""

from __future__ import annotations

import pytest

from lib_ranni.sampling.advice import Use, advice, advice_on, lora_for, preset_for, steps_of
from lib_ranni.sampling.presets import PRESETS
from lib_ranni.sampling.schedules import NoiseSchedule
from tests.sampling.models import SD


def codes(**given: object) -> list[str]:
    settings: dict[str, object] = {"steps": 1, "cfg": 1.5, "preset": PRESETS["yoso1"], "loras": ["yoso_lora"]}
    return [found.code for found in advice_on(Use(**{**settings, **given}))]  # type: ignore[arg-type]


def test_nothing_to_say_about_a_preset_used_as_it_should_be() -> None:
    assert advice(PRESETS["yoso1"], 1, 1.5, "YOSO 1-step", "sd1", ["yoso_lora"]) == ()
    assert advice(PRESETS["sa"], 20, 7.0, "SA-Solver", "sdxl") == ()
    assert advice(None, 20, 7.0, "DDIM", "sd1") == ()
    assert codes(family="sd1", side=512, schedule=SD) == []


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"steps": 4}, "steps"),
        ({"cfg": 7.0}, "cfg"),
        ({"cfg": 0.0}, "cfg_zero"),
        ({"cfg": 1.0, "negative": True}, "negative_ignored"),
        ({"family": "sdxl"}, "family"),
        ({"family": "sd1", "side": 1024}, "side"),
        ({"loras": []}, "lora"),
        ({"loras": ["other"]}, "lora"),
        ({"unmatched": ["yoso_lora"]}, "lora_without_effect"),
        ({"scheduler": "Align Your Steps"}, "late_scheduler"),
        ({"scheduler": "DDIM"}, "late_scheduler"),
        ({"preset": None, "sampler": "DDIM", "steps": 2}, "timestep_sampler"),
        ({"preset": None, "sampler": "PLMS"}, "timestep_sampler"),
        ({"preset": PRESETS["sdxs"], "cfg": 1.0, "checkpoint": "dreamshaper"}, "checkpoint"),
        (
            {"preset": PRESETS["light"], "cfg": 1.0, "steps": 4, "loras": ["sdxl_lightning_8step_lora"]},
            "lora_steps",
        ),
    ],
)
def test_one_wrong_setting_is_one_warning(given: dict[str, object], code: str) -> None:
    assert codes(**given) == [code]


def test_zero_terminal_snr() -> None:
    alphas = SD.alphas.clone()
    alphas[-1] = 4.897e-8
    schedule = NoiseSchedule(alphas)
    assert codes(schedule=schedule) == ["zero_terminal_snr"]
    assert codes(schedule=schedule, epsilon=False) == []


def test_a_warning_says_what_would_answer_it() -> None:
    steps, cfg, lora = advice_on(
        Use(preset=PRESETS["yoso1"], steps=20, cfg=7.0, available=["cats", "yoso_lora", "my_yoso_lora_2"])
    )
    assert (steps.field, steps.value) == ("steps", 1)
    assert steps.text == "YOSO 1-step is made for 1 step, not 20"
    assert (cfg.field, cfg.value) == ("cfg", 1.5)
    assert "1 to 2" in cfg.text
    assert (lora.field, lora.value) == ("lora", "yoso_lora")
    assert "yoso_lora" in lora.text


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("yoso_lora", "yoso2"),
        ("lcm-lora-sdv1-5", "lcm"),
        ("TCD-SDXL-LoRA", "tcd"),
        ("sdxl_lightning_4step_lora", "light"),
        ("sdxl_lightning_1step_x0", "light1"),
        ("Hyper-SD15-1step-lora", "hyper1"),
        ("Hyper-SDXL-8steps-lora", "hyper"),
        ("Hyper-SDXL-1step-Unet-Comfyui.fp16", "hyper1u"),
        ("dmd2_sdxl_4step_lora_fp16", "dmd2_4"),
        ("dmd2_sdxl_1step_unet_fp16", "dmd2_1"),
        ("pcm_sd15_smallcfg_4step_converted", "pcm"),
        ("pcm_sdxl_lcmlike_lora_converted", "pcm_lcm"),
        ("sd_turbo", "turbo"),
        ("sd_xl_turbo_1.0_fp16", "turbo"),
        ("instaflow_0_9B_from_sd_1_5", "instaflow"),
        ("sdxs-512-dreamshaper", "sdxs"),
        ("dreamshaper_8", None),
        ("add_detail", None),
    ],
)
def test_files_of_the_families_are_known_by_name(name: str, preset: str | None) -> None:
    found = preset_for(name)
    assert (found.id if found else None) == preset


def test_loras_for_a_preset() -> None:
    assert lora_for(PRESETS["lcm"], ["a", "lcm-lora-sdxl", "lcm-lora-sdv1-5-extra"]) == "lcm-lora-sdxl"
    assert lora_for(PRESETS["sdxs"], ["sdxs"]) is None
    assert PRESETS["hyper"].lora_weight("sdxl") == 0.8
    assert PRESETS["hyper"].lora_weight("sd1") == 1.0
    assert steps_of("Hyper-SD15-2steps-lora") == 2
    assert steps_of("plain") is None
