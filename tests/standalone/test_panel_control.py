"""Panel control in the engine and on the command line, on the shipped checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni.errors import InputError, ModelError
from lib_ranni.guidance.panel_control import PanelConditioner
from lib_ranni.guidance.panel_session import Control, PanelControlSession
from lib_ranni.panel.types import Box, Keypoint, Panel, with_fields
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.labels import end_columns, label_columns, label_vector
from lib_ranni.standalone.metadata import infotext, read_png
from lib_ranni.standalone.requests import checked, from_json, to_json
from lib_ranni.standalone.schedulers import make_scheduler
from lib_ranni.standalone.training.control import WIDTHS
from tests.standalone.drawing import LEFT, Recorder, element, request, two
from tests.standalone.running import FAST, PROMPT, Run


def _untrained() -> PanelConditioner:
    torch.manual_seed(8)
    model = PanelConditioner(WIDTHS).requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def conditioned(checkpoint: Checkpoint) -> Checkpoint:
    """The shipped checkpoint with a conditioner of random numbers."""
    return dataclasses.replace(checkpoint, conditioner=_untrained())


@pytest.fixture
def recorder(conditioned: Checkpoint) -> Recorder:
    return Recorder(conditioned)


ACTING: dict[str, Any] = {"control": 1.0, "control_stop": 0.0}


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_scale_0_is_off_bit_for_bit(recorder: Recorder, checkpoint: Checkpoint, mode: str) -> None:
    off = Recorder(dataclasses.replace(checkpoint, conditioner=None)).latents_of(request(mode=mode))
    assert torch.equal(recorder.latents_of(request(mode=mode, control=0.0, control_stop=0.0)), off)
    assert not torch.allclose(recorder.latents_of(request(mode=mode, **ACTING)), off, atol=1e-3)


def test_mode_panel_at_scale_0_is_the_plain_prompt(recorder: Recorder) -> None:
    plain = recorder.latents_of(request(mode="plain", prompt="a red circle, drawn well"))
    settings = {"mode": "panel", "prompt": "a red circle", "postfix": "drawn well"}
    assert torch.equal(recorder.latents_of(request(**settings, control=0.0)), plain)
    assert not torch.allclose(recorder.latents_of(request(**settings, **ACTING)), plain, atol=1e-3)


@pytest.mark.parametrize("mode", ["attention", "panel"])
def test_a_batch_is_its_pictures_one_by_one(recorder: Recorder, mode: str) -> None:
    other = Panel(base="plain background", elements=(element(1, "a green star", LEFT),))
    both = recorder.latents_of(request(two(), other, mode=mode, seeds=(3, 4), **ACTING))
    for n, panel in enumerate((two(), other)):
        alone = recorder.latents_of(request(panel, mode=mode, seeds=(3 + n,), batch=1, **ACTING))
        torch.testing.assert_close(both[n], alone[0], atol=1e-4, rtol=1e-4)


def test_each_part_of_a_panel_acts(recorder: Recorder) -> None:
    """Box, palette and keypoints, at a size that is no square; a palette where no text says a color."""
    settings = {"mode": "attention", "width": 96, "height": 64, **ACTING}

    def drawn(said: str = "circle", **fields: Any) -> torch.Tensor:
        panel = with_fields(two(), elements=(with_fields(two().elements[0], description=said, **fields),))
        return recorder.latents_of(request(panel, base_ratio=1.0, **settings))

    latents = [
        drawn(),
        drawn(box=Box(0.4, 0.1, 0.9, 0.6)),
        drawn(colors=("#00ff00",)),
        drawn(colors=("#0000ff",)),
        drawn(keypoints=(Keypoint("tip", 0.2, 0.8),)),
    ]
    for n, one in enumerate(latents):
        assert one.shape == (1, 4, 8, 12)
        assert not any(torch.allclose(one, other, atol=1e-3) for other in latents[:n])
    named = drawn("red circle")
    assert torch.equal(drawn("red circle", colors=("#0000ff",)), named)


def test_twenty_of_fifty_ddim_steps_are_active(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    acted = []
    original = PanelControlSession._with_residual

    def watched(session: PanelControlSession, output: Tensor, rows: Any) -> Tensor:
        changed = original(session, output, rows)
        if changed is not output:
            acted.append(session._timestep)
        return changed

    monkeypatch.setattr(PanelControlSession, "_with_residual", watched)
    recorder.generate(request(steps=50, mode="attention", control=0.6))
    assert len(acted) == 20
    assert min(acted) > 600


def test_a_label_is_its_own_end_token(conditioned: Checkpoint) -> None:
    encoder = conditioned.encoder
    got = label_vector(encoder, "A (Red:1.5) Circle")
    ids = encoder.tokens("a (red:1.5) circle")
    model = encoder._pairs[0][1]
    row = [encoder.tokenizer.bos_token_id, *ids] + [encoder.tokenizer.eos_token_id] * (76 - len(ids))
    states = model(torch.tensor([row])).last_hidden_state[0]
    torch.testing.assert_close(got, states[len(ids) + 1])
    torch.testing.assert_close(label_vector(encoder, "red circle"), encoder.encode("red circle").context[3])
    assert label_vector(encoder, "word " * 200).shape == (64,)


def test_labels_are_found_in_every_chunk_of_a_prompt(conditioned: Checkpoint) -> None:
    encoder = conditioned.encoder
    prompt = "two (red circles:1.2) and " + "word " * 80 + "a red circle"
    columns = label_columns(encoder, prompt, "a red circle")
    assert {2, 3} <= columns
    later = columns - {2, 3}
    assert len(later) == 2
    assert min(later) > 77
    ends = end_columns(encoder, prompt)
    assert ends[0] == 76
    assert ends[1] == max(later) + 1
    assert label_columns(encoder, prompt, "blue square") == frozenset()


def test_labels_that_the_prompt_does_not_say_are_told(recorder: Recorder) -> None:
    done = recorder.generate(request(mode="panel", prompt="a red circle", steps=1, **ACTING))
    assert any("a blue square" in note and "a red circle" not in note for note in done.warnings)
    assert recorder.generate(request(mode="attention", steps=1, **ACTING)).warnings == ()


def test_a_checkpoint_without_a_conditioner_says_so(checkpoint: Checkpoint) -> None:
    bare = Engine(dataclasses.replace(checkpoint, conditioner=None))
    with pytest.raises(ModelError, match="--conditioner"):
        bare.generate(request(mode="panel", control=0.6))


def test_hooks_are_gone_after_a_cancel(recorder: Recorder) -> None:
    def cancel(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for mode in ("attention", "panel"):
        with pytest.raises(KeyboardInterrupt):
            recorder.generate(request(mode=mode, **ACTING), cancel)
    unet = recorder.checkpoint.unet
    assert not any(
        "forward" in m.__dict__ or m._forward_hooks or m._forward_pre_hooks for m in unet.modules()
    )


def test_requests_carry_it(conditioned: Checkpoint) -> None:
    made = request(mode="panel", control=0.7, control_start=900.0, control_stop=300.0, postfix="4k")
    assert from_json(to_json(made)) == made
    assert made.panel_control == Control(0.7, 900.0, 300.0)
    assert "Ranni control: 0.7, Ranni control start: 900, Ranni control stop: 300" in infotext(made)
    assert "Ranni control" not in infotext(request())
    with pytest.raises(InputError, match="the start is the larger"):
        checked(request(control_start=300.0, control_stop=600.0))
    with pytest.raises(InputError):
        checked(request(control=5.1))


def test_a_conditioner_of_its_own_file_on_the_command_line(run: Run, tmp_path: Path) -> None:
    save_file(_untrained().state_dict(), str(tmp_path / "panel.safetensors"))
    words = ("generate", PROMPT, *FAST, "--seed", 5, "--conditioner", tmp_path / "panel.safetensors")
    answer = run(*words, "--mode", "panel", "--postfix", "plain background", "--json").json
    drawn = read_png(Path(answer["images"][0]))
    assert (drawn.mode, drawn.postfix, drawn.local_mask) == ("panel", "plain background", True)
    assert drawn.control > 0
    answer = run(*words, "--control", 0.5, "--control-stop", 100, "--no-local-mask", "--json").json
    drawn = read_png(Path(answer["images"][0]))
    assert (drawn.mode, drawn.control, drawn.control_stop, drawn.local_mask) == ("attention", 0.5, 100, False)
    assert "is not in 0..5" in run(*words, "--control", 6).complaint


def test_ddim_has_timesteps_for_any_number_of_steps() -> None:
    """Upstream asked for timestep 1000 of 0..999 at 3, 9, 27, 36 and 37 steps."""
    for steps in range(1, 101):
        scheduler = make_scheduler("ddim", {"timestep_spacing": "leading", "rescale_betas_zero_snr": True})
        scheduler.set_timesteps(steps)
        assert len(scheduler.timesteps) == steps
        assert 0 <= int(scheduler.timesteps.min()) <= int(scheduler.timesteps.max()) <= 999
