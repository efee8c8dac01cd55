"""Loading Stable Diffusion 1, 2 and XL checkpoints, from a folder or a single file, without a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch

from lib_ranni.errors import InputError, ModelError
from lib_ranni.guidance.panel_control import PanelConditioner, make_conditioner
from lib_ranni.guidance.panel_files import conditioner_tensors, read_conditioner
from lib_ranni.panel.types import Panel, with_fields
from lib_ranni.sampling.edm import Edm, read_edm
from lib_ranni.standalone.encoding import Encoder
from lib_ranni.standalone.loras import WornLoras
from lib_ranni.standalone.paths import from_user
from lib_ranni.standalone.requests import Request
from lib_ranni.standalone.schedulers import edm_config, edm_of

ROOT = Path(__file__).resolve().parents[2]
SHAPES = ROOT / "models" / "shapes"
TOKENIZER = SHAPES / "tokenizer"
CONFIGS = Path(__file__).resolve().parent / "configs"

Kind = Literal["sd1", "sd2", "sdxl"]


class Defaults(msgspec.Struct, frozen=True):
    """What to draw with when the user does not say; a checkpoint folder's `defaults.json` may set it."""

    size: int = 512
    steps: int = 25
    cfg: float = 7.0
    sampler: str = "dpmpp-2m-karras"
    base_ratio: float = 0.2
    feather: float = 0.0
    mode: Literal["attention", "latent"] = "attention"
    control: float = 0.6
    """Panel control's scale where it is on; `control_start` and `control_stop` are its timesteps."""
    control_start: float = 1000.0
    control_stop: float = 600.0
    control_cfg: float | None = None
    """The guidance scale where panel control acts, if another is better. Only the conditioned rows have the
    layout, so that guidance exaggerates it: colors leave their range."""
    base: str = ""
    """Base prompt of panels that name no surroundings; empty: the whole prompt, which fits them all."""

    def grounded(self, panel: Panel) -> Panel:
        """The panel with a base prompt in any case: a full-canvas layer without words draws anything."""
        if panel.base or not panel.elements:
            return panel
        planned = "" if panel.provenance.edited else panel.provenance.prompt
        return with_fields(panel, base=self.base or planned or _words(panel))

    def grounded_edit(self, before: Panel, after: Panel) -> Panel:
        """An edited panel, grounded: a base that was the words of the old elements is those of the new."""
        if before.elements and after.base == before.base == _words(before):
            after = with_fields(after, base="")
        return self.grounded(after)

    def is_own_base(self, panel: Panel) -> bool:
        """Whether the base prompt is what `grounded` gives a panel that has none."""
        return panel.base in (self.base, panel.provenance.prompt, _words(panel))

    def request(self, panels: Sequence[Panel], **given: Any) -> Request:
        """A request to draw these panels, grounded, with the given fields over the defaults."""
        own: dict[str, Any] = {"width": self.size, "height": self.size}
        own |= {name: getattr(self, name) for name in ("mode", "base_ratio", "feather")}
        own |= {name: getattr(self, name) for name in ("steps", "cfg", "sampler")}
        own |= {name: getattr(self, name) for name in ("control_start", "control_stop")}
        own["control"] = self.control if given.get("mode", self.mode) == "panel" else 0.0
        if given.get("control", own["control"]) and self.control_cfg is not None:
            own["cfg"] = self.control_cfg
        return Request(panels=tuple(self.grounded(panel) for panel in panels), **own | given)


def _words(panel: Panel) -> str:
    return ", ".join(element.description for element in panel.elements)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model. `scheduler` is the configuration its samplers start from.

    `edm` is there for models trained as EDM, whose latents may have a scale of their own.
    `worn` is what LoRAs add to the UNet's weights at present; whoever runs the UNet says first what that is.
    """

    path: Path
    kind: Kind
    unet: Any
    vae: Any
    encoder: Encoder
    scheduler: dict[str, Any]
    defaults: Defaults = field(default_factory=Defaults)
    conditioner: PanelConditioner | None = None
    edm: Edm | None = None
    worn: WornLoras = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "worn", WornLoras(self.unet))

    def with_conditioner(self, path: Path) -> Checkpoint:
        """The same checkpoint with the panel conditioner of a file. Raises `ModelError`."""
        other = dataclasses.replace(self, conditioner=read_conditioner(from_user(path)).to(self.device))
        object.__setattr__(other, "worn", self.worn)  # of one UNet there is one record of what it wears
        return other

    def raw_latents(self, latents: torch.Tensor) -> torch.Tensor:
        """Finished latents (B, 4, h, w) as the autoencoder decodes them, float32."""
        scale: float = self.vae.config.scaling_factor
        return latents.float() / scale if self.edm is None else self.edm.from_model(latents.float(), scale)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's number type."""
        return next(self.unet.parameters()).dtype


