"""LoRA files of every layout, written by the rules of their trainers, with the change each must make.

Names of modules are those of the real networks. Widths are a sixteenth of theirs unless the maker is told so.
The changes are computed here, from the matrices, and not by the library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Module = tuple[str, str]
"""Component (unet, te1, te2) and dotted name in diffusers."""

_SD_UNET: dict[str, tuple[int, ...]] = {
    "conv_in": (320, 32, 3, 3),
    "time_embedding.linear_1": (1280, 320),
    "down_blocks.0.resnets.0.conv1": (320, 320, 3, 3),
    "down_blocks.0.resnets.1.time_emb_proj": (320, 1280),
    "down_blocks.0.attentions.0.proj_in": (320, 320, 1, 1),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": (320, 320),
    "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k": (320, 768),
    "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0": (320, 320),
    "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj": (5120, 640),
    "down_blocks.1.attentions.0.transformer_blocks.0.ff.net.2": (640, 2560),
    "down_blocks.0.downsamplers.0.conv": (320, 320, 3, 3),
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_v": (1280, 1280),
    "mid_block.resnets.1.conv2": (1280, 1280, 3, 3),
    "up_blocks.0.upsamplers.0.conv": (1280, 1280, 3, 3),
    "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_v": (320, 768),
    "up_blocks.3.resnets.0.conv_shortcut": (320, 960, 1, 1),
}
_XL_UNET: dict[str, tuple[int, ...]] = {
    "down_blocks.0.resnets.0.conv1": (320, 320, 3, 3),
    "down_blocks.1.attentions.0.proj_in": (640, 640),
    "down_blocks.1.attentions.1.transformer_blocks.1.attn2.to_k": (640, 2048),
    "down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_out.0": (1280, 1280),
    "down_blocks.2.attentions.0.transformer_blocks.4.ff.net.2": (1280, 5120),
    "mid_block.attentions.0.transformer_blocks.9.attn2.to_v": (1280, 2048),
    "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": (1280, 1280),
    "up_blocks.0.attentions.1.transformer_blocks.9.attn2.to_k": (1280, 2048),
    "up_blocks.0.upsamplers.0.conv": (1280, 1280, 3, 3),
    "up_blocks.1.attentions.2.transformer_blocks.1.ff.net.0.proj": (5120, 640),
    "add_embedding.linear_1": (1280, 2816),
}


def _text(width: int, layer: int) -> dict[str, tuple[int, ...]]:
    start = f"text_model.encoder.layers.{layer}"
    return {
        f"{start}.self_attn.q_proj": (width, width),
        f"{start}.self_attn.out_proj": (width, width),
        f"{start}.mlp.fc1": (4 * width, width),
    }


def modules(family: str, *, scale: int = 16, text: bool = True) -> dict[Module, tuple[int, ...]]:
    """Some modules of a family with the shapes of their weights."""
    unet = dict(_XL_UNET if family == "sdxl" else _SD_UNET)
    if family == "sd2":
        unet = {name: tuple(1024 if side == 768 else side for side in shape) for name, shape in unet.items()}
        unet["down_blocks.0.attentions.0.proj_in"] = (320, 320)
    found: dict[Module, tuple[int, ...]] = {("unet", name): shape for name, shape in unet.items()}
    if text:
        width, layer = (1024, 22) if family == "sd2" else (768, 11)
        found |= {("te1", name): shape for name, shape in _text(width, layer).items()}
        if family == "sdxl":
            found |= {("te2", name): shape for name, shape in _text(1280, 31).items()}
    return {module: (shape[0] // scale, shape[1] // scale, *shape[2:]) for module, shape in found.items()}


@dataclass
class Sample:
    """A file and what it does. `truth` is dW by module; `given` is what the reader must be told."""

    name: str
    path: Path
    family: str
    format: str
    truth: dict[Module, Tensor]
    given: dict[str, Any] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset({"lora"})
    as_is: bool = False
    """Whether the host matches every module without a conversion."""


class Maker:
    """Makes the samples of one family in a folder."""

    def __init__(self, folder: Path, family: str, scale: int = 16) -> None:
        self.folder = folder
        self.family = family
        self.shapes = modules(family, scale=scale)
        self._random = torch.Generator().manual_seed(len(family))

    def normal(self, *shape: int, size: float = 0.1) -> Tensor:
        return torch.randn(shape, generator=self._random) * size

    def pairs(
        self,
        only: Callable[[Module], bool] = lambda _: True,
        ranks: Iterable[int] = (4,),
        tucker: bool = False,
    ) -> dict[Module, tuple[Tensor, Tensor, Tensor | None]]:
        """(down, up, core or None) for modules; convolutions have their kernel in down, or in the core."""
        cycle = list(ranks)
        found = {}
        for number, (module, shape) in enumerate((m, s) for m, s in self.shapes.items() if only(m)):
            rank = cycle[number % len(cycle)]
            out, inner, *kernel = shape
            if tucker and kernel and kernel[0] > 1:
                parts = (
                    self.normal(rank, inner, 1, 1),
                    self.normal(out, rank, 1, 1),
                    self.normal(rank, rank, *kernel),
                )
            else:
                ones = [1] * len(kernel)
                parts = (self.normal(rank, inner, *kernel), self.normal(out, rank, *ones), None)
            found[module] = parts
        return found


def product(down: Tensor, up: Tensor, mid: Tensor | None = None) -> Tensor:
    """up @ down as (out, rest), in float64."""
    flat = up.double().reshape(len(up), -1)
    if mid is None:
        return flat @ down.double().reshape(len(down), -1)
    whole = torch.zeros(len(flat), down.shape[1], *mid.shape[2:], dtype=torch.float64)
    for i in range(mid.shape[0]):
        for j in range(mid.shape[1]):
            spread = down[j].double().reshape(1, -1, 1, 1) * mid[i, j].double()
            whole += flat[:, i].reshape(-1, 1, 1, 1) * spread
    return whole.flatten(1)


def kohya(module: Module, family: str) -> str:
    """The name as kohya's scripts write it, in diffusers' spelling."""
    component, name = module
    prefix = {"unet": "lora_unet", "te1": "lora_te", "te2": "lora_te2"}[component]
    if family == "sdxl" and component == "te1":
        prefix = "lora_te1"
    return f"{prefix}_{name.replace('.', '_')}"


def dotted(module: Module) -> str:
    """The name as diffusers' pipelines write it."""
    component, name = module
    return {"unet": "unet", "te1": "text_encoder", "te2": "text_encoder_2"}[component] + f".{name}"


