"""Few-step recipes as data: what a distilled model was made to be asked, and how its answers are used.

`plans` makes one ready for a number of steps.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from lib_ranni.errors import InputError

Family = Literal["sd1", "sd2", "sdxl"]
RuleName = Literal["euler", "ancestral", "renoise", "tcd", "sa"]
Grid = Literal["trailing", "lcm", "fixed"]
Unit = Annotated[float, Meta(ge=0.0, le=1.0)]


class Preset(Struct, frozen=True, kw_only=True):
    """A recipe: where a model is asked, how its answers are used, and what it is made for.

    `steps` are the counts it is made for, the default first; `timesteps` are those of a fixed grid; `cfg` is
    (lowest, highest, default). `lora` and `checkpoint` are patterns of file names, found anywhere in them
    and in any case; with neither, any model will do. `weight` is the LoRA's, `weights` that for single
    families. `output` says what the network answers with if it is not what its base does, `boundary` that
    it is a consistency model. `unit` noise has a variance of 1 for the network, the other is sigma times the
    noise. `to_zero` ends without noise, else at the first timestep's sigma. `locked` models know only their
    own timesteps, whatever the strength. `prior` is what becomes of the latent prior if nobody chooses.
    """

    id: str
    label: str
    families: tuple[Family, ...]
    rule: RuleName
    grid: Grid
    steps: tuple[int, ...]
    timesteps: tuple[int, ...] = ()
    gamma: Unit = 0.0
    output: Literal["base", "sample", "flow"] = "base"
    boundary: bool = False
    unit: bool = True
    to_zero: bool = True
    cfg: tuple[float, float, float] = (1.0, 1.0, 1.0)
    lora: str = ""
    weight: float = 1.0
    weights: tuple[tuple[Family, float], ...] = ()
    checkpoint: str = ""
    locked: bool = False
    prior: Literal["on", "optional", "off"] = "off"
    note: str = ""

    def lora_weight(self, family: Family) -> float:
        """How strong its LoRA is to be with a family of models."""
        return dict(self.weights).get(family, self.weight)

    def fits_lora(self, name: str) -> bool:
        """Whether a LoRA's file name is one of those it is made for."""
        return bool(self.lora) and re.search(self.lora, name, re.IGNORECASE) is not None

    def fits_checkpoint(self, name: str) -> bool:
        """Whether a checkpoint's file name is one of those it is made for."""
        return bool(self.checkpoint) and re.search(self.checkpoint, name, re.IGNORECASE) is not None


_UP_TO_8 = (4, 1, 2, 3, 5, 6, 7, 8)
_ALL: tuple[Family, ...] = ("sd1", "sd2", "sdxl")

