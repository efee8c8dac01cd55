"""The few-step entries against the double of the host's samplers: lists, values, prior, options."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from lib_ranni.sampling.loop import sample
from lib_ranni.sampling.noise import PerImage
from lib_ranni.sampling.plans import make_plan
from lib_ranni.sampling.predictions import consistent, denoised
from lib_ranni.sampling.presets import PRESETS, Preset
from lib_ranni.sampling.prior_files import save_prior
from lib_ranni.sampling.priors import Prior, default_prior
from lib_ranni.sampling.schedules import Level, scaled_linear
from tests.webui.fake_host import Host, installed
from tests.webui.fake_samplers import SCHEDULES, Noises

SHAPE, SEEDS = (4, 6, 5), [3, 4]
SCHEDULE = scaled_linear()
FEW = [preset for preset in PRESETS.values() if preset.rule != "sa"]
KEY = "ranni_preset"


class Network(nn.Module):
    """A network that hears the timestep and its text; what it was asked at is in `asked`."""

    def __init__(self, parameterization: str) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.mix = nn.Conv2d(4, 4, 3, padding=1)
        self.parameterization = parameterization
        self.alphas_cumprod = self.alphas_cumprod_original = SCHEDULE.alphas.float()
        self.is_sd1 = True
        self.sd_checkpoint_info = SimpleNamespace(name_for_extra="some model", filename="")
        self.asked: list[float] = []

    @torch.no_grad()
    def apply_model(self, z: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        self.asked.append(float(t[0]))
        heard = cond[:, None, None, None] + t[:, None, None, None] / 1000
        return torch.tanh(self.mix(z) + 0.3 * heard)


@pytest.fixture(params=["eps", "v"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    with installed(Host(nn.Identity(), tmp_path)) as found:
        found.shared.sd_model = Network(request.param)
        found.shared.device = torch.device("cpu")
        found.shared.opts.sd_noise_schedule = "Default"
        from lib_ranni.webui import samplers

        samplers.register()
        yield found


def processing(**fields: Any) -> Any:
    """A processing object before its sampler runs."""
    comments: list[str] = []
    p = SimpleNamespace(
        steps=3,
        cfg_scale=1.5,
        denoising_strength=0.5,
        extra_generation_params={},
        comments=comments,
        comment=comments.append,
        rng=Noises(SHAPE, SEEDS),
        is_hr_pass=False,
        scheduler="Automatic",
        hr_scheduler=None,
        sampler_noise_scheduler_override=None,
        sampler_name="",
    )
    p.__dict__.update(fields)
    return p


def made(host: Host, preset: Preset | str) -> Any:
    """The host's sampler of an entry."""
    import modules.sd_samplers as listed

    label = preset if isinstance(preset, str) else preset.label
    return listed.all_samplers_map[label].constructor(host.shared.sd_model)


COND, UNCOND = torch.tensor([0.7, -0.4]), torch.tensor([0.1, 0.2])


def drawn(host: Host, preset: Preset, p: Any, picture: Tensor | None = None, **fields: Any) -> Tensor:
    """Through the host's sampler, from noise or from a picture's latent."""
    sampler = p.sampler = made(host, preset)
    noise = p.rng.next()
    if picture is None:
        return sampler.sample(p, noise, COND, UNCOND, **fields)
    return sampler.sample_img2img(p, picture, noise, COND, UNCOND, **fields)


def expected(host: Host, preset: Preset, p: Any, picture: Tensor | None = None, strength: float = 1.0) -> Any:
    """The library's own loop on the same network."""
    model, plan = host.shared.sd_model, make_plan(preset, SCHEDULE, p.steps, strength)
    base = "v_prediction" if model.parameterization == "v" else "epsilon"
    kind: Any = base if preset.output == "base" else preset.output
    draw = PerImage([torch.Generator().manual_seed(seed) for seed in SEEDS])
    noise, first = draw(torch.zeros(2, *SHAPE)), plan.levels[0].sigma

    def denoise(x: Tensor, at: Level) -> Tensor:
        z, t = plan.schedule.network_input(x, at.sigma), torch.full((2,), at.t)
        high, low = (model.apply_model(z, t, cond) for cond in (COND, UNCOND))
        x0 = denoised(x, low + p.cfg_scale * (high - low), at, kind)
        return consistent(x0, x, at) if preset.boundary else x0

    if picture is not None:
        x = plan.schedule.noised(picture, noise, first)
    elif preset.prior == "on":
        x = default_prior("sd1").start(noise, first, plan.schedule, preset.unit)
    else:
        x = plan.schedule.start(noise, first, preset.unit)
    x = sample(denoise, x, plan.levels, plan.rule, draw)
    return plan, plan.schedule.network_input(x, plan.levels[-1].sigma)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("preset", FEW, ids=lambda preset: preset.id)
