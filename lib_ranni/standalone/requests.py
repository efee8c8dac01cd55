"""What to draw, as data: a request is complete, so that the same request draws the same picture."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from lib_ranni.errors import InputError
from lib_ranni.guidance.edit_region import FEATHER, MARGIN, MOST_CELLS
from lib_ranni.guidance.layout_noise import MOST_STRENGTH
from lib_ranni.guidance.panel_session import Control
from lib_ranni.guidance.weights import Mixing, Overlap
from lib_ranni.panel.problems import is_unicode
from lib_ranni.panel.reading import repair
from lib_ranni.panel.types import MAX_SEED, MAX_TEXT, Lora, Panel, Seed
from lib_ranni.panel.writing import to_document
from lib_ranni.sampling.presets import preset_named
from lib_ranni.standalone.schedulers import SAMPLERS

REQUEST_VERSION: Literal[1] = 1
MAX_BATCH = 64
MAX_STEPS = 1000
MAX_SIDE = 4096
MAX_EDITS = 100

Cells = Annotated[int, Meta(ge=0, le=MOST_CELLS)]

Mode = Literal["plain", "attention", "latent", "panel"]
"""`panel` draws the whole prompt, held by panel control alone; the others may have panel control as well."""


class Request(Struct, frozen=True, kw_only=True):
    """One generation of `batch` pictures.

    `panels` holds one panel for all pictures or one for each. `prompt` is what plain mode draws; empty, each
    panel's own words are. `negative` is added to the panels'. `seed` is the first picture's and the others
    follow by ones, unless `seeds` gives each its own. `width` and `height` are pixels, multiples of 8. `cfg`
    is the guidance scale, 1 = off. Elements act from `start` to `end` at most, shares of the steps.

    `loras` change the UNet for the whole picture. `preset` is a few-step recipe, which then samples instead
    of `sampler`; `gamma` replaces its own. `prior` is the latent prior a preset starts from: none if empty
    or "none", the checkpoint's with "default", else a file's, by `prior_weight`. `decoder` makes the pictures
    of the latents: the checkpoint's autoencoder if empty, its small decoder with "small", else a file's.

    `control` is panel control's scale, 0 = off; it acts at timesteps from `control_start` down to
    `control_stop`, which it leaves out. `postfix` is its full-canvas label, and in mode `panel` the end of
    the prompt; empty, the panel's base is the label.

    `layout_noise` is how much the initial noise leans towards the colors of the panel's boxes, and
    `attention_bias` how much the words of the base's text are bound to the boxes of what they name, in modes
    `plain` and `attention`; 0 = off.

    `before` is the request whose pictures this one edits: only what its panels changed is drawn anew, with
    `edit_margin` latent cells around it and `edit_feather` further ones where new and old are blended.
    """

    panels: tuple[Panel, ...]
    prompt: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    negative: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    mode: Mode = "attention"
    base_ratio: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.2
    feather: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    overlap: Overlap = "front"
    start: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    end: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] = 25
    cfg: Annotated[float, Meta(ge=0.0, le=100.0)] = 7.0
    sampler: str = "ddim"
    seed: Seed = 0
    seeds: tuple[Seed, ...] = ()
    batch: Annotated[int, Meta(ge=1, le=MAX_BATCH)] = 1
    width: Annotated[int, Meta(ge=64, le=MAX_SIDE, multiple_of=8)] = 512
    height: Annotated[int, Meta(ge=64, le=MAX_SIDE, multiple_of=8)] = 512
    model: str = ""
    loras: tuple[Lora, ...] = ()
    preset: str = ""
    gamma: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    prior: str = ""
    prior_weight: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0
    decoder: str = ""
    control: Annotated[float, Meta(ge=0.0, le=5.0)] = 0.0
    control_start: Annotated[float, Meta(ge=0.0, le=1000.0)] = 1000.0
    control_stop: Annotated[float, Meta(ge=0.0, le=1000.0)] = 600.0
    local_mask: bool = True
    postfix: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    layout_noise: Annotated[float, Meta(ge=0.0, le=MOST_STRENGTH)] = 0.0
    attention_bias: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    before: Request | None = None
    edit_margin: Cells = MARGIN
    edit_feather: Cells = FEATHER

    @property
    def panel_control(self) -> Control:
        """How strongly and when panel control acts."""
        return Control(self.control, self.control_start, self.control_stop, self.local_mask)

    @property
    def edits(self) -> int:
        """How many edits lie between the first drawing and these pictures."""
        count, before = 0, self.before
        while before is not None:
            count, before = count + 1, before.before
        return count

    @property
    def mixing(self) -> Mixing:
        """How regions and base share the canvas."""
        return Mixing(self.base_ratio, self.feather, self.overlap)

    def panel(self, image: int) -> Panel:
        """The panel of a picture of the batch."""
        return self.panels[image % len(self.panels)]

    def seed_of(self, image: int) -> int:
        """The seed of a picture of the batch."""
        return self.seeds[image] if self.seeds else (self.seed + image) % (MAX_SEED + 1)

    def plain_prompt(self, image: int) -> str:
        """The one text that says what a picture shows, for a model that nothing guides."""
        if self.prompt:
            return self.prompt
        panel = self.panel(image)
        if panel.provenance.prompt and not panel.provenance.edited:
            return panel.provenance.prompt
        words = [element.description for element in panel.elements]
        return ", ".join([*words, panel.base] if panel.base else words)


def checked(request: Request) -> Request:
    """The request itself, or `InputError` naming the field that is out of range."""
    if request.before is not None:
        if request.edits > MAX_EDITS:
            raise InputError(
                f"a picture is edited at most {MAX_EDITS} times; draw one of its own from its panel"
            )
        checked(request.before)
    if len(request.panels) not in (1, request.batch):
        raise InputError(
            f"{len(request.panels)} panels do not fit a batch of {request.batch}: "
            "give one for all pictures, or one for each"
        )
    if len(request.seeds) not in (0, request.batch):
        raise InputError(
            f"{len(request.seeds)} seeds do not fit a batch of {request.batch}: give one for each, or none"
        )
    try:
        msgspec.convert(_settings(request), _Settings)
    except msgspec.ValidationError as error:
        raise InputError(f"the request cannot be drawn: {error}") from error
    if request.control_stop >= request.control_start:
        raise InputError(
            f"panel control stops at timestep {request.control_stop:g} before it starts at "
            f"{request.control_start:g}; timesteps go down, so the start is the larger"
        )
    if request.sampler not in SAMPLERS:
        raise InputError(f"there is no sampler {request.sampler!r}; choose one of {', '.join(SAMPLERS)}")
    if request.preset and preset_named(request.preset).id != request.preset:
        raise InputError(f"a request names a preset by its id, {preset_named(request.preset).id}")
    for name in ("prompt", "negative", "model", "prior", "decoder", "postfix"):
        if not is_unicode(getattr(request, name)):
            raise InputError(f"the {name} holds half a surrogate pair; give valid Unicode text")
    return request


def _settings(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in _SETTINGS}


_SETTINGS = tuple(name for name in Request.__struct_fields__ if name not in ("panels", "before"))


_Settings = msgspec.defstruct(
    "_Settings",
    [(name, Request.__annotations__[name]) for name in _SETTINGS],
    namespace={"__module__": __name__},
)


def to_json(request: Request) -> str:
    """The request as JSON text, panels included."""
    return msgspec.json.encode({"version": REQUEST_VERSION, **_document(request)}).decode("utf-8")


def _document(request: Request) -> dict[str, Any]:
    document = {**_settings(request), "panels": [to_document(panel) for panel in request.panels]}
    return document if request.before is None else {**document, "before": _document(request.before)}


def from_json(text: str | bytes) -> Request:
    """The request of a JSON text. Panels are mended where needed; raises `InputError` otherwise."""
    try:
        return checked(_read(msgspec.json.decode(text)))
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, RecursionError, UnicodeError) as error:
        raise InputError(f"this is not a request of ours: {type(error).__name__}: {error}") from error


def _read(document: dict[str, Any]) -> Request:
    panels = tuple(repair(panel).panel for panel in document.pop("panels"))
    before = document.pop("before", None)
    settings = msgspec.convert(document, _Settings)
    return Request(
        panels=tuple(panel for panel in panels if panel is not None),
        before=None if before is None else _read(before),
        **msgspec.structs.asdict(settings),
    )
