"""Regional Prompter's settings, from an infotext, its parameters, or a request to the WebUI's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from lib_ranni.errors import InputError
from lib_ranni.panel.formats import infotexts
from lib_ranni.panel.problems import Problems, shown

NAME = "regional_prompter"
SCRIPT = "regional prompter"

# The names of the positional arguments of the API, as the infotext calls them.
_ARGUMENTS = (
    *("RP Active", "debug", "RP Divide mode", "RP Matrix submode", "RP Mask submode", "RP Prompt submode"),
    *("RP Ratios", "RP Base Ratios", "RP Use Base", "RP Use Common", "RP Use Ncommon", "RP Calc Mode"),
    *("RP Options", "RP LoRA Neg Te Ratios", "RP LoRA Neg U Ratios", "RP threshold", "mask"),
    *("RP LoRA Stop Step", "RP LoRA Hires Stop Step", "RP Flip"),
)


class Settings(Struct, frozen=True, kw_only=True):
    """What Regional Prompter's settings say about the layout. `ratios` is None where none were given."""

    upright: bool = False
    ratios: str | None = None
    base_ratios: str = "0.2"
    use_base: bool = False
    use_common: bool = False
    use_common_negative: bool = False
    mode: Literal["attention", "latent"] = "attention"
    keep_and: bool = False
    keep_break: bool = False
    flip_prompts: bool = False
    comments: bool = False
    without_hires: bool = False
    only_hires: bool = False


def parameters_of_request(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters of a txt2img or img2img request with arguments for Regional Prompter, or None."""
    values = infotexts.arguments_of(request, SCRIPT)
    if values is None:
        return None
    return {**infotexts.parameters_of_request(request), **dict(zip(_ARGUMENTS, values, strict=False))}


def read_settings(parameters: Mapping[str, Any], problems: Problems) -> Settings:
    """The settings among the parameters. Raises `InputError` for modes that are no grid."""

    def text(name: str, default: str) -> str:
        return infotexts.text_in(parameters, name, default, problems)

    def flag(name: str) -> bool:
        return infotexts.is_on(text(name, "false"))

    if text("RP Active", "true").lower() in ("false", "0"):
        problems.add(
            "RP Active", "is false: this picture was made without regions", "regions read all the same"
        )
    upright = _upright(text("RP Divide mode", "Matrix"), text("RP Matrix submode", "Columns"), problems)
    ratios = text("RP Ratios", "") or None
    if ratios is not None and flag("RP Flip"):
        ratios = ratios.translate(str.maketrans(",;", ";,"))
    mode = text("RP Calc Mode", "Attention").lower()
    if mode not in ("attention", "latent"):
        problems.add("RP Calc Mode", f"must be Attention or Latent, not {shown(mode)}", "read as Attention")
    given = parameters.get("RP Options")
    options = _options(given)
    return Settings(
        upright=upright,
        ratios=ratios,
        base_ratios=text("RP Base Ratios", "0.2"),
        use_base=flag("RP Use Base"),
        use_common=flag("RP Use Common"),
        use_common_negative=flag("RP Use Ncommon"),
        mode="latent" if mode == "latent" else "attention",
        keep_and=given is True or flag("RP Change AND") or ("disable" in options and "and" in options),
        keep_break="break to change chunks" in options,
        flip_prompts="flip prompts" in options,
        comments="comment out" in options,
        without_hires="disabled in hires" in options,
        only_hires="only in hires" in options,
    )


def _options(value: Any) -> str:
    """The chosen options in small letters, whatever shape they were kept in."""
    if isinstance(value, list):
        value = ",".join(map(infotexts.plain_text, value[:100]))
    return infotexts.plain_text(value).lower()


def _upright(tab: str, submode: str, problems: Problems) -> bool:
    """Whether columns stand outside and rows within them (the splitting "Rows")."""
    tab, submode = tab.lower(), submode.lower()
    if tab == "mask":
        raise InputError(
            "Regional Prompter's mask mode cannot be imported: its mask is not part of the settings; "
            "draw the regions as boxes or masks here"
        )
    if tab.startswith("prompt"):
        raise InputError(
            "Regional Prompter's prompt mode cannot be imported: it finds its regions only while drawing; "
            "place the things as boxes here"
        )
    if tab in ("horizontal", "vertical"):
        # Its own presets still name the splitting in place of the tab; there it is then ignored.
        tab, submode = "matrix", tab
    if tab not in ("matrix", "nope"):
        problems.add("RP Divide mode", f"must be Matrix, Mask or Prompt, not {shown(tab)}", "read as Matrix")
    if submode == "random":
        raise InputError(
            "Regional Prompter's random splitting cannot be imported: it cannot be drawn twice; "
            "split by columns or rows"
        )
    if submode not in ("columns", "horizontal", "rows", "vertical"):
        fault = f"must be Columns, Rows or Random, not {shown(submode)}"
        problems.add("RP Matrix submode", fault, "read as Columns")
    return submode in ("rows", "vertical")
