"""The digest's ready-made assertions: exact numbers and identities of few-step sampling."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.sampling import edm
from lib_ranni.sampling.noise import PerImage, refused, seeded
from lib_ranni.sampling.plans import make_plan
from lib_ranni.sampling.predictions import boundary, consistent, denoised
from lib_ranni.sampling.presets import PRESETS
from lib_ranni.sampling.rules import Ancestral, Euler, Renoise, Tcd
from lib_ranni.sampling.sa_solver import weights
from lib_ranni.sampling.schedules import CLEAN, Level, NoiseSchedule, linear, scaled_linear
from tests.sampling.models import SD, largest, random

# t: alpha, sigma, sqrt(1 + sigma^2)
TABLE = {
    0: (0.99915, 0.029167, 1.000425),
    19: (0.982244, 0.134451, 1.008998),
    249: (0.675432, 0.693205, 1.216772),
    259: (0.658976, 0.719380, 1.231871),
    399: (0.426086, 1.160578, 1.531973),
    499: (0.277670, 1.612886, 1.897736),
    509: (0.264452, 1.667755, 1.944584),
    749: (0.056623, 4.081729, 4.202442),
    759: (0.052213, 4.260557, 4.376339),
    800: (0.036870, 5.111028, 5.207937),
    999: (0.00466010, 14.614641, 14.648814),
}


@pytest.mark.parametrize("t", TABLE)
def test_the_table_of_stable_diffusion(t: int) -> None:
    alpha, sigma, root = TABLE[t]
    assert float(SD.alphas[t]) == pytest.approx(alpha, abs=6e-7)
    assert SD.sigma(t) == pytest.approx(sigma, abs=6e-7)
    assert 1 / SD.signal(SD.sigma(t)) == pytest.approx(root, abs=6e-7)


def test_other_schedules() -> None:
    assert SD.sigma(199) == pytest.approx(0.5693, abs=5e-5)
    assert SD.sigma(200) == pytest.approx(0.5717, abs=5e-5)
    assert float(linear().alphas[999]) == pytest.approx(4.036e-5, rel=1e-3)
    assert linear().sigma(999) == pytest.approx(157.4, abs=0.05)
    assert not SD.ends_in_noise
    assert not linear().ends_in_noise


def test_one_step_is_the_formula_of_the_paper() -> None:
    noise, eps = random(1).double(), random(2).double()
    a, sigma = float(SD.alphas[999]), SD.sigma(999)
    expected = (noise - math.sqrt(1 - a) * eps) / math.sqrt(a)
    assert largest(math.sqrt(1 + sigma**2) * noise - sigma * eps, expected) <= 1e-12
    at = SD.level(999)
    assert largest(denoised(SD.start(noise, sigma), eps, at, "epsilon").double(), expected) <= 1e-5


@pytest.mark.parametrize(("t", "after"), [(999, 759), (759, 499), (259, 0)])
def test_tcd_is_the_formula_of_the_paper(t: int, after: int) -> None:
    """From there: z_s = sqrt(a_s) x0 + sqrt(1 - a_s) eps, then noise from s up to the next timestep."""
    gamma, x0, eps, xi = 0.3, random(1), random(2), random(3)
    at, to = SD.level(t), SD.level(after)
    below = math.floor((1 - gamma) * after)
    a_s, a_next = float(SD.alphas[below]), float(SD.alphas[after])
    z = math.sqrt(a_s) * x0 + math.sqrt(1 - a_s) * eps
    expected = math.sqrt(a_next / a_s) * z + math.sqrt(1 - a_next / a_s) * xi
    x = Tcd(SD, gamma).step(x0, x0 + at.sigma * eps, at, to, lambda like: xi)
    assert largest(SD.network_input(x, to.sigma), expected) <= 2e-6


def test_gamma_goes_from_euler_to_renoise() -> None:
    x0, x, at, to = random(1), random(2) * 4, SD.level(759), SD.level(499)
    noise = PerImage(seeded([1, 2]))(x)
    none = Tcd(SD, 0.0).step(x0, x, at, to, refused)
    assert torch.equal(none, Euler().step(x0, x, at, to, refused))
    full = Tcd(SD, 1.0).step(x0, x, at, to, lambda like: noise)
    # sigma(0) is 0.029 and not 0: that much of the line is left.
    assert largest(full, Renoise().step(x0, x, at, to, lambda like: noise)) <= SD.sigma(0) * 8
    assert torch.equal(Ancestral(0.0).step(x0, x, at, to, refused), none)


@pytest.mark.parametrize(
    "rule", [Euler(), Ancestral(), Renoise(), Tcd(SD)], ids=lambda rule: type(rule).__name__
)
def test_rules_end_at_the_picture_and_leave_their_inputs_alone(rule: Euler) -> None:
    x0, x = random(1), random(2)
    before = x0.clone(), x.clone()
    assert torch.equal(rule.step(x0, x, SD.level(259), CLEAN, refused), x0)
    rule.step(x0, x, SD.level(999), SD.level(499), PerImage(seeded([1, 2]))).add_(1)
    assert torch.equal(x0, before[0])
    assert torch.equal(x, before[1])


def test_half_precision_is_left_before_anything_is_amplified() -> None:
    x0, x = random(1).half(), random(2).half()
    assert denoised(x, x0, SD.level(999), "v_prediction").dtype == torch.float32
    assert Euler().step(x0, x, SD.level(999), SD.level(499), refused).dtype == torch.float32


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_every_kind_of_network_means_the_same_picture(kind: str) -> None:
    x0, noise = random(1), random(2)
    for t in (999, 499, 19):
        at, a = SD.level(t), float(SD.alphas[t])
        v = math.sqrt(a) * noise - math.sqrt(1 - a) * x0
        answer = {"epsilon": noise, "v_prediction": v, "sample": x0}[kind]
        found = denoised(SD.noised(x0, noise, at.sigma), answer, at, kind)  # type: ignore[arg-type]
        assert largest(found, x0) <= 1e-5


def test_a_flow_goes_straight() -> None:
    plan = make_plan(PRESETS["instaflow"], SD)
    assert plan.timesteps == (1000,)
    x0, noise, flow = random(1), random(2), plan.schedule
    x = flow.start(noise, 1.0)
    assert torch.equal(x, noise)
    assert largest(denoised(x, x0 - noise, plan.levels[0], "flow"), x0) <= 1e-6
    half = flow.level(500)
    middle = Euler().step(x0, x, plan.levels[0], half, refused)
    assert largest(middle, flow.noised(x0, noise, half.sigma)) <= 1e-6
    assert make_plan(PRESETS["instaflow"], SD, 4).timesteps == (1000, 750, 500, 250)


def test_the_boundary_of_consistency_models() -> None:
    skip, out = boundary(999)
    assert skip == pytest.approx(2.5e-9, rel=0.01)
    assert 1 - out == pytest.approx(1.3e-9, rel=0.05)
    assert boundary(0) == (1.0, 0.0)
    x0, x = random(1), random(2)
    assert largest(consistent(x0, x, SD.level(19)), x0) <= 1e-4
    assert largest(consistent(x0, x, SD.level(0)), SD.network_input(x, SD.sigma(0))) <= 1e-6


def test_sdxs_coefficients() -> None:
    """Its pipeline's DEIS scheduler ends at the first timestep's noise level."""
    at, end = SD.level(999), SD.level(0)
    a0, a999 = float(SD.alphas[0]), float(SD.alphas[999])
    assert math.sqrt(a0 / a999) == pytest.approx(14.642586, abs=1e-6)
    assert math.sqrt(a0) * (end.sigma - at.sigma) == pytest.approx(-14.579274, abs=1e-6)
    z, eps = random(1), random(2)
    x = SD.start(z, at.sigma)
    x = Euler().step(denoised(x, eps, at, "epsilon"), x, at, end, refused)
    found = SD.network_input(x, end.sigma)
    assert largest(found, 14.642591 * z - 14.579279 * eps) <= 1e-4


def _noisy(*sigmas: float) -> list[Level]:
    return [Level(500.0, sigma) for sigma in sigmas]


def test_weights_of_sa_solver() -> None:
    start, end = Level(500.0, 2.0), Level(400.0, 1.2)
    nodes = _noisy(3.0, 2.0)
    assert weights(nodes, start, end, 0.0) == pytest.approx([-0.27333, 0.67333], abs=5e-6)
    assert weights(nodes, start, end, 1.0) == pytest.approx([-0.47063, 1.11063], abs=5e-6)
    assert weights(_noisy(2.0), start, end, 0.0) == pytest.approx([1 - 1.2 / 2.0])
    for tau in (0.0, 0.5, 1.0):
        whole = 1 - math.exp(-(1 + tau**2) * math.log(2.0 / 1.2))
        for several in (_noisy(2.0), nodes, _noisy(5.0, 3.0, 2.0), _noisy(8.0, 5.0, 3.0, 2.0)):
            assert sum(weights(several, start, end, tau)) == pytest.approx(whole, abs=1e-9)
            if len(several) == 2:
                assert sum(weights(several, start, end, tau, "predictor")) == pytest.approx(whole)
    assert weights(nodes, start, CLEAN, 1.0) == [0.0, 1.0]


def test_quick_weights_approach_the_exact_ones_on_short_steps() -> None:
    def gap(sigma: float, quick: str) -> float:
        start, end = Level(500.0, 2.0), Level(400.0, sigma)
        ends = [start, end] if quick == "corrector" else _noisy(2.0 * 2.0 / sigma, 2.0)
        exact, near = weights(ends, start, end, 1.0), weights(ends, start, end, 1.0, quick)
        return abs(exact[0] - near[0])

    for quick in ("predictor", "corrector"):
        assert gap(1.9, quick) < gap(1.5, quick) / 9
        assert gap(1.5, quick) < 0.1


def _reference_edm(x: Tensor, output: Tensor, sigma: float) -> Tensor:
    import diffusers

    scheduler = diffusers.EDMEulerScheduler(sigma_data=0.5)
    return scheduler.precondition_outputs(x, output, torch.tensor(sigma))


def test_edm_preconditioning_is_that_of_diffusers() -> None:
    import diffusers

    x, output = random(1) * 5, random(2)
    scheduler = diffusers.EDMEulerScheduler()
    scheduler.set_timesteps(10)
    levels = edm.karras_levels(10)
    assert [level.sigma for level in levels[:-1]] == pytest.approx(scheduler.sigmas[:-1].tolist(), rel=1e-5)
    assert [level.t for level in levels[:-1]] == pytest.approx(
        scheduler.timesteps.tolist(), rel=1e-4, abs=1e-6
    )
    assert levels[-1] == CLEAN
    for sigma in (0.01, 1.0, 80.0):
        assert largest(edm.denoised(x, output, sigma), _reference_edm(x, output, sigma)) <= 1e-5
        assert edm.scalings(sigma).input == pytest.approx(1 / math.sqrt(sigma**2 + 0.25))
    turned = edm.denoised(x, -output, 1.0, v_prediction=True)
    assert largest(turned, edm.denoised(x, output, 1.0)) == 0
    assert edm.scalings(0.002).noise == pytest.approx(-1.554, abs=1e-3)
    assert edm.scalings(80.0).noise == pytest.approx(1.096, abs=1e-3)
    assert float(edm.start(torch.ones(1))) == pytest.approx(math.sqrt(6401))


def test_edm_latents_go_there_and_back() -> None:
    raw = random(1) * 6
    inside = edm.to_model(raw)
    assert largest(edm.from_model(inside), raw) <= 1e-5
    mean = torch.tensor(edm.LATENT_MEAN).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    assert largest(edm.to_model(mean), torch.zeros(1, 4, 2, 2)) == 0
    assert edm.is_edm(["edm_std", "edm_mean", "model.x"])
    assert edm.is_edm(["edm_vpred.sigma_max"])
    assert not edm.is_edm(["edm_mean"])


def test_edm_that_predicts_v_is_diffusers_cosxl() -> None:
    import diffusers

    cosxl = edm.Edm(1.0, 0.002, 120.0, v_prediction=True)
    settings = {"sigma_max": 120.0, "sigma_data": 1.0, "sigma_schedule": "exponential"}
    scheduler = diffusers.EDMEulerScheduler(prediction_type="v_prediction", **settings)
    scheduler.set_timesteps(7)
    levels = cosxl.levels(7)
    assert [level.sigma for level in levels] == pytest.approx(scheduler.sigmas.tolist(), rel=1e-5)
    x, output = random(1) * 5, random(2)
    for sigma in (0.01, 1.0, 120.0):
        wanted = scheduler.precondition_outputs(x, output, torch.tensor(sigma))
        assert largest(edm.denoised(x, output, sigma, v_prediction=True, data=1.0), wanted) <= 1e-5
        numbers = cosxl.scalings(sigma)
        assert largest(x * numbers.skip + output * numbers.out, wanted) <= 1e-5
        assert largest(x * numbers.input, scheduler.precondition_inputs(x, torch.tensor(sigma))) <= 1e-5
    assert largest(cosxl.from_model(cosxl.to_model(x, 0.13), 0.13), x) <= 1e-5
    assert largest(cosxl.to_model(x, 0.13), x * 0.13) == 0


MEANS = torch.tensor(edm.LATENT_MEAN).view(1, 4, 1, 1)
DEVIATIONS = torch.tensor(edm.LATENT_STD).view(1, 4, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_edm_models_are_told_by_their_files(tmp_path: Path, dtype: torch.dtype) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"edm_mean": MEANS.to(dtype), "edm_std": DEVIATIONS.to(dtype)}, file)
    found = edm.read_edm(file)
    assert found is not None
    assert found.mean == pytest.approx(edm.LATENT_MEAN, rel=1e-3)
    assert found.std == pytest.approx(edm.LATENT_STD, rel=1e-3)
    assert (found.data, found.low, found.high, found.v_prediction) == (0.5, 0.002, 80.0, False)
    save_file({"edm_vpred.sigma_max": torch.tensor(120.0, dtype=dtype)}, file)
    assert edm.read_edm(file) == edm.Edm(1.0, 0.002, 120.0, v_prediction=True)
    save_file({"model.x": torch.zeros(1)}, file)
    assert edm.read_edm(file) is None
    assert edm.read_edm(tmp_path / "model.ckpt") is None


@pytest.mark.parametrize(
    "marks",
    [
        {"edm_mean": MEANS, "edm_std": DEVIATIONS * 0},
        {"edm_mean": MEANS, "edm_std": -DEVIATIONS},
        {"edm_mean": MEANS * float("nan"), "edm_std": DEVIATIONS},
        {"edm_mean": MEANS[:, :3].clone(), "edm_std": DEVIATIONS},
        {"edm_mean": torch.zeros(0), "edm_std": torch.zeros(0)},
        {"edm_mean": torch.zeros(4, 64, 64), "edm_std": DEVIATIONS},
        {"edm_vpred.sigma_max": torch.tensor(float("inf"))},
        {"edm_vpred.sigma_max": torch.tensor(0.001)},
        {"edm_vpred.sigma_max": torch.tensor([80.0, 120.0])},
        {"edm_vpred.sigma_max": torch.tensor(80.0), "edm_vpred.sigma_min": torch.tensor(0.0)},
    ],
)
def test_edm_numbers_that_no_model_has_are_refused(tmp_path: Path, marks: dict[str, Tensor]) -> None:
    file = tmp_path / "model.safetensors"
    save_file(marks, file)
    with pytest.raises(ModelError, match="download it again"):
        edm.read_edm(file)


def test_a_damaged_file_is_no_edm_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    for content in (b"", b"\x80\x02]q", b"\xff" * 64):
        file.write_bytes(content)
        with pytest.raises(ModelError, match="not a whole"):
            edm.read_edm(file)
    file.unlink()
    with pytest.raises(ModelError, match="not a whole"):
        edm.read_edm(file)


def test_a_schedule_that_ends_in_noise_is_known() -> None:
    alphas = scaled_linear().alphas.clone()
    alphas[-1] = 4.897e-8
    schedule = NoiseSchedule(alphas)
    assert schedule.ends_in_noise
    assert schedule.sigma(999) == pytest.approx(4518.76, rel=1e-3)
    # v-prediction keeps its digits there, x0 = -v almost.
    found = denoised(
        schedule.start(random(1), schedule.sigma(999)), random(2), schedule.level(999), "v_prediction"
    )
    assert largest(found, -random(2)) <= 1e-3
