"""What a job's sampler entries ask of the rest of it: told, or set where the user wants that.

What is set is a number of steps, a guidance scale and a LoRA's tag in the prompts: all of it told and in the
infotext. The user's own values stay what they are; an object that the host uses again has them back first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from modules import extra_networks, shared

from lib_ranni.sampling.advertised import Advertised, chosen_lora
from lib_ranni.sampling.advice import Use, advice_on, steps_of
from lib_ranni.sampling.presets import Preset
from lib_ranni.webui import few_step_options, latent_prior, networks, samplers
from lib_ranni.webui.few_step_denoiser import ends_in_noise, has_own_noise, model_schedule, predicts_v

ENFORCED, CHANGES = "Few-step enforced", "Few-step set"
"""Keys of an infotext: whether entries set the rest, and what they did set."""

_KEPT = "_ranni_before"
"""Where a processing object keeps what was set: by name, the value before and ours."""

_KEYS = (*few_step_options.LABELS, latent_prior.HASH, CHANGES)


class _Run(NamedTuple):
    """A run of a sampler in a job: its preset, and where the job has its steps, prompts and schedule."""

    preset: Preset | None
    sampler: str
    steps: str
    prompts: str
    negatives: str
    scheduler: str
    size: tuple[int, int]


def prepare(p: Any) -> None:
    """A job begins; its prompts are there, its sampler is not."""
    for key in (ENFORCED, *_KEYS):
        p.extra_generation_params.pop(key, None)
    _restore(p)
    runs = list(_runs(p))
    if any(_schedules_itself(run) for run in runs):
        _unschedule(p, runs)
        _tell_of_noise(p)
        enforces = few_step_options.chosen().enforces
        p.extra_generation_params[ENFORCED] = enforces
        if enforces:
            changes = [change for run in runs for change in _enforced(p, run)]
            if changes:
                p.extra_generation_params[CHANGES] = "; ".join(changes)
                p.comment(f"Ranni: the sampler set {'; '.join(changes)}")
    for run in runs:
        for advice in advice_on(_use(p, run)):
            p.comment(f"Ranni: {advice.text}")


def _restore(p: Any) -> None:
    """Take back what an earlier job set, where nobody has set another value since."""
    for name, (before, ours) in p.__dict__.pop(_KEPT, {}).items():
        if getattr(p, name, None) == ours:
            setattr(p, name, before)


def _runs(p: Any) -> Iterator[_Run]:
    """The job's pass, and its hires pass."""
    name = p.sampler_name
    yield _Run(
        samplers.preset_of(name),
        name,
        "steps",
        "all_prompts",
        "all_negative_prompts",
        "scheduler",
        (p.width, p.height),
    )
    if getattr(p, "enable_hr", False):
        second = getattr(p, "hr_sampler_name", None) or name
        # Its size is known later; what it starts from is a picture, so it draws larger ones than noise.
        yield _Run(
            samplers.preset_of(second),
            second,
            "hr_second_pass_steps",
            "all_hr_prompts",
            "all_hr_negative_prompts",
            "hr_scheduler",
            (0, 0),
        )


def _unschedule(p: Any, runs: Sequence[_Run]) -> None:
    """Entries have timesteps of their own; an infotext must not name a schedule that does nothing."""
    second = runs[-1]
    if len(runs) == 2 and not _schedules_itself(second) and getattr(p, "hr_scheduler", None) is None:
        _set(p, "hr_scheduler", p.scheduler)
    for run in runs:
        if _schedules_itself(run) and getattr(p, run.scheduler, None) not in (None, "Automatic"):
            _set(p, run.scheduler, "Automatic")


def _tell_of_noise(p: Any) -> None:
    if ends_in_noise() and not predicts_v(shared.sd_model):
        p.comment(
            "Ranni: zero terminal SNR is left out: nothing of a picture can be told from the noise that this "
            "model predicts at the last timestep"
        )


def _schedules_itself(run: _Run) -> bool:
    return run.preset is not None and not samplers.is_many_step(run.preset)


