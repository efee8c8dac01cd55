"""What is about to go wrong with few steps, told before a picture is drawn, and what would put it right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from lib_ranni.sampling.presets import PRESETS, Family, Preset
from lib_ranni.sampling.schedules import NoiseSchedule

GRIDLESS = ("ddim", "ddim cfg++", "plms", "unipc")
"""The host's samplers that drop their last timestep: one step of them decodes raw noise."""

LATE_SCHEDULERS = ("ddim", "align your steps", "align_your_steps")
"""The host's schedulers whose only step, of one, starts where hardly any noise is left."""

_FAMILIES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}
_SIDES = {"sd1": 512, "sd2": 512, "sdxl": 1024}


class Advice(Struct, frozen=True):
    """One warning. `field` and `value` are the setting that would answer it, if one would."""

    code: str
    text: str
    field: str = ""
    value: float | str = ""


class Use(Struct, frozen=True, kw_only=True):
    """How a preset, or none, is about to be used. What is not known is left out.

    `loras` are those in use, `unmatched` those of them that reach no layer, `available` all there are, by
    file name without suffix; `lora_fits` says that one in use is for the preset whatever its name.
    """

    preset: Preset | None
    steps: int
    cfg: float
    sampler: str = ""
    family: Family | None = None
    loras: Sequence[str] = ()
    unmatched: Sequence[str] = ()
    available: Sequence[str] = ()
    lora_fits: bool = False
    checkpoint: str = ""
    scheduler: str = ""
    negative: bool = False
    epsilon: bool = True
    schedule: NoiseSchedule | None = None
    side: int | None = None


def advice(
    preset: Preset | None,
    steps: int,
    cfg: float,
    sampler: str = "",
    family: Family | None = None,
    loras: Sequence[str] = (),
) -> tuple[Advice, ...]:
    """Warnings about the usual six; `advice_on` knows more."""
    use = Use(preset=preset, steps=steps, cfg=cfg, sampler=sampler, family=family, loras=loras)
    return advice_on(use)


def advice_on(use: Use) -> tuple[Advice, ...]:
    """All warnings about a use, none if it is as it should be."""
    found = list(_about_sampler(use))
    if use.preset is not None:
        for check in _CHECKS:
            found += check(use, use.preset)
    return tuple(found)


def _about_sampler(use: Use) -> Iterator[Advice]:
    if use.preset is None and use.sampler.strip().lower() in GRIDLESS and use.steps <= 2:
        text = f"{use.sampler} leaves a step out, which {use.steps} cannot spare; take Euler or more steps"
        yield Advice("timestep_sampler", text, "sampler", "Euler")
    if use.steps == 1 and use.scheduler.strip().lower() in LATE_SCHEDULERS:
        text = f"the schedule {use.scheduler} starts its only step almost without noise; take SGM Uniform"
        yield Advice("late_scheduler", text, "scheduler", "SGM Uniform")
    if use.unmatched:
        names = ", ".join(use.unmatched)
        yield Advice(
            "lora_without_effect", f"no layer of this model takes anything from {names}; convert the file"
        )


def _about_steps(use: Use, preset: Preset) -> Iterator[Advice]:
    if use.steps not in preset.steps:
        counts = sorted(preset.steps)
        made = f"{counts[0]} to {counts[-1]}" if len(counts) > 4 else ", ".join(map(str, counts))
        word = "step" if counts == [1] else "steps"
        text = f"{preset.label} is made for {made} {word}, not {use.steps}"
        yield Advice("steps", text, "steps", preset.steps[0])
        return
    for name in use.loras:
        if preset.fits_lora(name) and (count := steps_of(name)) not in (None, 1, use.steps):
            yield Advice(
                "lora_steps", f"{name} is made for {count} steps, not {use.steps}", "steps", count or 0
            )


def steps_of(name: str) -> int | None:
    """The number of steps a file's name tells, as `lightning_4step` does."""
    match = re.search(r"(\d+)[-_ ]?steps?", name, re.IGNORECASE)
    return int(match[1]) if match else None


def _about_guidance(use: Use, preset: Preset) -> Iterator[Advice]:
    low, high, usual = preset.cfg
    if use.cfg == 0:
        text = "a guidance scale of 0 draws the negative prompt; 1 turns guidance off"
        yield Advice("cfg_zero", text, "cfg", usual)
    elif not low <= use.cfg <= high:
        span = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        text = f"{preset.label} wants a guidance scale of {span}, not {use.cfg:g}"
        yield Advice("cfg", text, "cfg", usual)
    elif use.cfg == 1 and use.negative:
        yield Advice("negative_ignored", "a guidance scale of 1 ignores the negative prompt")


def _about_model(use: Use, preset: Preset) -> Iterator[Advice]:
    if use.family is not None and use.family not in preset.families:
        made = " and ".join(_FAMILIES[family] for family in preset.families)
        text = f"{preset.label} is made for {made}, this model is of {_FAMILIES[use.family]}"
        yield Advice("family", text)
    if use.side is not None and use.family is not None:
        native = _SIDES[use.family]
        if not 0.74 <= use.side / native <= 1.51:
            text = f"few steps hold only near {native} px; {use.side} px needs hires fix or more steps"
            yield Advice("side", text)


def _about_lora(use: Use, preset: Preset) -> Iterator[Advice]:
    known_checkpoint = preset.fits_checkpoint(use.checkpoint)
    fits = use.lora_fits or any(map(preset.fits_lora, use.loras))
    if preset.lora and not known_checkpoint and not fits:
        found = lora_for(preset, use.available)
        text = f"no LoRA for {preset.label} is in use"
        text += f"; {found} is there" if found else f"; get one whose name matches {preset.lora!r}"
        yield Advice("lora", text, *(("lora", found) if found else ()))
    if preset.checkpoint and not preset.lora and use.checkpoint and not known_checkpoint:
        text = f"{preset.label} needs its own checkpoint; {use.checkpoint} does not look like it"
        yield Advice("checkpoint", text)


def _about_noise(use: Use, preset: Preset) -> Iterator[Advice]:
    if use.schedule is not None and use.schedule.ends_in_noise and use.epsilon:
        text = (
            "with zero terminal SNR nothing of the picture can be told from an epsilon at the last timestep; "
            "turn it off for this model"
        )
        yield Advice("zero_terminal_snr", text, "noise_schedule", "Default")


_Check = Callable[[Use, Preset], Iterator[Advice]]
_CHECKS: tuple[_Check, ...] = (
    _about_steps,
    _about_guidance,
    _about_model,
    _about_lora,
    _about_noise,
)


def lora_for(preset: Preset, names: Sequence[str]) -> str | None:
    """The LoRA among these file names that a preset is made for, the shortest name if there are several."""
    fitting = sorted((name for name in names if preset.fits_lora(name)), key=lambda name: (len(name), name))
    return fitting[0] if fitting else None


def preset_for(name: str) -> Preset | None:
    """The preset a LoRA's or checkpoint's file name tells of, to suggest it; None for any other file."""
    for key in _BY_FILE:
        preset = PRESETS[key]
        if preset.fits_lora(name) or preset.fits_checkpoint(name):
            return preset
    return None


_BY_FILE = (
    *("hyper1u", "hyper1", "hyper", "dmd2_1", "dmd2_4", "light1", "light", "pcm_lcm", "pcm"),
    *("yoso2", "sdxs", "tcd", "lcm", "turbo", "instaflow"),
)
"""Presets by how telling their patterns are: `pcm_..._lcmlike` is no LCM file."""
