"""Memory edits against the double of the host: what is kept, what is edited, and what is never broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lib_ranni.guidance.edit_region import edit_region
from lib_ranni.panel import edits
from lib_ranni.panel.types import Box, Element, Panel, with_fields
from lib_ranni.panel.writing import to_document
from tests.webui.fake_host import Denoiser, Host, Part, Sampler

STEPS, SIZE = 3, (10, 12)
LEFT = Element(id="e1", description="red circle", box=Box(0.05, 0.1, 0.25, 0.5))
RIGHT = Element(id="e2", description="blue square", box=Box(0.6, 0.4, 0.95, 0.9))
PANEL = Panel(elements=(LEFT, RIGHT))
STAR = edits.replace(PANEL, "e2", "green star")


class Interrupted(BaseException):
    """What the host's denoiser raises when Interrupt was pressed."""


class Stepping(Sampler):
    """Goes step by step from a latent, as real ones do, and gives what it has when it is interrupted."""

    def launch_sampling(self, steps: int, function: Any) -> Any:
        try:
            return function()
        except Interrupted:
            return self.last

    def run(self, x: Tensor, steps: int) -> Tensor:
        images = len(x)
        self.model_wrap_cfg = denoiser = Denoiser(self, self._host, steps)
        prompts, negatives = [[Part("a table")]] * images, ["fog"] * images
        self.sampler_extra_args = {"cond": SimpleNamespace(batch=prompts)}
        self.last = x

        def go() -> Tensor:
            for _ in range(steps):
                self.last = self.last - 0.2 * denoiser(self.last, prompts, negatives, 3.0)
            return self.last

        return self.launch_sampling(steps, go)


class Result(NamedTuple):
    latents: Tensor
    images: Tensor
    p: Any
    comments: list[str]

    @property
    def told(self) -> str:
        return " ".join(self.comments)

    @property
    def pixels(self) -> Tensor:
        """(pictures, 3, H, W) as the host makes whole numbers of them."""
        return (255.0 * self.images).byte()

    def edits(self, number: int = 0) -> Any:
        """What the infotext says of earlier pictures."""
        text = self.p.extra_generation_params["Ranni edits"](self.p, number, self.p.all_prompts)
        return None if text is None else json.loads(text)


class User:
    """Somebody at the host, who draws one job after the other."""

    def __init__(self, host: Host, key: str) -> None:
        self._host, self.key = host, key
        self.settings: dict[str, Any] = {}

    def request(self, *panels: Panel, **memory: Any) -> dict[str, Any]:
        documents = [to_document(panel) for panel in panels]
        return {
            "panel": documents[0] if len(documents) == 1 else documents,
            "guidance": self.settings.get("guidance", {}),
            "memory": {"enabled": True, "key": self.key, **memory},
        }

    def draw(
        self, *panels: Panel, seeds: Sequence[int] = (1,), memory: dict[str, Any] | None = None, **fields: Any
    ) -> Result:
        """One job of one batch; `fields` are those of the processing object."""
        from lib_ranni.webui import script

        comments: list[str] = []
        count = len(seeds)
        p = SimpleNamespace(
            sampler=Stepping(self._host),
            sampler_name="Euler",
            scheduler="Karras",
            seed=seeds[0],
            steps=STEPS,
            firstpass_steps=STEPS,
            cfg_scale=3.0,
            width=8 * SIZE[1],
            height=8 * SIZE[0],
            is_hr_pass=False,
            iteration=0,
            batch_size=count,
            all_seeds=list(seeds),
            all_prompts=["a table"] * count,
            all_negative_prompts=["fog"] * count,
            prompts=["a table"] * count,
            negative_prompts=["fog"] * count,
            hr_negative_prompts=["fog"] * count,
            hr_prompts=["a table"] * count,
            hr_second_pass_steps=0,
            hr_upscale_to_x=128,
            hr_upscale_to_y=112,
            extra_generation_params={},
            comment=comments.append,
            is_api=False,
        )
        p.__dict__.update(fields)
        hooks, given = script.RanniScript(), self.request(*panels, **(memory or {}))
        hooks.process(p, True, given)
        hooks.process_batch(p, True, given)
        noise = [torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(s)) for s in p.all_seeds]
        latents = torch.stack(noise) if not hasattr(p, "init_latent") else p.init_latent
        for is_second in (False, True) if getattr(p, "enable_hr", False) else (False,):
            p.is_hr_pass = is_second
            if is_second:
                p.sampler = Stepping(self._host)
                latents = interpolate(_decoded(latents).mean(1, keepdim=True).expand(-1, 4, -1, -1), (14, 16))
            hooks.process_before_every_sampling(p, True, given, x=latents)
            latents = p.sampler.run(latents, STEPS)
        p.is_hr_pass = False
        images = _decoded(latents)
        hooks.postprocess_batch(p, True, given, images=images, batch_number=0)
        return Result(latents, images, p, comments)


