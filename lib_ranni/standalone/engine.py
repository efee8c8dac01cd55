"""Panel(s) -> pictures: the sampling loop, with guidance in either mode."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image
from torch import Tensor, nn

from lib_ranni.errors import InputError, ModelError
from lib_ranni.guidance.guides import Guide, Row, make_guide
from lib_ranni.guidance.memory import Memory
from lib_ranni.guidance.memory_store import MemoryStore
from lib_ranni.guidance.panel_session import PanelControlSession, PanelLabels
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts
from lib_ranni.guidance.weights import region_coverage
from lib_ranni.panel.timing import acting
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.editing import Editing, memory_name, require_same
from lib_ranni.standalone.encoding import Encoder
from lib_ranni.standalone.few_step import FewSteps
from lib_ranni.standalone.labels import panel_labels, unheard
from lib_ranni.standalone.requests import Request, checked
from lib_ranni.standalone.schedulers import make_scheduler, start_of
from lib_ranni.standalone.small_decoder import as_picture, decoder_path, read_decoder
from lib_ranni.standalone.weightless import biased_session, leaning_start, unmixed

MAX_ROWS = 32
"""Rows that go through the UNet at once; more run in several calls."""

BIASED = ("plain", "attention")
"""Modes in which the base's text is heard where a bias can act on it."""

MAX_TEXTS = 512
"""Encoded texts that are kept from one generation to the next."""

OnStep = Callable[[int, int], None]


