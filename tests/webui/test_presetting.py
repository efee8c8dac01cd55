"""What an entry asks of the rest of a job, told or set; and the priors that the host estimates."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lib_ranni.sampling.prior_files import load_prior
from lib_ranni.sampling.schedules import scaled_linear
from tests.webui.fake_host import Host, installed

FILES = {
    "yoso_lora": {},
    "shapes-one-step": {"ranni": {"presets": ["tcd"], "cfg": 1.25, "base": "shapes"}},
    "Hyper-SD15-8steps-lora": {},
    "ink": {"ranni": "{ not JSON"},
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with installed(Host(nn.Identity(), tmp_path)) as found:
        alphas = scaled_linear().alphas.float()
        found.shared.sd_model = SimpleNamespace(
            parameterization="eps",
            alphas_cumprod=alphas,
            alphas_cumprod_original=alphas,
            is_sd1=True,
            image_size=16,
            sd_checkpoint_info=SimpleNamespace(name_for_extra="shapes"),
        )
        found.shared.opts.sd_noise_schedule = "Default"
        found.shared.opts.ranni_enforces = True
        networks = ModuleType("networks")
        files = {name: SimpleNamespace(metadata=metadata) for name, metadata in FILES.items()}
        networks.__dict__.update(load_networks=None, loaded_networks=[], available_networks=files)
        monkeypatch.setitem(sys.modules, "networks", networks)
        from lib_ranni.webui import samplers

        samplers.register()
        yield found


def prepared(sampler: str, **fields: Any) -> Any:
    """A job's object after its prompts are made."""
    p = SimpleNamespace(
        sampler_name=sampler,
        scheduler="Karras",
        steps=20,
        cfg_scale=7.0,
        width=128,
        height=128,
        all_prompts=["a cup", "a cat"],
        all_negative_prompts=["", ""],
        main_prompt="a cup",
        extra_generation_params={},
    )
    p.__dict__.update(fields)
    return begun(p)


def begun(p: Any) -> Any:
    from lib_ranni.webui import presetting

    p.comments = []
    p.comment = p.comments.append
    presetting.prepare(p)
    return p


def test_steps_scale_and_lora_are_set_and_told(host: Host) -> None:
    p = prepared("YOSO 1-step")
    assert (p.steps, p.cfg_scale, p.scheduler) == (1, 1.5, "Automatic")
    assert p.all_prompts == ["a cup <lora:yoso_lora:1>", "a cat <lora:yoso_lora:1>"]
    assert p.main_prompt == "a cup <lora:yoso_lora:1>"
    said = p.extra_generation_params
    assert said["Few-step enforced"] is True
    assert said["Few-step set"] == "LoRA yoso_lora (YOSO 1-step); steps 20 -> 1; CFG scale 7 -> 1.5"
    assert p.comments == [f"Ranni: the sampler set {said['Few-step set']}"]


def test_what_is_right_already_is_left(host: Host) -> None:
    prompts = ["a cup <lora:yoso_lora:0.7>"] * 2
    p = prepared("YOSO 2-step", steps=2, cfg_scale=2.0, all_prompts=prompts, scheduler="Automatic")
    assert (p.steps, p.cfg_scale, p.all_prompts) == (2, 2.0, prompts)
    assert p.comments == []
    assert p.extra_generation_params == {"Few-step enforced": True}


def test_a_lora_that_tells_its_preset_and_scale_is_taken(host: Host) -> None:
    p = prepared("TCD")
    assert p.all_prompts[0] == "a cup <lora:shapes-one-step:1>"
    assert (p.steps, p.cfg_scale) == (20, 1.25)
    host.shared.sd_model.sd_checkpoint_info.name_for_extra = "another"
    p = prepared("TCD")
    assert p.all_prompts == ["a cup", "a cat"]
    assert any("no LoRA for TCD is in use" in text for text in p.comments)


def test_a_lora_for_a_number_of_steps_sets_that(host: Host) -> None:
    assert prepared("Hyper-SD N-step").steps == 8


