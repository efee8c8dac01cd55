"""SDXS and EDM checkpoints in the real host: it samples what a loop of diffusers samples, to 1e-4."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni.sampling.edm import LATENT_MEAN, LATENT_STD
from lib_ranni.standalone import sdxs_configs
from lib_ranni.standalone.sdxs_conversion import convert_sdxs, tiny_name
from tests.standalone.compact import BETAS, KINDS, make_pipeline, save_pipeline
from tests.standalone.xl_file import make_xl, xl_config, xl_tensors
from tests.webui_live.host import Drawn, Host, panel

FOLDER = os.environ.get("RANNI_WEBUI_DIR", "")
pytestmark = [
    pytest.mark.usefixtures("recorder"),
    pytest.mark.skipif(
        not FOLDER, reason="checkpoints must be put into the WebUI: set RANNI_WEBUI_DIR to its folder"
    ),
]
PROMPT = "a red circle"
SEED = 7
TOKENIZER = "models/Stable-diffusion/shapes/tokenizer"


class Put(NamedTuple):
    """A model of a kind, and the name it has in the WebUI, where suffixes tell its files apart."""

    kind: str
    pipeline: Any
    name: str

    def file(self, suffix: str) -> Path:
        return Path(FOLDER) / "models" / "Stable-diffusion" / f"{self.name}{suffix}"


@contextmanager
def _put(host: Host, kind: str, pipeline: Any) -> Iterator[Put]:
    """Afterwards its files are taken out of the WebUI again, and the old checkpoint is loaded."""
    put = Put(kind, pipeline, f"ranni-live-{kind}")
    before = host.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    try:
        yield put
    finally:
        host.post("/sdapi/v1/options", {"sd_model_checkpoint": before})
        for path in put.file("").parent.glob(f"{put.name}*"):
            path.unlink()
        host.post("/sdapi/v1/refresh-checkpoints", {})


def _draw(host: Host, put: Put, suffix: str = ".safetensors", kind: str = "txt2img", **fields: Any) -> Drawn:
    settings = {"sgm_noise_multiplier": True, "sd_model_checkpoint": put.name + suffix}
    fields = {"prompt": PROMPT, "seed": SEED, **fields}
    return host.draw(kind, recorder={"latents": True}, override_settings=settings, **fields)


def _noise() -> Tensor:
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(SEED))


def _pixels(tensor: Tensor) -> np.ndarray:
    return ((tensor.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()


def _is_same(got: np.ndarray, wanted: Tensor) -> bool:
    return bool(np.abs(got - wanted.numpy()).max() <= 1e-4)


@pytest.fixture(scope="module", params=KINDS)
def sdxs(
    request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Put]:
    """A model in SDXS' shape, converted into the WebUI."""
    pipeline = make_pipeline(request.param)
    source = save_pipeline(pipeline, tmp_path_factory.mktemp("sdxs"))
    with _put(host, request.param, pipeline) as put, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdxs_configs, "OPEN_CLIP_SIZES", ((256, 9),))
        done = convert_sdxs(source, put.file(".safetensors"))
        # Text encoders of these sizes are on no hub.
        described = OmegaConf.load(str(done.config))
        own = {"arch": "ViT-S-32-alt", "version": None} if request.param == "0.9" else {"version": TOKENIZER}
        OmegaConf.update(described, "model.params.cond_stage_config.params", own)
        OmegaConf.save(described, str(done.config))
        host.post("/sdapi/v1/refresh-checkpoints", {})
        yield put


@torch.no_grad()
def _one_step(pipeline: Any, picture: Tensor | float, timestep: int) -> Tensor:
    """x0 (4, h, w) of one step there, from a picture's latents and noise."""
    alpha = diffusers.DDIMScheduler(**BETAS).alphas_cumprod[timestep]
    z = alpha.sqrt() * picture + (1 - alpha).sqrt() * _noise()
    context = pipeline.encode_prompt(PROMPT, "cpu", 1, False)[0]
    noise = pipeline.unet(z, torch.tensor(timestep), context).sample
    return ((z - (1 - alpha).sqrt() * noise) / alpha.sqrt())[0]


def test_sdxs_samples_and_decodes_as_diffusers_does(host: Host, sdxs: Put) -> None:
    # The host starts from noise alone, of sqrt(1 + sigma²), which is a variance of 1 for the network.
    alpha = diffusers.DDIMScheduler(**BETAS).alphas_cumprod[-1]
    wanted = _one_step(sdxs.pipeline, _noise() * (1 - (1 - alpha).sqrt()) / alpha.sqrt(), 999)
    drawn = _draw(host, sdxs, steps=1, cfg_scale=1)
    assert _is_same(drawn.latents[0], wanted), np.abs(drawn.latents[0] - wanted.numpy()).max()
    with torch.no_grad():
        picture = sdxs.pipeline.vae.decode(wanted[None]).sample[0]
    assert np.abs(drawn.pixels - _pixels(picture)).max() <= 1.01
    assert drawn.pixels.std() > 1


