"""For the live tests only: what a WebUI does not tell over its API.

Linked into a WebUI's `extensions/`, this hands out final latents as floats, says what was added to the rows
behind the UNet's first convolution, makes the model fail in the midst of a step, and says which attributes
of the host changed between two moments. The extension under test knows nothing of it.
"""

from __future__ import annotations

import base64
import gc
import json
import sys
from contextlib import closing
from types import FunctionType, MethodType
from typing import Any

import gradio as gr
from modules import errors, processing, script_callbacks, scripts, shared

_WATCHED = ("modules", "ldm", "sgm", "k_diffusion", "scripts")

_before: dict[str, Any] = {}


class Recorder(scripts.Script):
    """Takes one argument: {"latents": true, "pixels": true, "residuals": true, "comments": true,
    "fail_at": 3, "fail_in_attention": 3, "interrupt_at": 3}, each key optional."""

    def title(self) -> str:
        return "Ranni recorder"

    def show(self, is_img2img: bool) -> Any:
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list[Any]:
        # The API knows only scripts that have an input.
        return [gr.JSON(value={}, visible=False)]

    def process(self, p: Any, asked: Any = None, *_: Any) -> None:
        asked = asked if isinstance(asked, dict) else {}
        p._recorded = [] if asked.get("latents") else None
        if asked.get("residuals"):
            p._residuals = _Residuals(shared.sd_model)
        for name, act in (("fail_at", _fail), ("interrupt_at", _interrupt)):
            if name in asked:
                _at_call(shared.sd_model.model.diffusion_model, asked[name], act)
        if "fail_in_attention" in asked:
            modules = shared.sd_model.model.diffusion_model.named_modules()
            queries = [module for name, module in modules if name.endswith("attn2.to_q")]
            _at_call(queries[0], asked["fail_in_attention"], _fail)

    def postprocess_image(self, p: Any, image: Any, asked: Any = None, *_: Any) -> None:
        if not isinstance(asked, dict) or not asked.get("draw_within"):
            return
        # What detailers do: a picture of their own, through the same scripts with the same arguments.
        inner = processing.StableDiffusionProcessingImg2Img(
            init_images=[image.image],
            prompt=p.prompt,
            seed=p.seed,
            steps=p.steps,
            cfg_scale=p.cfg_scale,
            width=p.width,
            height=p.height,
            sampler_name=p.sampler_name,
            denoising_strength=0.9,
            do_not_save_samples=True,
            do_not_save_grid=True,
        )
        inner.scripts = p.scripts
        inner.script_args = [*p.script_args]
        own = inner.script_args.index(asked)
        inner.script_args[own] = {}
        with closing(inner):
            image.image = processing.process_images(inner).images[0]

    def post_sample(self, p: Any, ps: Any, asked: Any = None, *_: Any) -> None:
        if isinstance(asked, dict) and asked.get("comments"):
            p.extra_generation_params["Comments"] = " | ".join(p.comments)
        if getattr(p, "_recorded", None) is None:
            return
        # After a hires pass these are pictures already, (3, H, W) each.
        p._recorded = [_encoded(latent) for latent in ps.samples]
        p.extra_generation_params["Latents"] = _of_picture
        p.extra_generation_params["Latents size"] = "x".join(map(str, ps.samples[0].shape))

    def postprocess_batch(self, p: Any, asked: Any = None, *_: Any, images: Any = None, **__: Any) -> None:
        if (residuals := getattr(p, "_residuals", None)) is not None:
            residuals.close()
            p.extra_generation_params["Residuals"] = json.dumps(residuals.calls)
            p.extra_generation_params["Last alpha"] = residuals.last_alpha
        p.extra_generation_params.pop("Pixels", None)
        if isinstance(asked, dict) and asked.get("pixels"):
            p.extra_generation_params["Pixels"] = _encoded(images[0])


def _encoded(values: Any) -> str:
    return base64.b64encode(values.float().cpu().numpy().tobytes()).decode()


class _Residuals:
    """What comes between the UNet's first convolution and its next block, call by call.

    `calls` are [timestep, height of the latent, the largest change of each row].
    """

    def __init__(self, model: Any) -> None:
        self.calls: list[list[Any]] = []
        # The host's own number, which its setting of the noise schedule changes.
        self.last_alpha = 0.0
        self._model, self._timestep, self._made = model, 0.0, None
        unet = model.model.diffusion_model
        self._handles = [
            unet.register_forward_pre_hook(self._begin, with_kwargs=True),
            unet.input_blocks[0].register_forward_hook(self._make),
            unet.input_blocks[1].register_forward_pre_hook(self._see),
        ]

    def _begin(self, _: Any, args: Any, kwargs: Any) -> None:
        given = args[1] if len(args) > 1 else kwargs["timesteps"]  # as Stable Diffusion XL is called
        self._timestep = float(given[0])
        self.last_alpha = float(self._model.alphas_cumprod[-1])

    def _make(self, _: Any, __: Any, output: Any) -> None:
        self._made = output

    def _see(self, _: Any, args: Any) -> None:
        change = (args[0] - self._made).abs().flatten(1).amax(1)
        self.calls.append([self._timestep, args[0].shape[-2], [float(row) for row in change]])

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._made = None


def _of_picture(p: Any, index: int, all_prompts: list[str], **_: Any) -> str | None:
    """A picture's latent. The host counts within the batch while it draws, and asks for a grid afterwards."""
    return p._recorded[index] if all_prompts is p.prompts else None


def _fail() -> None:
    raise RuntimeError("the recorder was asked to fail here")


def _interrupt() -> None:
    shared.state.interrupted = True


def _at_call(module: Any, number: int, act: Any) -> None:
    """Do something at the n-th call of a module from now, once."""
    calls = 0

    def hook(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            handle.remove()
            act()

    handle = module.register_forward_pre_hook(hook)


def _state() -> dict[str, Any]:
    """Names of everything that a guided picture might leave changed, with what is there."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in _WATCHED:
            for key, value in list(vars(module).items()):
                if isinstance(value, (FunctionType, MethodType, type)):
                    found[f"{name}.{key}"] = value
                if isinstance(value, type) and value.__module__ == name:
                    found |= {f"{name}.{key}.{attr}": part for attr, part in list(vars(value).items())}
    for name, module in shared.sd_model.named_modules():
        for key, value in list(vars(module).items()):
            is_plain = isinstance(value, (bool, int, float, str, tuple, type(None)))
            found[f"model.{name}.{key}"] = value if is_plain else id(value)
            if key.endswith("_hooks"):
                found[f"model.{name}.{key}"] = tuple(value)
    for event in list(script_callbacks.callback_map):
        calls = script_callbacks.ordered_callbacks(event)
        found[f"callbacks.{event}"] = [call.name for call in calls]
    return found


def _register(_: Any, app: Any) -> None:
    @app.post("/ranni-recorder/remember")
    def remember() -> int:
        gc.collect()
        _before.clear()
        _before.update(_state())
        return len(_before)

    @app.get("/ranni-recorder/faults")
    def faults() -> list[str]:
        """What was reported since this was asked last, of the host's last five."""
        found = [record["exception"] for record in errors.exception_records]
        errors.exception_records.clear()
        return found

    @app.get("/ranni-recorder/changes")
    def changes() -> list[str]:
        after = _state()
        names = _before.keys() | after.keys()
        missing = object()
        return sorted(n for n in names if not _same(_before.get(n, missing), after.get(n, missing)))


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, (int, float, str, tuple, list)):
        return type(first) is type(second) and bool(first == second)
    return first is second


script_callbacks.on_app_started(_register)
