"""Few-step presets on the shipped checkpoint, which predicts v: rules, regions, LoRAs, priors, metadata."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_ranni.errors import InputError, LoraError, ModelError
from lib_ranni.panel.types import Lora
from lib_ranni.sampling.prior_files import save_prior
from lib_ranni.sampling.priors import Prior
from lib_ranni.standalone.checkpoint import Checkpoint, load_checkpoint
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.few_step import noise_schedule, preset_settings, prior_of
from lib_ranni.standalone.loras import FOLDER, WornLoras, known_loras
from lib_ranni.standalone.metadata import infotext, read_png, save_png
from lib_ranni.standalone.requests import checked, from_json, to_json
from lib_ranni.standalone.training.low_rank import LowRank, kohya_tensors
from tests.standalone.drawing import Recorder, changed, request, two
from tests.standalone.running import FAST, PROMPT, Run

PRESETS = ("yoso1", "yoso2", "lcm", "tcd", "hyper1", "hyper", "dmd2_1", "turbo_a", "sdxs", "pcm_lcm")


@pytest.fixture(scope="module")
def lora(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of random updates for the shipped checkpoint."""
    path = tmp_path_factory.mktemp("loras") / "random.safetensors"
    save_file(_random(checkpoint), str(path))
    return path


def _random(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    update = LowRank(checkpoint.unet, rank=2)
    torch.manual_seed(0)
    for up in update.up.values():
        torch.nn.init.normal_(up, std=0.02)
    shapes = {name: value.shape for name, value in checkpoint.unet.state_dict().items()}
    return kohya_tensors(update.state_dict(), shapes)


@pytest.mark.parametrize("mode", ["plain", "attention", "latent"])
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_draw_with_regions_in_every_mode(recorder: Recorder, preset: str, mode: str) -> None:
    asked = request(mode=mode, preset=preset, steps=2 if preset in ("lcm", "tcd") else 1, cfg=1.0)
    latents = recorder.latents_of(asked)
    assert latents.shape == (1, 4, 8, 8)
    assert 0.05 < float(latents.std()) < 5


def test_one_step_is_one_question_at_the_last_timestep(recorder: Recorder, checkpoint: Checkpoint) -> None:
    asked: list[float] = []
    hook = checkpoint.unet.register_forward_pre_hook(lambda _, args: asked.append(float(args[1])))
    try:
        latents = recorder.latents_of(request(mode="plain", preset="dmd2_4", steps=1, cfg=1.0))
    finally:
        hook.remove()
    assert asked == [999.0]
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(11))
    context = checkpoint.encoder.encode(request(mode="plain").plain_prompt(0)).context
    with torch.no_grad():
        v = checkpoint.unet(noise, 999, context[None]).sample
    a = float(noise_schedule(checkpoint).alphas[999])
    assert torch.allclose(latents, math.sqrt(a) * noise - math.sqrt(1 - a) * v, atol=1e-4)


@pytest.mark.parametrize("mode", ["plain", "attention", "latent"])
def test_the_lcm_preset_draws_what_diffusers_scheduler_does(recorder: Recorder, mode: str) -> None:
    asked = request(mode=mode, sampler="lcm", steps=4)
    theirs = recorder.latents_of(asked)
    ours = recorder.latents_of(changed(asked, preset="lcm"))
    assert torch.allclose(ours, theirs, atol=2e-4)


def test_a_picture_of_a_batch_is_that_picture_alone(recorder: Recorder) -> None:
    batch = recorder.latents_of(request(two(), preset="tcd", steps=3, seeds=(5, 6), batch=2))
    alone = recorder.latents_of(request(two(), preset="tcd", steps=3, seed=6))
    assert torch.allclose(batch[1:], alone, atol=1e-4)


