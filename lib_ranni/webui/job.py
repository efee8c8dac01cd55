"""One job of the host, txt2img or img2img: what was asked, what it means for each pass, what went wrong."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from modules import errors, shared
from torch import Tensor

from lib_ranni.errors import GuidanceError, RanniError
from lib_ranni.guidance.weights import Mixing
from lib_ranni.panel.timing import acting
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.window import through_window
from lib_ranni.service.request import Request
from lib_ranni.webui import controlling, layout_start, networks
from lib_ranni.webui.batch_texts import BatchTexts
from lib_ranni.webui.binding import Binding
from lib_ranni.webui.encoding import span_of
from lib_ranni.webui.memory import JobMemory
from lib_ranni.webui.passes import Pass
from lib_ranni.webui.pictures import encode_pictures

_LOG = logging.getLogger("ranni")

_INNERMOST = "process_images_inner"

PROBLEM = "Ranni problem"
"""Key of an infotext under which an API caller, too, learns why guidance gave up."""

ATTRIBUTE = "_ranni_job"
"""Where the host's processing object keeps its job."""


class Job:
    """What one job follows. Problems are told in the console and under the picture, each once."""

    def __init__(self, p: Any, request: Request) -> None:
        self._p = p
        self.request = request
        self.memory: JobMemory | None = None
        self._told: set[str] = set()

    def warn(self, text: str, error: Exception | None = None) -> None:
        """Say something to the user; what is not one of our own errors goes to the console in full."""
        if text in self._told:
            return
        self._told.add(text)
        self._p.comment(f"Ranni: {text}")
        if error is not None and not isinstance(error, RanniError):
            errors.report(f"Ranni: {text}", exc_info=error)
        else:
            _LOG.warning("%s", text)

    def remember(self) -> None:
        """Remember the pictures of this job, and edit earlier ones, as far as the request wants it."""
        if not self.request.memory.enabled:
            return
        if not self.request.memory.key:
            self.warn("the pictures are not remembered: give memory a key that tells them from others'")
            return
        try:
            self.memory = JobMemory(self._p, self.request, self.panel, self._seen, self._forgotten)
            if told := self.memory.told():
                self._p.comment(f"Ranni: {told}")
        except Exception as error:
            self._forgotten(f"the pictures are not remembered: {error}", error)

    def _forgotten(self, text: str, error: Exception | None) -> None:
        """An edit is none, or a picture cannot be edited: warn, and tell an API caller as well."""
        self._p.extra_generation_params.setdefault(PROBLEM, text)
        self.warn(text, error)

    def panel(self, image: int) -> Panel:
        """The panel of a picture of the job, counted over all its batches."""
        panels = self.request.panels
        return panels[image % len(panels)] if panels else Panel()

    def before_batch(self) -> None:
        """Complete what the prompts of this batch leave out by what the panels say."""
        postfix = self._postfix()
        if self.memory is not None:
            self.memory.begin_batch()
        for n, image in enumerate(self._images()):
            panel = self.panel(image)
            self._complete("prompts", n, panel.base, postfix)
            self._complete("hr_prompts", n, panel.base, postfix if self._guides_hires else "")
            self._join("negative_prompts", n, panel.negative)
            self._join("hr_negative_prompts", n, panel.negative)

    @property
    def _guides_hires(self) -> bool:
        return self.request.guidance.hires.enabled

    @property
    def _is_off(self) -> bool:
        return self.request.guidance.mode == "panel" and not self.request.guidance.control_scale

    def _postfix(self) -> str:
        """What is added to the prompts: nothing, but where panel control alone draws them."""
        guidance = self.request.guidance
        postfix = guidance.control.postfix.strip()
        if guidance.mode != "panel" or self._is_off or not postfix:
            return ""
        # Without a conditioner the picture is to be what it would be without us; that is told later on.
        return "" if controlling.absent(guidance, shared.sd_model) else postfix

    def _complete(self, name: str, index: int, base: str, postfix: str) -> None:
        texts = getattr(self._p, name, None)
        if not texts or index >= len(texts):
            return
        texts[index] = texts[index] if texts[index].strip() else base
        if postfix:
            texts[index] = controlling.extended(texts[index], postfix)

    def _join(self, name: str, index: int, words: str) -> None:
        texts = getattr(self._p, name, None)
        if texts and index < len(texts) and words:
            texts[index] = f"{texts[index]}, {words}" if texts[index].strip() else words

    def start_pass(self) -> None:
        """Guide the run of the sampler that is about to begin."""
        p, guidance = self._p, self.request.guidance
        second = bool(getattr(p, "is_hr_pass", False))
        if (second and not self._guides_hires) or self._is_off:
            return
        ratio, end = guidance.base_ratio, guidance.end
        if second:
            end = min(end, guidance.hires.end)
            ratio = ratio if guidance.hires.base_ratio is None else guidance.hires.base_ratio
        seen = self._seen_panels()
        panels = [acting(panel, guidance.start, end) for panel in seen]
        if not any(panels):
            return
        prompts, negatives = self._texts(second)
        mixing = Mixing(ratio, guidance.feather, guidance.overlap)
        # Panel control alone hears no texts but the prompts.
        heard = [()] * len(panels) if guidance.mode == "panel" else panels
        self._warn_of_networks(panels)

        def encode() -> BatchTexts:
            own = networks.ElementNetworks()
            pictures = encode_pictures(heard, negatives, span_of(p), own)
            own.look(p, [lora.name for picture in pictures for loras in picture.loras for lora in loras])
            texts = BatchTexts(pictures, mixing, own)
            texts.binding = self._binding(prompts, panels)
            return texts

        pictures = controlling.wanted(guidance, seen, panels, prompts, negatives)
        control = controlling.maker(p, guidance, pictures, self.warn)
        Pass(guidance.mode, encode, self.failed, control, self.uncontrolled).guard(p.sampler)

    def _texts(self, second: bool) -> tuple[list[str], list[str]]:
        """The prompts and the negative prompts of the batch in a pass."""
        p, count = self._p, len(self._images())
        own = (p.hr_prompts, p.hr_negative_prompts) if second else (None, None)
        both = (own[0] or p.prompts, own[1] or p.negative_prompts)
        prompts, negatives = ([*texts, *[""] * count][:count] for texts in both)
        return prompts, negatives

    def uncontrolled(self, error: Exception) -> None:
        """Panel control gives up, or there is none for the checkpoint; the rest of the guidance goes on."""
        cause = _cause(error)
        self._p.extra_generation_params.setdefault(PROBLEM, cause)
        self.warn(f"panel control does not act: {cause}", error)

    def lean_noise(self, noise: Tensor | None) -> None:
        """Let the noise (B, C, h, w) of the pass that is about to begin lean towards the panels' colors."""
        p, guidance = self._p, self.request.guidance
        if not guidance.layout_noise or noise is None or not layout_start.starts_from_noise(p):
            return
        panels = [acting(panel, guidance.start, guidance.end) for panel in self._seen_panels()]
        try:
            layout_start.lean(p, noise, panels, guidance.layout_noise)
        except Exception as error:
            self._inert("layout noise", error)

    def _binding(self, prompts: Sequence[str], panels: Sequence[tuple[Element, ...]]) -> Binding | None:
        strength = self.request.guidance.attention_bias
        if not strength:
            return None
        try:
            if self.request.guidance.mode != "attention":
                raise GuidanceError("it is for attention mode only")
            return Binding(prompts, panels, span_of(self._p), strength)
        except Exception as error:
            self._inert("the attention bias", error)
            return None

    def _inert(self, what: str, error: Exception) -> None:
        """Something beside the guidance has no effect; the guidance goes on."""
        cause = f"{what} does not act: {_cause(error)}"
        self._p.extra_generation_params.setdefault(PROBLEM, cause)
        self.warn(cause, error)

    def failed(self, error: Exception) -> None:
        """Guidance gives up: warn, and let the infotext say that not all of the picture follows the panel."""
        cause = _cause(error)
        self._p.extra_generation_params[PROBLEM] = cause
        self.memory = None  # of a picture that does not follow its panel
        self.warn(f"the rest of this picture is drawn without the panel: {cause}", error)

    def _images(self) -> range:
        """Numbers, within the job, of the pictures of the current batch."""
        first = self._p.iteration * self._p.batch_size
        return range(first, first + self._p.batch_size)

    def _seen_panels(self) -> list[Panel]:
        return [self._seen(self.panel(image)) for image in self._images()]

    def _seen(self, panel: Panel) -> Panel:
        """A panel, cropped to what is repainted when only the masked part is."""
        window = _window(self._p)
        return panel if window is None else through_window(panel, window)

    def _warn_of_networks(self, panels: list[Any]) -> None:
        loras = [lora for elements in panels for element in elements for lora in networks.split(element)[1]]
        if absent := set(networks.missing(loras)):
            self.warn(f"these LoRAs of elements are not there: {', '.join(sorted(absent))}")
        present = {lora.name for lora in loras} - absent
        if not present or self.request.guidance.mode == "latent":
            return
        told = f"LoRAs of elements ({', '.join(sorted(present))})"
        if self.request.guidance.mode == "panel":
            self.warn(f"in mode panel {told} do not act; latent mode uses them whole")
            return
        self.warn(
            f"in attention mode {told} act on the element's text only: on the text encoder, and on keys and "
            "values; latent mode uses them whole"
        )


def _cause(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


def _window(p: Any) -> Box | None:
    """The part of the picture that an "only masked" inpainting repaints."""
    place, mask = getattr(p, "paste_to", None), getattr(p, "mask_for_overlay", None)
    if not place or mask is None:
        return None
    x, y, width, height = place
    full_width, full_height = mask.size
    x0, y0 = max(0.0, x / full_width), max(0.0, y / full_height)
    x1, y1 = min(1.0, (x + width) / full_width), min(1.0, (y + height) / full_height)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def of(p: Any) -> Job | None:
    """The job that a processing object follows."""
    job = getattr(p, ATTRIBUTE, None)
    return job if isinstance(job, Job) and job._p is p else None


def is_nested() -> bool:
    """Whether the host is processing a picture within a picture, as ADetailer lets it.

    Read off the call stack: what an extension calls in the midst of a job, and only that, has the host's
    function on it twice.
    """
    frame, found = sys._getframe(), 0
    while frame is not None and found < 2:
        found += frame.f_code.co_name == _INNERMOST
        frame = frame.f_back  # type: ignore[assignment]
    return found > 1