def load_checkpoint(path: Path | None = None, device: str | None = None) -> Checkpoint:
    """Load a `.safetensors`/`.ckpt` file or a diffusers folder; None is the shipped `models/shapes`.

    Raises `ModelError` saying what is missing, and `InputError` for a device that is not there.
    """
    place = _device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    path = SHAPES if path is None else from_user(path)
    if not path.exists():
        raise ModelError(f"there is no checkpoint at {path}; give a .safetensors file or a diffusers folder")
    dtype = torch.float16 if place.type == "cuda" else torch.float32
    try:
        with quiet():
            pipeline = _folder(path, dtype) if path.is_dir() else _file(path, dtype)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded ({type(error).__name__}: {_first_line(error)}); "
            "it must hold a Stable Diffusion 1, 2 or XL model"
        ) from error
    _require_drivable(path, pipeline)
    return _checkpoint(path, pipeline, place)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"this machine has no device {name!r}; use cpu, or leave it out") from error
    return device


def _require_drivable(path: Path, pipeline: Any) -> None:
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    missing = [part for part in parts if getattr(pipeline, part, None) is None]
    if missing:
        raise ModelError(
            f"{path} is a {type(pipeline).__name__} without {', '.join(missing)}; "
            "give a text-to-image model of Stable Diffusion 1, 2 or XL"
        )
    channels = pipeline.unet.config.in_channels
    if channels != 4:
        raise ModelError(
            f"{path} is made for another task: its UNet takes {channels} channels (inpainting has 9); "
            "give a text-to-image checkpoint"
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else "no details"


@contextmanager
def quiet() -> Iterator[None]:
    """diffusers and transformers announce what they load; our own messages say what matters."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    diffusers_level = diffusers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        diffusers_logging.set_verbosity(diffusers_level)
        diffusers_logging.enable_progress_bar()


def _folder(path: Path, dtype: torch.dtype) -> Any:
    from diffusers import DiffusionPipeline

    files = sorted(path.glob("*.safetensors"))
    if len(files) == 1 and files[0].with_suffix(".yaml").exists():
        return _file(files[0], dtype)
    if not (path / "model_index.json").exists():
        raise ModelError(f"{path} has no model_index.json; give a diffusers folder or a single file")
    return DiffusionPipeline.from_pretrained(
        path, torch_dtype=dtype, local_files_only=True, safety_checker=None, requires_safety_checker=False
    )


def _file(path: Path, dtype: torch.dtype) -> Any:
    names = _tensor_names(path)
    if _FIRST_KEY in names and not any("middle_block" in name for name in names):
        raise ModelError(f"{path} is SDXS as hosts load it; give the diffusers folder it was made of")
    config = path.with_suffix(".yaml")
    if (path.parent / "model_index.json").exists() and config.exists():
        return _single_file(path, path.parent, config, dtype)
    return _single_file(path, CONFIGS / _kind_of(path, names), config if config.exists() else None, dtype)


def _single_file(path: Path, config: Path, original: Path | None, dtype: torch.dtype) -> Any:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    xl = "text_encoder_2" in (config / "model_index.json").read_text(encoding="utf-8")
    pipeline = StableDiffusionXLPipeline if xl else StableDiffusionPipeline
    arguments: dict[str, Any] = {"config": str(config), "local_files_only": True, "torch_dtype": dtype}
    if original is not None:
        arguments["original_config"] = str(original)
    if not xl:
        arguments["safety_checker"] = None
    if config.parent == CONFIGS:
        arguments |= _tokenizers(xl=xl, open_clip=config.name != "sd1")
    loaded = pipeline.from_single_file(str(path), **arguments)
    if original is None and not xl:
        kind = predicted_kind(loaded.unet, loaded.unet.config.cross_attention_dim)
        loaded.scheduler.register_to_config(prediction_type=kind)
    return loaded


def _tokenizers(*, xl: bool, open_clip: bool) -> dict[str, Any]:
    """The tokenizers of all three families are CLIP's; OpenCLIP's text encoders pad with "!" instead."""
    from transformers import CLIPTokenizer

    clip = CLIPTokenizer.from_pretrained(TOKENIZER)
    padded = CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!")
    if xl:
        return {"tokenizer": clip, "tokenizer_2": padded}
    return {"tokenizer": padded if open_clip else clip}


@torch.no_grad()
def predicted_kind(unet: Any, width: int) -> Literal["epsilon", "v_prediction"]:
    """What a UNet predicts, judged by its answer to pure noise: epsilon is the noise itself, v is not.

    Files in the original layout do not say; at the last timestep v = 0.07 noise - clean picture.
    """
    like = next(unet.parameters())
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, unet.config.in_channels, 16, 16, generator=generator).to(like)
    context = torch.zeros(1, 77, width).to(like)
    answer = unet(noise, torch.tensor([999], device=like.device), context).sample
    pair = torch.stack([noise.flatten(), answer.flatten()]).float()
    return "epsilon" if float(torch.corrcoef(pair)[0, 1]) > 0.5 else "v_prediction"


_FIRST_KEY = "model.diffusion_model.input_blocks.0.0.weight"
_SD2_KEY = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"
_SDXL_KEY = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight"
_SD1_KEY = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"


def _tensor_names(path: Path) -> set[str]:
    """Names of the tensors of a single file. Raises `ModelError` if it is damaged or no checkpoint."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), "pt") as file:
                return set(file.keys())
        except SafetensorError as error:
            raise ModelError(
                f"{path} is not a whole .safetensors file ({_first_line(error)}); download it again"
            ) from error
    try:
        content = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # what is no pickle can fail in any way
        raise ModelError(
            f"{path} is not a checkpoint that can be loaded safely; give a .safetensors file"
        ) from error
    tensors = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {name for name in tensors if isinstance(name, str)}


def _kind_of(path: Path, names: set[str]) -> Kind:
    """Which family a single file belongs to, by the names of its tensors."""
    for key, kind in ((_SDXL_KEY, "sdxl"), (_SD2_KEY, "sd2"), (_SD1_KEY, "sd1")):
        if key in names:
            return kind  # type: ignore[return-value]
    raise ModelError(f"{path} is not a Stable Diffusion 1, 2 or XL checkpoint: its text encoder is unknown")


def _checkpoint(path: Path, pipeline: Any, device: torch.device) -> Checkpoint:
    unet = pipeline.unet.to(device).eval().requires_grad_(False)
    vae = pipeline.vae.to(device).eval().requires_grad_(False)
    if getattr(vae.config, "force_upcast", False):
        vae = vae.to(torch.float32)  # XL's decoder overflows in half precision and gives black pictures
    pairs = [(pipeline.tokenizer, pipeline.text_encoder)]
    xl = getattr(pipeline, "text_encoder_2", None) is not None
    if xl:
        pairs.append((pipeline.tokenizer_2, pipeline.text_encoder_2))
    for _, model in pairs:
        model.to(device).eval().requires_grad_(False)
    kind: Kind = "sdxl" if xl else "sd2" if unet.config.cross_attention_dim == 1024 else "sd1"
    zero_empty = bool(getattr(pipeline.config, "force_zeros_for_empty_prompt", False))
    encoder = Encoder(pairs, penultimate=xl, zero_empty=xl and zero_empty)
    conditioner = _conditioner(path, device)
    scheduler, edm = _training(path, pipeline)
    if conditioner is not None and kind == "sd2":
        # The release was trained on a schedule that ends in pure noise; its configuration does not say so.
        scheduler["rescale_betas_zero_snr"] = True
    return Checkpoint(path, kind, unet, vae, encoder, scheduler, _defaults(path, unet), conditioner, edm)


def _training(path: Path, pipeline: Any) -> tuple[dict[str, Any], Edm | None]:
    """The configuration of the scheduler, and what is to be known of EDM training."""
    config = dict(pipeline.scheduler.config)
    file = _one_file(path)
    edm = (read_edm(file) if file else None) or edm_of(config, pipeline.vae.config)
    return (config, None) if edm is None else (edm_config(edm), edm)


def _one_file(path: Path) -> Path | None:
    """The file all of a checkpoint's tensors are in; None for a folder of several or none."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return files[0] if len(files) == 1 else None


def _conditioner(path: Path, device: torch.device) -> PanelConditioner | None:
    """The panel conditioner inside a checkpoint file, or beside the networks of a folder."""
    if (file := _one_file(path)) is None:
        return None
    tensors = conditioner_tensors(file)
    return make_conditioner(tensors).to(device) if tensors else None


def _defaults(path: Path, unet: Any) -> Defaults:
    folder = path if path.is_dir() else path.parent
    file = folder / "defaults.json"
    # A folder of loose checkpoints has no defaults that hold for all of them.
    if file.exists() and (path.is_dir() or folder.resolve() == SHAPES):
        try:
            return msgspec.json.decode(file.read_bytes(), type=Defaults)
        except msgspec.MsgspecError as error:
            raise ModelError(f"{file} is damaged: {error}") from error
    return Defaults(size=int(unet.config.sample_size) * 8)