Pairs = Mapping[Module, tuple[Tensor, Tensor, Tensor | None]]


def truth(pairs: Pairs, scale: Callable[[Module], float] = lambda _: 1.0) -> dict[Module, Tensor]:
    return {module: product(*parts) * scale(module) for module, parts in pairs.items()}


def _save(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata)
    return path


def _kohya_tensors(make: Maker, pairs: Pairs, alpha: float | None) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for module, (down, up, mid) in pairs.items():
        name = kohya(module, make.family)
        found |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
        if mid is not None:
            found[f"{name}.lora_mid.weight"] = mid
        if alpha is not None:
            found[f"{name}.alpha"] = torch.tensor(alpha)
    return found


def _host_lacks(make: Maker) -> bool:
    """SDXL's first upsampler and added embedding are not found under diffusers' names."""
    return make.family == "sdxl"


def kohya_plain(make: Maker) -> Sample:
    pairs = make.pairs(ranks=(4, 8, 2))
    path = _save(make.folder / "kohya.safetensors", _kohya_tensors(make, pairs, 2.0))
    scale = {module: 2.0 / len(parts[0]) for module, parts in pairs.items()}
    return Sample(
        "kohya, mixed ranks",
        path,
        make.family,
        "kohya",
        truth(pairs, scale.__getitem__),
        kinds=frozenset({"lora", "convolution"}),
        as_is=not _host_lacks(make),
    )


