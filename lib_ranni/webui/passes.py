"""Guidance of one run of a sampler: the first pass, the hires pass, or img2img.

Everything that is changed in the host is changed inside `launch_sampling` and put back when it ends,
however it ends. Which row of a UNet call belongs to which picture and side is counted from the row order
of the host's `CFGDenoiser.forward`: all conditioned rows, picture by picture, then all negative ones; its
calls go through them in that order whatever the settings for batching and padding are.

A prompt with AND is a sum of parts. The panel stands in for its first part, the base; the other parts
act on the whole picture, as they do without us.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from modules import sd_unet, shared
from modules.hypernetworks import hypernetwork
from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.guides import LatentGuide, Row
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing
from lib_ranni.webui.denoising import Predictor, contexts_of, same_context, unmarked
from lib_ranni.webui.networks import Loras
from lib_ranni.webui.pictures import Picture
from lib_ranni.webui.request import GuidedMode

ATTRIBUTE = "_ranni_pass"
"""Where a denoiser keeps the pass that guides it while it samples."""

_GUIDED, _UNGUIDED = 2.0, 1.0
"""Scales for a `LatentGuide` here: it only mixes, and asks for negatives or not; the host has the scale."""

_MOST_BASES = 16
"""Different base texts of one picture and side that are kept apart; a schedule has a few."""


class _Role(NamedTuple):
    """What a row of the host's batch is: a part of a picture's prompt, or its negative prompt."""

    image: int
    part: int
    negative: bool


class Pass:
    """One run of a sampler under guidance. `on_problem` is told once, with the cause, if it must give up."""

    def __init__(
        self,
        p: Any,
        mode: GuidedMode,
        mixing: Mixing,
        make_pictures: Callable[[], list[Picture]],
        on_problem: Callable[[Exception], None],
    ) -> None:
        self._p = p
        self._mode = mode
        self._mixing = mixing
        self._make_pictures = make_pictures
        self._on_problem = on_problem
        self._given_up = False
        self._model: Any = None
        self._pictures: list[Picture] = []
        self._loras: dict[Text, Loras] = {}
        self._session: GuidanceSession | None = None
        self._watched: Any = None
        self._bases: dict[tuple[int, bool], list[Text]] = {}
        self._panels: dict[tuple[Any, ...], PanelTexts] = {}
        self._guides: dict[tuple[Any, ...], LatentGuide] = {}
        self._roles: list[_Role] = []
        self._cursor = 0
        self._step, self._progress = 0, 0.0
        self._predictor: Predictor | None = None
        self._stand_ins: dict[int, Text] = {}

    def guard(self, sampler: Any) -> None:
        """Be there from the next start of this sampler to its end, and no longer."""
        own = "launch_sampling" in sampler.__dict__
        original = sampler.launch_sampling

        def launch_sampling(*args: Any, **kwargs: Any) -> Any:
            if own:
                sampler.launch_sampling = original
            else:
                del sampler.launch_sampling
            denoiser = sampler.model_wrap_cfg
            try:
                self._attempt(self._follow_model)
                setattr(denoiser, ATTRIBUTE, self)
                return original(*args, **kwargs)
            finally:
                denoiser.__dict__.pop(ATTRIBUTE, None)
                self._let_go()

        sampler.launch_sampling = launch_sampling

    # What the host's callbacks call.

    def begin_step(self, params: Any) -> None:
        """`on_cfg_denoiser`: a step's rows are assembled; its UNet calls follow."""
        if not self._given_up:
            self._attempt(lambda: self._begin_step(params))

    def end_step(self, params: Any) -> None:
        """`on_cfg_denoised`: the predictions of all rows are there, and may be changed in place."""
        if not self._given_up and self._mode == "latent":
            self._attempt(lambda: self._mix(params.x))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self._given_up:
            self._given_up = True
            self._on_problem(error)

    # The model.

    def _follow_model(self) -> None:
        """Hook the model that is loaded now and encode for it; the refiner may exchange it on the way."""
        self._let_go()
        self._model = shared.sd_model
        self._pictures = self._make_pictures()
        self._loras = {k: v for picture in self._pictures for k, v in picture.loras_of_texts().items()}
        self._bases, self._panels, self._guides = {}, {}, {}
        if self._mode != "attention":
            return
        if sd_unet.current_unet is not None:
            raise GuidanceError(
                f"the UNet is replaced by {sd_unet.current_unet.option.label}, whose attention cannot be "
                "guided; set Settings > SD Unet to None, or use latent mode"
            )
        unet = self._model.model.diffusion_model
        session = GuidanceSession(unet, key_inputs=_with_hypernetworks, on_error=self._give_up)
        self._session = session.__enter__()

    def _let_go(self) -> None:
        if self._watched is not None:
            _unwatch(self._watched)
            self._watched = None
        if self._session is not None:
            self._session.__exit__(None, None, None)
            self._session = None

    def _watch(self, model: Any) -> None:
        """See each call the host makes of the model that wraps the UNet for a sampler."""
        if self._watched is model:
            return
        if self._watched is not None:
            _unwatch(self._watched)
        self._watched = model
        setattr(model, ATTRIBUTE, self)
        original = model.forward

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not self._given_up:
                self._attempt(lambda: self._begin_call(x, kwargs.get("cond")))
            return original(x, *args, **kwargs)

        forward.replaced = (original, "forward" in model.__dict__)  # type: ignore[attr-defined]
        model.forward = forward

    # A step.

    def _begin_step(self, params: Any) -> None:
        denoiser = params.denoiser
        if self._model is not shared.sd_model:
            self._follow_model()
        self._step = denoiser.step
        self._progress = denoiser.step / max(1, denoiser.total_steps)
        prompts = denoiser.sampler.sampler_extra_args["cond"].batch
        self._roles = [_Role(n, part, False) for n, parts in enumerate(prompts) for part in range(len(parts))]
        self._roles += [_Role(n, 0, True) for n in range(len(prompts))]
        if len(params.x) != len(self._roles) or len(prompts) > len(self._pictures):
            raise GuidanceError(
                f"a step has {len(params.x)} rows where {len(self._roles)} were expected; another extension "
                "adds rows, or the checkpoint is made for InstructPix2Pix: switch one of the two off"
            )
        self._cursor = 0
        self._watch(denoiser.inner_model)
        if self._mode == "latent":
            self._predictor = Predictor(params, len(prompts), self._loras)
            self._spare_idle_bases(params)

    def _begin_call(self, x: Tensor, cond: Any) -> None:
        if self._predictor is not None and self._predictor.is_running:
            return
        roles = self._roles[self._cursor : self._cursor + len(x)]
        self._cursor += len(x)
        if self._session is None:
            return
        panels: list[PanelTexts] = []
        rows: list[Row | None] = []
        for role, context in zip(roles, contexts_of(cond), strict=True):
            if role.part > 0:
                rows.append(None)
                continue
            text = self._base(role.image, role.negative, context)
            rows.append(Row(len(panels), text, role.negative))
            panels.append(self._panel(role.image, text, text))
        self._session.panels = panels
        self._session.assign(rows, self._progress)

    def _base(self, image: int, negative: bool, context: Tensor) -> Text:
        """The host's text of a row, the same object as long as its content stays the same."""
        context = unmarked(context)
        known = self._bases.setdefault((image, negative), [])
        for text in known:
            if same_context(text.context, context):
                return text
        known.append(Text(context.clone()))
        del known[:-_MOST_BASES]
        return known[-1]

    def _panel(self, image: int, base: Text, base_negative: Text) -> PanelTexts:
        picture = self._pictures[image]
        texts, negatives = picture.at(self._step)
        key = (image, base, base_negative, texts, negatives)
        if key not in self._panels:
            self._panels[key] = PanelTexts(
                picture.elements, texts, negatives, base, base_negative, self._mixing
            )
        return self._panels[key]

    # Latent mode.

    def _first_row(self, image: int) -> int:
        return self._roles.index(_Role(image, 0, False))

    def _latent_guide(self, text_cond: Any, text_uncond: Any, scale: float) -> LatentGuide:
        """The guide of this step; at scale 1 it asks for no negatives."""
        positives, negatives = contexts_of(text_cond), contexts_of(text_uncond)
        panels = tuple(
            self._panel(
                image,
                self._base(image, False, positives[self._first_row(image)]),
                self._base(image, True, negatives[image]),
            )
            for image in range(len(negatives))
        )
        key = (panels, scale)
        if key not in self._guides:
            self._guides[key] = LatentGuide(panels, scale)
        return self._guides[key]

    def _spare_idle_bases(self, params: Any) -> None:
        """Where the base acts nowhere, let its row compute the first region instead: a row less to run."""
        self._guide = self._latent_guide(params.text_cond, params.text_uncond, _GUIDED)
        self._plain_guide = self._latent_guide(params.text_cond, params.text_uncond, _UNGUIDED)
        self._stand_ins = {}
        grid = (params.x.shape[-2], params.x.shape[-1])
        rows = self._guide.rows(self._progress, grid)
        for image, panel in enumerate(self._guide.panels):
            texts = [row.text for row in rows if row.image == image and not row.negative]
            if panel.base in texts or self._predictor is None:
                continue
            if self._predictor.replace(self._first_row(image), texts[0]):
                self._stand_ins[image] = texts[0]

    def _mix(self, x_out: Tensor) -> None:
        """Put the mixed predictions where the host looks for those of the base and of its negative."""
        predictor = self._predictor
        if predictor is None:
            return
        images = len(self._guide.panels)
        skipped = self._cursor <= len(self._roles) - images
        guide = self._plain_guide if skipped else self._guide
        rows = guide.rows(self._progress, (x_out.shape[-2], x_out.shape[-1]))
        known: dict[tuple[int, bool, Text], Tensor] = {}
        for image, panel in enumerate(guide.panels):
            own = self._stand_ins.get(image, panel.base)
            known[image, False, own] = x_out[self._first_row(image)]
            known[image, True, panel.base_negative] = x_out[len(self._roles) - images + image]
        missing = [row for row in rows if (row.image, row.negative, row.text) not in known]
        first_rows = [self._first_row(row.image) for row in missing]
        for row, answer in zip(missing, predictor.run(missing, first_rows), strict=True):
            known[row.image, row.negative, row.text] = answer
        answers = torch.stack([known[row.image, row.negative, row.text] for row in rows])
        negative, positive = guide.mix(answers, self._progress)
        for image in range(images):
            x_out[self._first_row(image)] = positive[image]
            x_out[len(self._roles) - images + image] = negative[image]


def _unwatch(model: Any) -> None:
    model.__dict__.pop(ATTRIBUTE, None)
    replaced = getattr(model.__dict__.get("forward"), "replaced", None)
    if replaced is not None:
        original, had_own = replaced
        if had_own:
            model.forward = original
        else:
            del model.__dict__["forward"]


def _with_hypernetworks(module: Any, context: Tensor) -> tuple[Tensor, Tensor]:
    """What the host's own attention does to a text before it projects it."""
    for_key, for_value = hypernetwork.apply_hypernetworks(shared.loaded_hypernetworks, context, module)
    return for_key, for_value


def current(params: Sequence[Any] | Any) -> Pass | None:
    """The pass that guides the denoiser, or the wrapped model, of a callback's parameters."""
    owner = getattr(params, "denoiser", None) or getattr(params, "inner_model", None)
    found = owner.__dict__.get(ATTRIBUTE) if owner is not None else None
    return found if isinstance(found, Pass) else None
