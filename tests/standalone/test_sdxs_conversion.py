"""`lib-ranni convert sdxs`: a diffusers folder as one file, every tensor in its place and none made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib_ranni.errors import InputError, ModelError, RanniError
from lib_ranni.lora.layout import PLANS, unet_places
from lib_ranni.service.latent_statistics import picture_prior, pictures_in
from lib_ranni.standalone import sdxs_configs
from lib_ranni.standalone.autoencoding import latents_of
from lib_ranni.standalone.checkpoint import load_checkpoint
from lib_ranni.standalone.sdxs_configs import UNet
from lib_ranni.standalone.sdxs_conversion import convert_sdxs
from tests.standalone.compact import make_pipeline, save_pipeline
from tests.standalone.drawing import Recorder, request
from tests.standalone.running import Run

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET = "model.diffusion_model."
VAE = "first_stage_model."


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = save_pipeline(make_pipeline(kind), tmp_path_factory.mktemp("sdxs"))
        return made[kind]

    return folder


@pytest.fixture
def source(folders: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder to damage."""
    return shutil.copytree(folders("dreamshaper"), tmp_path / "sdxs")


@pytest.fixture
def _small_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdxs_configs, "OPEN_CLIP_SIZES", ((256, 9),))


def _params(config: Path) -> Any:
    return OmegaConf.load(str(config)).model.params


