"""A double of the host's edge: only what `lib_ranni.webui` touches, behaving as the contract says.

`tests/webui_live` runs the same arrangements of rows in the real host.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tests.webui import fake_samplers

WIDTH = 16
"""Width of the texts that the small denoisers of tests/guidance read."""

_TAG = re.compile(r"<(\w+):([^>]+)>")


class Options(SimpleNamespace):
    """Values by name; `set` and `save` do what the host's do, and refuse as it does when they are frozen."""

    @property
    def data(self) -> dict[str, Any]:
        return vars(self)

    def get_default(self, key: str) -> Any:
        return {"sd_noise_schedule": "Default"}[key]

    def set(self, key: str, value: Any) -> bool:
        assert not self.commands.freeze_settings, "changing settings is disabled"
        setattr(self, key, value)
        return True

    def save(self, filename: str) -> None:
        Path(filename).write_text(repr({n: v for n, v in vars(self).items() if n.startswith("ranni")}))


class Scheduled(NamedTuple):
    end_at_step: int
    cond: Tensor


def tokens_of(text: str) -> int:
    """Tokens of a text: a chunk of 77, or two where it has more than 10 words."""
    return 154 if len(text.split()) > 10 else 77


def encoded(text: str) -> Tensor:
    """A text's own vectors (L, WIDTH)."""
    seed = sum(ord(letter) * (n + 1) for n, letter in enumerate(text)) % 2**31
    return torch.randn(tokens_of(text), WIDTH, generator=torch.Generator().manual_seed(seed))


class Words:
    """The text encoder as a splitter: a token for each word, a chunk for 10 of them."""

    id_start, id_end = 1, 2

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [[3 + sum(ord(sign) << n for n, sign in enumerate(w)) for w in text.split()] for text in texts]

    def tokenize_line(self, text: str) -> tuple[list[Any], int]:
        words = text.split()
        parts = [words[n : n + 10] for n in range(0, len(words), 10)][:2] or [[]]
        rows = [[self.id_start, *self.tokenize([" ".join(part)])[0]] for part in parts]
        chunks = [SimpleNamespace(tokens=row + [self.id_end] * (77 - len(row))) for row in rows]
        return chunks, len(words)


class SdConditioning(list[str]):
    def __init__(
        self, prompts: list[str], is_negative_prompt: bool = False, width: int = 0, height: int = 0
    ) -> None:
        super().__init__(prompts)