def test_sdxs_reads_pictures_with_its_own_encoder(host: Host, sdxs: Put) -> None:
    start = _picture()
    # As little strength leaves the last of the steps, at timestep 0.
    fields = {"init_images": [_encoded(start)], "denoising_strength": 0.01, "steps": 30, "cfg_scale": 1}
    drawn = _draw(host, sdxs, kind="img2img", **fields)
    with torch.no_grad():
        wanted = _one_step(sdxs.pipeline, sdxs.pipeline.vae.encode(_tensor(start)).latents, 0)
    assert _is_same(drawn.latents[0], wanted), np.abs(drawn.latents[0] - wanted.numpy()).max()


def _follows_a_panel(host: Host, put: Put, **fields: Any) -> None:
    plain = _draw(host, put, **fields)
    for mode in ("attention", "latent"):
        asked = {"panel": panel(), "guidance": {"mode": mode}}
        guided = _draw(host, put, request=asked, **fields)
        assert "Ranni problem" not in guided.infotexts[0]
        assert np.abs(guided.latents - plain.latents).max() > 1e-3


def test_sdxs_follows_a_panel(host: Host, sdxs: Put) -> None:
    _follows_a_panel(host, sdxs, steps=1, cfg_scale=1)


def test_sdxs_keeps_its_autoencoder_whatever_vae_is_chosen(host: Host, sdxs: Put) -> None:
    before = _draw(host, sdxs, steps=1, cfg_scale=1)
    other = Path(FOLDER) / "models" / "VAE" / "ranni-live-large.safetensors"
    save_file({"decoder.conv_in.weight": torch.zeros(8, 4, 3, 3)}, other)
    try:
        host.post("/sdapi/v1/refresh-vae", {})
        host.post("/sdapi/v1/options", {"sd_vae": other.name})
        after = _draw(host, sdxs, steps=1, cfg_scale=1)
    finally:
        host.post("/sdapi/v1/options", {"sd_vae": "Automatic"})
        other.unlink()
        host.post("/sdapi/v1/refresh-vae", {})
    assert np.array_equal(after.pixels, before.pixels)


def _picture() -> Image.Image:
    """A soft gradient: no sharp edges for two encoders to differ at."""
    ramp = np.linspace(0, 1, 128)
    pixels = np.stack([np.outer(ramp, np.ones(128)), np.outer(np.ones(128), ramp), np.full((128, 128), 0.3)])
    return Image.fromarray((pixels.transpose(1, 2, 0) * 255).astype(np.uint8))


def _encoded(picture: Image.Image) -> str:
    held = io.BytesIO()
    picture.save(held, "PNG")
    return base64.b64encode(held.getvalue()).decode()


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture).astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


MARKS = {
    "playground": {
        "edm_mean": torch.tensor(LATENT_MEAN).view(1, 4, 1, 1),
        "edm_std": torch.tensor(LATENT_STD).view(1, 4, 1, 1),
    },
    "cosxl": {
        "edm_vpred.sigma_max": torch.tensor(120.0),
        "edm_vpred.sigma_min": torch.tensor(0.002),
    },
}


def _scheduler(kind: str) -> Any:
    if kind == "playground":
        return diffusers.EDMEulerScheduler()
    return diffusers.EDMEulerScheduler(
        sigma_max=120.0, sigma_data=1.0, prediction_type="v_prediction", sigma_schedule="exponential"
    )


@pytest.fixture(scope="module", params=sorted(MARKS))
def edm(request: pytest.FixtureRequest, host: Host) -> Iterator[Put]:
    """An XL model as a file with an EDM model's marks, and beside it, as a `.ckpt`, without them."""
    pipeline = make_xl(_scheduler(request.param))
    tensors = xl_tensors(pipeline)
    with _put(host, request.param, pipeline) as put:
        save_file({**tensors, **MARKS[request.param]}, put.file(".safetensors"))
        # One configuration for both: the host then loads the one into the model of the other.
        # The host takes no newer archives of torch for pickles that are safe.
        torch.save({"state_dict": tensors}, put.file(".ckpt"), _use_new_zipfile_serialization=False)
        OmegaConf.save(OmegaConf.create(xl_config(TOKENIZER)), str(put.file(".yaml")))
        host.post("/sdapi/v1/refresh-checkpoints", {})
        yield put


