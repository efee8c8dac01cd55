"""PNG files that carry the request they were drawn from, so that any of them can be drawn again."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from lib_ranni.errors import InputError, MetadataError
from lib_ranni.sampling.presets import preset_named
from lib_ranni.standalone.requests import Request, from_json, to_json

KEY = "ranni"
"""Name of the PNG text chunk that holds the request as JSON."""

PARAMETERS = "parameters"
"""Name of the chunk the WebUI and the galleries around it read."""


def single(request: Request, index: int) -> Request:
    """The request for one picture of a batch alone. Raises `InputError` for an index out of range."""
    if not 0 <= index < request.batch:
        raise InputError(f"picture {index} is not in a batch of {request.batch}; count from 0")
    before = None if request.before is None else single(request.before, index)
    return msgspec.structs.replace(
        request,
        panels=(request.panel(index),),
        seed=request.seed_of(index),
        seeds=(),
        batch=1,
        before=before,
    )


def infotext(request: Request) -> str:
    """The request of one picture in the WebUI's own notation: prompt, negative prompt, settings."""
    settings = {
        "Steps": request.steps,
        "Sampler": preset_named(request.preset).label if request.preset else request.sampler,
        "CFG scale": f"{request.cfg:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Ranni mode": request.mode,
        "Ranni base ratio": f"{request.base_ratio:g}",
        **_few_step(request),
        **({"Ranni edits": request.edits} if request.edits else {}),
    }
    if request.control and request.mode != "plain":
        control = ("control", "control_start", "control_stop")
        settings |= {f"Ranni {name.replace('_', ' ')}": f"{getattr(request, name):g}" for name in control}
    for name in ("layout_noise", "attention_bias"):
        if value := getattr(request, name):
            settings[f"Ranni {name.replace('_', ' ')}"] = f"{value:g}"
    lines = [" ".join(request.plain_prompt(0).split())]
    if request.negative:
        lines.append("Negative prompt: " + " ".join(request.negative.split()))
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in settings.items())])


def _few_step(request: Request) -> dict[str, str]:
    """What differs from an ordinary picture: LoRAs, preset, prior, decoder. Values hold no commas."""
    found = {}
    if request.loras:
        found["Ranni LoRAs"] = "|".join(f"{lora.name}:{lora.weight:g}" for lora in request.loras)
    if request.preset:
        found["Few-step preset"] = request.preset
    if request.gamma is not None:
        found["TCD gamma"] = f"{request.gamma:g}"
    if request.preset and request.prior not in ("", "none"):
        found["Latent prior"] = request.prior
        found["Latent prior weight"] = f"{request.prior_weight:g}"
    if request.decoder:
        found["Decoder"] = request.decoder
    return {name: value.replace(",", " ") for name, value in found.items()}


def save_png(picture: Image.Image, path: Path, request: Request, index: int = 0) -> None:
    """Write one picture of a request's batch together with what draws exactly it again."""
    own = single(request, index)
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(KEY, to_json(own))
    chunks.add_itxt(PARAMETERS, infotext(own))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG", pnginfo=chunks)


def read_png(path: Path) -> Request:
    """The request a PNG was drawn from. Raises `MetadataError` if it has none that can be read."""
    try:
        with warnings.catch_warnings():
            # Larger than anything we write: not worth the memory to find out what it is.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as picture:
                # `.text` decodes the picture on the way: ours come in front of it, a cut file must not pass.
                text = getattr(picture, "text", {}).get(KEY)
    except FileNotFoundError as error:
        raise MetadataError(f"there is no file {path}") from error
    except (*_UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MetadataError(f"{path} is not a PNG picture that can be read: {_reason(error)}") from error
    if text is None:
        raise MetadataError(
            f"{path} carries no request of ours; give a PNG that `lib-ranni generate` wrote, not re-saved"
        )
    try:
        return from_json(str(text))
    except InputError as error:
        raise MetadataError(f"{path}: {error}") from error


_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, zlib.error)
"""What Pillow raises for files that are damaged or of another kind."""


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is something else"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


class Numbering(Struct):
    """Names for the pictures of a folder: `00001-<seed>.png`, counting on from what is there."""

    folder: Path
    last: int = 0

    def __post_init__(self) -> None:
        taken = (path.name.split("-")[0] for path in self.folder.glob("*.png"))
        self.last = max((int(name) for name in taken if name.isdecimal()), default=0)

    def next(self, seed: int) -> Path:
        """The next free name."""
        self.last += 1
        return self.folder / f"{self.last:05d}-{seed}.png"