def test_an_entry_draws_what_the_library_draws(host: Host, preset: Preset, steps: int) -> None:
    p = processing(steps=steps)
    found = drawn(host, preset, p)
    asked = host.shared.sd_model.asked[:]
    plan, want = expected(host, preset, p)
    assert found.dtype == torch.float32
    assert float((found - want).abs().max()) <= 1e-5 * max(1.0, float(want.abs().max()))
    assert asked == list(plan.timesteps), "the network is asked at the exact timesteps"
    assert p.sampler.seen == list(range(plan.steps))
    assert p.sampler.model_wrap_cfg.total_steps == plan.steps


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("id_", ["lcm", "tcd", "light", "sdxs", "dmd2_1", "instaflow"])
def test_img2img_starts_at_the_timestep_of_its_strength(host: Host, id_: str, strength: float) -> None:
    preset, picture = PRESETS[id_], torch.randn(2, *SHAPE)
    p = processing(steps=2, denoising_strength=strength)
    found = drawn(host, preset, p, picture, steps=2)
    asked = host.shared.sd_model.asked[:]
    plan, want = expected(host, preset, p, picture, strength)
    assert float((found - want).abs().max()) <= 1e-4 * max(1.0, float(want.abs().max()))
    assert asked == list(plan.timesteps)
    told = [text for text in p.comments if "whatever the denoising strength" in text]
    assert len(told) == (preset.locked and strength < 1)


def test_what_a_mask_keeps_is_kept(host: Host) -> None:
    picture, mask = torch.randn(2, *SHAPE), torch.zeros(1, 1, *SHAPE[1:])
    mask[..., :2] = 1
    found = drawn(host, PRESETS["lcm"], processing(mask=mask, nmask=1 - mask), picture)
    assert torch.equal(found[..., :2], picture[..., :2])
    assert not torch.equal(found[..., 2:], picture[..., 2:])


def test_a_picture_is_the_same_alone_and_in_a_batch(host: Host) -> None:
    both = drawn(host, PRESETS["tcd"], processing())
    p = processing(rng=Noises(SHAPE, SEEDS[1:]))
    alone = made(host, PRESETS["tcd"]).sample(p, p.rng.next(), COND[1:], UNCOND[1:])
    assert torch.allclose(both[1:], alone, atol=1e-5)


def test_a_scale_of_0_is_one_of_1(host: Host) -> None:
    zero, one = (drawn(host, PRESETS["lcm"], processing(cfg_scale=scale)) for scale in (0.0, 1.0))
    assert torch.equal(zero, one)


def test_the_host_reads_a_table_of_all_timesteps(host: Host) -> None:
    wrap = made(host, PRESETS["lcm"]).model_wrap
    assert torch.allclose(wrap.sigmas.double(), SCHEDULE.sigmas, rtol=1e-4)
    assert (float(wrap.sigma_min), float(wrap.sigma_max)) == (float(wrap.sigmas[0]), float(wrap.sigmas[-1]))
    ts = torch.tensor([0.0, 399.0, 999.0, 500.5])
    assert torch.allclose(wrap.sigma_to_t(wrap.t_to_sigma(ts)), ts, atol=1e-3)
    assert wrap.sigma_to_t(wrap.t_to_sigma(ts[:3])).tolist() == ts[:3].tolist()
    assert torch.equal(wrap.log_sigmas, wrap.sigmas.log())
    assert wrap.get_sigmas(2).tolist() == [wrap.sigmas[999], wrap.sigmas[0], 0.0]
    assert len(wrap.get_sigmas()) == 1001


def test_the_refiner_s_model_is_asked_from_its_turn_on(host: Host) -> None:
    first, second = host.shared.sd_model, Network("v")
    sampler = made(host, PRESETS["lcm"])
    guidance, own = sampler.model_wrap_cfg, type(sampler.model_wrap_cfg).forward

    def forward(x: Tensor, sigma: Tensor, **given: Any) -> Tensor:
        if guidance.step == 1:
            host.shared.sd_model, guidance.model_wrap = second, None
        found: Tensor = own(guidance, x, sigma, **given)
        return found

    guidance.forward = forward
    p = processing(sampler=sampler)
    sampler.sample(p, p.rng.next(), COND, UNCOND)
    assert (first.asked, second.asked) == ([999.0], [679.0, 339.0])
    host.shared.sd_model = first
    guidance.forward = lambda x, sigma, **given: own(guidance, x, sigma, **given)
    sampler.sample(p, p.rng.next(), COND, UNCOND)
    assert first.asked == [999.0, 999.0, 679.0, 339.0], "the next batch begins with the first model"