def test_steps_are_told(recorder: Recorder) -> None:
    told: list[tuple[int, int]] = []
    recorder.generate(request(preset="lcm", steps=3), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_gamma_matters_between_steps(recorder: Recorder) -> None:
    asked = request(preset="tcd", steps=2)
    usual = recorder.latents_of(asked)
    assert torch.equal(recorder.latents_of(changed(asked, gamma=0.3)), usual)
    assert not torch.allclose(recorder.latents_of(changed(asked, gamma=1.0)), usual, atol=1e-2)
    with pytest.raises(InputError, match="no gamma"):
        recorder.latents_of(changed(asked, preset="lcm", gamma=0.5))


def test_a_prior_moves_the_start(recorder: Recorder, tmp_path: Path) -> None:
    asked = request(preset="yoso1", steps=1, cfg=1.0, mode="plain")
    plain = recorder.latents_of(asked)
    save_prior(Prior(torch.tensor([9.0, 0.0, 0.0, 0.0]), torch.ones(4)), tmp_path / "p.safetensors")
    moved = changed(asked, prior=str(tmp_path / "p.safetensors"))
    assert not torch.allclose(recorder.latents_of(moved), plain, atol=1e-2)
    assert torch.allclose(recorder.latents_of(changed(moved, prior_weight=0.0)), plain, atol=1e-5)
    assert torch.equal(recorder.latents_of(changed(asked, prior="none")), plain)
    with pytest.raises(InputError, match="no latent prior"):
        recorder.latents_of(changed(asked, prior=str(tmp_path / "gone.safetensors")))


def test_the_shipped_checkpoint_has_a_prior_of_its_own(checkpoint: Checkpoint, sd_folder: Path) -> None:
    own = prior_of("default", checkpoint)
    assert own is not None
    assert (own.name, own.count) == ("shapes", 8192)
    assert own.std.tolist() == pytest.approx([0.78, 0.68, 0.672, 1.465], abs=0.01)
    other = prior_of("default", load_checkpoint(sd_folder, "cpu"))
    assert other is not None
    assert other.name == "Stable Diffusion 1"


def test_warnings_say_what_does_not_fit(checkpoint: Checkpoint, lora: Path) -> None:
    engine = Engine(checkpoint)
    warnings = engine.generate(request(preset="yoso1", steps=4, cfg=7.0)).warnings
    assert [w.split(";")[0] for w in warnings] == [
        "YOSO 1-step is made for 1 step, not 4",
        "YOSO 1-step wants a guidance scale of 1 to 2, not 7",
        "no LoRA for YOSO 1-step is in use",
    ]
    named = lora.with_name("my_yoso.safetensors")
    named.write_bytes(lora.read_bytes())
    asked = request(preset="yoso1", steps=1, cfg=1.5, loras=(Lora(str(named)),))
    assert engine.generate(asked).warnings == ()


def test_a_lora_is_added_and_taken_out_to_the_bit(checkpoint: Checkpoint, lora: Path) -> None:
    before = {name: value.clone() for name, value in checkpoint.unet.state_dict().items()}
    worn = WornLoras(checkpoint.unet)
    worn.wear([Lora(str(lora), 0.5)], checkpoint.path)
    tensors = load_file(str(lora))
    stem = "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
    delta = tensors[f"{stem}.lora_up.weight"].float() @ tensors[f"{stem}.lora_down.weight"].float()
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    after = checkpoint.unet.state_dict()
    assert torch.allclose(after[name], before[name] + 0.5 * delta, atol=1e-6)
    changes = sum(not torch.equal(value, before[name]) for name, value in after.items())
    assert changes == len(tensors) // 3
    worn.wear([], checkpoint.path)
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.unet.state_dict().items())


def test_a_request_draws_with_its_own_loras_only(recorder: Recorder, lora: Path) -> None:
    asked = request(preset="lcm", steps=1)
    plain = recorder.latents_of(asked)
    worn = recorder.latents_of(changed(asked, loras=(Lora(str(lora)),)))
    assert not torch.allclose(worn, plain, atol=1e-3)
    assert torch.equal(recorder.latents_of(changed(asked, loras=(Lora(str(lora), 0.0),))), plain)
    assert torch.equal(recorder.latents_of(asked), plain)