_LIST = (
    Preset(
        id="yoso1",
        label="YOSO 1-step",
        families=("sd1",),
        rule="renoise",
        grid="lcm",
        steps=(1,),
        boundary=True,
        cfg=(1.0, 2.0, 1.5),
        lora="yoso",
        prior="on",
        note="guidance 1.5 with the prior, 1 without it",
    ),
    Preset(
        id="yoso2",
        label="YOSO 2-step",
        families=("sd1",),
        rule="renoise",
        grid="lcm",
        steps=(2,),
        boundary=True,
        cfg=(1.0, 2.0, 1.5),
        lora="yoso",
        prior="optional",
    ),
    Preset(
        id="sdxs",
        label="SDXS 1-step",
        families=("sd1", "sd2"),
        rule="renoise",
        grid="fixed",
        timesteps=(999,),
        steps=(1,),
        checkpoint="sdxs",
        prior="optional",
        locked=True,
        note="half precision costs quality: at its one timestep rounding is amplified 15 times",
    ),
    Preset(
        id="lcm",
        label="LCM exact grid",
        families=("sd1", "sdxl"),
        rule="renoise",
        grid="lcm",
        steps=_UP_TO_8,
        boundary=True,
        cfg=(1.0, 2.0, 1.5),
        lora="lcm",
    ),
    Preset(
        id="tcd",
        label="TCD",
        families=_ALL,
        rule="tcd",
        grid="lcm",
        steps=(*_UP_TO_8, *range(9, 21)),
        gamma=0.3,
        to_zero=False,
        lora="tcd|hyper.*1-?step",
    ),
    Preset(
        id="hyper1",
        label="Hyper-SD unified",
        families=("sd1", "sdxl"),
        rule="tcd",
        grid="lcm",
        steps=(1, 2, 3, 4, 5, 6, 7, 8),
        gamma=1.0,
        to_zero=False,
        lora="hyper-?sd.*1-?step",
        note="a smaller gamma gives more detail in several steps",
    ),
    Preset(
        id="hyper",
        label="Hyper-SD N-step",
        families=("sd1", "sdxl"),
        rule="euler",
        grid="trailing",
        steps=(4, 2, 8, 12),
        lora=r"hyper-?sd.*[248]-?steps?(?!-cfg)",
        weights=(("sdxl", 0.8),),
        note="use the file made for as many steps",
    ),
    Preset(
        id="hyper1u",
        label="Hyper-SDXL 1-step UNet",
        families=("sdxl",),
        rule="renoise",
        grid="fixed",
        timesteps=(800,),
        steps=(1,),
        checkpoint="hyper-?sdxl.*1-?step.*unet",
        locked=True,
    ),
    Preset(
        id="dmd2_1",
        label="DMD2 1-step",
        families=("sdxl",),
        rule="renoise",
        grid="fixed",
        timesteps=(399,),
        steps=(1,),
        checkpoint="dmd2.*1-?step",
        locked=True,
    ),
    Preset(
        id="dmd2_4",
        label="DMD2 4-step",
        families=("sdxl",),
        rule="renoise",
        grid="trailing",
        steps=(4,),
        lora="dmd2",
        checkpoint="dmd2.*4-?step",
        note="a smaller weight suits fine-tuned models",
    ),
    Preset(
        id="light",
        label="Lightning N-step",
        families=("sdxl",),
        rule="euler",
        grid="trailing",
        steps=(4, 2, 8),
        unit=False,
        cfg=(1.0, 2.0, 1.0),
        lora=r"lightning_?\d-?step",
        checkpoint=r"lightning_?[248]-?step",
        note="use the file made for as many steps",
    ),
    Preset(
        id="light1",
        label="Lightning 1-step x0",
        families=("sdxl",),
        rule="euler",
        grid="fixed",
        timesteps=(999,),
        steps=(1,),
        output="sample",
        unit=False,
        checkpoint="lightning_?1-?step.*x0",
        locked=True,
    ),
    Preset(
        id="turbo",
        label="Turbo",
        families=("sd2", "sdxl"),
        rule="euler",
        grid="trailing",
        steps=(1, 2, 3, 4),
        unit=False,
        checkpoint="turbo",
        note="takes no negative prompt",
    ),
    Preset(
        id="turbo_a",
        label="Turbo Euler a",
        families=("sd2", "sdxl"),
        rule="ancestral",
        grid="trailing",
        steps=(1, 2, 3, 4),
        unit=False,
        checkpoint="turbo",
        note="takes no negative prompt",
    ),
    Preset(
        id="pcm",
        label="PCM",
        families=("sd1", "sdxl"),
        rule="euler",
        grid="trailing",
        steps=(4, 2, 8, 16),
        cfg=(1.0, 7.5, 1.0),
        lora="pcm_.*(small|normal)cfg",
        note="guidance 1 for smallcfg files, 7.5 for normalcfg ones",
    ),
    Preset(
        id="pcm_lcm",
        label="PCM LCM-like",
        families=("sd1", "sdxl"),
        rule="renoise",
        grid="trailing",
        steps=_UP_TO_8,
        lora="pcm_.*lcmlike",
    ),
    Preset(
        id="instaflow",
        label="InstaFlow",
        families=("sd1",),
        rule="euler",
        grid="trailing",
        steps=(1,),
        output="flow",
        cfg=(1.0, 1.5, 1.0),
        checkpoint="instaflow",
        locked=True,
    ),
    Preset(
        id="sa",
        label="SA-Solver",
        families=_ALL,
        rule="sa",
        grid="trailing",
        steps=(20, *range(8, 20), *range(21, 151)),
        to_zero=False,
        cfg=(1.0, 30.0, 7.0),
        note="many steps, for any model",
    ),
)

PRESETS: dict[str, Preset] = {preset.id: preset for preset in _LIST}
"""By id, in the order to show them in."""


def preset_named(name: str) -> Preset:
    """The preset of an id or a label. Raises `InputError` with the ids there are."""
    wanted = name.strip().lower()
    for preset in PRESETS.values():
        if wanted in (preset.id, preset.label.lower()):
            return preset
    raise InputError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