def test_models_with_a_noise_of_their_own_are_drawn_by_euler(host: Host) -> None:
    host.shared.sd_model.create_denoiser = lambda: None
    p = processing()
    assert torch.equal(drawn(host, PRESETS["lcm"], p), Noises(SHAPE, SEEDS).next() * 10)
    assert "Euler draws instead" in p.comments[0]


def test_zero_terminal_snr_serves_a_velocity_only(host: Host) -> None:
    model = host.shared.sd_model
    plain = drawn(host, PRESETS["lcm"], processing(steps=1))
    model.alphas_cumprod = torch.cat([model.alphas_cumprod[:-1], torch.tensor([4.8973e-08])])
    host.shared.opts.sd_noise_schedule = "Zero Terminal SNR"
    found = drawn(host, PRESETS["lcm"], processing(steps=1))
    assert bool(torch.isfinite(found).all())
    assert torch.equal(found, plain) == (model.parameterization == "eps")


class Told:
    """Extra noise that another extension replaces."""

    def __call__(self, params: Any) -> None:
        params.noise = params.noise * 0 + 1


def test_extra_noise_is_added_as_others_want_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    import modules.script_callbacks as callbacks

    class Params:
        def __init__(self, noise: Tensor, x: Tensor, xi: Tensor) -> None:
            self.noise, self.x, self.xi = noise, x, xi

    monkeypatch.setattr(callbacks, "ExtraNoiseParams", Params)
    monkeypatch.setattr(callbacks, "extra_noise_callback", Told(), raising=False)
    seen: list[Tensor] = []
    host.shared.opts.img2img_extra_noise = 0.25
    p, picture = processing(steps=1), torch.zeros(2, *SHAPE)
    sampler = made(host, PRESETS["lcm"])
    sampler.func = lambda model, x, **_: seen.append(x) or x
    noise = p.rng.next()
    sampler.sample_img2img(p, picture, noise, COND, UNCOND)
    sigma = SCHEDULE.sigma(499)
    assert torch.allclose(seen[0], noise * sigma + 0.25, atol=1e-5)
    assert p.extra_generation_params["Extra noise"] == 0.25


def test_sa_solver_draws_what_the_library_draws(host: Host) -> None:
    preset, p = PRESETS["sa"], processing(steps=9, cfg_scale=3.0)
    found = drawn(host, preset, p)
    plain = msgspec.structs.replace(preset, unit=False)
    _, want = expected(host, plain, p)
    assert float((found - want).abs().max()) <= 1e-4
    assert p.extra_generation_params["SA predictor"] == 2
    p = processing(steps=9, scheduler="Karras")
    drawn(host, preset, p)
    assert p.sampler.seen == list(range(9)), "any schedule of the host's will do"
    assert p.sampler.get_sigmas(processing(), 0).tolist() == [0.0]
    assert len(p.sampler.get_sigmas(processing(), 1200)) == 1201


def test_entries_are_registered_once_and_renewed(host: Host) -> None:
    import modules.sd_samplers as listed

    from lib_ranni.webui import samplers

    def ours() -> list[Any]:
        return [data for data in listed.all_samplers if KEY in data.options]

    assert [data.options[KEY] for data in ours()] == list(PRESETS)
    held, old = listed.all_samplers, ours()
    samplers.register()
    assert [data.name for data in ours()] == [data.name for data in old]
    for name in [name for name in sys.modules if name.startswith("lib_ranni.webui")]:
        del sys.modules[name]
    from lib_ranni.webui import few_step_sampler
    from lib_ranni.webui import samplers as renewed

    assert renewed is not samplers
    renewed.register()
    assert listed.all_samplers is held is listed.samplers
    assert [data.name for data in ours()] == [data.name for data in old]
    assert listed.all_samplers_map == {data.name: data for data in held}
    assert all(data.aliases and data.name != listed.all_samplers[0].name for data in ours())
    assert isinstance(made(host, PRESETS["tcd"]), few_step_sampler.FewStepSampler)
    assert listed.cleared
    renewed.unregister()
    assert ours() == []
    assert [data.name for data in held] == ["DPM++ 2M", "Euler", "DDIM"]


