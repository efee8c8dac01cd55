"""`lib-ranni convert ranni`: the release's `.pth` as safetensors and yaml, on a small file with its names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from torch import Tensor

from lib_ranni.errors import InputError, ModelError
from lib_ranni.guidance.panel_control import PREFIX, PanelConditioner, Widths
from lib_ranni.guidance.panel_files import read_conditioner
from lib_ranni.standalone import conversion
from lib_ranni.standalone.conversion import convert_ranni
from tests.standalone.running import Run

UNET = "model.diffusion_model."


def release() -> dict[str, Tensor]:
    """Some names of each part of `ranni_sdv21_v1`, and all that the configuration is read from."""
    torch.manual_seed(0)
    state = {
        UNET + "input_blocks.0.0.weight": torch.randn(8, 4, 3, 3),
        UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.randn(8, 6),
        "cond_stage_model.model.positional_embedding": torch.randn(77, 6),
        "first_stage_model.encoder.conv_in.weight": torch.randn(5, 3, 3, 3),
        "betas": torch.linspace(0, 1, 7, dtype=torch.float64),
        "logvar": torch.tensor(float("nan")),
    }
    for level, channels in enumerate((8, 16, 32, 32)):
        state[f"{UNET}input_blocks.{3 * level + 1}.0.out_layers.3.weight"] = torch.randn(channels, 8, 3, 3)
        state[f"first_stage_model.encoder.down.{level}.block.0.conv2.weight"] = torch.randn(5 << level, 5, 3)
    model = PanelConditioner(Widths((2, 3, 4, 5), 6, 8)).requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_()
    return state | {PREFIX + name: t.half() for name, t in model.state_dict().items()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "ranni_sdv21_v1.pth"
    torch.save(release(), path)
    return path


def read(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


@pytest.mark.parametrize("wrapped", [False, True])
def test_every_tensor_is_kept_bit_for_bit(source: Path, tmp_path: Path, wrapped: bool) -> None:
    if wrapped:
        torch.save({"state_dict": release(), "global_step": 7}, source)
    done = convert_ranni(source, tmp_path / "out" / "ranni.safetensors")
    got, wanted = read(done.checkpoint), release()
    assert got.keys() == wanted.keys()
    assert done.tensors == len(wanted)
    for name, tensor in wanted.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name].nan_to_num(7), tensor.nan_to_num(7))
    assert done.conditioner == sum(p.numel() for p in read_conditioner(done.checkpoint).parameters())


def test_the_configuration_names_stock_classes_and_the_files_widths(source: Path, tmp_path: Path) -> None:
    done = convert_ranni(source, tmp_path / "ranni.safetensors")
    assert done.config == tmp_path / "ranni.yaml"
    model = OmegaConf.load(done.config).model
    assert model.target == "ldm.models.diffusion.ddpm.LatentDiffusion"
    assert model.params.parameterization == "v"
    unet = model.params.unet_config.params
    assert (unet.model_channels, list(unet.channel_mult), unet.context_dim) == (8, [1, 2, 4, 4], 6)
    assert list(model.params.first_stage_config.params.ddconfig.ch_mult) == [1, 2, 4, 8]
    assert model.params.cond_stage_config.params.layer == "penultimate"
    assert "ranni" not in done.config.read_text(encoding="utf-8")


def test_tensors_that_share_memory_or_lie_across_it_are_written(source: Path, tmp_path: Path) -> None:
    state = release()
    state["first_stage_model.one"] = state["betas"][2:5]
    state["first_stage_model.two"] = torch.randn(3, 4).T
    torch.save(state, source)
    got = read(convert_ranni(source, tmp_path / "x.safetensors").checkpoint)
    for name in ("first_stage_model.one", "first_stage_model.two"):
        assert torch.equal(got[name], state[name])


def test_the_conditioner_alone_needs_no_configuration(tmp_path: Path) -> None:
    own = {n: t for n, t in release().items() if n.startswith(PREFIX)}
    torch.save(own, tmp_path / "panel.pth")
    done = convert_ranni(tmp_path / "panel.pth", tmp_path / "panel.safetensors")
    assert done.config is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panel.pth", "panel.safetensors"]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [(UNET, "has no UNet"), ("first_stage_model.", "no autoencoder"), ("cond_stage", "no text encoder")],
)
def test_a_part_that_is_missing_is_named(source: Path, tmp_path: Path, prefix: str, message: str) -> None:
    torch.save({n: t for n, t in release().items() if not n.startswith(prefix)}, source)
    with pytest.raises(ModelError, match=message):
        convert_ranni(source, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_a_wrong_tensor_on_the_disk_leaves_no_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    original = safetensors.torch.save_file

    def damaged(tensors, path, metadata):
        tensors["betas"][3] += 1e-12
        original(tensors, path, metadata)

    monkeypatch.setattr(safetensors.torch, "save_file", damaged)
    with pytest.raises(ModelError, match="betas is not what the source has"):
        convert_ranni(source, tmp_path / "x.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_files_that_exist_are_kept_unless_told(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.safetensors"
    target.with_suffix(".yaml").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        convert_ranni(source, target)
    convert_ranni(source, target, replace=True)
    assert target.with_suffix(".yaml").read_text() != "mine"


def test_the_command(run: Run, source: Path) -> None:
    answer = run("convert", "ranni", source, "ranni.safetensors", "--json").json
    assert answer["config"] == "ranni.yaml"
    assert answer["tensors"] == len(release())
    complaint = run("convert", "ranni", source, "ranni.safetensors").complaint
    assert "exists already" in complaint
    assert "must end in .safetensors" in run("convert", "ranni", source, "x.ckpt").complaint
    assert "no file" in run("convert", "ranni", "nope.pth", "x.safetensors").complaint


def test_verify_sees_names_that_differ(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, str(tmp_path / "a.safetensors"))
    with pytest.raises(ModelError, match="other names"):
        conversion.verify({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "a.safetensors")