def test_an_object_that_is_used_again_is_told_the_same(host: Host) -> None:
    first = prepared("YOSO 1-step")
    again = copy.copy(first)
    again.all_prompts, again.main_prompt = ["a cup", "a cat"], "a cup"  # the host makes them anew
    again.extra_generation_params = {}
    begun(again)
    assert again.extra_generation_params == first.extra_generation_params
    other = copy.copy(first)
    other.all_prompts, other.sampler_name = ["a cup"], "Euler"
    begun(other)
    assert (other.steps, other.cfg_scale, other.scheduler) == (20, 7.0, "Karras")
    assert other.extra_generation_params == {}
    chosen = copy.copy(first)
    chosen.sampler_name, chosen.steps = "Euler", 33  # by a script, since
    assert begun(chosen).steps == 33


def test_where_nothing_is_set_it_is_told(host: Host) -> None:
    host.shared.opts.ranni_enforces = False
    host.shared.sd_model.image_size = 64
    p = prepared("Lightning N-step", cfg_scale=0.0, all_negative_prompts=["fog", "fog"])
    assert (p.steps, p.cfg_scale, p.all_prompts) == (20, 0.0, ["a cup", "a cat"])
    assert p.extra_generation_params == {"Few-step enforced": False}
    told = " ".join(p.comments)
    for words in (
        "made for 2, 4, 8 steps, not 20",
        "a guidance scale of 0",
        "Stable Diffusion XL, this model is of Stable Diffusion 1",
        "no LoRA for Lightning",
        "few steps hold only near 512 px",
    ):
        assert words in told


def test_the_hosts_own_traps_are_told(host: Host) -> None:
    assert "leaves a step out" in prepared("DDIM", steps=1).comments[0]
    assert "almost without noise" in prepared("Euler", steps=1, scheduler="Align Your Steps").comments[0]
    assert prepared("Euler").comments == prepared("DDIM", steps=20).comments == []
    assert "made for 8 to 150 steps, not 4" in prepared("SA-Solver", steps=4).comments[0]
    assert prepared("SA-Solver").scheduler == "Karras"


def test_zero_terminal_snr_is_told_for_an_epsilon(host: Host) -> None:
    host.shared.opts.sd_noise_schedule = "Zero Terminal SNR"
    assert any("zero terminal SNR is left out" in text for text in prepared("YOSO 1-step").comments)
    host.shared.sd_model.parameterization = "v"
    assert not any("zero terminal SNR" in text for text in prepared("YOSO 1-step").comments)


def test_each_pass_has_its_own_entry(host: Host) -> None:
    second = {
        "enable_hr": True,
        "hr_second_pass_steps": 9,
        "hr_scheduler": None,
        "all_hr_prompts": ["a cup", "a cat"],
        "all_hr_negative_prompts": ["", ""],
    }
    p = prepared("Euler", hr_sampler_name="YOSO 1-step", **second)
    assert (p.steps, p.hr_second_pass_steps, p.cfg_scale, p.scheduler) == (20, 1, 7.0, "Karras")
    assert p.all_prompts == ["a cup", "a cat"]
    assert p.all_hr_prompts[1] == "a cat <lora:yoso_lora:1>"
    p = prepared("Euler", hr_sampler_name="YOSO 1-step", **{**second, "hr_second_pass_steps": 0})
    assert (p.steps, p.hr_second_pass_steps) == (20, 1)
    p = prepared("YOSO 1-step", hr_sampler_name="Euler", **second)
    assert (p.steps, p.hr_second_pass_steps, p.scheduler, p.hr_scheduler) == (1, 9, "Automatic", "Karras")
    p = prepared("YOSO 1-step", hr_sampler_name=None, **{**second, "hr_second_pass_steps": 0})
    assert p.all_hr_prompts == p.all_prompts
    assert (p.steps, p.hr_second_pass_steps) == (1, 0)


@pytest.fixture
def source(host: Host, monkeypatch: pytest.MonkeyPatch) -> Any:
    import modules.sd_samplers_common as common

    from lib_ranni.webui.prior_estimation import PriorSource

    def latents(image: Tensor) -> Tensor:
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1
        return nn.functional.avg_pool2d(image, 8)[:, [0, 1, 2, 0]]

    monkeypatch.setattr(common, "images_tensor_to_samples", latents)
    return PriorSource()


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        Image.new("RGB", (150, 140), (40 * n, 100, 200)).save(folder / f"{n}.png")
    return folder