def _condition(pipeline: Any, negative: str) -> dict[str, Any]:
    """The UNet's arguments for two rows, the negative text's first."""
    texts = pipeline.encode_prompt(
        PROMPT, device="cpu", do_classifier_free_guidance=True, negative_prompt=negative or None
    )
    sizes = torch.tensor([[128.0, 128.0, 0.0, 0.0, 128.0, 128.0]] * 2)
    added = {"text_embeds": torch.cat([texts[3], texts[2]]), "time_ids": sizes}
    return {"encoder_hidden_states": torch.cat([texts[1], texts[0]]), "added_cond_kwargs": added}


@torch.no_grad()
def _euler(pipeline: Any, x: Tensor, sigmas: Tensor, cfg: float, negative: str = "") -> Tensor:
    """Finished latents (4, h, w) by Euler's method, with the preconditioning of diffusers' scheduler."""
    given = _condition(pipeline, negative)
    scheduler = pipeline.scheduler
    for sigma, following in pairwise(sigmas):
        scaled = scheduler.precondition_inputs(x, sigma).repeat(2, 1, 1, 1)
        answers = pipeline.unet(scaled, scheduler.precondition_noise(sigma), **given).sample
        empty, full = scheduler.precondition_outputs(x, answers, sigma).chunk(2)
        picture = empty + cfg * (full - empty)
        x = x + (x - picture) / sigma * (following - sigma)
    return x[0]


def _sigmas(pipeline: Any, steps: int) -> Tensor:
    pipeline.scheduler.set_timesteps(steps)
    sigmas: Tensor = pipeline.scheduler.sigmas
    return sigmas


def _statistics(kind: str) -> tuple[Tensor, Tensor]:
    """What raw latents are the model's latents times, and plus."""
    if kind == "cosxl":
        return torch.tensor(1 / 0.13025), torch.tensor(0.0)
    mean, std = (torch.tensor(values).view(1, 4, 1, 1) for values in (LATENT_MEAN, LATENT_STD))
    return std / 0.5, mean


@pytest.mark.parametrize("negative", ["", "a blue square"])
def test_edm_samples_and_decodes_as_diffusers_does(host: Host, edm: Put, negative: str) -> None:
    kind, pipeline, _ = edm
    sigmas = _sigmas(pipeline, 8)
    start = _noise() * (1 + pipeline.scheduler.config.sigma_max**2) ** 0.5
    wanted = _euler(pipeline, start, sigmas, 3.0, negative)
    drawn = _draw(host, edm, steps=8, cfg_scale=3, negative_prompt=negative)
    assert _is_same(drawn.latents[0], wanted), np.abs(drawn.latents[0] - wanted.numpy()).max()
    scale, shift = _statistics(kind)
    with torch.no_grad():
        picture = pipeline.vae.decode(wanted[None] * scale + shift).sample[0]
    assert np.abs(drawn.pixels - _pixels(picture)).max() <= 1.01
    assert "Ranni problem" not in drawn.infotexts[0]


def test_edm_reads_pictures(host: Host, edm: Put) -> None:
    kind, pipeline, _ = edm
    start = _picture()
    scale, shift = _statistics(kind)
    with torch.no_grad():
        raw = pipeline.vae.encode(_tensor(start)).latent_dist.mode()
    sigmas = _sigmas(pipeline, 8)[3:]
    x = (raw - shift) / scale + _noise() * sigmas[0]
    wanted = _euler(pipeline, x, sigmas, 3.0)
    fields = {"init_images": [_encoded(start)], "denoising_strength": 0.5, "steps": 8, "cfg_scale": 3}
    drawn = _draw(host, edm, kind="img2img", **fields)
    assert _is_same(drawn.latents[0], wanted), np.abs(drawn.latents[0] - wanted.numpy()).max()


@pytest.fixture(scope="module")
def tiny(host: Host) -> Iterator[Any]:
    """TAESD for XL in the WebUI, of random weights; the WebUI keeps it until it ends."""
    folder = Path(FOLDER) / "models" / "VAE-taesd"
    files = {half: folder / f"taesdxl_{half}.pth" for half in ("encoder", "decoder")}
    if any(file.exists() for file in files.values()):
        pytest.skip("the WebUI has a TAESD of its own")
    torch.manual_seed(6)
    network = diffusers.AutoencoderTiny()
    folder.mkdir(exist_ok=True)
    for half, file in files.items():
        names = [name for name in network.state_dict() if name.startswith(half)]
        held = {tiny_name(name).removeprefix(f"{half}."): network.state_dict()[name] for name in names}
        torch.save(held, file, _use_new_zipfile_serialization=False)
    yield network
    for file in files.values():
        file.unlink()