def _decoded(latents: Tensor) -> Tensor:
    """(pictures, 3, H, W) in 0..1; every pixel depends a little on all of the latent, as a decoder's do."""
    large = interpolate(latents[:, :3], scale_factor=8.0, mode="bilinear")
    return (0.5 + 0.1 * large + 0.05 * latents.mean((1, 2, 3))[:, None, None, None]).clamp(0, 1)


@pytest.fixture
def user(host: Host) -> User:
    return User(host, "ann")


def _require_kept(before: Result, after: Result, region: Tensor, image: int = 0) -> None:
    """Nothing differs where no region is; something does where one is."""
    kept = region == 0
    assert 0 < int(kept.sum()) < kept.numel()
    old, new = before.latents[image], after.latents[image]
    if kept.shape == old.shape[-2:]:
        assert torch.equal(old[:, kept], new[:, kept])
        assert not torch.equal(old, new)
    pixels = kept.repeat_interleave(8, 0).repeat_interleave(8, 1)
    assert torch.equal(before.pixels[image][:, pixels], after.pixels[image][:, pixels])
    assert not torch.equal(before.pixels[image], after.pixels[image])


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_an_edit_keeps_the_rest_to_the_bit(user: User, mode: str) -> None:
    user.settings["guidance"] = {"mode": mode}
    before, after = user.draw(PANEL), user.draw(STAR)
    region = edit_region(PANEL, STAR, SIZE)
    _require_kept(before, after, region)
    assert after.comments == [
        f"Ranni: {100 * float(region.mean()):.0f} % of the picture is drawn anew, the rest is kept"
    ]
    assert before.comments == [
        "Ranni: no picture was remembered yet; the next edit keeps the rest of this one"
    ]
    assert before.edits() is None
    assert after.edits() == [{"panel": to_document(PANEL)}]


def test_remembering_changes_no_picture(host: Host, user: User) -> None:
    plain = user.draw(PANEL, memory={"enabled": False})
    assert torch.equal(user.draw(PANEL).images, plain.images)
    assert User(host, "").draw(STAR).comments == [
        "Ranni: the pictures are not remembered: give memory a key that tells them from others'"
    ]


def test_edits_follow_one_another_and_an_undone_one_is_the_earlier_picture(user: User) -> None:
    moved = edits.move(STAR, "e1", (0.1, 0.2))
    first, second = user.draw(PANEL), user.draw(STAR)
    third = user.draw(moved, memory={"margin": 0, "feather": 0})
    _require_kept(second, third, edit_region(STAR, moved, SIZE, margin=0, feather=0))
    assert third.edits() == [
        {"panel": to_document(PANEL)},
        {"panel": to_document(STAR), "margin": 1, "feather": 1},
    ]
    back = user.draw(STAR)
    assert torch.equal(back.pixels, second.pixels)
    assert back.edits() == second.edits()
    assert "stays as it was" in back.told
    assert torch.equal(user.draw(PANEL).pixels, first.pixels)
    _require_kept(
        first, user.draw(edits.remove(PANEL, "e1")), edit_region(PANEL, edits.remove(PANEL, "e1"), SIZE)
    )


def test_every_picture_of_a_batch_has_its_own_memory(user: User) -> None:
    both = user.draw(PANEL, seeds=(4, 9))
    moved = edits.move(PANEL, "e1", (0.2, 0.0))
    after = user.draw(STAR, moved, seeds=(4, 9))
    _require_kept(both, after, edit_region(PANEL, STAR, SIZE), 0)
    _require_kept(both, after, edit_region(PANEL, moved, SIZE), 1)
    alone = user.draw(edits.remove(PANEL, "e2"), seeds=(9,))
    kept = edit_region(PANEL, edits.remove(PANEL, "e2"), SIZE) == 0
    assert torch.equal(alone.latents[0][:, kept], both.latents[1][:, kept])
    mixed = user.draw(STAR, seeds=(4, 5))
    assert torch.equal(mixed.pixels[0], after.pixels[0])
    assert "picture 2" not in mixed.told