def get_learned_conditioning_prompt_schedules(
    prompts: list[str], steps: int, hires_steps: int | None, old: bool
) -> list[list[tuple[int, str]]]:
    """`first|then` changes half-way; everything else stays."""
    total = hires_steps if hires_steps is not None else steps
    parts = [prompt.split("|") for prompt in prompts]
    return [[(total * (n + 1) // len(own), part) for n, part in enumerate(own)] for own in parts]


def get_learned_conditioning(
    model: Any, prompts: list[str], steps: int, hires_steps: int | None, old: bool
) -> list[list[Scheduled]]:
    found = get_learned_conditioning_prompt_schedules(prompts, steps, hires_steps, old)
    return [[Scheduled(end, encoded(text)) for end, text in schedule] for schedule in found]


def get_multicond_prompt_list(prompts: list[str]) -> tuple[Any, list[str], Any]:
    """(for each prompt the (index, weight) of its parts, the parts, where each is)."""
    parts = [part.strip() for prompt in prompts for part in prompt.split("AND")]
    ends = list(accumulate(len(prompt.split("AND")) for prompt in prompts))
    found = [
        [(n, 1.0) for n in range(end - len(p.split("AND")), end)]
        for p, end in zip(prompts, ends, strict=True)
    ]
    return found, parts, {}


def parse_prompt_attention(text: str) -> list[list[Any]]:
    """`(words:1.5)` within others."""
    pieces = re.split(r"\(([^:()]*):([\d.]+)\)", text)
    weights = [float(weight) for weight in pieces[2::3]]
    plain, strong = pieces[0::3], pieces[1::3]
    out = [[plain[0], 1.0]]
    for words, weight, rest in zip(strong, weights, plain[1:], strict=True):
        out += [[words, weight], [rest, 1.0]]
    return out


def parse_prompt(text: str) -> tuple[str, dict[str, list[Any]]]:
    found = defaultdict(list)
    for kind, items in _TAG.findall(text):
        # An argument with two signs of equality is none that has a name.
        parts = [(item, item.split("=", 2)) for item in items.split(":")]
        named = dict(pair for _, pair in parts if len(pair) == 2)
        positional = [item for item, pair in parts if len(pair) != 2]
        found[kind].append(SimpleNamespace(positional=positional, named=named))
    return _TAG.sub("", text), found


def prompt_lengths(text: str) -> tuple[int, int]:
    """A token for each word, as the host counts where a model is loaded."""
    count = len(text.split())
    return count, 75 * max(1, -(-count // 75))


class Part(NamedTuple):
    """One part of a prompt with AND."""

    text: str
    weight: float = 1.0


class Wrap(nn.Module):
    """What the host wraps around a UNet for a sampler: (x, sigma, cond) to a prediction."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        self.rows: list[int] = []

    def forward(self, x: Tensor, sigma: Tensor, cond: dict[str, Any]) -> Tensor:
        self.rows.append(len(x))
        assert len(cond["c_concat"][0]) == len(x)
        return self.unet(x, sigma, context=cond["c_crossattn"][0])


class Denoiser(nn.Module):
    """Arranges rows as the host's CFGDenoiser: conditioned ones picture by picture, then the negatives."""

    def __init__(self, sampler: Any, host: Host, total: int) -> None:
        super().__init__()
        self.sampler, self._host = sampler, host
        self.step, self.total_steps = 0, total
        self.wrap: Wrap | None = None

    @property
    def inner_model(self) -> Wrap:
        if self.wrap is None:
            self.wrap = Wrap(self._host.shared.sd_model.model.diffusion_model)
        return self.wrap

    def forward(self, x: Tensor, prompts: list[list[Part]], negatives: list[str], scale: float) -> Tensor:
        opts = self._host.shared.opts
        flat = [(n, part) for n, parts in enumerate(prompts) for part in parts]
        params = SimpleNamespace(
            x=torch.cat([x[[n for n, _ in flat]], x]),
            sigma=torch.full((len(flat) + len(x),), self.sampler.timestep(self.step)),
            image_cond=torch.zeros(len(flat) + len(x), 5, 1, 1),
            text_cond=_stacked([encoded(part.text) for _, part in flat]),
            text_uncond=_stacked([encoded(text) for text in negatives]),
            denoiser=self,
        )
        self._host.fire("cfg_denoiser", params)
        out = self._run(params, len(x), skip=opts.skip)
        if opts.skip:
            firsts = [next(k for k, (n, _) in enumerate(flat) if n == image) for image in range(len(x))]
            out = torch.cat([out, out[firsts]])
        self._host.fire("cfg_denoised", SimpleNamespace(x=out, inner_model=self.inner_model))
        self.step += 1
        result = out[len(flat) :].clone()
        for row, (n, part) in enumerate(flat):
            result[n] += (1.0 if opts.skip else scale) * part.weight * (out[row] - out[len(flat) + n])
        return result

    def _run(self, params: Any, images: int, *, skip: bool) -> Tensor:
        cond, uncond = params.text_cond, params.text_uncond
        together = cond.shape[1] == uncond.shape[1] or skip
        texts = [cond] if skip else [torch.cat([cond, uncond])] if together else [cond, uncond]
        out, start = [], 0
        for text in texts:
            size = len(text) if self._host.shared.opts.batch_cond_uncond else images
            for first in range(0, len(text), size):
                part = text[first : first + size]
                rows = slice(start, start + len(part))
                given = {"c_crossattn": [part], "c_concat": [params.image_cond[rows]]}
                out.append(self.inner_model(params.x[rows], params.sigma[rows], cond=given))
                start += len(part)
        return torch.cat(out)


def _stacked(texts: list[Tensor]) -> Tensor:
    most = max(len(text) for text in texts)
    return torch.stack([torch.cat([text, text[-1:].repeat(most - len(text), 1)]) for text in texts])


class Sampler:
    """Runs the denoiser some steps on a fixed latent."""

    def __init__(self, host: Host) -> None:
        self.config = SimpleNamespace(total_steps=lambda steps: steps)
        self.model_wrap_cfg: Any = None
        self.sampler_extra_args: dict[str, Any] = {}
        self.timesteps: tuple[float, ...] = (500,)
        self._host = host
        if host.by_timesteps:
            # The host tells them apart by their classes, we by what they have.
            self.get_timesteps = lambda p, steps: torch.arange(1, 1000, 1000 // steps)
        else:
            self.get_sigmas = lambda p, steps: torch.linspace(14.6, 0, steps + 1)

    def timestep(self, step: int) -> float:
        """The noise level of a step; those after the last given have the same."""
        return self.timesteps[min(step, len(self.timesteps) - 1)]

    def launch_sampling(self, steps: int, function: Callable[[], Any]) -> Any:
        return function()

    def sample(
        self, x: Tensor, prompts: list[list[Part]], negatives: list[str], scale: float, steps: int
    ) -> list[Tensor]:
        self.model_wrap_cfg = Denoiser(self, self._host, steps)
        self.sampler_extra_args = {"cond": SimpleNamespace(batch=prompts)}
        denoiser = self.model_wrap_cfg
        return self.launch_sampling(
            steps, lambda: [denoiser(x, prompts, negatives, scale) for _ in range(steps)]
        )


class Host:
    """The fake `modules`, and the callbacks registered with it."""

    def __init__(self, unet: nn.Module, data: Path) -> None:
        self.callbacks: dict[str, list[Callable[..., Any]]] = defaultdict(list)
        self.reported: list[str] = []
        model = SimpleNamespace(diffusion_model=unet, conditioning_key="crossattn")
        commands = SimpleNamespace(api_auth=None, freeze_settings=False)
        opts = Options(
            batch_cond_uncond=True,
            use_old_scheduling=False,
            skip=False,
            commands=commands,
            emphasis="Original",
            img2img_extra_noise=0.0,
            sgm_noise_multiplier=False,
            sd_vae_encode_method="Full",
        )
        self.by_timesteps = False
        self.checkpoint = SimpleNamespace(filename=str(data / "checkpoint.safetensors"))
        self.shared = ModuleType("modules.shared")
        self.shared.__dict__.update(
            sd_model=SimpleNamespace(
                model=model,
                alphas_cumprod=torch.linspace(0.9985, 0.0047, 1000),
                cond_stage_model=Words(),
                sd_checkpoint_info=self.checkpoint,
            ),
            device=torch.device("cpu"),
            opts=opts,
            state=SimpleNamespace(job_count=-1, interrupted=False, skipped=False, stopping_generation=False),
            loaded_hypernetworks=[],
            cmd_opts=commands,
            config_filename=str(data / "config.json"),
        )
        self._data = data

    def fire(self, name: str, *params: Any) -> None:
        """Call the callbacks as the host does: what they raise is noted and swallowed."""
        for callback in self.callbacks[name]:
            try:
                callback(*params)
            except Exception as error:
                self.reported.append(f"{name}: {error!r}")

    def modules(self) -> dict[str, ModuleType]:
        def module(name: str, **members: Any) -> ModuleType:
            made = ModuleType(f"modules.{name}" if name else "modules")
            made.__dict__.update(members)
            return made

        def register(name: str) -> Callable[..., None]:
            return lambda callback, name_=name, **_: self.callbacks[name_].append(callback)

        hypernetwork = module("hypernetworks.hypernetwork", apply_hypernetworks=lambda _, c, layer: (c, c))
        events = (
            "cfg_denoiser",
            "cfg_denoised",
            "after_component",
            "app_started",
            "before_ui",
            "ui_settings",
            "infotext_pasted",
            "model_loaded",
            "script_unloaded",
        )
        found = {
            "shared": self.shared,
            "devices": module("devices", autocast=nullcontext, device=torch.device("cpu")),
            "errors": module("errors", report=lambda text, exc_info=None: self.reported.append(text)),
            "extra_networks": module("extra_networks", parse_prompt=parse_prompt),
            "call_queue": module("call_queue", queue_lock=nullcontext()),
            "paths_internal": module(
                "paths_internal", data_path=str(self._data), models_path=str(self._data / "models")
            ),
            "prompt_parser": module(
                "prompt_parser",
                SdConditioning=SdConditioning,
                get_learned_conditioning=get_learned_conditioning,
                get_learned_conditioning_prompt_schedules=get_learned_conditioning_prompt_schedules,
                get_multicond_prompt_list=get_multicond_prompt_list,
                parse_prompt_attention=parse_prompt_attention,
            ),
            "sd_models": module(
                "sd_models",
                checkpoint_aliases={},
                select_checkpoint=lambda: self.checkpoint,
                model_data=SimpleNamespace(sd_model=None),
            ),
            "ui_common": module("ui_common", create_refresh_button=object),
            "sd_hijack": module("sd_hijack", model_hijack=SimpleNamespace(get_prompt_lengths=prompt_lengths)),
            "sd_unet": module("sd_unet", current_unet=None),
            **{f"sd_vae_{kind}": module(f"sd_vae_{kind}", **names) for kind, names in _small_vaes().items()},
            "hypernetworks": module("hypernetworks", hypernetwork=hypernetwork),
            "hypernetworks.hypernetwork": hypernetwork,
            "scripts": module(
                "scripts",
                Script=object,
                AlwaysVisible=object(),
                scripts_data=[],
                scripts_txt2img=SimpleNamespace(alwayson_scripts=[]),
            ),
            "script_callbacks": module(
                "script_callbacks",
                ExtraNoiseParams=SimpleNamespace,
                **{f"on_{name}": register(name) for name in events},
            ),
            "sd_vae": module("sd_vae", get_loaded_vae_hash=lambda: None),
            **fake_samplers.make(),
            "ui_components": module("ui_components", FormRow=object, InputAccordion=object),
        }
        package = module("")
        package.__path__ = []  # type: ignore[attr-defined]
        package.__dict__.update({name: made for name, made in found.items() if "." not in name})
        return {"modules": package, **{f"modules.{name}": made for name, made in found.items()}}


def _small_vaes() -> dict[str, dict[str, Callable[..., Any]]]:
    """The host's small decoders and encoder, or what makes them; each is told apart by what it adds."""
    return {
        "approx": {"cheap_approximation": lambda sample: sample + 1, "model": lambda: lambda x: x + 2},
        "taesd": {"decoder_model": lambda: lambda x: x + 3, "encoder_model": lambda: lambda image: image + 4},
    }


@contextmanager
def installed(host: Host) -> Iterator[Host]:
    """The fake host in place of `modules`; our package is loaded anew against it, and dropped after."""

    def ours() -> list[str]:
        return [name for name in sys.modules if name.startswith(("lib_ranni.webui", "modules"))]

    before = {name: sys.modules.pop(name) for name in ours()}
    sys.modules.update(host.modules())
    try:
        yield host
    finally:
        for name in ours():
            del sys.modules[name]
        sys.modules.update(before)
