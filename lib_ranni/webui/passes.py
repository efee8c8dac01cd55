"""Guidance of one run of a sampler: the first pass, the hires pass, or img2img.

Everything that is changed in the host is changed inside `launch_sampling` and put back when it ends,
however it ends. A prompt with AND is a sum of parts: the panel stands in for the first, the base, and the
others act on the whole picture, as they do without us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules import shared
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.service.request import GuidedMode
from lib_ranni.webui.attention_mode import AttentionMode
from lib_ranni.webui.batch_texts import BatchTexts
from lib_ranni.webui.latent_mode import LatentMode
from lib_ranni.webui.neighbors import require_own_attention
from lib_ranni.webui.panel_mode import PanelMode
from lib_ranni.webui.rows import StepRows

OnError = Callable[[Exception], None]

MakeControl = Callable[[Any, BatchTexts, OnError], PanelMode | None]
"""(loaded model, texts of the base rows, whom to tell of errors inside the UNet) -> panel control."""

ATTRIBUTE = "_ranni_pass"
"""Where a denoiser, and the model it wraps, keep the pass that guides them while they sample."""


def at_next_run(sampler: Any, around: Callable[[Any, Callable[[], Any]], Any]) -> None:
    """Have `around(denoiser, run)` stand in for the next run of a sampler, and for no later one."""
    own = "launch_sampling" in sampler.__dict__
    original = sampler.launch_sampling

    def launch_sampling(*args: Any, **kwargs: Any) -> Any:
        if own:
            sampler.launch_sampling = original
        else:
            del sampler.launch_sampling
        return around(sampler.model_wrap_cfg, lambda: original(*args, **kwargs))

    sampler.launch_sampling = launch_sampling


class Pass:
    """One run of a sampler under guidance.

    `encode` gives the texts for the model that is loaded when it is called, `control` panel control for it
    (None: there is none). `on_problem` is told once, with the cause, when guidance must give up; the
    picture is then drawn on without it. Without panel control, if that gives up, the rest goes on.
    """

    def __init__(
        self,
        mode: GuidedMode,
        encode: Callable[[], BatchTexts],
        on_problem: OnError,
        control: MakeControl | None,
        on_uncontrolled: OnError,
    ) -> None:
        self._mode_name = mode
        self._encode = encode
        self._on_problem = on_problem
        self._make_control = control
        self._on_uncontrolled = on_uncontrolled
        self._given_up = False
        self._uncontrolled = False
        self._weights: tuple[int, str] | None = None
        self._texts: BatchTexts | None = None
        self._mode: AttentionMode | LatentMode | None = None
        self._control: PanelMode | None = None
        self._watched: Any = None
        self._rows: StepRows | None = None

    def guard(self, sampler: Any) -> None:
        """Be there from the next start of this sampler to its end, and no longer."""

        def around(denoiser: Any, run: Callable[[], Any]) -> Any:
            try:
                self._attempt(self._follow_model)
                setattr(denoiser, ATTRIBUTE, self)
                return run()
            finally:
                denoiser.__dict__.pop(ATTRIBUTE, None)
                self._let_go()

        at_next_run(sampler, around)

    def begin_step(self, params: Any) -> None:
        """`on_cfg_denoiser`: a step's rows are assembled; the model's calls follow."""
        self._attempt(lambda: self._begin_step(params))

    def end_step(self, params: Any) -> None:
        """`on_cfg_denoised`: the predictions of all rows are there, and may be changed in place."""
        self._attempt(lambda: self._end_step(params.x))

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._given_up:
            return
        try:
            action()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._given_up = True
        self._on_problem(error)

    def _follow_model(self) -> None:
        """Guide the model that is loaded now; the refiner may exchange it on the way."""
        self._let_go()
        self._weights = _weights()
        model = shared.sd_model
        require_own_attention(model)
        self._texts = texts = self._encode()
        if self._mode_name == "latent":
            self._mode = LatentMode(texts)
        elif self._mode_name == "attention":
            self._mode = AttentionMode(model, texts, self._give_up)
        self._steer(lambda: self._take_control(model, texts))

    def _take_control(self, model: Any, texts: BatchTexts) -> None:
        if self._make_control is not None:
            self._control = self._make_control(model, texts, self._give_up_control)

    def _steer(self, action: Callable[[], None]) -> None:
        """Do what is panel control's alone."""
        if self._uncontrolled:
            return
        try:
            action()
        except Exception as error:
            self._give_up_control(error)

    def _give_up_control(self, error: Exception) -> None:
        # Its hooks stay till the end, as they may be running; unannounced they change nothing.
        self._uncontrolled = True
        self._on_uncontrolled(error)

    def _let_go(self) -> None:
        self._unwatch()
        for mode in (self._control, self._mode):
            if mode is not None:
                mode.close()
        self._control = self._mode = self._texts = None

    def _begin_step(self, params: Any) -> None:
        denoiser = params.denoiser
        if self._weights != _weights():
            self._follow_model()
        parts = [len(prompt) for prompt in denoiser.sampler.sampler_extra_args["cond"].batch]
        self._rows = rows = StepRows(parts)
        if self._texts is None:
            return
        if len(params.x) != len(rows.roles) or rows.images > len(self._texts):
            raise GuidanceError(
                f"a step has {len(params.x)} rows where {len(rows.roles)} were expected; another extension "
                "adds rows, or the checkpoint is made for InstructPix2Pix: switch one of the two off"
            )
        self._watch(denoiser.inner_model)
        self._texts.step = denoiser.step
        progress = denoiser.step / max(1, denoiser.total_steps)
        for mode in (self._mode, self._control):
            if mode is not None:
                mode.begin_step(params, rows, progress)

    def _end_step(self, x_out: Tensor) -> None:
        if self._mode is not None and self._rows is not None:
            self._mode.end_step(x_out, self._rows)

    def _begin_call(self, x: Tensor, cond: Any) -> None:
        control, rows = self._control, self._rows
        if rows is None:
            return
        own = self._mode.running if isinstance(self._mode, LatentMode) else ()
        roles = () if own else rows.take(len(x))
        if self._mode is not None and not own:
            self._mode.begin_call(roles, x, cond)
        if control is not None and own:
            self._steer(lambda: control.begin_own_call(own, x))
        elif control is not None:
            self._steer(lambda: control.begin_call(roles, x, cond))

    def _watch(self, model: Any) -> None:
        """See each call the host makes of what wraps the UNet for a sampler."""
        if self._watched is model:
            return
        self._unwatch()
        self._watched = model
        setattr(model, ATTRIBUTE, self)
        self._replaced = model.__dict__.get("forward")
        original = model.forward

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            self._attempt(lambda: self._begin_call(x, kwargs.get("cond")))
            return original(x, *args, **kwargs)

        model.forward = forward

    def _unwatch(self) -> None:
        if self._watched is None:
            return
        self._watched.__dict__.pop(ATTRIBUTE, None)
        if self._replaced is None:
            self._watched.__dict__.pop("forward", None)
        else:
            self._watched.forward = self._replaced
        self._watched = None


def _weights() -> tuple[int, str]:
    """Tells loaded weights apart: with one checkpoint in memory the host loads the next into its model."""
    info = getattr(shared.sd_model, "sd_checkpoint_info", None)
    return id(shared.sd_model), str(getattr(info, "filename", ""))


def current(params: Any) -> Pass | None:
    """The pass that guides the denoiser, or the wrapped model, of a callback's parameters."""
    owner = getattr(params, "denoiser", None) or getattr(params, "inner_model", None)
    found = owner.__dict__.get(ATTRIBUTE) if owner is not None else None
    return found if isinstance(found, Pass) else None