def _all(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in folder.glob("*/*.safetensors"):
        found |= {f"{file.parent.name}.{name}": tensor for name, tensor in load_file(str(file)).items()}
    return {name: tensor for name, tensor in found.items() if not name.endswith("position_ids")}


def test_every_tensor_has_its_place(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folders("dreamshaper")
    done = convert_sdxs(folder, tmp_path / "sdxs.safetensors")
    got, held = load_file(str(done.checkpoint)), _all(folder)
    assert done.tensors == len(got) == len(held)
    assert done.parameters == sum(tensor.numel() for tensor in held.values())
    # Each tensor once: of random weights no two are equal.
    sums = sorted(float(tensor.double().sum()) for tensor in held.values())
    assert sorted(float(tensor.double().sum()) for tensor in got.values()) == sums
    pairs = {
        "unet.down_blocks.1.resnets.0.conv1.weight": f"{UNET}input_blocks.3.0.in_layers.2.weight",
        "unet.down_blocks.1.downsamplers.0.conv.bias": f"{UNET}input_blocks.4.0.op.bias",
        "unet.up_blocks.1.upsamplers.0.conv.weight": f"{UNET}output_blocks.3.2.conv.weight",
        "unet.up_blocks.2.resnets.1.conv_shortcut.bias": f"{UNET}output_blocks.5.0.skip_connection.bias",
        "vae.decoder.layers.0.weight": f"{VAE}decoder.1.weight",
        "vae.encoder.layers.14.bias": f"{VAE}encoder.14.bias",
        "text_encoder.text_model.final_layer_norm.bias": (
            "cond_stage_model.transformer.text_model.final_layer_norm.bias"
        ),
    }
    for theirs, ours in pairs.items():
        assert torch.equal(got[ours], held[theirs]), theirs
    assert not any("middle_block" in name for name in got)


def test_the_configuration_names_our_classes(folders: Callable[[str], Path], tmp_path: Path) -> None:
    done = convert_sdxs(folders("dreamshaper"), tmp_path / "sdxs.safetensors")
    assert done.config == tmp_path / "sdxs.yaml"
    params = _params(done.config)
    unet, vae = params.unet_config, params.first_stage_config
    assert (unet.target, vae.target) == (
        "lib_ranni.webui.sdxs.CompactUNet",
        "lib_ranni.webui.sdxs.TinyAutoencoder",
    )
    assert (list(unet.params.channel_mult), list(unet.params.attention_resolutions)) == ([1, 2, 4], [2, 4])
    assert (unet.params.num_heads, unet.params.context_dim, params.scale_factor) == (4, 64, 1.0)
    assert (params.parameterization, params.linear_end) == ("eps", 0.012)
    assert params.cond_stage_config.target.endswith(".FrozenCLIPEmbedder")
    import lib_ranni.webui

    classes = (Path(lib_ranni.webui.__file__).parent / "sdxs.py").read_text(encoding="utf-8")
    assert "class CompactUNet(UNetModel)" in classes
    assert "class TinyAutoencoder(nn.Module)" in classes


@pytest.mark.usefixtures("_small_open_clip")
def test_the_one_with_open_clip(folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folders("0.9")
    done = convert_sdxs(folder, tmp_path / "sdxs.safetensors")
    params = _params(done.config)
    assert list(params.unet_config.params.disable_self_attentions) == [True, False, False]
    assert (params.unet_config.params.num_head_channels, params.cond_stage_config.params.layer) == (
        16,
        "penultimate",
    )
    got, held = load_file(str(done.checkpoint)), _all(folder)
    # Query, key and value are one tensor there.
    layers = 9
    assert len(got) == len(held) - layers * 4
    assert done.parameters == sum(tensor.numel() for tensor in held.values())
    block = "cond_stage_model.model.transformer.resblocks.8"
    layer = "text_encoder.text_model.encoder.layers.8.self_attn"
    joined = torch.cat([held[f"{layer}.{side}_proj.bias"] for side in "qkv"])
    assert torch.equal(got[f"{block}.attn.in_proj_bias"], joined)
    assert torch.equal(got[f"{block}.attn.out_proj.weight"], held[f"{layer}.out_proj.weight"])
    finest = got[f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_k.weight"]
    assert finest.shape == (32, 256)


def test_published_sizes_are_those_of_the_hub() -> None:
    unet = UNet(
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=768,
        mid_block_type=None,
        layers_per_block=1,
    )
    listed = {place.diffusers: place.shape for place in unet_places(PLANS["sdxs"])}
    assert {place.diffusers: place.shape for place in unet_places(unet.plan())} == listed
    assert unet.params()["num_heads"] == 8


def test_the_large_autoencoder_may_be_taken_along(source: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    torch.manual_seed(3)
    large = AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
    )
    save_pipeline(large, source / "vae_large")
    done = convert_sdxs(source, tmp_path / "x.safetensors", vae="vae_large")
    params = _params(done.config)
    assert params.first_stage_config.target == "ldm.models.autoencoder.AutoencoderKL"
    assert params.scale_factor == pytest.approx(0.18215)
    got = load_file(str(done.checkpoint))
    shape = (32, 32, 1, 1)
    assert all(got[f"{VAE}encoder.mid.attn_1.{side}.weight"].shape == shape for side in ("q", "proj_out"))
    assert len([name for name in got if name.startswith(VAE)]) == len(large.state_dict())


def _edited(file: Path, **changes: Any) -> None:
    held = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**held, **changes}), encoding="utf-8")


def _tensors(file: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    held = load_file(str(file))
    change(held)
    save_file(held, str(file))


NORM = "conv_norm_out.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model_index.json").unlink(), "no diffusers folder"),
        (lambda f: (f / "unet" / "config.json").unlink(), "give the whole diffusers folder"),
        (lambda f: (f / "unet" / "config.json").write_text("{"), "is not what SDXS has"),
        (lambda f: (f / "unet" / "config.json").write_text(" " * (2 << 20)), "larger than any"),
        (lambda f: _edited(f / "unet" / "config.json", mid_block_type="UNetMidBlock2D"), "mid_block_type"),
        (lambda f: _edited(f / "unet" / "config.json", layers_per_block=10**9), "layers_per_block"),
        (lambda f: _edited(f / "unet" / "config.json", block_out_channels=[32, 64, 2**40]), "block_out"),
        (lambda f: _edited(f / "unet" / "config.json", attention_head_dim=7), "with .* heads"),
        (lambda f: _edited(f / "unet" / "config.json", up_block_types=["UpBlock2D"] * 3), "levels differ"),
        (lambda f: _edited(f / "unet" / "config.json", only_cross_attention=[False, True, False]), "finest"),
        (lambda f: _edited(f / "unet" / "config.json", norm_num_groups=16), "norm_num_groups"),
        (lambda f: _edited(f / "unet" / "config.json", cross_attention_dim=96), "of two models"),
        (lambda f: _edited(f / "text_encoder" / "config.json", hidden_act="gelu"), "no OpenCLIP"),
        (
            lambda f: _edited(f / "text_encoder" / "config.json", vocab_size=10),
            r"config.json says \(10, 64\)",
        ),
        (lambda f: _edited(f / "scheduler" / "scheduler_config.json", beta_schedule="linear"), "beta_sched"),
        (lambda f: _edited(f / "vae" / "config.json", _class_name="VQModel"), "holds a VQModel"),
        (lambda f: _edited(f / "vae" / "config.json", act_fn="tanhshrink"), "builds no|TAESD's architecture"),
        (lambda f: _edited(f / "vae" / "config.json", num_decoder_blocks=[3, 3, 3, 2]), "lacks decoder"),
        (lambda f: _tensors(f / "unet" / WEIGHTS, lambda t: t.pop(NORM)), f"lacks {NORM}"),
        (lambda f: _tensors(f / "unet" / WEIGHTS, lambda t: t.update(x=torch.ones(1))), "has unknown x"),
        (
            lambda f: _tensors(f / "unet" / WEIGHTS, lambda t: t.update({NORM: torch.ones(31)})),
            r"conv_norm_out.weight is \(31,\), its config.json says \(32,\)",
        ),
        (lambda f: (f / "vae" / WEIGHTS).write_bytes(b"\x80\x02]"), "not a whole"),
        (lambda f: (f / "vae" / WEIGHTS).rename(f / "vae" / "diffusion_pytorch_model.bin"), "pickles only"),
        (lambda f: (f / "vae" / WEIGHTS).unlink(), "no single .safetensors"),
    ],
)
def test_what_is_no_sdxs_model_is_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(source)
    with pytest.raises(RanniError, match=message) as caught:
        convert_sdxs(source, tmp_path / "out" / "x.safetensors")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert not (tmp_path / "out").exists()


