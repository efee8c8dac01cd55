"""The always-on script: reads the request, plans if asked, and guides each run of a sampler."""

from __future__ import annotations

from typing import Any

import msgspec
from modules import script_callbacks, scripts

from lib_ranni.errors import RanniError
from lib_ranni.panel.problems import Problem
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import PlanRequest, finish
from lib_ranni.webui import job as jobs
from lib_ranni.webui import passes, tab
from lib_ranni.webui.request import Request, read_arguments, to_json

TITLE = "Ranni"
PLANNERS = {"builtin": BuiltinPlanner}


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
        made = tab.build(self)
        self.infotext_fields = made.infotext_fields
        self.paste_field_names = [TITLE]
        return made.inputs

    def process(self, p: Any, *args: Any) -> None:
        """Read the request; an API caller whose request is wrong gets 422, the tab a warning."""
        setattr(p, jobs.ATTRIBUTE, None)
        p.extra_generation_params.pop(TITLE, None)
        reading = read_arguments(args)
        if reading.problems and getattr(p, "is_api", False):
            _refuse(p, reading.problems)
            return
        request = reading.request
        job = jobs.Job(p, request)
        if reading.problems:
            if request.enabled or not request.panels:
                shown = "; ".join(str(problem) for problem in reading.problems[:3])
                job.warn(f"the panel has problems and is not used: {shown}")
            return
        if request.is_idle:
            return
        try:
            job.request = request = _planned(p, job, request)
        except RanniError as error:
            job.warn(f"no panel was planned, the picture is drawn without one: {error}", error)
            return
        setattr(p, jobs.ATTRIBUTE, job)
        p.extra_generation_params[TITLE] = to_json(request)

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The panel's base and negative join the prompts that are encoded next."""
        if (job := jobs.of(p)) is not None:
            job.before_batch()

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The sampler is made and its first step near: the time to encode and to hook."""
        job = jobs.of(p)
        if job is None:
            return
        try:
            job.start_pass()
        except Exception as error:
            job.warn(f"the picture is drawn without the panel: {error or type(error).__name__}", error)


def _planned(p: Any, job: jobs.Job, request: Request) -> Request:
    """The request with a panel for each prompt of the job, where it came without one."""
    if request.panels or not request.planner.name:
        return request
    if request.planner.name not in PLANNERS:
        raise RanniError(f"there is no planner {request.planner.name!r}; choose {', '.join(PLANNERS)}")
    chosen = PLANNERS[request.planner.name]()
    made = {}
    for prompt in p.all_prompts:
        if prompt not in made:
            asked = PlanRequest(prompt, p.width / p.height, request.planner.seed)
            made[prompt] = finish(chosen.plan(asked)).panel
    panels = tuple(made[prompt] for prompt in p.all_prompts)
    return msgspec.structs.replace(request, panels=panels[:1] if len(made) == 1 else panels)


def _refuse(p: Any, problems: tuple[Problem, ...]) -> None:
    """End the job with 422: what a hook raises is swallowed, what `p.init` raises reaches the caller."""
    from fastapi import HTTPException

    detail = [{"loc": ["alwayson_scripts", TITLE, q.path], "msg": q.message} for q in problems[:100]]

    def init(*_: Any, **__: Any) -> None:
        raise HTTPException(422, detail=detail)

    p.init = init


def _on_cfg_denoiser(params: Any) -> None:
    guiding = passes.current(params)
    if guiding is not None:
        guiding.begin_step(params)


def _on_cfg_denoised(params: Any) -> None:
    guiding = passes.current(params)
    if guiding is not None:
        guiding.end_step(params)


def register() -> None:
    """Called by `scripts/ranni.py` at every load of the scripts; the host has dropped older callbacks."""
    script_callbacks.on_cfg_denoiser(_on_cfg_denoiser, name="guidance")
    script_callbacks.on_cfg_denoised(_on_cfg_denoised, name="guidance")
