"""Panel control without weights in the engine: layout noise and the attention bias, for any checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention_bias import AttentionBias, Named
from lib_ranni.guidance.layout_noise import known_part, leaning
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts
from lib_ranni.panel.timing import acting
from lib_ranni.panel.types import Panel
from lib_ranni.standalone.autoencoding import latents_of
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.few_step import noise_schedule
from lib_ranni.standalone.labels import label_columns
from lib_ranni.standalone.requests import Request


def leaning_start(
    checkpoint: Checkpoint, request: Request, noise: Tensor, start: tuple[float, float]
) -> tuple[Tensor, tuple[str, ...]]:
    """Noise (pictures, 4, h, w) that leans towards the panels' colors, and what is to be said about it.

    `start` is (sigma, c) of the first timestep.
    """
    if not request.layout_noise:
        return noise, ()
    grid = (noise.shape[-2], noise.shape[-1])
    seen = [acting(panel, request.start, request.end) for panel in request.panels]
    try:
        known = [
            known_part(elements, lambda drawn: latents_of(checkpoint.vae, drawn), grid) for elements in seen
        ]
        return leaning(noise, known, request.layout_noise, start), ()
    except GuidanceError as error:
        return noise, (f"layout noise does not act: {error}",)


def biased_session(
    checkpoint: Checkpoint, panels: Sequence[PanelTexts], prompts: Sequence[str], strength: float
) -> GuidanceSession:
    """A session that mixes the panels' texts; words of the base texts, encoded from `prompts`, are bound."""
    bias = AttentionBias(strength, noise_schedule(checkpoint).sigma)
    named: list[Named] = [
        tuple(label_columns(checkpoint.encoder, prompt, element.description) for element in panel.elements)
        for panel, prompt in zip(panels, prompts, strict=True)
    ]
    return GuidanceSession(checkpoint.unet, panels, bias=bias, named=named)


def unmixed(panel: Panel, request: Request, texts: PanelTexts) -> PanelTexts:
    """A plain picture as a session needs it: with elements, all of which hear the one text there is."""
    elements = acting(panel, request.start, request.end)
    return PanelTexts(
        elements,
        (texts.base,) * len(elements),
        (None,) * len(elements),
        texts.base,
        texts.base_negative,
        request.mixing,
    )