def _enforced(p: Any, run: _Run) -> Iterator[str]:
    """Set what the preset of a run asks for; what was set, in words."""
    preset = run.preset
    if preset is None or samplers.is_many_step(preset):
        return
    files = networks.advertised()
    worn = [name for name in _loras(p, run) if _fits(preset, name, files)]
    lora = worn[0] if worn else _added_lora(p, run, preset, files)
    if lora is not None and not worn:
        yield f"LoRA {lora} ({run.sampler})"
    steps = _steps(p, run)
    wanted = _steps_for(preset, lora)
    if steps not in wanted:
        _set(p, run.steps, wanted[0])
        yield f"{'hires steps' if run.steps != 'steps' else 'steps'} {steps} -> {wanted[0]}"
    if run.sampler == p.sampler_name:
        low, high, usual = preset.cfg
        said = files[lora].cfg if lora in files else None
        usual = usual if said is None else said
        if not (p.cfg_scale == usual if said is not None else low <= p.cfg_scale <= high):
            yield f"CFG scale {p.cfg_scale:g} -> {usual:g}"
            _set(p, "cfg_scale", usual)


def _steps(p: Any, run: _Run) -> int:
    """The steps of a run; a hires pass without any of its own has those of the first."""
    return int(getattr(p, run.steps, 0) or p.steps)


def _steps_for(preset: Preset, lora: str | None) -> tuple[int, ...]:
    """Numbers of steps that are right, the best first: those that a LoRA's name tells, or the preset's."""
    count = steps_of(lora) if lora is not None and preset.fits_lora(lora) else None
    return (count,) if count not in (None, 1) and count in preset.steps else preset.steps


def _added_lora(p: Any, run: _Run, preset: Preset, files: dict[str, Advertised]) -> str | None:
    """Put the preset's LoRA into the prompts of a run; its name, or None where there is none or no need."""
    if not preset.lora or preset.fits_checkpoint(_checkpoint()):
        return None
    base = _checkpoint()
    name = chosen_lora(preset, {n: about for n, about in files.items() if about.base in ("", base)})
    if name is None:
        return None
    family = latent_prior.family(shared.sd_model)
    weight = preset.lora_weight(family) if family is not None else preset.weight
    tag = f"<lora:{name}:{weight:g}>"
    prompts = getattr(p, run.prompts, None) or []
    tagged = [prompt if tag in prompt else f"{prompt} {tag}".strip() for prompt in prompts]
    # The host makes these anew for every job.
    setattr(p, run.prompts, tagged)
    if run.prompts == "all_prompts" and isinstance(getattr(p, "main_prompt", None), str):
        p.main_prompt = f"{p.main_prompt} {tag}".strip()
    return name


def _set(p: Any, name: str, value: Any) -> None:
    # A copy of the object, as a grid's cell is one, must not share what it keeps.
    p.__dict__[_KEPT] = {**p.__dict__.get(_KEPT, {}), name: (getattr(p, name, None), value)}
    setattr(p, name, value)


def _use(p: Any, run: _Run) -> Use:
    """A run as the library judges it."""
    model, preset = shared.sd_model, run.preset
    files, loras = networks.advertised(), _loras(p, run)
    negatives: Sequence[str] = getattr(p, run.negatives, None) or []
    return Use(
        preset=preset,
        steps=_steps(p, run),
        cfg=float(p.cfg_scale),
        sampler=run.sampler,
        family=latent_prior.family(model),
        loras=loras,
        available=tuple(files),
        lora_fits=preset is not None and any(_fits(preset, name, files) for name in loras),
        checkpoint=_checkpoint(),
        scheduler=str(getattr(p, run.scheduler, None) or ""),
        negative=any(text.strip() for text in negatives),
        epsilon=not predicts_v(model),
        schedule=None if preset is None or has_own_noise(model) else model_schedule(model),
        side=_side(model, run),
    )


def _side(model: Any, run: _Run) -> int | None:
    """The picture's shorter side, where the model is for the size that is usual in its family."""
    usual = getattr(model, "image_size", 64) == 64
    return (min(run.size) or None) if run.preset is not None and usual else None


def _fits(preset: Preset, name: str, files: dict[str, Advertised]) -> bool:
    return preset.fits_lora(name) or (name in files and preset.id in files[name].presets)


def _loras(p: Any, run: _Run) -> list[str]:
    """The names of the LoRAs of a run's first prompt, which the host takes for the whole batch."""
    prompts = getattr(p, run.prompts, None) or [""]
    tags = extra_networks.parse_prompt(str(prompts[0]))[1].get("lora", [])
    return [tag.positional[0] for tag in tags if tag.positional]


def _checkpoint() -> str:
    info = getattr(shared.sd_model, "sd_checkpoint_info", None)
    return str(getattr(info, "name_for_extra", ""))