def test_another_extensions_entry_stays_what_it_is(host: Host) -> None:
    import modules.sd_samplers as listed

    from lib_ranni.webui import samplers

    samplers.unregister()
    theirs = listed.all_samplers[0]._replace(name="TCD")
    listed.all_samplers.append(theirs)
    samplers.register()
    assert listed.all_samplers_map["TCD"] is theirs
    assert samplers.preset_of("TCD (Ranni)") == PRESETS["tcd"]
    assert samplers.preset_of("TCD") is samplers.preset_of(None) is None


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.id)
def test_no_label_ends_in_a_schedule(preset: Preset) -> None:
    """The host cuts such words off and draws with its first sampler."""
    for label in (preset.label, f"{preset.label} (Ranni)"):
        assert not any(label.endswith(f" {word}") for word in SCHEDULES)


@pytest.mark.parametrize("sgm", [False, True])
def test_the_prior_of_any_sampler_is_the_exact_formula(host: Host, tmp_path: Path, sgm: bool) -> None:
    from lib_ranni.webui import latent_prior

    mean, std = torch.tensor([1.0, -0.5, 0.2, 0.0]), torch.tensor([0.8, 0.7, 0.6, 0.5])
    save_prior(Prior(mean, std, 300), latent_prior.folder() / "mine.safetensors")
    options = host.shared.opts
    options.ranni_prior, options.sgm_noise_multiplier = "mine", sgm
    p = processing(sampler=made(host, "Euler"))
    noise = p.rng.next()
    x = noise.clone()
    latent_prior.begin_pass(p, x, x)
    scale = math.sqrt(101.0) if sgm else 10.0  # the double's first sigma is 10
    want = mean[:, None, None] + (100 + std[:, None, None] ** 2).sqrt() * noise
    assert torch.allclose(x * scale, want, atol=1e-4)
    assert p.extra_generation_params["Latent prior"] == "mine"
    assert len(p.extra_generation_params["Latent prior hash"]) == 10
    for other in ({"is_hr_pass": True}, {"sampler": made(host, PRESETS["lcm"])}):
        q, y = processing(**{"sampler": made(host, "Euler"), **other}), noise.clone()
        latent_prior.begin_pass(q, y, y)
        assert torch.equal(y, noise)
    latent_prior.begin_pass(p, y, noise)
    assert torch.equal(y, noise), "what starts from a picture has no prior"


def test_samplers_of_other_kinds_start_without_a_prior(host: Host) -> None:
    from lib_ranni.webui import latent_prior

    host.shared.opts.ranni_prior = "default"
    p = processing(sampler=SimpleNamespace(), sampler_name="DDIM")
    x = p.rng.next()
    before = x.clone()
    latent_prior.begin_pass(p, x, x)
    assert torch.equal(x, before)
    assert p.extra_generation_params == {}
    assert "DDIM" in p.comments[0]


@pytest.mark.parametrize(
    ("name", "shape", "cause"), [("../secret", (4,), "no latent prior"), ("wide", (16,), "16 channels")]
)
def test_a_prior_that_cannot_be_had_costs_no_picture(
    host: Host, name: str, shape: tuple[int, ...], cause: str
) -> None:
    from lib_ranni.webui import latent_prior

    save_prior(Prior(torch.zeros(shape), torch.ones(shape), 9), latent_prior.folder() / "wide.safetensors")
    host.shared.opts.ranni_prior = name
    p = processing()
    found = drawn(host, PRESETS["yoso1"], p)
    host.shared.opts.ranni_prior = "none"
    assert torch.equal(found, drawn(host, PRESETS["yoso1"], processing()))
    assert cause in p.comments[0]
    assert p.extra_generation_params["Latent prior"] == "none"
    assert latent_prior.names() == ["none", "default", "wide"]


def test_a_checkpoints_own_prior_is_its_default(host: Host) -> None:
    from lib_ranni.webui import latent_prior

    host.shared.opts.ranni_prior = "default"
    usual = drawn(host, PRESETS["lcm"], processing())
    own = Prior(torch.ones(4), torch.ones(4), 500)
    save_prior(own, latent_prior.folder() / "some model.safetensors")
    assert not torch.equal(drawn(host, PRESETS["lcm"], processing()), usual)