def test_any_seed_is_that_of_the_picture_before_where_the_panel_was_changed(user: User) -> None:
    any_seed: dict[str, Any] = {"seed": -1}
    before = user.draw(PANEL, seeds=(4, 9), **any_seed)
    after = user.draw(STAR, seeds=(70, 71), **any_seed)
    assert after.p.all_seeds == [4, 9]
    _require_kept(before, after, edit_region(PANEL, STAR, SIZE), 1)
    undone = user.draw(PANEL, seeds=(80, 81), **any_seed)
    assert torch.equal(undone.pixels, before.pixels)
    assert user.draw(PANEL, seeds=(82, 83), **any_seed).p.all_seeds == [82, 83]
    assert torch.equal(user.draw(STAR, seeds=(4, 9)).pixels, after.pixels)
    one = user.draw(edits.remove(STAR, "e1"), seeds=(72,), **any_seed)
    assert one.p.all_seeds == [4]
    again = user.draw(edits.remove(STAR, "e1"), seeds=(73,), **any_seed)
    assert (again.p.all_seeds, again.comments) == ([73], [])
    other = user.draw(with_fields(STAR, negative="night"), seeds=(74,), **any_seed)
    assert other.p.all_seeds == [74]
    assert "reaches all of the picture" in other.told


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seeds": (2,)}, "seed 1 (not 2)"),
        ({"steps": 4}, "steps 3 (not 4)"),
        ({"sampler_name": "DDIM"}, "sampler Euler (not DDIM)"),
        ({"scheduler": "Uniform"}, "scheduler Karras (not Uniform)"),
        ({"cfg_scale": 4.0}, "cfg 3 (not 4)"),
        ({"all_prompts": ["a desk"]}, "prompt a table (not a desk)"),
        ({"all_negative_prompts": ["mist"]}, "negative prompt fog (not mist)"),
        ({"subseed_strength": 0.5, "all_subseeds": [3]}, "variation seed none (not 3 at 0.5"),
        ({"enable_hr": True, "hr_scale": 1.5}, "hires fix none (not hr_scale 1.5)"),
        ({"refiner_checkpoint": "other"}, "refiner none (not refiner_checkpoint other)"),
    ],
)
def test_what_does_not_fit_is_named_and_drawn_plain(user: User, fields: dict[str, Any], said: str) -> None:
    user.draw(PANEL)
    plain = user.draw(STAR, memory={"enabled": False}, **fields)
    drawn = user.draw(STAR, **fields)
    assert torch.equal(drawn.images, plain.images)
    assert said in drawn.told
    assert said in drawn.p.extra_generation_params["Ranni problem"]
    assert drawn.edits() is None


def test_another_checkpoint_is_another_picture(host: Host, user: User) -> None:
    user.draw(PANEL)
    host.shared.sd_model.sd_checkpoint_info = SimpleNamespace(name_for_extra="another", filename="a")
    assert "checkpoint  [None] (not another [None])" in user.draw(STAR).told


def test_our_own_settings_of_samplers_must_be_the_same(host: Host, user: User) -> None:
    user.draw(PANEL)
    host.shared.opts.ranni_prior_weight = 0.5
    drawn = user.draw(STAR)
    assert "sampler settings" in drawn.told
    assert drawn.edits() is None


def test_nobody_has_the_pictures_of_others(host: Host, user: User) -> None:
    user.draw(PANEL)
    other = User(host, "bob").draw(STAR)
    assert ("no picture was remembered yet" in other.told, other.edits()) == (True, None)
    assert user.draw(STAR, init_images=[], init_latent=torch.zeros(1, 4, *SIZE)).edits() is None


def test_a_hires_pass_is_kept_as_well(user: User) -> None:
    fields: dict[str, Any] = {"enable_hr": True, "hr_scale": 1.4}
    before, after = user.draw(PANEL, **fields), user.draw(STAR, **fields)
    assert before.latents.shape[-2:] == (14, 16)
    _require_kept(before, after, edit_region(PANEL, STAR, (14, 16)))
    assert torch.equal(user.draw(PANEL, **fields).pixels, before.pixels)


def test_a_real_picture_to_start_from(user: User) -> None:
    start = torch.randn(1, 4, *SIZE, generator=torch.Generator().manual_seed(8))

    def draw(panel: Panel, color: str) -> Result:
        picture = Image.new("RGB", (96, 80), color)
        return user.draw(panel, init_images=[picture], init_latent=start.clone(), denoising_strength=0.6)

    before, after = draw(PANEL, "red"), draw(STAR, "red")
    _require_kept(before, after, edit_region(PANEL, STAR, SIZE))
    assert "picture to start from" in draw(edits.remove(STAR, "e1"), "blue").told


