"""Export: names and values are the original layout's, and the files beside it say what hosts need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from lib_ranni.errors import ModelError
from lib_ranni.standalone.checkpoint import SHAPES, TOKENIZER, load_checkpoint
from lib_ranni.standalone.training import checkpointing
from lib_ranni.standalone.training.architecture import (
    IMAGE_PX,
    ldm_config,
    make_autoencoder,
    make_text_encoder,
    make_unet,
)
from lib_ranni.standalone.training.export import ldm_tensors, with_unknown_embedding
from lib_ranni.standalone.training.publish import _write_configs, publish
from tests.standalone.drawing import Recorder, request

Networks = tuple[Any, Any, Any]


class _Model:
    """What `_write_configs` needs of a denoiser."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    text = make_text_encoder(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    return make_unet(), make_autoencoder(), text


@pytest.fixture(scope="module")
def exported(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder such as `publish` writes, of fresh random networks."""
    unet, vae, text = networks
    folder = tmp_path_factory.mktemp("exported")
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    tensors = ldm_tensors(unet.state_dict(), vae.state_dict(), text.state_dict())
    save_file(tensors, str(folder / "x.safetensors"))
    OmegaConf.save(OmegaConf.create(ldm_config(1.3, "somewhere")), str(folder / "x.yaml"))
    vae.register_to_config(scaling_factor=1.3)
    _write_configs(_Model(unet), vae, tokenizer, folder)  # type: ignore[arg-type]
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    return folder


def test_every_value_comes_back(networks: Networks, exported: Path) -> None:
    loaded = load_checkpoint(exported, "cpu")
    assert loaded.vae.config.scaling_factor == 1.3
    assert loaded.scheduler["prediction_type"] == "v_prediction"
    for ours, theirs in zip(networks, (loaded.unet, loaded.vae, loaded.encoder._pairs[0][1]), strict=True):
        before, after = ours.state_dict(), theirs.state_dict()
        assert before.keys() == after.keys()
        for name, value in before.items():
            assert torch.equal(value.half().float(), after[name].float()), name


def test_it_is_small_and_half_precision(exported: Path) -> None:
    assert (exported / "x.safetensors").stat().st_size <= 25e6
    with safe_open(str(exported / "x.safetensors"), "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118


@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.time_embed.0.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.input_blocks.2.0.op.weight",
        "model.diffusion_model.middle_block.1.proj_in.weight",
        "model.diffusion_model.output_blocks.1.2.conv.weight",
        "model.diffusion_model.out.2.bias",
        "first_stage_model.encoder.down.0.block.0.conv1.weight",
        "first_stage_model.decoder.up.3.upsample.conv.weight",
        "first_stage_model.decoder.mid.attn_1.q.weight",
        "first_stage_model.post_quant_conv.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    ],
)
def test_names_are_the_original_layouts(exported: Path, name: str) -> None:
    with safe_open(str(exported / "x.safetensors"), "pt") as file:
        shape = tuple(file.get_slice(name).get_shape())
    assert len(shape) == (4 if "attn_1" in name else len(shape))
    assert shape


def test_the_yaml_describes_the_networks(networks: Networks, exported: Path) -> None:
    params = OmegaConf.to_container(OmegaConf.load(exported / "x.yaml"))["model"]["params"]
    unet, vae, text = networks
    described = params["unet_config"]["params"]
    assert params["parameterization"] == "v"
    assert params["scale_factor"] == 1.3
    channels = [described["model_channels"] * m for m in described["channel_mult"]]
    assert channels == list(unet.config.block_out_channels)
    assert described["context_dim"] == unet.config.cross_attention_dim == text.config.hidden_size
    assert described["num_res_blocks"] == unet.config.layers_per_block
    stage = params["first_stage_config"]["params"]["ddconfig"]
    assert [stage["ch"] * m for m in stage["ch_mult"]] == list(vae.config.block_out_channels)
    assert (stage["resolution"], stage["z_channels"]) == (IMAGE_PX, 4)
    assert params["cond_stage_config"]["params"]["version"] == "somewhere"


def test_the_shipped_files_agree() -> None:
    params = OmegaConf.load(SHAPES / "shapes.yaml").model.params
    loaded = load_checkpoint(device="cpu")
    assert loaded.vae.config.scaling_factor == pytest.approx(params.scale_factor)
    assert (SHAPES / "shapes.safetensors").stat().st_size <= 25e6


def test_unseen_words_get_the_unknown_words_embedding() -> None:
    name = "text_model.embeddings.token_embedding.weight"
    table = torch.arange(12.0).view(6, 2)
    out = with_unknown_embedding({name: table, "other": torch.ones(1)}, {0, 1, 4}, 4)
    assert out[name].tolist() == [[0, 1], [2, 3], [8, 9], [8, 9], [8, 9], [8, 9]]
    assert table[5].tolist() == [10, 11], "the given tensors stay as they are"
    assert torch.equal(out["other"], torch.ones(1))


def test_an_exported_folder_draws(exported: Path) -> None:
    latents = Recorder(load_checkpoint(exported, "cpu")).latents_of(request(steps=2))
    assert bool(latents.isfinite().all())


def test_publishing_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no trained denoiser"):
        publish(tmp_path, tmp_path / "out", TOKENIZER)
    assert not (tmp_path / "out").exists()


def test_a_crash_while_saving_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "state.pt"
    assert checkpointing.load(path, torch.device("cpu")) is None
    checkpointing.save(path, {"step": 1})

    def crash(state: Any, partial: Path) -> None:
        partial.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="full"):
        checkpointing.save(path, {"step": 2})
    assert checkpointing.load(path, torch.device("cpu")) == {"step": 1}
