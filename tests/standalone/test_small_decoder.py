"""Small decoders: reading TAESD's layout, refusing what is none, drawing with one, training the shapes'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from lib_ranni.errors import InputError, ModelError
from lib_ranni.sampling.edm import Edm
from lib_ranni.standalone import cli
from lib_ranni.standalone.checkpoint import Checkpoint, load_checkpoint
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.few_step import preset_settings
from lib_ranni.standalone.metadata import infotext
from lib_ranni.standalone.small_decoder import (
    as_picture,
    decoder_path,
    file_tensors,
    make_decoder,
    read_decoder,
)
from lib_ranni.standalone.training.checkpointing import load
from lib_ranni.standalone.training.progress import Progress
from lib_ranni.standalone.training.publish_small_decoder import publish_small_decoder
from lib_ranni.standalone.training.small_decoder import (
    SMALL_DECODER,
    SmallDecoderRecipe,
    train_small_decoder,
)
from tests.standalone.drawing import request

TINY = SmallDecoderRecipe(steps=2, batch=1, save_every=1)


@pytest.fixture(scope="module")
def own() -> Checkpoint:
    return load_checkpoint(device="cpu")


@pytest.fixture
def lone(own: Checkpoint, tmp_path: Path) -> Checkpoint:
    """The checkpoint where nothing lies beside it."""
    (tmp_path / "shapes").mkdir()
    return replace(own, path=tmp_path / "shapes")


def _saved(folder: Path, channels: int = 8, blocks: tuple[int, ...] = (1, 1, 1, 1)) -> Path:
    torch.manual_seed(1)
    path = folder / "decoder.safetensors"
    save_file(file_tensors(make_decoder(channels, blocks)), str(path))
    return path


def test_a_file_of_taesd_decodes_as_diffusers_does(tmp_path: Path) -> None:
    """The published sizes, under the names its file has: 1 is the first convolution, 19 the last."""
    torch.manual_seed(0)
    whole = AutoencoderTiny().eval()
    save_file(file_tensors(whole.decoder.half().float()), str(tmp_path / "taesd_decoder.safetensors"))
    names = set(load_file(str(tmp_path / "taesd_decoder.safetensors")))
    assert {"1.weight", "3.conv.0.weight", "7.weight", "18.conv.4.bias", "19.bias"} <= names
    assert "7.bias" not in names
    latents = torch.randn(2, 4, 6, 10)
    with torch.no_grad():
        wanted = whole.decode(latents).sample
    found = as_picture(read_decoder(tmp_path / "taesd_decoder.safetensors"), latents)
    assert found.shape == (2, 3, 48, 80)
    assert torch.allclose(found, wanted, atol=2e-3)  # the file is in half precision


@pytest.mark.parametrize("blocks", [(3, 3, 3, 1), (1, 2, 0, 1), (0, 0, 0, 0)])
def test_sizes_are_read_off_the_tensors(tmp_path: Path, blocks: tuple[int, ...]) -> None:
    path = _saved(tmp_path, 4, blocks)
    assert {k: v.shape for k, v in read_decoder(path).state_dict().items()} == {
        k: v.shape for k, v in make_decoder(4, blocks).state_dict().items()
    }


def test_what_is_no_decoder_is_refused(tmp_path: Path) -> None:
    path = _saved(tmp_path)
    tensors = load_file(str(path))
    wrong: dict[str, tuple[dict[str, torch.Tensor], str]] = {
        "empty": ({}, "no small decoder"),
        "other": ({"model.weight": torch.zeros(2)}, "no small decoder"),
        "lacking": ({k: v for k, v in tensors.items() if k != "3.conv.2.bias"}, "not wholly"),
        "misshapen": (tensors | {"3.conv.2.bias": torch.zeros(3)}, "not wholly"),
        "infinite": (tensors | {"3.conv.2.bias": torch.full((8,), torch.inf)}, "not finite"),
    }
    for name, (content, complaint) in wrong.items():
        save_file(content, str(tmp_path / f"{name}.safetensors"))
        with pytest.raises(ModelError, match=complaint):
            read_decoder(tmp_path / f"{name}.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:200])
    with pytest.raises(ModelError, match="cannot be read"):
        read_decoder(tmp_path / "cut.safetensors")


def test_where_decoders_are_looked_for(lone: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no small decoder"):
        decoder_path("small", lone.path)
    with pytest.raises(InputError, match="there is no decoder at"):
        decoder_path(str(tmp_path / "none.safetensors"), lone.path)
    (tmp_path / "decoders").mkdir()
    path = _saved(tmp_path).rename(tmp_path / "decoders" / "shapes.safetensors")
    assert decoder_path("small", lone.path) == path
    assert decoder_path(str(path), Path("elsewhere")) == path


def test_a_request_is_decoded_by_the_decoder_it_names(lone: Checkpoint, tmp_path: Path) -> None:
    engine = Engine(lone)
    path = _saved(tmp_path)
    plain = engine.generate(request(steps=2))
    small = engine.generate(request(steps=2, decoder=str(path)))
    assert not np.array_equal(np.asarray(plain.images[0]), np.asarray(small.images[0]))
    assert small.images[0].size == plain.images[0].size
    assert f"Decoder: {path}" in infotext(small.request)
    assert "Decoder" not in infotext(plain.request)
    again = engine.generate(request(steps=2))
    assert np.array_equal(np.asarray(plain.images[0]), np.asarray(again.images[0]))
    with pytest.raises(InputError, match="has no small decoder"):
        engine.generate(request(steps=2, decoder="small"))
    edm = Engine(replace(lone, edm=Edm(0.5, 0.002, 80.0)))
    with pytest.raises(InputError, match="do not know this model's latents"):
        edm.generate(request(steps=2, decoder=str(path)))


def test_one_step_takes_the_small_decoder_where_there_is_one(lone: Checkpoint, tmp_path: Path) -> None:
    assert "decoder" not in preset_settings("yoso1", lone)
    (tmp_path / "decoders").mkdir()
    _saved(tmp_path).rename(tmp_path / "decoders" / "shapes.safetensors")
    assert preset_settings("yoso1", lone)["decoder"] == "small"
    assert "decoder" not in preset_settings("lcm", lone)


def test_an_interrupted_training_ends_the_same(own: Checkpoint, tmp_path: Path) -> None:
    class Interrupting(Progress):
        def step(self, stage: str, step: int, steps: int, loss: float) -> None:
            if step == 2:
                raise KeyboardInterrupt

    for folder in ("whole", "resumed"):
        (tmp_path / folder).mkdir()
    train_small_decoder(tmp_path / "whole", own, TINY, Progress())
    with pytest.raises(KeyboardInterrupt):
        train_small_decoder(tmp_path / "resumed", own, TINY, Interrupting())
    train_small_decoder(tmp_path / "resumed", own, TINY, Progress())
    cpu = torch.device("cpu")
    one, other = (load(tmp_path / folder / "small_decoder.pt", cpu) for folder in ("whole", "resumed"))
    assert one is not None
    assert other is not None
    assert one["step"] == other["step"] == 2
    assert all(torch.equal(value, other["ema"][name]) for name, value in one["ema"].items())
    path = publish_small_decoder(tmp_path / "whole", own, tmp_path / "out")
    found, wanted = read_decoder(path).state_dict(), one["ema"]
    assert all(torch.allclose(found[name], value, atol=1e-3) for name, value in wanted.items())


def test_the_command_trains_and_writes(
    own: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lib_ranni.standalone import checkpoint as module
    from lib_ranni.standalone.training import publish_small_decoder as publishing

    monkeypatch.setitem(SMALL_DECODER, "cpu", TINY)
    monkeypatch.setattr(module, "load_checkpoint", lambda *_: own)
    monkeypatch.setattr(publishing, "FOLDER", str(tmp_path / "decoders"))
    words = ("train", "decoder", "--run", str(tmp_path / "run"), "--recipe", "cpu", "--threads", "1")
    assert cli.main((*words, "--publish-only")) == 2
    assert "no decoder yet" in capsys.readouterr().err
    assert cli.main(words) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "decoders" / "shapes.safetensors"