def test_a_pickle_is_not_run(source: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    (source / "unet" / WEIGHTS).unlink()
    torch.save(Evil(), source / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="download it with its"):
        convert_sdxs(source, tmp_path / "x.safetensors")
    # By another name it is none either.
    (source / "unet" / "diffusion_pytorch_model.bin").rename(source / "unet" / WEIGHTS)
    with pytest.raises(ModelError, match="not a whole"):
        convert_sdxs(source, tmp_path / "x.safetensors")
    assert not (tmp_path / "owned").exists()


def test_an_autoencoder_that_is_not_there(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--vae"):
        convert_sdxs(source, tmp_path / "x.safetensors", vae="vae_large")


def test_the_command(run: Run, source: Path) -> None:
    answer = run("convert", "sdxs", source, "sdxs.safetensors", "--json").json
    assert (answer["checkpoint"], answer["config"]) == ("sdxs.safetensors", "sdxs.yaml")
    assert answer["tensors"] == len(_all(source))
    assert "exists already" in run("convert", "sdxs", source, "sdxs.safetensors").complaint
    assert "no diffusers folder" in run("convert", "sdxs", "nowhere", "x.safetensors").complaint
    assert "--vae is for sdxs" in run("convert", "ranni", source, "x.safetensors", "--vae", "vae").complaint


def test_the_file_is_for_hosts(folders: Callable[[str], Path], tmp_path: Path) -> None:
    done = convert_sdxs(folders("dreamshaper"), tmp_path / "sdxs.safetensors")
    with pytest.raises(ModelError, match="give the diffusers folder"):
        load_checkpoint(done.checkpoint, "cpu")


def test_its_latents_have_statistics(folders: Callable[[str], Path], tmp_path: Path) -> None:
    for name, color in (("a", (255, 0, 0)), ("b", (0, 80, 255))):
        Image.new("RGB", (64, 64), color).save(tmp_path / f"{name}.png")
    checkpoint = load_checkpoint(folders("dreamshaper"), "cpu")
    prior = picture_prior(partial(latents_of, checkpoint.vae), pictures_in(tmp_path), 64)
    assert prior.mean.shape[0] == 4
    assert bool(prior.mean.isfinite().all())


def test_the_folder_itself_draws_without_a_webui(folders: Callable[[str], Path]) -> None:
    """One step at timestep 999, decoded by the tiny autoencoder."""
    folder = folders("dreamshaper")
    checkpoint = load_checkpoint(folder, "cpu")
    recorder = Recorder(checkpoint)
    made = request(mode="plain", prompt="a red circle", preset="sdxs", steps=1, cfg=1.0)
    drawn = recorder.generate(made)
    pipeline = make_pipeline("dreamshaper")
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(made.seed))[None]
    alpha = pipeline.scheduler.alphas_cumprod[999]
    with torch.no_grad():
        context = pipeline.encode_prompt("a red circle", "cpu", 1, False)[0]
        answer = pipeline.unet(noise, torch.tensor(999), context).sample
    wanted = (noise - (1 - alpha).sqrt() * answer) / alpha.sqrt()
    assert float((recorder.latents - wanted).abs().max()) <= 1e-4
    assert drawn.images[0].size == (64, 64)