class Generation(msgspec.Struct, frozen=True):
    """The pictures of a request, their seeds, how long they took, and what could not be honored.

    `memories` are there if they were asked for. `regions` (h, w) are what an edit drew anew, in 0..1.
    """

    request: Request
    images: tuple[Image.Image, ...]
    seeds: tuple[int, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    memories: tuple[Memory, ...] = ()
    regions: tuple[Tensor, ...] = ()


class Engine:
    """Draws requests with one checkpoint. With a `store`, what it draws for an owner is remembered there."""

    def __init__(self, checkpoint: Checkpoint, store: MemoryStore | None = None) -> None:
        self.checkpoint = checkpoint
        self.store = store
        self._decoder: tuple[Path, nn.Module] | None = None

    @torch.no_grad()
    def generate(
        self,
        request: Request,
        on_step: OnStep | None = None,
        *,
        memories: Sequence[Memory] = (),
        remember: bool = False,
        owner: str = "",
    ) -> Generation:
        """Draw a request; `on_step(done, total)` is called after each step.

        A request that edits pictures needs their `memories`, one for each; what is not given is looked up
        in the store, and what is not there is drawn once more. With `remember`, the answer has memories of
        its own. Raises `InputError` for a request out of range, `MismatchError` for an edit that does not
        fit its pictures, and `GuidanceError` for a model that cannot be guided.
        """
        request = checked(request)
        started = time.perf_counter()
        self._require_decoder(request.decoder)
        if request.before is not None and not memories:
            memories = self._memories(request, request.before, on_step, owner)
        editing = Editing(self.checkpoint, request, memories, remember=remember or self._stores(owner))
        self.checkpoint.encoder.forget(above=MAX_TEXTS)
        self.checkpoint.worn.wear(request.loras, self.checkpoint.path)
        sampling = _Sampling(self.checkpoint, request, editing)
        latents = sampling.run(on_step)
        images = editing.pictures(self._decode(latents, request.decoder))
        made = editing.remembered(latents, images)
        if self.store is not None and self._stores(owner):
            for memory in made:
                self.store.put(owner, memory)
        seeds = tuple(request.seed_of(n) for n in range(request.batch))
        seconds = time.perf_counter() - started
        warnings = (*_warnings(request), *self.checkpoint.worn.notes, *sampling.warnings, *editing.warnings)
        return Generation(request, images, seeds, seconds, warnings, made, editing.regions)

    def _stores(self, owner: str) -> bool:
        return self.store is not None and bool(owner)

    def _memories(
        self, request: Request, before: Request, on_step: OnStep | None, owner: str
    ) -> tuple[Memory, ...]:
        """The memories of the pictures to edit: those that are kept, else of the pictures drawn again."""
        require_same(request, self.checkpoint)
        if self.store is not None and owner:
            found = [self.store.get(owner, memory_name(before, n)) for n in range(before.batch)]
            kept = tuple(memory for memory in found if memory is not None)
            if len(kept) == len(found):
                return kept
        return self.generate(before, on_step, remember=True, owner=owner).memories

    def _require_decoder(self, name: str) -> None:
        """Load the small decoder of a request, before time is spent on what it shall decode."""
        if not name:
            return
        if self.checkpoint.edm is not None:
            raise InputError("small decoders do not know this model's latents; leave the decoder out")
        path = decoder_path(name, self.checkpoint.path)
        if self._decoder is None or self._decoder[0] != path:
            self._decoder = path, read_decoder(path).to(self.checkpoint.device)

    def _decode(self, latents: Tensor, name: str) -> tuple[Image.Image, ...]:
        """One picture after another; all at once would take several times the memory."""
        vae = self.checkpoint.vae
        raw = self.checkpoint.raw_latents(latents)
        images = []
        for n in range(len(latents)):
            if name and self._decoder is not None:
                picture = as_picture(self._decoder[1], latents[n : n + 1])[0]
            else:
                picture = vae.decode(raw[n : n + 1].to(next(vae.parameters()).dtype)).sample[0]
            pixels = ((picture.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0)
            images.append(Image.fromarray(pixels.cpu().numpy()))
        return tuple(images)


class _Sampling:
    """One generation under way: what all of its steps share."""

    def __init__(self, checkpoint: Checkpoint, request: Request, editing: Editing) -> None:
        self._checkpoint = checkpoint
        self._request = request
        self._editing = editing
        panels = [_panel_texts(checkpoint.encoder, request, n) for n in range(request.batch)]
        mode = "plain" if request.mode == "panel" else request.mode
        self._guide: Guide = make_guide(mode, panels, request.cfg)
        self._sessions: list[GuidanceSession | PanelControlSession] = []
        if request.attention_bias and request.mode in BIASED:
            self._sessions.append(_biased(checkpoint, request, panels))
        elif request.mode == "attention":
            self._sessions.append(GuidanceSession(checkpoint.unet, panels))
        self._few = FewSteps(checkpoint, request) if request.preset else None
        self.warnings = self._few.warnings if self._few is not None else ()
        if request.control and request.mode != "plain":
            pictures = _labels(checkpoint.encoder, request, panels)
            self._sessions.append(_panel_control(checkpoint, request, pictures))
            self.warnings += _unbound(request, pictures)
        self._conditions: dict[tuple[int, ...], dict[str, Any]] = {}

    def run(self, on_step: OnStep | None) -> Tensor:
        """The latents (batch, 4, h, w) of the finished pictures."""
        request = self._request
        generators = [torch.Generator("cpu").manual_seed(request.seed_of(n)) for n in range(request.batch)]
        noise = torch.stack([_noise(request, n, generator) for n, generator in enumerate(generators)])
        few, scheduler = self._few, None if self._few is not None else self._scheduler()
        start = few.start if few is not None else start_of(scheduler)
        noise, warnings = leaning_start(self._checkpoint, request, noise, start)
        self.warnings += warnings
        noise = self._editing.start(noise.to(self._checkpoint.device))
        with ExitStack() as opened:
            for session in self._sessions:
                opened.enter_context(session)
            if few is not None:
                return few.run(self._predict, noise, generators, on_step)
            return self._many_steps(scheduler, noise, generators, on_step)

    def _scheduler(self) -> Any:
        scheduler = make_scheduler(self._request.sampler, self._checkpoint.scheduler)
        scheduler.set_timesteps(self._request.steps, device=self._checkpoint.device)
        return scheduler

    def _many_steps(
        self, scheduler: Any, noise: Tensor, generators: list[torch.Generator], on_step: OnStep | None
    ) -> Tensor:
        """Sampling by one of diffusers' schedulers."""
        latents = noise * scheduler.init_noise_sigma
        stochastic = "generator" in inspect.signature(scheduler.step).parameters
        extra = {"generator": generators} if stochastic else {}
        total = len(scheduler.timesteps)
        for step, timestep in enumerate(scheduler.timesteps):
            scaled = scheduler.scale_model_input(latents, timestep)
            predicted = self._predict(scaled, timestep, step / total)
            latents = scheduler.step(predicted, timestep, latents, **extra).prev_sample
            if on_step is not None:
                on_step(step + 1, total)
        return latents

    def _predict(self, scaled: Tensor, timestep: Tensor | float, progress: float) -> Tensor:
        """The guided prediction for each picture, float32; rows of equal text length share a UNet call."""
        rows = self._guide.rows(progress, (scaled.shape[-2], scaled.shape[-1]))
        out: dict[int, Tensor] = {}
        for call in _calls(rows):
            part = [rows[n] for n in call]
            for session in self._sessions:
                session.assign(part, progress)
            x = scaled[[row.image for row in part]].to(self._checkpoint.dtype)
            predicted = self._checkpoint.unet(x, timestep, **self._condition(part)).sample
            out.update(zip(call, predicted.float(), strict=True))
        guided = self._guide.combine(torch.stack([out[n] for n in range(len(rows))]), progress)
        return self._editing.step(guided)

    def _condition(self, rows: list[Row]) -> dict[str, Any]:
        """The UNet's text arguments for these rows, stacked once for all steps that have the same rows."""
        key = tuple(id(row.text) for row in rows)
        if key not in self._conditions:
            context = torch.stack([row.text.context for row in rows])
            self._conditions[key] = {"encoder_hidden_states": context, **self._added(rows)}
        return self._conditions[key]

    def _added(self, rows: list[Row]) -> dict[str, Any]:
        """Stable Diffusion XL's further conditions: pooled text, and the picture's size as its own."""
        if self._checkpoint.kind != "sdxl":
            return {}
        pooled = torch.stack([row.text.pooled for row in rows if row.text.pooled is not None])
        height, width = self._request.height, self._request.width
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(rows)).to(pooled)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}


