"""EDM checkpoints in the host: found by their header, put on and taken off, and what does not fit them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lib_ranni.sampling import edm
from tests.webui.fake_host import Host, installed

MARKS = {"edm_mean": torch.tensor(edm.LATENT_MEAN), "edm_std": torch.tensor(edm.LATENT_STD)}
V_MARKS = {"edm_vpred.sigma_max": torch.tensor(120.0)}
SCALE = 0.13025


class Model(nn.Module):
    """As the host's XL model is used: its autoencoder adds 10 on its way to latents."""

    is_sdxl = True
    scale_factor = SCALE

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.sd_checkpoint_info = SimpleNamespace(filename=str(file))
        self.calls: list[tuple[Tensor, Tensor, dict[str, Any]]] = []

    def apply_model(self, x: Tensor, t: Tensor, **given: Any) -> Tensor:
        self.calls.append((x, t, given))
        return x * 0.5 + t.reshape(-1, 1, 1, 1)

    def decode_first_stage(self, z: Tensor) -> Tensor:
        return z / SCALE - 10

    def encode_first_stage(self, x: Tensor) -> Tensor:
        return (x + 10) * SCALE


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with installed(Host(None, tmp_path)) as made:
        yield made


def _file(folder: Path, marks: dict[str, Tensor], name: str = "model") -> Path:
    path = folder / f"{name}.safetensors"
    save_file({"model.x": torch.zeros(1), **marks}, path)
    return path


def _loaded(host: Host, model: Model) -> Model:
    from lib_ranni.webui import edm_models

    if not host.callbacks["model_loaded"]:
        edm_models.register()
    host.shared.sd_model = model
    host.fire("model_loaded", model)
    return model


def _gap(first: Tensor, second: Tensor) -> float:
    return float((first - second).abs().max())


@pytest.mark.parametrize("marks", [MARKS, V_MARKS])
def test_the_host_gets_a_denoiser_that_knows_the_model(
    host: Host, tmp_path: Path, marks: dict[str, Tensor]
) -> None:
    import diffusers

    model = _loaded(host, Model(_file(tmp_path, marks)))
    denoiser = model.create_denoiser()
    turned = marks is V_MARKS
    settings = {"sigma_max": 120.0, "sigma_data": 1.0, "prediction_type": "v_prediction"} if turned else {}
    theirs = diffusers.EDMEulerScheduler(**settings)
    sigmas = torch.tensor([0.01, 3.0, 80.0])
    x = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = denoiser(x, sigmas, cond={"crossattn": "text"})
    asked, timesteps, given = model.calls[0]
    assert given == {"cond": {"crossattn": "text"}}
    for row, sigma in enumerate(sigmas):
        assert _gap(asked[row], theirs.precondition_inputs(x[row], sigma)) <= 1e-6
        assert float(timesteps[row]) == pytest.approx(0.25 * float(sigma.log()), abs=1e-6)
        answer = asked[row] * 0.5 + timesteps[row]
        assert _gap(found[row], theirs.precondition_outputs(x[row], answer, sigma)) <= 1e-5
    high = 120.0 if turned else 80.0
    assert (float(denoiser.sigma_min), float(denoiser.sigma_max)) == pytest.approx((0.002, high), rel=1e-5)
    assert len(denoiser.sigmas) == 1000
    assert bool((denoiser.sigmas.diff() > 0).all())
    assert denoiser.get_sigmas(5).tolist() == pytest.approx(
        [level.sigma for level in edm.Edm(high=high, v_prediction=turned).levels(5)]
    )
    assert float(denoiser.t_to_sigma(denoiser.sigma_to_t(sigmas))[1]) == pytest.approx(3.0)


def test_latents_are_scaled_by_channel_wherever_the_host_reads_them(host: Host, tmp_path: Path) -> None:
    from modules import sd_vae_approx, sd_vae_taesd

    model = _loaded(host, Model(_file(tmp_path, MARKS)))
    picture = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    z = model.encode_first_stage(picture)
    assert _gap(z, edm.to_model(picture + 10)) <= 1e-5
    assert _gap(model.decode_first_stage(z), picture) <= 1e-4
    assert model.decode_first_stage(z.half()).dtype == torch.float16
    xl = edm.from_model(z) * SCALE
    assert _gap(sd_vae_approx.cheap_approximation(z), xl + 1) <= 1e-5
    assert _gap(sd_vae_approx.model()(z), xl + 2) <= 1e-5
    assert _gap(sd_vae_taesd.decoder_model()(z), xl + 3) <= 1e-5
    assert _gap(sd_vae_taesd.encoder_model()(picture), edm.to_model((picture + 4) / SCALE)) <= 1e-5