def test_edm_latents_pass_the_hosts_small_autoencoder(host: Host, edm: Put, tiny: Any) -> None:
    scale, shift = _statistics(edm.kind)
    start = _picture()
    fields = {"init_images": [_encoded(start)], "denoising_strength": 0.5, "steps": 8, "cfg_scale": 3}
    methods = ("sd_vae_decode_method", "sd_vae_encode_method")
    try:
        host.post("/sdapi/v1/options", dict.fromkeys(methods, "TAESD"))
        drawn = _draw(host, edm, steps=2)
        again = _draw(host, edm, kind="img2img", **fields)
    finally:
        host.post("/sdapi/v1/options", dict.fromkeys(methods, "Full"))
    with torch.no_grad():
        raw = torch.from_numpy(drawn.latents) * scale + shift
        picture = tiny.decode(raw * 0.13025).sample[0]
        x = (tiny.encode(_tensor(start)).latents / 0.13025 - shift) / scale
    assert np.abs(drawn.pixels - _pixels(picture)).max() <= 1.01
    sigmas = _sigmas(edm.pipeline, 8)[3:]
    wanted = _euler(edm.pipeline, x + _noise() * sigmas[0], sigmas, 3.0)
    assert _is_same(again.latents[0], wanted), np.abs(again.latents[0] - wanted.numpy()).max()


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("DPM++ 2M", "Karras"),
        ("DPM++ 2M", "Beta"),
        ("DPM++ 2M SDE", "Exponential"),
        ("DPM++ 2M SDE", "Normal"),
        ("Euler a", "SGM Uniform"),
        ("Heun", "Simple"),
        ("Heun", "Uniform"),
    ],
)
def test_edm_takes_samplers_of_k_diffusion(host: Host, edm: Put, sampler: str, scheduler: str) -> None:
    drawn = _draw(host, edm, steps=4, sampler_name=sampler, scheduler=scheduler)
    assert "Ranni problem" not in drawn.infotexts[0]
    assert np.isfinite(drawn.latents).all()
    # The first noise reaches four times a sigma of 80 or 120: nothing of it may be left.
    assert np.abs(drawn.latents).max() < 40


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sampler_name": "DDIM"}, "DDIM takes this EDM model"),
        ({"sampler_name": "UniPC"}, "UniPC takes this EDM model"),
        ({"sampler_name": "LCM"}, "LCM takes this EDM model"),
        ({"scheduler": "Align Your Steps"}, "starts far below the sigma"),
    ],
)
def test_edm_warns_of_what_does_not_fit(host: Host, edm: Put, fields: dict[str, str], told: str) -> None:
    assert told in _draw(host, edm, steps=4, **fields).infotexts[0]


def test_edm_follows_a_panel(host: Host, edm: Put) -> None:
    _follows_a_panel(host, edm, steps=4)


def test_edm_draws_the_second_pass_and_batches(host: Host, edm: Put) -> None:
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Latent", "denoising_strength": 0.6}
    drawn = _draw(host, edm, steps=3, batch_size=2, **hires)
    assert "Ranni problem" not in drawn.infotexts[0]
    assert all(np.asarray(picture).std() > 1 for picture in drawn.pictures)


def test_the_next_checkpoint_in_the_same_model_is_an_ordinary_one(host: Host, edm: Put) -> None:
    plain = _draw(host, edm, ".ckpt", steps=4)
    marked = _draw(host, edm, steps=4)
    assert np.array_equal(_draw(host, edm, ".ckpt", steps=4).latents, plain.latents)
    assert np.array_equal(_draw(host, edm, steps=4).latents, marked.latents)
    assert np.abs(plain.latents - marked.latents).max() > 0.1
    ddim = _draw(host, edm, ".ckpt", steps=4, sampler_name="DDIM")
    assert "Ranni problem" not in ddim.infotexts[0]


def test_damaged_marks_leave_the_model_as_it_is(host: Host, edm: Put) -> None:
    damaged = edm.file("-damaged.safetensors")
    marks = {"edm_mean": torch.zeros(4), "edm_std": torch.zeros(4)}
    save_file({**xl_tensors(edm.pipeline), **marks}, damaged)
    OmegaConf.save(OmegaConf.create(xl_config(TOKENIZER)), str(damaged.with_suffix(".yaml")))
    host.post("/sdapi/v1/refresh-checkpoints", {})
    plain = _draw(host, edm, ".ckpt", steps=2)
    found = _draw(host, edm, "-damaged.safetensors", steps=2)
    assert np.array_equal(found.latents, plain.latents)
