"""The always-on script: reads the request, plans if asked, and guides each run of a sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import HTTPException
from modules import errors, script_callbacks, scripts, shared

from lib_ranni.errors import InputError, RanniError
from lib_ranni.panel.formats.regional_prompter import from_parameters
from lib_ranni.panel.writing import to_document
from lib_ranni.service.request import Request, read, read_arguments, to_json
from lib_ranni.webui import (
    api,
    edm_models,
    few_step_options,
    latent_prior,
    lora_check,
    memory,
    networks,
    noise_schedule,
    passes,
    presetting,
    prior_estimation,
    samplers,
    settings,
    tab,
    xyz,
)
from lib_ranni.webui import job as jobs
from lib_ranni.webui.expansion import expanded, expansion
from lib_ranni.webui.planning import interrupted, list_models, make_room, plan

TITLE = tab.KEY


class RanniScript(scripts.Script):
    """Layout control by a semantic panel, in txt2img and img2img. Keeps nothing between requests."""

    def title(self) -> str:
        """The name in the API and in the host's lists."""
        return TITLE

    def show(self, is_img2img: bool) -> Any:
        """Always on, in both tabs."""
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        """The accordion's switch and one JSON text."""
        made = tab.build(self, is_img2img)
        self.infotext_fields = made.infotext_fields
        self.paste_field_names = [TITLE]
        return made.inputs

    def before_process(self, p: Any, *args: Any) -> None:
        """Ranni's checkpoint was trained on a noise schedule that the host must be told of early."""
        if jobs.is_nested() and not settings.guides_nested():
            return
        if not _is_idle(p, args) and noise_schedule.needs_other(p):
            noise_schedule.exchange(p)

    def postprocess(self, p: Any, *args: Any) -> None:
        """The job is done."""
        noise_schedule.put_back(p)

    def process(self, p: Any, *args: Any) -> None:
        """Read the request; an API caller whose request is wrong gets 422, the tab a warning."""
        _attempt("the sampler's settings are left as they are", lambda: presetting.prepare(p))
        setattr(p, jobs.ATTRIBUTE, None)
        for key in (TITLE, jobs.PROBLEM, memory.INFOTEXT, lora_check.PROBLEM):
            p.extra_generation_params.pop(key, None)
        is_nested = jobs.is_nested()
        if is_nested and not settings.guides_nested():
            return
        reading = read_arguments(args)
        job = jobs.Job(p, reading.request)
        if reading.problems:
            message = "; ".join(str(problem) for problem in reading.problems[:3])
            details = [(problem.path, problem.message) for problem in reading.problems]
            _refuse(p, job, 422, f"the panel has problems and is not used: {message}", details)
            return
        try:
            job.request = xyz.applied(p, job.request)
            if job.request.is_idle:
                return
            job.request = _expanded(p, job)
            job.request = _planned(p, job)
        except RanniError as error:
            status = 422 if isinstance(error, InputError) else 502
            message = f"there is no panel, the picture is drawn without one: {error}"
            _refuse(p, job, status, message, [("planner", str(error))])
            return
        setattr(p, jobs.ATTRIBUTE, job)
        if not is_nested:
            job.remember()
        if settings.writes_infotext():
            p.extra_generation_params[TITLE] = _recorded(job.request)
            if job.memory is not None:
                p.extra_generation_params[memory.INFOTEXT] = _of_each(job.memory.edits)

    def after_extra_networks_activate(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The LoRAs of the prompts are loaded, whether a panel is followed or not."""
        data = kwargs.get("extra_network_data") or {}
        _attempt("the LoRAs of the prompt are left as they are", lambda: networks.activated(p, data))

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The panel's base and negative join the prompts that are encoded next."""
        make_room()
        if (job := jobs.of(p)) is not None:
            job.before_batch()

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The sampler is made and its first step near: the time to encode and to hook."""
        for text in edm_models.advice(p):
            jobs.Job(p, Request()).warn(text)
            p.extra_generation_params[jobs.PROBLEM] = text
        if "x" in kwargs and "noise" in kwargs:
            start = lambda: latent_prior.begin_pass(p, kwargs["x"], kwargs["noise"])  # noqa: E731
            _attempt("the picture starts without a latent prior", start)
        job = jobs.of(p)
        if job is None:
            return
        try:
            job.start_pass()
            job.lean_noise(kwargs.get("x"))
        except Exception as error:
            job.failed(error)
        if job.memory is not None:
            job.memory.start_pass(kwargs["x"])

    def postprocess_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The pictures of a batch are decoded, and can still be changed."""
        job = jobs.of(p)
        if job is not None and job.memory is not None:
            job.memory.end_batch(kwargs["images"])

    def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
        """Finished latents: statistics are made of them where the user asked for that."""
        _attempt("these latents are not counted", lambda: prior_estimation.take(ps.samples))


def _is_idle(p: Any, args: tuple[Any, ...]) -> bool:
    try:
        return xyz.applied(p, read_arguments(args).request).is_idle
    except RanniError:
        return True  # told when the job begins


def _attempt(otherwise: str, action: Callable[[], None]) -> None:
    """Do something that no picture may be lost for."""
    try:
        action()
    except Exception as error:
        errors.report(f"Ranni: {otherwise}: {error}", exc_info=True)


def _expanded(p: Any, job: jobs.Job) -> Request:
    """The request with the variants in its texts chosen, picture by picture, where Dynamic Prompts is on."""
    try:
        expand = expansion(p)
        if expand is None or not job.request.panels:
            return job.request
        return msgspec.structs.replace(job.request, panels=expanded(job.request.panels, p.all_seeds, expand))
    except Exception as error:
        job.warn(f"variants in the panel's texts are left as they are: {error}", error)
        return job.request


def _planned(p: Any, job: jobs.Job) -> Request:
    """The request with a panel for each prompt of the job, where it came without one."""
    request = job.request
    if request.panels or not request.planner.name:
        return request
    asked = request.planner
    made = {}
    for prompt in dict.fromkeys(p.all_prompts):
        done = plan(
            prompt, name=asked.name, aspect=p.width / p.height, seed=asked.seed, cancelled=interrupted()
        )
        if done.report.fallback:
            job.warn(f"planned without the model: {done.report.fallback}")
        made[prompt] = done.panel
    panels = tuple(made[prompt] for prompt in p.all_prompts)
    return msgspec.structs.replace(request, panels=panels[:1] if len(made) == 1 else panels)


def _recorded(request: Request) -> str | Callable[..., str | None]:
    """What the infotexts say: each picture's only what concerns it."""
    if len(request.panels) < 2:
        return to_json(request)

    def of_picture(number: int) -> str:
        panel = request.panels[number % len(request.panels)]
        return to_json(msgspec.structs.replace(request, panels=(panel,)))

    return _of_each(of_picture)


def _of_each(text: Callable[[int], str | None]) -> Callable[..., str | None]:
    """What an infotext says by a picture's number within the job."""

    def of_picture(p: Any, index: int, all_prompts: list[str], **_: Any) -> str | None:
        # While it draws, the host counts pictures within the batch; afterwards, within the job.
        return text(index + (p.iteration * p.batch_size if all_prompts is p.prompts else 0))

    return of_picture


def _refuse(p: Any, job: jobs.Job, status: int, message: str, details: list[tuple[str, str]]) -> None:
    """Warn, and draw plain; but end an API caller's job, who would not see the warning.

    What a hook raises is swallowed by the host; what `p.init` raises reaches the caller.
    """
    job.warn(message)
    if not getattr(p, "is_api", False):
        return
    found = [{"loc": ["alwayson_scripts", TITLE, path], "msg": text} for path, text in details[:100]]

    def init(*_: Any, **__: Any) -> None:
        raise HTTPException(status, detail=found)

    p.init = init


def _on_cfg_denoiser(params: Any) -> None:
    guiding = passes.current(params)
    if guiding is not None:
        guiding.begin_step(params)


def _on_cfg_denoised(params: Any) -> None:
    guiding = passes.current(params)
    if guiding is not None:
        guiding.end_step(params)


def _on_infotext_pasted(_: str, params: dict[str, Any]) -> None:
    """An old picture of Regional Prompter becomes a panel, where that extension is not there to take it."""
    if TITLE in params or params.get("RP Active") != "True":
        return
    if any(found.title() == "Regional Prompter" for found in scripts.scripts_txt2img.alwayson_scripts):
        return
    imported = from_parameters(params)
    value = {"panel": to_document(imported.panel), "guidance": imported.settings}
    params[TITLE] = to_json(read(value).request)
    params["Prompt"] = imported.panel.base


def register() -> None:
    """Called by `scripts/ranni.py` at every load of the scripts; the host has dropped older callbacks."""
    # Before the first load the grid's script is there already, and with --nowebui `on_before_ui` is too late.
    xyz.add_axes()
    # The dropdowns are filled before `on_before_ui`'s turn comes with --nowebui, too.
    samplers.register()
    script_callbacks.on_before_ui(_register_all, name="start")


def _register_all() -> None:
    """The rest of the callbacks, once the scripts are loaded.

    To name a callback the host inspects the call stack, which takes it a twentieth of a second for each
    while a module is being imported, and next to nothing now.
    """
    xyz.add_axes()
    script_callbacks.on_cfg_denoiser(_on_cfg_denoiser, name="guidance")
    script_callbacks.on_cfg_denoised(_on_cfg_denoised, name="guidance")
    script_callbacks.on_infotext_pasted(_on_infotext_pasted, name="infotext")
    script_callbacks.on_ui_settings(lambda: settings.add_options(list_models), name="settings")
    script_callbacks.on_ui_settings(
        lambda: few_step_options.add_options(latent_prior.names), name="few steps"
    )
    if getattr(shared.cmd_opts, "nowebui", False):
        # Its settings were made before this.
        few_step_options.add_options(latent_prior.names)
    script_callbacks.on_script_unloaded(samplers.unregister, name="samplers")
    script_callbacks.on_app_started(api.mount, name="api")
    edm_models.register()