def test_a_prior_is_estimated_from_a_folder(source: Any, tmp_path: Path) -> None:
    from lib_ranni.service.prior_part import from_folder

    lines = list(from_folder(source)("mine", 1000, str(pictures(tmp_path / "p", 3))))
    assert ['value="1"' in lines[0], 'value="3" max="3"' in lines[2]] == [True, True]
    assert "mine" in lines[-1]
    assert "3 pictures" in lines[-1]
    assert "256 or more" in lines[-1]
    prior, about = load_prior(source.priors / "mine.safetensors")
    assert about.count == 3
    expected = torch.tensor([40.0, 100.0, 200.0, 40.0]) / 255
    assert torch.allclose(prior.mean, expected, atol=1e-3)
    assert source.side() == 128
    list(from_folder(source)("two", 2, str(tmp_path / "p")))
    assert load_prior(source.priors / "two.safetensors")[1].count == 2


@pytest.mark.parametrize(
    ("name", "count", "folder", "cause"),
    [
        ("../up", 10, "p", "no / in it"),
        ("", 10, "p", "1 to 80"),
        ("mine", 1, "p", "2 to"),
        ("mine", 10, "", "name a folder"),
        ("mine", 10, "empty", "no pictures"),
    ],
)
def test_what_cannot_be_estimated_is_told(
    source: Any, tmp_path: Path, name: str, count: int, folder: str, cause: str
) -> None:
    from lib_ranni.errors import InputError
    from lib_ranni.service.prior_part import from_folder

    pictures(tmp_path / "p", 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=cause):
        list(from_folder(source)(name, count, str(tmp_path / folder) if folder else ""))
    assert not source.priors.exists()


def test_interrupt_keeps_what_was_seen(source: Any, host: Host, tmp_path: Path) -> None:
    from lib_ranni.service.prior_part import from_folder

    for line in from_folder(source)("half", 10, str(pictures(tmp_path / "p", 4))):
        if 'value="2"' in line:
            host.shared.state.interrupted = True
    assert load_prior(source.priors / "half.safetensors")[1].count == 2


def test_users_name_no_folders_where_the_host_says_so(source: Any, host: Host, tmp_path: Path) -> None:
    from lib_ranni.errors import InputError
    from lib_ranni.service.prior_part import from_folder

    host.shared.cmd_opts.hide_ui_dir_config = True
    with pytest.raises(InputError, match="hide-ui-dir-config"):
        list(from_folder(source)("mine", 10, str(tmp_path)))


def test_the_next_pictures_make_a_prior(source: Any, host: Host) -> None:
    from lib_ranni.service import prior_part
    from lib_ranni.webui import prior_estimation

    prior_estimation.take(torch.ones(1, 4, 2, 2))  # nobody asked for these
    lines = prior_part.from_next(source)("next", 4)
    assert "0 of 4" in next(lines)
    batch = torch.arange(3.0)[:, None, None, None].expand(3, 4, 2, 2)
    decoded = [torch.ones(3, 8, 8)]
    prior_estimation.take(decoded)  # a hires pass's pictures
    prior_estimation.take(batch)
    host.shared.state.interrupted = True
    prior_estimation.take(batch)
    host.shared.state.interrupted = False
    prior_estimation.take(torch.full((1, 4, 2, 2), torch.nan))
    assert "3 of 4" in next(lines)
    prior_estimation.take(batch + 3)
    assert "next" in list(lines)[-1]
    prior, about = load_prior(source.priors / "next.safetensors")
    assert about.count == 4
    assert torch.allclose(prior.mean, torch.full((4,), 1.5))


def test_without_a_queue_the_next_pictures_are_saved_by_hand(source: Any) -> None:
    from lib_ranni.errors import InputError
    from lib_ranni.service import prior_part
    from lib_ranni.webui import prior_estimation

    assert "press Stop and save" in next(prior_part.begun(source)("next", 4))
    prior_estimation.take(torch.randn(2, 4, 2, 2))
    assert "2 pictures" in next(prior_part.stopped(source)("next"))
    with pytest.raises(InputError, match="of 0 picture"):
        next(prior_part.stopped(source)("next"))