def test_ordinary_latents_stay_as_they_are(host: Host, tmp_path: Path) -> None:
    from modules import sd_vae_approx

    model = _loaded(host, Model(_file(tmp_path, V_MARKS)))
    z = torch.randn(1, 4, 8, 8)
    assert torch.equal(model.decode_first_stage(z), Model.decode_first_stage(model, z))
    assert torch.equal(model.encode_first_stage(z), Model.encode_first_stage(model, z))
    assert torch.equal(sd_vae_approx.cheap_approximation(z), z + 1)


def test_the_next_checkpoint_finds_the_model_as_it_was(host: Host, tmp_path: Path) -> None:
    from modules import sd_vae_taesd

    theirs = sd_vae_taesd.decoder_model
    model = Model(_file(tmp_path, MARKS))
    before = set(vars(model))
    _loaded(host, model)
    # The host fires it again for another VAE: what is put on is put on once.
    _loaded(host, model)
    z = torch.randn(1, 4, 8, 8)
    assert _gap(model.decode_first_stage(z), edm.from_model(z) - 10) <= 1e-4
    model.sd_checkpoint_info.filename = str(_file(tmp_path, {}, "plain"))
    _loaded(host, model)
    assert set(vars(model)) == before
    assert _gap(sd_vae_taesd.decoder_model()(z), z + 3) == 0
    host.fire("script_unloaded")
    assert sd_vae_taesd.decoder_model is theirs


def test_what_others_have_put_around_ours_does_no_harm(host: Host, tmp_path: Path) -> None:
    model = _loaded(host, Model(_file(tmp_path, MARKS)))
    ours = model.decode_first_stage
    model.decode_first_stage = lambda z: ours(z) * 2
    z = torch.randn(1, 4, 8, 8)
    _loaded(host, model)
    assert _gap(model.decode_first_stage(z), (edm.from_model(z) - 10) * 2) <= 1e-4
    model.sd_checkpoint_info.filename = str(_file(tmp_path, {}, "plain"))
    _loaded(host, model)
    assert _gap(model.decode_first_stage(z), (z / SCALE - 10) * 2) == 0


def test_a_model_that_was_loaded_first_is_known_too(host: Host, tmp_path: Path) -> None:
    from modules import sd_models

    from lib_ranni.webui import edm_models

    sd_models.model_data.sd_model = Model(_file(tmp_path, MARKS))
    edm_models.register()
    assert edm_models.of(sd_models.model_data.sd_model) is not None


@pytest.mark.parametrize(
    ("content", "is_sdxl", "told"),
    [
        ({"edm_mean": torch.zeros(4), "edm_std": torch.zeros(4)}, True, "cannot be an EDM model's"),
        (None, True, "not a whole"),
        (MARKS, False, "only XL models"),
    ],
)
def test_what_is_not_understood_is_told_and_left_alone(
    host: Host, tmp_path: Path, content: dict[str, Tensor] | None, is_sdxl: bool, told: str
) -> None:
    path = _file(tmp_path, content or {})
    if content is None:
        path.write_bytes(path.read_bytes()[:20])
    model = Model(path)
    model.is_sdxl = is_sdxl
    before = set(vars(model))
    _loaded(host, model)
    assert set(vars(model)) == before
    assert len(host.reported) == 1
    assert told in host.reported[0]


def _p(denoiser: Any, **fields: Any) -> Any:
    sampler = SimpleNamespace(model_wrap_cfg=SimpleNamespace(inner_model=denoiser))
    return SimpleNamespace(sampler=sampler, **{"sampler_name": "Euler", "scheduler": "Automatic", **fields})


def test_samplers_and_schedules_that_do_not_fit_are_told(host: Host, tmp_path: Path) -> None:
    from lib_ranni.webui import edm_models

    host.shared.opts.use_old_karras_scheduler_sigmas = False
    model = _loaded(host, Model(_file(tmp_path, MARKS)))
    own = model.create_denoiser()
    assert edm_models.advice(_p(own)) == []
    (said,) = edm_models.advice(_p(object(), sampler_name="DDIM"))
    assert said.startswith("DDIM takes this EDM model for an ordinary one")
    (said,) = edm_models.advice(
        _p(object(), is_hr_pass=True, hr_sampler_name="PLMS", hr_scheduler="Automatic")
    )
    assert said.startswith("PLMS takes")
    for name in ("Align Your Steps", "align_your_steps"):
        (said,) = edm_models.advice(_p(own, scheduler=name))
        assert "sigma of 80" in said
    host.shared.opts.use_old_karras_scheduler_sigmas = True
    assert len(edm_models.advice(_p(own))) == 1
    model.sd_checkpoint_info.filename = str(_file(tmp_path, {}, "plain"))
    _loaded(host, model)
    assert edm_models.advice(_p(object(), sampler_name="DDIM")) == []