def test_what_a_lora_cannot_do_here_is_told(recorder: Recorder, lora: Path, tmp_path: Path) -> None:
    tensors = load_file(str(lora))
    for part in ("lora_down.weight", "lora_up.weight"):
        tensors[f"lora_te_text_model_encoder_layers_0_mlp_fc1.{part}"] = torch.zeros(2, 2)
    save_file(tensors, str(tmp_path / "both.safetensors"))
    asked = request(loras=(Lora(str(tmp_path / "both.safetensors")),), steps=1)
    warning = "1 of 169 layers of both.safetensors were left out, in the text encoder"
    assert recorder.generate(asked).warnings == (warning,)
    assert recorder.generate(changed(asked, loras=())).warnings == ()


def test_diffusers_names_are_understood(checkpoint: Checkpoint, tmp_path: Path) -> None:
    name = "down_blocks.0.resnets.0.conv1.weight"
    before = checkpoint.unet.state_dict()[name].clone()
    stem = "lora_unet_down_blocks_0_resnets_0_conv1"
    down, up = torch.randn(3, 64, 3, 3), torch.randn(64, 3, 1, 1)
    alpha = {f"{stem}.alpha": torch.tensor(1.5)}
    path = tmp_path / "conv.safetensors"
    save_file({f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, **alpha}, str(path))
    worn = WornLoras(checkpoint.unet)
    worn.wear([Lora(str(path))], checkpoint.path)
    delta = torch.einsum("or,rihw->oihw", up[..., 0, 0], down) * 0.5
    assert torch.allclose(checkpoint.unet.state_dict()[name], before + delta, atol=1e-4)
    worn.wear([], checkpoint.path)
    assert torch.equal(checkpoint.unet.state_dict()[name], before)