def test_a_lora_in_use_tells_its_own_prior(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = PRESETS["yoso1"]
    lora = ModuleType("networks")
    lora.load_networks, lora.loaded_networks = None, []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "networks", lora)

    def prior_with(*said: dict[str, Any]) -> str:
        files = [{"ranni": json.dumps(about)} for about in said]
        loaded = [SimpleNamespace(network_on_disk=SimpleNamespace(metadata=file)) for file in files]
        lora.loaded_networks = loaded  # type: ignore[attr-defined]
        p = processing()
        drawn(host, preset, p)
        return p.extra_generation_params["Latent prior"]

    assert prior_with() == prior_with({"presets": ["yoso1"]}) == "default"
    assert prior_with({"presets": ["tcd"], "prior": "none"}) == "default"
    assert prior_with({}, {"presets": ["yoso1", "yoso2"], "prior": "none"}) == "none"
    host.shared.opts.ranni_prior = "default"  # who chooses one has it
    assert prior_with({"presets": ["yoso1"], "prior": "none"}) == "default"


def test_options_change_the_plan_and_are_written_down(host: Host) -> None:
    options = host.shared.opts
    options.ranni_gamma, options.ranni_timesteps = 0.5, "899 499|99"
    p = processing()
    drawn(host, PRESETS["tcd"], p)
    assert host.shared.sd_model.asked == [899.0, 499.0, 99.0]
    said = p.extra_generation_params
    assert (said["TCD gamma"], said["Few-step timesteps"]) == (0.5, "899, 499, 99")
    options.ranni_timesteps = "99, 899"
    p = processing()
    drawn(host, PRESETS["tcd"], p)
    assert host.shared.sd_model.asked[3:] == [999.0, 679.0, 339.0]
    assert "timesteps fall" in p.comments[0]
    options.ranni_timesteps, options.ranni_sa_tau = "", 40.0
    p = processing(steps=8)
    drawn(host, PRESETS["sa"], p)
    assert "tau is in 0..10" in p.comments[0]


@pytest.mark.parametrize("text", ["", "a", "999, x", "-5", "999.5", "99999"])
def test_what_is_no_timestep_is_told(host: Host, text: str) -> None:
    from lib_ranni.errors import InputError
    from lib_ranni.webui.few_step_options import timesteps_of

    with pytest.raises(InputError, match="whole numbers"):
        timesteps_of(text)


def test_every_option_has_its_name_in_an_infotext(host: Host) -> None:
    from lib_ranni.webui import few_step_options

    added: dict[str, Any] = {}

    class OptionInfo(SimpleNamespace):
        def __init__(self, default: Any, label: str, *_: Any, **rest: Any) -> None:
            super().__init__(default=default, label=label, **rest)

        def info(self, remark: str) -> Any:
            return self

    host.shared.OptionInfo = OptionInfo
    host.shared.opts.add_option = added.__setitem__
    few_step_options.add_options(lambda: ["none"])
    assert set(added) == {f"ranni_{name}" for name in few_step_options.FewStepOptions.__struct_fields__}
    assert [option.infotext for option in added.values()] == list(few_step_options.LABELS)
    usual = few_step_options.chosen()
    assert all(getattr(usual, name.removeprefix("ranni_")) == o.default for name, o in added.items())
    host.shared.opts.ranni_prior_weight = "much"
    assert few_step_options.chosen() == usual


def test_axes_set_options_for_one_cell(host: Host) -> None:
    from lib_ranni.webui.few_step_axes import AXES

    axes = {axis.name: axis for axis in AXES}
    shared = {"CLIP_stop_at_last_layers": 2}
    cell = SimpleNamespace(override_settings=shared)
    for name, value, option, want in (
        ("Few-step timesteps", "999|499", "ranni_timesteps", "999, 499"),
        ("Few-step timesteps", "own", "ranni_timesteps", ""),
        ("TCD gamma", "0.4", "ranni_gamma", 0.4),
        ("Prior", "default", "ranni_prior", "default"),
        ("Prior weight", "0.5", "ranni_prior_weight", 0.5),
        ("Enforce preset", "True", "ranni_enforces", True),
        ("Enforce preset", "False", "ranni_enforces", False),
    ):
        axis = axes[name]
        axis.apply(cell, axis.type(value), [])
        assert cell.override_settings[option] == want
    assert shared == {"CLIP_stop_at_last_layers": 2}
    with pytest.raises(RuntimeError, match="or own"):
        axes["Few-step timesteps"].type("soon")