def test_only_the_masked_part_is_edited_where_it_is_seen(user: User) -> None:
    """The latent covers the crop: the right half of the picture."""
    half = {"paste_to": (48, 0, 48, 80), "mask_for_overlay": Image.new("L", (96, 80))}
    before, after = user.draw(PANEL, **half), user.draw(STAR, **half)
    crop = with_fields(PANEL, elements=(with_fields(RIGHT, box=Box(0.2, 0.4, 0.9, 0.9)),))
    _require_kept(before, after, edit_region(crop, edits.replace(crop, "e2", "green star"), SIZE))


def test_what_was_interrupted_is_not_remembered(host: Host, user: User, unet: nn.Module) -> None:
    first = user.draw(PANEL)
    calls = 0

    def stop(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Interrupted

    handle = unet.register_forward_pre_hook(stop)
    cut = user.draw(STAR)
    handle.remove()
    assert not torch.equal(cut.images, first.images)
    assert "forward" not in cut.p.sampler.model_wrap_cfg.__dict__
    assert user.draw(STAR).edits() == [{"panel": to_document(PANEL)}]
    host.shared.state.skipped = True
    user.draw(edits.remove(STAR, "e1"))
    host.shared.state.skipped = False
    assert len(user.draw(edits.remove(STAR, "e1")).edits()) == 2


def test_an_error_of_memory_costs_no_picture(host: Host, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from lib_ranni.webui import memory

    user.draw(PANEL)
    plain = user.draw(STAR, memory={"enabled": False})

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    for owner, name in ((memory._Run, "start"), (memory.Keeping, "step"), (memory, "composite")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, fail)
            drawn = user.draw(STAR)
        assert "drawn without memory: out of memory" in drawn.told
        assert "forward" not in drawn.p.sampler.model_wrap_cfg.__dict__
        if name == "start":
            assert torch.equal(drawn.images, plain.images)
    with monkeypatch.context() as patched:
        patched.setattr(memory, "conditions", fail)
        assert "not remembered: out of memory" in user.draw(STAR).told
    assert user.draw(STAR).edits() == [{"panel": to_document(PANEL)}]


def test_a_picture_that_guidance_gave_up_is_not_remembered(
    host: Host, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_ranni.webui import attention_mode

    with monkeypatch.context() as patched:
        patched.setattr(attention_mode.AttentionMode, "begin_step", lambda *_: 1 / 0)
        assert "without the panel" in user.draw(PANEL).told
    assert user.draw(STAR).edits() is None


@pytest.mark.parametrize("name", ["DDIM CFG++", "DPM adaptive"])
def test_samplers_that_cannot_keep_are_named(user: User, name: str) -> None:
    assert f"{name} cannot be edited with memory" in user.draw(PANEL, sampler_name=name).told


def test_the_store_is_bounded_by_the_setting(host: Host, user: User) -> None:
    host.shared.opts.ranni_memory_mb = 0
    assert "not remembered: it needs" in user.draw(PANEL).told
    assert user.draw(STAR).edits() is None
    host.shared.opts.ranni_memory_mb = 1
    user.draw(PANEL)
    assert user.draw(STAR).edits() is not None


def test_cells_of_a_grid_are_edits_of_the_same_picture(user: User) -> None:
    user.draw(PANEL)
    made = [user.draw(STAR, _ranni_axes={"Edit margin": margin}) for margin in (0, 3)]
    assert [one.edits() for one in made] == [[{"panel": to_document(PANEL)}]] * 2
    assert not torch.equal(made[0].images, made[1].images)
    user.settings["guidance"] = {"mode": "latent"}
    latent = user.draw(STAR, _ranni_axes={"Edit margin": 3})
    assert latent.edits() == [{"panel": to_document(PANEL)}]
    assert not torch.equal(latent.images, made[1].images)


def test_the_prompt_stands_in_for_the_base(user: User) -> None:
    """Only a base that is drawn is a change of the whole picture."""
    rebased = with_fields(STAR, base="a garden")
    before = user.draw(PANEL)
    _require_kept(before, user.draw(rebased), edit_region(PANEL, STAR, SIZE))
    empty: dict[str, Any] = {"all_prompts": [""]}
    user.draw(PANEL, **empty)
    assert "reaches all of the picture" in user.draw(rebased, **empty).told


def test_a_picture_without_elements_is_one_to_add_to(user: User) -> None:
    alone = Panel(elements=(RIGHT,))
    before = user.draw(Panel())
    after = user.draw(alone)
    _require_kept(before, after, edit_region(Panel(), alone, SIZE))
    assert torch.equal(user.draw(Panel()).pixels, before.pixels)