def kohya_tucker(make: Maker) -> Sample:
    pairs = make.pairs(tucker=True)
    path = _save(make.folder / "tucker.safetensors", _kohya_tensors(make, pairs, 1.0))
    return Sample(
        "LoCon with Tucker's core",
        path,
        make.family,
        "kohya",
        truth(pairs, lambda _: 0.25),
        kinds=frozenset({"lora", "tucker"}),
        as_is=not _host_lacks(make),
    )


def kohya_stripped(make: Maker) -> Sample:
    pairs = make.pairs()
    tensors = _kohya_tensors(make, pairs, None)
    path = _save(
        make.folder / "no_alpha.safetensors", tensors, {"ss_network_alpha": "1", "ss_network_dim": "4"}
    )
    return Sample(
        "kohya without alpha keys",
        path,
        make.family,
        "kohya",
        truth(pairs, lambda _: 0.25),
        kinds=frozenset({"lora", "convolution"}),
        as_is=not _host_lacks(make),
    )


def kohya_letters(make: Maker) -> Sample:
    pairs = make.pairs(lambda m: m[0] == "unet")
    tensors = {
        f"{kohya(module, make.family)}.lora_{letter}.weight": tensor
        for module, (down, up, _) in pairs.items()
        for letter, tensor in (("A", down), ("B", up))
    }
    path = _save(make.folder / "letters.safetensors", tensors)
    return Sample(
        "kohya's names with A and B",
        path,
        make.family,
        "kohya-peft",
        truth(pairs),
        kinds=frozenset({"lora", "convolution"}),
        as_is=not _host_lacks(make),
    )


def yoso(make: Maker) -> Sample:
    """As the released YOSO LoRA: a pickle named .safetensors, alpha 8 of peft's default."""
    pairs = make.pairs(lambda m: m[0] == "unet", ranks=(16,))
    path = make.folder / "yoso_lora.safetensors"
    torch.save(_kohya_tensors(make, pairs, 8.0), path)
    return Sample(
        "pickle named .safetensors",
        path,
        make.family,
        "kohya",
        truth(pairs, lambda _: 0.5),
        kinds=frozenset({"lora", "convolution"}),
    )


def _attention(module: Module) -> bool:
    return ".attn" in module[1]


def attention_processors(make: Maker) -> Sample:
    pairs = make.pairs(lambda m: m[0] == "unet" and _attention(m))
    tensors = {}
    for module, (down, up, _) in pairs.items():
        path, _, side = dotted(module).rpartition(".attn")
        number, _, layer = side.partition(".")
        name = f"{path}.attn{number}.processor.{layer.removesuffix('.0')}_lora"
        tensors |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    text = make.pairs(lambda m: m[0] != "unet" and "self_attn" in m[1])
    for module, (down, up, _) in text.items():
        name = f"{dotted(module)}.lora_linear_layer"
        tensors |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    path_ = _save(make.folder / "attn_procs.safetensors", tensors)
    return Sample("attention processors", path_, make.family, "diffusers-attn", truth({**pairs, **text}))


def diffusers_pipeline(make: Maker) -> Sample:
    pairs = make.pairs()
    tensors = {}
    for module, (down, up, _) in pairs.items():
        name = f"{dotted(module)}.{'lora' if module[0] == 'unet' else 'lora_linear_layer'}"
        tensors |= {f"{name}.down.weight": down, f"{name}.up.weight": up}
    path = _save(make.folder / "pytorch_lora_weights.safetensors", tensors)
    return Sample(
        "diffusers pipeline",
        path,
        make.family,
        "diffusers",
        truth(pairs),
        kinds=frozenset({"lora", "convolution"}),
    )


def diffusers_letters(make: Maker) -> Sample:
    pairs = make.pairs()
    tensors = {
        f"{dotted(module)}.lora_{letter}.weight": tensor
        for module, (down, up, _) in pairs.items()
        for letter, tensor in (("A", down), ("B", up))
    }
    metadata = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 8})}
    path = _save(make.folder / "peft_pipeline.safetensors", tensors, metadata)
    return Sample(
        "diffusers with peft's matrices and metadata",
        path,
        make.family,
        "diffusers-peft",
        truth(pairs, lambda _: 2.0),
        kinds=frozenset({"lora", "convolution"}),
    )