_Q = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def _same_change(kind: str, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
    """0.5 * b @ a, as files of several formats and kinds say it of one layer."""
    kohya = f"lora_unet_{_Q.replace('.', '_')}"
    half = torch.tensor(0.5 * len(a))
    return {
        "kohya": {f"{kohya}.lora_down.weight": a, f"{kohya}.lora_up.weight": b, f"{kohya}.alpha": half},
        "lycoris": {f"lycoris_{_Q.replace('.', '_')}.diff": 0.5 * b @ a},
        "diffusers": {f"unet.{_Q}.lora.down.weight": a, f"unet.{_Q}.lora.up.weight": 0.5 * b},
        "diffusers-peft": {f"unet.{_Q}.lora_A.weight": a, f"unet.{_Q}.lora_B.weight": 0.5 * b},
        "comfy": {
            "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.lora_A.weight": a,
            "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.lora_B.weight": 0.5 * b,
        },
        "lokr": {f"{kohya}.lokr_w1": torch.tensor([[0.5]]), f"{kohya}.lokr_w2": b @ a},
    }[kind]


@pytest.mark.parametrize("kind", ["kohya", "lycoris", "diffusers", "diffusers-peft", "comfy", "lokr"])
def test_a_change_is_the_same_in_every_format(checkpoint: Checkpoint, kind: str, tmp_path: Path) -> None:
    own = checkpoint.unet.get_parameter(f"{_Q}.weight")
    before = own.clone()
    generator = torch.Generator().manual_seed(4)
    a, b = (torch.randn(*size, generator=generator) for size in ((2, 128), (128, 2)))
    save_file(_same_change(kind, a, b), str(tmp_path / "one.safetensors"))
    worn = WornLoras(checkpoint.unet)
    worn.wear([Lora(str(tmp_path / "one.safetensors"), 0.8)], checkpoint.path)
    assert torch.allclose(own, before + 0.8 * 0.5 * b @ a, atol=1e-5)
    assert worn.notes == ()
    worn.wear([], checkpoint.path)
    assert torch.equal(own, before)


def test_what_depends_on_the_weight_takes_the_models_own(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """IA3 beside a sum, a bias, and a norm; all are taken out again."""
    unet = checkpoint.unet
    names = [f"{_Q}.weight", "conv_in.weight", "conv_in.bias", "conv_norm_out.weight", "conv_norm_out.bias"]
    before = [unet.get_parameter(name).clone() for name in names]
    q = f"lora_unet_{_Q.replace('.', '_')}"
    save_file({f"{q}.diff": torch.ones(128, 128)}, str(tmp_path / "sum.safetensors"))
    factors = {f"{q}.weight": torch.full((128,), 0.5), f"{q}.on_input": torch.tensor(False)}
    conv = {"lora_unet_conv_in.diff": torch.ones(64, 4, 3, 3), "lora_unet_conv_in.diff_b": torch.ones(64)}
    norm = {f"lora_unet_out_0.{side}_norm": torch.full((64,), 2.0) for side in "wb"}
    save_file(factors | conv | norm, str(tmp_path / "rest.safetensors"))
    worn = WornLoras(unet)
    loras = [Lora(str(tmp_path / f"{name}.safetensors")) for name in ("sum", "rest")]
    worn.wear(loras, checkpoint.path)
    wanted = (
        1.5 * before[0] + 1,
        *(value + 1 for value in before[1:3]),
        *(value + 2 for value in before[3:]),
    )
    for name, value in zip(names, wanted, strict=True):
        assert torch.allclose(unet.get_parameter(name), value, atol=1e-5), name
    worn.wear([], checkpoint.path)
    assert all(torch.equal(unet.get_parameter(name), old) for name, old in zip(names, before, strict=True))


def test_files_that_are_no_lora_for_this_model(checkpoint: Checkpoint, lora: Path, tmp_path: Path) -> None:
    def wear(tensors: dict[str, torch.Tensor] | bytes) -> None:
        path = tmp_path / "bad.safetensors"
        path.write_bytes(tensors) if isinstance(tensors, bytes) else save_file(tensors, str(path))
        WornLoras(checkpoint.unet).wear([Lora(str(path))], checkpoint.path)

    before = {name: value.clone() for name, value in checkpoint.unet.state_dict().items()}
    good, down, up = load_file(str(lora)), torch.ones(2, 4, 3, 3), torch.ones(64, 2, 1, 1)
    with pytest.raises(ModelError, match="no layer of this model"):
        wear({name.replace("unet_", "unet_other_"): value for name, value in good.items()})
    with pytest.raises(LoraError, match="is no LoRA: it changes a transformer"):
        wear({f"transformer.{name}": value for name, value in good.items()})
    with pytest.raises(ModelError, match="another size"):
        wear({name: torch.cat([value] * 2) if "_up." in name else value for name, value in good.items()})
    with pytest.raises(LoraError, match=r"damaged: lora_unet_.*download it again"):
        wear({name: value.repeat(1, 2) if value.ndim == 2 else value for name, value in good.items()})
    with pytest.raises(LoraError, match=r"damaged: lora_unet_.*download it again"):
        wear({name: value for name, value in good.items() if "1_proj_in.lora_up" not in name})
    with pytest.raises(LoraError, match="not finite"):
        wear({name: value * float("nan") for name, value in good.items()})
    with pytest.raises(LoraError, match="cut short or damaged"):
        wear(b"PK\x03\x04 a pickle")
    with pytest.raises(LoraError, match="does not say its alpha"):
        wear({"base_model.model.conv_in.lora_A.weight": down, "base_model.model.conv_in.lora_B.weight": up})
    with pytest.raises(LoraError, match="is OFT"):
        wear({"lora_unet_conv_in.oft_blocks": torch.zeros(8, 8, 8)})
    with pytest.raises(InputError, match="there is no LoRA 'nope'"):
        WornLoras(checkpoint.unet).wear([Lora("nope")], checkpoint.path)
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.unet.state_dict().items())


def test_loras_beside_a_checkpoint_are_known_by_name(lora: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / FOLDER).mkdir(parents=True)
    own, other = ({"ranni": f'{{"base":"{base}","presets":["lcm"]}}'} for base in ("mine", "another"))
    tensors = load_file(str(lora))
    save_file(tensors, str(tmp_path / "models" / FOLDER / "a.safetensors"), own)
    save_file(tensors, str(tmp_path / "models" / FOLDER / "b.safetensors"), other)
    save_file(tensors, str(tmp_path / "models" / FOLDER / "c.safetensors"))
    for checkpoint in (tmp_path / "models" / "mine.safetensors", tmp_path / "models" / "mine"):
        assert [file.name for file in known_loras(checkpoint)] == ["a", "c"]
    assert known_loras(checkpoint)[0].about.presets == ("lcm",)


def test_a_preset_sets_what_the_user_does_not(checkpoint: Checkpoint, run: Run) -> None:
    settings = preset_settings("lcm", checkpoint)
    assert (settings["preset"], settings["steps"]) == ("lcm", 4)
    made = run(
        "generate", PROMPT, "--preset", "LCM exact grid", "--size", "64x64", "--seed", 1, "--json"
    ).json
    drawn = read_png(Path(made["images"][0]))
    assert (drawn.preset, drawn.steps, drawn.cfg) == ("lcm", 4, settings["cfg"])
    again = run("generate", "--from", made["images"][0], "--out", "again", "--json").json
    first, second = (Path(paths["images"][0]).read_bytes() for paths in (made, again))
    assert first == second
    other = run("generate", "--from", made["images"][0], "--preset", "none", *FAST, "--json").json
    assert read_png(Path(other["images"][0])).preset == ""


def test_all_of_a_request_is_in_its_picture(tmp_path: Path, lora: Path) -> None:
    asked = request(
        preset="tcd", gamma=0.5, prior="default", prior_weight=0.5, loras=(Lora(str(lora), 0.8),), steps=2
    )
    assert from_json(to_json(asked)) == asked
    save_png(Image.new("RGB", (64, 64)), tmp_path / "a.png", asked)
    assert read_png(tmp_path / "a.png") == asked
    text = infotext(asked)
    for part in ("Sampler: TCD", "Few-step preset: tcd", "TCD gamma: 0.5", "Latent prior: default", ":0.8"):
        assert part in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--preset", "nope"), "there is no preset 'nope'; choose one of yoso1"),
        (("--prior", "gone.safetensors", "--preset", "yoso1"), "there is no latent prior"),
        (("--lora", "gone"), "there is no LoRA 'gone'"),
        (("--lora", "~nobody-here/x"), "no home folder of '~nobody-here'"),
        (("--model", "~nobody-here/x"), "no home folder of '~nobody-here'"),
        (("--gamma", "2"), "0..1"),
        (("--lora", ""), "a LoRA needs a name"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(run: Run, words: tuple[str, ...], complaint: str) -> None:
    assert complaint in run("generate", PROMPT, *FAST, *words).complaint


def test_a_lora_and_its_weight_on_the_command_line(run: Run, lora: Path) -> None:
    made = run("generate", PROMPT, *FAST, "--lora", f"{lora}:0.25", "--lora", lora, "--json").json
    assert read_png(Path(made["images"][0])).loras == (Lora(str(lora), 0.25), Lora(str(lora)))


def test_eval_in_one_step(run: Run) -> None:
    words = ("--suite", "shapes", "--modes", "attention", "--limit", "2", "--preset", "lcm", "--steps", "1")
    assert run("eval", *words, "--json").json["modes"].keys() == {"attention"}


def test_a_prior_of_pictures(run: Run, tmp_path: Path) -> None:
    run("generate", PROMPT, *FAST, "--batch", "2", "--out", tmp_path / "pictures")
    out = tmp_path / "own.safetensors"
    made = run("prior", tmp_path / "pictures", "--out", out, "--side", "64", "--json").json
    assert (made["count"], made["file"], len(made["hash"])) == (2, str(out), 10)
    assert len(made["mean"]) == 4
    run("prior", tmp_path / "pictures", "--out", out, "--side", "64", "--grid", "4")
    assert prior_shape(out) == (4, 4, 4)
    (tmp_path / "empty").mkdir()
    assert "no pictures" in run("prior", tmp_path / "empty", "--out", out).complaint
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    assert "not a picture" in run("prior", tmp_path / "empty", "--out", out).complaint


def prior_shape(path: Path) -> tuple[int, ...]:
    return tuple(load_file(str(path))["mean"].shape)


def test_presets_are_named_by_their_ids_in_requests() -> None:
    with pytest.raises(InputError, match="by its id, lcm"):
        checked(request(preset="LCM exact grid"))
    with pytest.raises(InputError, match="no preset"):
        checked(request(preset="nope"))