def _panel_texts(encoder: Encoder, request: Request, image: int) -> PanelTexts:
    """A picture's panel, encoded. In plain mode that is one text and no elements."""
    panel = request.panel(image)
    elements = () if request.mode == "plain" else acting(panel, request.start, request.end)
    negative = _negative(request, image)
    own = [_joined(negative, element.negative) if element.negative else None for element in elements]
    return PanelTexts(
        elements,
        tuple(encoder.encode(element.description) for element in elements),
        tuple(None if text is None else encoder.encode(text, negative=True) for text in own),
        encoder.encode(_base(request, image)),
        encoder.encode(negative, negative=True),
        request.mixing,
    )


def _base(request: Request, image: int) -> str:
    """The text of the whole canvas."""
    if request.mode in ("attention", "latent"):
        return request.panel(image).base
    prompt = request.plain_prompt(image)
    return _joined(prompt, request.postfix) if request.mode == "panel" else prompt


def _negative(request: Request, image: int) -> str:
    return _joined(request.negative, request.panel(image).negative)


def _labels(encoder: Encoder, request: Request, panels: list[PanelTexts]) -> list[PanelLabels]:
    """Each picture's panel as panel control takes it."""
    pictures = []
    for image, texts in enumerate(panels):
        canvas = request.postfix or request.panel(image).base
        prompt, negative = _base(request, image), _negative(request, image)
        pictures.append(panel_labels(encoder, texts, prompt, negative, canvas))
    return pictures


def _panel_control(
    checkpoint: Checkpoint, request: Request, pictures: list[PanelLabels]
) -> PanelControlSession:
    if checkpoint.conditioner is None:
        raise ModelError(
            f"{checkpoint.path} has no panel conditioner; give one with --conditioner, use a "
            "checkpoint that has it, or draw without control"
        )
    # Attention mode binds every text to its place by itself, and owns the cross-attentions.
    masks = request.mode == "panel"
    return PanelControlSession(
        checkpoint.unet, checkpoint.conditioner, pictures, request.panel_control, masks=masks
    )


def _biased(checkpoint: Checkpoint, request: Request, panels: list[PanelTexts]) -> GuidanceSession:
    prompts = [_base(request, image) for image in range(request.batch)]
    if request.mode == "plain":
        panels = [unmixed(request.panel(n), request, texts) for n, texts in enumerate(panels)]
    return biased_session(checkpoint, panels, prompts, request.attention_bias)


def _unbound(request: Request, pictures: list[PanelLabels]) -> tuple[str, ...]:
    if request.mode != "panel" or not request.local_mask:
        return ()
    words = sorted({word for picture in pictures for word in unheard(picture)})
    if not words:
        return ()
    return (f"the prompt does not say {', '.join(words)}: these labels have no local mask",)


def _joined(*prompts: str) -> str:
    return ", ".join(prompt for prompt in prompts if prompt)


def _calls(rows: list[Row]) -> list[list[int]]:
    """Indices of rows that can share a UNet call: equally long texts, at most `MAX_ROWS`."""
    by_length: dict[int, list[int]] = {}
    for n, row in enumerate(rows):
        by_length.setdefault(len(row.text.context), []).append(n)
    return [same[n : n + MAX_ROWS] for same in by_length.values() for n in range(0, len(same), MAX_ROWS)]


def _noise(request: Request, image: int, generator: torch.Generator) -> Tensor:
    """Initial noise (4, h, w) of one picture; an element with a seed of its own brings its own noise.

    That noise belongs to the element's box, so that it moves along with it.
    """
    h, w = request.height // 8, request.width // 8
    noise = torch.randn(4, h, w, generator=generator)
    for element in request.panel(image).elements:
        if element.seed is None or request.mode == "plain":
            continue
        box = element.box
        top, left = int(box.y0 * h), int(box.x0 * w)
        own = torch.randn(4, h, w, generator=torch.Generator("cpu").manual_seed(element.seed))
        shifted = torch.roll(own, (top, left), dims=(1, 2))
        inside = torch.from_numpy(region_coverage(element, (h, w), (h, w), 0.0) >= 0.5)
        noise = torch.where(inside, shifted, noise)
    return noise


def _warnings(request: Request) -> tuple[str, ...]:
    panels = request.panels if request.mode != "plain" else ()
    loras = sorted({lora.name for p in panels for e in p.elements for lora in e.lora})
    said = []
    if loras:
        said.append(f"the LoRAs of single elements were not applied ({', '.join(loras)})")
    if request.attention_bias and request.mode not in BIASED:
        said.append(f"the attention bias acts in modes {' and '.join(BIASED)} only")
    return tuple(said)