def _peft_folder(make: Maker, name: str, pairs: Pairs, config: dict[str, Any], binary: bool) -> Path:
    folder = make.folder / name
    folder.mkdir()
    tensors = {
        f"base_model.model.{module[1]}.lora_{letter}{'.default' if binary else ''}.weight": tensor
        for module, (down, up, _) in pairs.items()
        for letter, tensor in (("A", down), ("B", up))
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    if binary:
        torch.save(tensors, folder / "adapter_model.bin")
    else:
        _save(folder / "adapter_model.safetensors", tensors)
    return folder


def peft_folder(make: Maker) -> Sample:
    pairs = make.pairs(lambda m: m[0] == "unet")
    path = _peft_folder(make, "peft", pairs, {"r": 4, "lora_alpha": 2, "peft_type": "LORA"}, binary=True)
    return Sample(
        "folder of peft, pickled",
        path,
        make.family,
        "peft",
        truth(pairs, lambda _: 0.5),
        kinds=frozenset({"lora", "convolution"}),
    )


def peft_patterns(make: Maker) -> Sample:
    """rsLoRA, and one kind of layer with an alpha of its own."""
    pairs = make.pairs(lambda m: m[0] == "unet", ranks=(4, 3))
    config = {"r": 4, "lora_alpha": 6, "use_rslora": True, "alpha_pattern": {"attn2.to_k": 12}}
    path = _peft_folder(make, "rslora", pairs, config, binary=False)
    scale = {
        module: (12 if module[1].endswith("attn2.to_k") else 6) / math.sqrt(len(parts[0]))
        for module, parts in pairs.items()
    }
    return Sample(
        "rsLoRA of peft with patterns",
        path,
        make.family,
        "peft",
        truth(pairs, scale.__getitem__),
        kinds=frozenset({"lora", "convolution"}),
    )


def peft_bare(make: Maker) -> Sample:
    pairs = make.pairs(lambda m: m[0] == "unet")
    path = _peft_folder(make, "bare", pairs, {}, binary=False)
    (path / "adapter_config.json").unlink()
    return Sample(
        "peft without its settings",
        path,
        make.family,
        "peft",
        truth(pairs, lambda _: 2.0),
        given={"alpha": 8.0},
        kinds=frozenset({"lora", "convolution"}),
    )


_DIFFSYNTH = {
    "sd1": {"down_blocks.0.attentions.0": 1, "down_blocks.0.attentions.1": 4, "down_blocks.1.attentions.0": 9,
            "mid_block.attentions.0": 29, "up_blocks.3.attentions.2": 66},
    "sdxl": {"down_blocks.1.attentions.0": 7, "down_blocks.1.attentions.1": 10,
             "down_blocks.2.attentions.0": 15, "down_blocks.2.attentions.1": 18, "mid_block.attentions.0": 21,
             "up_blocks.0.attentions.0": 25, "up_blocks.0.attentions.1": 28, "up_blocks.1.attentions.2": 41},
}  # fmt: skip


def diffsynth(make: Maker) -> Sample:
    """As DiffSynth's trainer saves: blocks by number, of a Lightning checkpoint, alpha nowhere."""
    table = _DIFFSYNTH["sdxl" if make.family == "sdxl" else "sd1"]
    pairs = make.pairs(lambda m: m[0] == "unet" and "transformer_blocks" in m[1])
    tensors = {}
    for module, (down, up, _) in pairs.items():
        block, _, rest = module[1].partition(".transformer_blocks.")
        rest = (
            rest.replace("ff.net.0.proj", "act_fn.proj")
            .replace("ff.net.2", "ff")
            .replace("to_out.0", "to_out")
        )
        name = f"blocks.{table[block]}.transformer_blocks.{rest}"
        tensors |= {f"{name}.lora_A.default.weight": down, f"{name}.lora_B.default.weight": up}
    path = make.folder / "diffsynth.ckpt"
    torch.save({"state_dict": tensors, "epoch": 3, "pytorch-lightning_version": "2.3.0"}, path)
    return Sample(
        "DiffSynth's Lightning checkpoint", path, make.family, "diffsynth", truth(pairs), given={"alpha": 4.0}
    )


def comfy(make: Maker) -> Sample:
    blocks = {
        "down_blocks.1.attentions.0": "input_blocks.4.1",
        "mid_block.attentions.0": "middle_block.1",
        "up_blocks.3.attentions.2": "output_blocks.11.1",
        "down_blocks.2.attentions.1": "input_blocks.8.1",
        "up_blocks.0.attentions.1": "output_blocks.1.1",
        "up_blocks.0.upsamplers.0": "output_blocks.2.2" if make.family == "sdxl" else "output_blocks.2.1",
    }
    names = {}
    for _, name in make.shapes:
        block, _, rest = name.partition(".transformer_blocks.")
        if rest and block in blocks:
            names[name] = f"{blocks[block]}.transformer_blocks.{rest}"
    names["up_blocks.0.upsamplers.0.conv"] = blocks["up_blocks.0.upsamplers.0"] + ".conv"
    pairs = make.pairs(lambda m: m[1] in names)
    tensors = {
        f"diffusion_model.{names[module[1]]}.lora_{letter}.weight": tensor
        for module, (down, up, _) in pairs.items()
        for letter, tensor in (("A", down), ("B", up))
    }
    path = _save(make.folder / "comfy.safetensors", tensors)
    return Sample(
        "ldm's names with dots",
        path,
        make.family,
        "comfy",
        truth(pairs),
        kinds=frozenset({"lora", "convolution"}),
    )


def ziplora(make: Maker) -> Sample:
    pairs = make.pairs(lambda m: m[0] == "unet" and _attention(m))
    dense = truth(pairs)
    tensors = {f"{dotted(module)}.lora.weight": weight.float() for module, weight in dense.items()}
    path = _save(make.folder / "ziplora.safetensors", tensors)
    exact = {module: weight.float().double() for module, weight in dense.items()}
    return Sample("ZipLoRA of full rank", path, make.family, "ziplora", exact, kinds=frozenset({"full"}))


def loha(make: Maker) -> Sample:
    tensors, dense = {}, {}
    for module, (out, inner, *kernel) in make.shapes.items():
        name = kohya(module, make.family)
        w1a, w2a = make.normal(out, 3), make.normal(out, 3)
        if kernel and kernel[0] > 1:
            t1, t2 = make.normal(3, 3, *kernel), make.normal(3, 3, *kernel)
            w1a, w2a, w1b, w2b = (make.normal(3, side) for side in (out, out, inner, inner))
            tensors |= {f"{name}.hada_t1": t1, f"{name}.hada_t2": t2}
            dense[module] = product(w1b, w1a.T, t1) * product(w2b, w2a.T, t2) * (2 / 3)
        else:
            w1b, w2b = make.normal(3, inner), make.normal(3, inner)
            dense[module] = product(w1b, w1a) * product(w2b, w2a) * (2 / 3)
        tensors |= {f"{name}.hada_w1_a": w1a, f"{name}.hada_w1_b": w1b, f"{name}.alpha": torch.tensor(2.0)}
        tensors |= {f"{name}.hada_w2_a": w2a, f"{name}.hada_w2_b": w2b}
    path = _save(make.folder / "loha.safetensors", tensors)
    return Sample(
        "LoHa", path, make.family, "kohya", dense, kinds=frozenset({"loha"}), as_is=not _host_lacks(make)
    )


def lokr(make: Maker) -> Sample:
    """LoKr with whole factors, with one in two matrices, and with both."""
    tensors: dict[str, Tensor] = {}
    dense = {}
    linear = [(m, s) for m, s in make.shapes.items() if len(s) == 2]
    for number, (module, (out, inner)) in enumerate(linear):
        name = kohya(module, make.family)
        one, two = make.normal(2, 4), make.normal(out // 2, inner // 4)
        scale = 1.0
        if number % 3 == 0:
            tensors |= {f"{name}.lokr_w1": one, f"{name}.lokr_w2": two}
        else:
            w2a, w2b = make.normal(out // 2, 3), make.normal(3, inner // 4)
            two, scale = product(w2b, w2a), 0.5 / 3
            tensors |= {f"{name}.lokr_w2_a": w2a, f"{name}.lokr_w2_b": w2b}
            if number % 3 == 1:
                tensors[f"{name}.lokr_w1"] = one
            else:
                w1a, w1b = make.normal(2, 3), make.normal(3, 4)
                one = product(w1b, w1a)
                tensors |= {f"{name}.lokr_w1_a": w1a, f"{name}.lokr_w1_b": w1b}
        tensors[f"{name}.alpha"] = torch.tensor(0.5)
        whole = one.double()[:, None, :, None] * two.double()[None, :, None, :]
        dense[module] = whole.reshape(out, inner) * scale
    path = _save(make.folder / "lokr.safetensors", tensors)
    return Sample(
        "LoKr", path, make.family, "kohya", dense, kinds=frozenset({"lokr"}), as_is=not _host_lacks(make)
    )


def full(make: Maker) -> Sample:
    dense = {module: make.normal(*shape) for module, shape in make.shapes.items()}
    tensors = {f"{kohya(module, make.family)}.diff": weight for module, weight in dense.items()}
    path = _save(make.folder / "full.safetensors", tensors)
    exact = {module: weight.double().flatten(1) for module, weight in dense.items()}
    return Sample(
        "differences of weights",
        path,
        make.family,
        "kohya",
        exact,
        kinds=frozenset({"full"}),
        as_is=not _host_lacks(make),
    )


def float8(make: Maker) -> Sample:
    pairs = {
        module: (down.to(torch.float8_e4m3fn), up.to(torch.float8_e4m3fn), None)
        for module, (down, up, _) in make.pairs(lambda m: m[0] == "unet").items()
    }
    path = _save(make.folder / "float8.safetensors", _kohya_tensors(make, pairs, 4.0))
    return Sample(
        "kohya in float8",
        path,
        make.family,
        "kohya",
        truth(pairs),
        kinds=frozenset({"lora", "convolution"}),
        as_is=not _host_lacks(make),
    )


def b_lora(make: Maker) -> Sample:
    """Content and style of SDXL in two blocks, as its script saves them."""
    shape = make.shapes[("unet", "up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q")]
    shapes = {
        ("unet", f"up_blocks.0.attentions.{block}.transformer_blocks.{layer}.attn{n}.to_{side}"): shape
        for block in (0, 1) for layer in (0, 9) for n in (1, 2) for side in ("q", "out.0")
    }  # fmt: skip
    make.shapes = dict(shapes)
    pairs = make.pairs()
    tensors = {}
    for module, (down, up, _) in pairs.items():
        tensors |= {f"{dotted(module)}.lora.down.weight": down, f"{dotted(module)}.lora.up.weight": up}
    path = _save(make.folder / "b_lora.safetensors", tensors)
    return Sample("B-LoRA", path, "sdxl", "diffusers", truth(pairs))


_ANY = (
    kohya_plain, kohya_tucker, kohya_stripped, kohya_letters, yoso, attention_processors, diffusers_pipeline,
    diffusers_letters, peft_folder, peft_patterns, peft_bare, comfy, ziplora, loha, lokr, full, float8,
)  # fmt: skip
SAMPLES: tuple[tuple[str, Callable[[Maker], Sample]], ...] = (
    *((family, make) for family in ("sd1", "sd2", "sdxl") for make in _ANY),
    ("sd1", diffsynth),
    ("sdxl", diffsynth),
    ("sdxl", b_lora),
)
