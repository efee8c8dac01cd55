"""Panel control against the double of the host: which rows, when, and what it hears of a prompt."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lib_ranni.guidance.guides import make_guide
from lib_ranni.guidance.panel_control import PREFIX, PanelConditioner, Widths
from lib_ranni.guidance.panel_session import Control, PanelControlSession, PanelLabels
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing
from lib_ranni.panel.types import Panel
from tests.guidance.test_panel_control import trained
from tests.guidance.test_panel_session import CHANNELS, ControlledUNet
from tests.webui.fake_host import WIDTH, Host, Part, encoded, installed
from tests.webui.test_passes import (
    LONG,
    OTHER,
    PANEL,
    SCALE,
    SIZE,
    TAGGED,
    Drawing,
    FakeNetworks,
    asked,
    element,
    latent,
    left_behind,
)

MODES = ("attention", "latent", "panel")
ALWAYS = {"scale": 0.8, "start": 1000, "stop": 0, "conditioner": "small"}
SMALL = Widths((2, 3, 4, 5), WIDTH, CHANNELS)


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    torch.manual_seed(3)
    return ControlledUNet().eval().requires_grad_(False)


@pytest.fixture
def conditioner() -> PanelConditioner:
    return trained(SMALL)


@pytest.fixture
def host(unet: nn.Module, tmp_path: Path, conditioner: PanelConditioner) -> Iterator[Host]:
    folder = tmp_path / "models" / "Ranni"
    folder.mkdir(parents=True)
    save_file(conditioner.state_dict(), str(folder / "small.safetensors"))
    save_file({"betas": torch.zeros(1)}, str(tmp_path / "checkpoint.safetensors"))
    with installed(Host(unet, tmp_path)) as found:
        from lib_ranni.webui import script

        script.register()
        found.fire("before_ui")
        yield found


def controlled(mode: str, panel: Any = PANEL, **control: Any) -> dict[str, Any]:
    return asked(mode, 0.2, panel, control={**ALWAYS, **control})


def end_of(words: str) -> int:
    """The column of a short text's end token."""
    return 1 + len(words.split())


def reference(
    unet: nn.Module,
    conditioner: PanelConditioner,
    mode: str,
    image: int,
    panel: Panel = PANEL,
    *,
    prompt: str = "a table",
    negative: str = "fog",
    columns: tuple[frozenset[int], ...] = (),
    ends: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    label_canvas: str = "a table",
    scale: float = 0.8,
) -> Tensor:
    """One picture on its own, row by row: (4, h, w)."""
    known: dict[str, Text] = {}

    def text(words: str) -> Text:
        return known.setdefault(words, Text(encoded(words)))

    own = [text(f"{negative}, {e.negative}") if e.negative else None for e in panel.elements]
    words = [e.description for e in panel.elements]
    picture = PanelTexts(
        panel.elements, tuple(map(text, words)), tuple(own), text(prompt), text(negative), Mixing(0.2)
    )
    closed = ends or ((end_of(prompt),), (end_of(negative),))
    vectors = [encoded(label)[end_of(label)] for label in (*words, label_canvas)]
    labels = PanelLabels(
        picture,
        tuple(vectors[:-1]),
        vectors[-1],
        columns,
        {picture.base: closed[0], picture.base_negative: closed[1]},
    )
    control = Control(scale, 1000, 0)
    guide = make_guide("plain" if mode == "panel" else mode, [picture], SCALE)  # type: ignore[arg-type]
    x = latent(image + 1)[image:]
    with ExitStack() as opened:
        sessions: list[Any] = [
            PanelControlSession(unet, conditioner, [labels], control, masks=mode == "panel")
        ]
        if mode == "attention":
            sessions.append(GuidanceSession(unet, [picture]))
        for session in sessions:
            opened.enter_context(session)
        answers = []
        for row in guide.rows(0.0, SIZE):
            for session in sessions:
                session.assign([row], 0.0)
            answers.append(unet(x, torch.tensor([500]), context=row.text.context[None]))
    return guide.combine(torch.cat(answers), 0.0)[0]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("negative", ["fog", LONG])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("mode", MODES)
def test_every_arrangement_of_rows_equals_one_row_at_a_time(
    host: Host,
    unet: nn.Module,
    conditioner: PanelConditioner,
    mode: str,
    images: int,
    negative: str,
    together: bool,
) -> None:
    host.shared.opts.batch_cond_uncond = together
    panels = [PANEL, OTHER][:images]
    drawing = Drawing(host, controlled(mode, panels, local_mask=False), images)
    drawing.negatives[:] = [negative] * images
    out = drawing.run()
    assert host.reported == []
    assert drawing.comments == []
    closed = (11, 77 + len(LONG.split()) - 10 + 1) if negative == LONG else (2,)
    for image, panel in enumerate(panels):
        expected = reference(
            unet,
            conditioner,
            mode,
            image,
            panel,
            negative=negative,
            ends=((3,), closed),
            label_canvas="" if mode == "panel" else "a table",
        )
        assert torch.allclose(out[0][image], expected, atol=1e-4)
        unguided = Drawing(host, asked(mode, 0.2, panels, control={"scale": 0}), images)
        unguided.negatives[:] = [negative] * images
        assert not torch.allclose(out[0][image], unguided.run()[0][image], atol=1e-3)


def test_rows_of_other_parts_and_negatives_are_left_alone(host: Host, unet: nn.Module) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    made: list[Tensor] = []
    drawing = Drawing(host, controlled("panel"), 2)
    drawing.prompts = [[Part("a table"), Part("snow", 0.5)], [Part("a table")]]
    handles = [
        unet.input_blocks[0].register_forward_hook(lambda m, a, o: made.append(o)),
        unet.input_blocks[1].register_forward_pre_hook(lambda m, a: seen.append((made[-1], a[0]))),
    ]
    drawing.run()
    for handle in handles:
        handle.remove()
    before, after = seen[0]
    # The pictures' parts, then their negatives.
    assert [torch.equal(b, a) for b, a in zip(before, after, strict=True)] == [False, True, False, True, True]


@pytest.mark.parametrize("mode", MODES)
def test_it_acts_at_its_timesteps_only(host: Host, mode: str) -> None:
    out = {}
    for scale in (0.0, 0.8):
        drawing = Drawing(
            host, asked(mode, 0.2, control={**ALWAYS, "scale": scale, "stop": 600, "start": 900})
        )
        drawing.p.sampler.timesteps = (999, 900, 600.5, 600)
        out[scale] = drawing.run()
    if mode == "panel":
        # What words are heard has neither gate nor scale.
        unmasked = Drawing(host, asked(mode, control={**ALWAYS, "stop": 0, "start": 1, "scale": 1}))
        out[0.0] = unmasked.run()
    same = [torch.allclose(a, b, atol=1e-6) for a, b in zip(out[0.0], out[0.8], strict=True)]
    assert same == [True, False, False, True]


@pytest.mark.parametrize("mode", MODES)
def test_a_scale_of_zero_is_no_control_to_the_last_bit(host: Host, mode: str) -> None:
    zero = Drawing(host, controlled(mode, scale=0, postfix="4k"))
    without = Drawing(host, {} if mode == "panel" else asked(mode))
    assert torch.equal(torch.stack(zero.run()), torch.stack(without.run()))
    assert zero.p.prompts == ["a table"]
    assert zero.comments == []


def test_words_of_labels_are_heard_in_their_boxes_only(
    host: Host, unet: nn.Module, conditioner: PanelConditioner
) -> None:
    prompt = "one red circle with red circles beside a table"
    drawing = Drawing(host, controlled("panel"))
    drawing.prompts = [[Part(prompt)]]
    drawing.p.prompts = [prompt]
    out = drawing.run()[0][0]
    columns = (frozenset({2, 3, 5, 6}), frozenset())
    expected = reference(unet, conditioner, "panel", 0, prompt=prompt, columns=columns, label_canvas="")
    assert torch.allclose(out, expected, atol=1e-4)
    unbound = reference(unet, conditioner, "panel", 0, prompt=prompt, label_canvas="")
    assert not torch.allclose(out, unbound, atol=1e-3)
    assert drawing.comments == ["Ranni: the prompt does not say blue square: these labels have no local mask"]


def test_a_prompt_that_changes_is_heard_as_it_is(
    host: Host, unet: nn.Module, conditioner: PanelConditioner
) -> None:
    drawing = Drawing(host, controlled("panel", OTHER))
    drawing.p.prompts = ["a green star|a table with a green star"]
    first = drawing.p.sampler

    def follow(params: Any) -> None:
        now = "a green star" if params.denoiser.step <= 2 else "a table with a green star"
        params.text_cond = encoded(now)[None]

    host.callbacks["cfg_denoiser"].insert(0, follow)
    out = drawing.run()
    assert first.model_wrap_cfg.step == 4
    for step, prompt, at in ((0, "a green star", 2), (3, "a table with a green star", 5)):
        expected = reference(
            unet,
            conditioner,
            "panel",
            0,
            OTHER,
            prompt=prompt,
            columns=(frozenset({at, at + 1}),),
            label_canvas="",
        )
        assert torch.allclose(out[step][0], expected, atol=1e-4)


def test_a_label_is_what_it_says_without_emphasis_and_tags(
    host: Host, unet: nn.Module, conditioner: PanelConditioner
) -> None:
    loud = Panel(elements=(element(1, "a (GREEN:1.4) star<lora:ink:0.5>|moon", 0.2, 0.9),))
    plain = Panel(elements=(element(1, "a green star", 0.2, 0.9),))
    outs = [Drawing(host, controlled("panel", panel, local_mask=False)).run()[0] for panel in (loud, plain)]
    assert torch.equal(*outs)


def test_loras_of_elements_are_told_not_to_act_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = FakeNetworks()
    monkeypatch.setitem(sys.modules, "networks", networks)
    drawing = Drawing(host, controlled("panel", TAGGED, local_mask=False))
    drawing.run()
    assert drawing.comments == [
        "Ranni: in mode panel LoRAs of elements (ink) do not act; latent mode uses them whole"
    ]
    assert networks.loads == []


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_without_a_conditioner_draws_on_and_says_so(host: Host, mode: str) -> None:
    drawing = Drawing(host, controlled(mode, conditioner="", postfix="4k"))
    out = drawing.run()
    without = Drawing(host, {} if mode == "panel" else asked(mode)).run()
    assert torch.equal(torch.stack(out), torch.stack(without))
    assert drawing.p.prompts == ["a table"]
    assert len(drawing.comments) == 1
    assert "checkpoint.safetensors has no panel conditioner; choose one of " in drawing.comments[0]
    assert "has no panel conditioner" in drawing.p.extra_generation_params["Ranni problem"]
    assert left_behind(host, drawing) == []


def test_a_checkpoints_own_conditioner_is_read_from_its_file(
    host: Host, conditioner: PanelConditioner
) -> None:
    named = Drawing(host, controlled("attention")).run()
    tensors = {PREFIX + name: tensor for name, tensor in conditioner.state_dict().items()}
    save_file({"betas": torch.zeros(1), **tensors}, host.checkpoint.filename)
    assert torch.equal(named[0], Drawing(host, controlled("attention", conditioner="")).run()[0])


@pytest.mark.parametrize(
    ("widths", "complaint"),
    [
        (Widths((2, 3, 4, 5), WIDTH + 1, CHANNELS), "for texts of width 17, this model's have 16"),
        (Widths((2, 3, 4, 5), WIDTH, 9), "for 9 channels, this model has 16"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_conditioner_of_another_model_costs_the_control_only(
    host: Host, tmp_path: Path, widths: Widths, complaint: str, mode: str
) -> None:
    other = tmp_path / "models" / "Ranni" / "of" / "another.safetensors"
    other.parent.mkdir()
    save_file(trained(widths).state_dict(), str(other))
    drawing = Drawing(host, controlled(mode, conditioner="of/another", local_mask=False))
    out = drawing.run()
    assert len(drawing.comments) == 1
    assert complaint in drawing.comments[0]
    if mode != "panel":
        assert torch.allclose(out[1], Drawing(host, asked(mode)).run()[1], atol=1e-6)
    assert left_behind(host, drawing) == []


@pytest.mark.parametrize("name", ["../checkpoint", "nope", "/etc/passwd"])
def test_a_conditioner_outside_the_folder_is_not_read(host: Host, name: str) -> None:
    drawing = Drawing(host, controlled("attention", conditioner=name))
    drawing.run()
    assert "there are: small" in drawing.comments[0]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_behind(host: Host, mode: str) -> None:
    drawing = Drawing(host, controlled(mode))
    drawing.run()
    assert left_behind(host, drawing) == []


def test_tiles_are_noticed(host: Host, unet: nn.Module) -> None:
    """What calls the UNet for parts of the picture would put the whole panel into each of them."""
    drawing = Drawing(host, controlled("panel"))
    plain = Drawing(host, {}).run()

    def in_tiles(params: Any) -> None:
        wrap = params.denoiser.inner_model
        if hasattr(wrap, "tiled"):
            return
        wrap.tiled, whole = True, wrap.forward

        def forward(x: Tensor, sigma: Tensor, cond: Any) -> Tensor:
            return torch.cat(
                [whole(x[..., :5, :], sigma, cond=cond), whole(x[..., 5:, :], sigma, cond=cond)], -2
            )

        wrap.forward = forward

    host.callbacks["cfg_denoiser"].insert(0, in_tiles)
    tiled = Drawing(host, {}).run()
    out = drawing.run()
    assert not torch.equal(tiled[0], plain[0])
    assert torch.allclose(out[0], tiled[0], atol=1e-6)
    assert "drawn in tiles" in drawing.comments[-1]


@pytest.mark.parametrize("mode", MODES)
def test_the_hires_pass_can_go_without(host: Host, mode: str) -> None:
    fields = {"is_hr_pass": True, "hr_second_pass_steps": 0, "hr_upscale_to_x": 144, "hr_upscale_to_y": 160}
    fields["hr_prompts"] = ["a table"]
    request = asked(mode, 0.2, control=ALWAYS, hires={"enabled": False})
    assert torch.equal(Drawing(host, request, **fields).run()[0], Drawing(host, {}, **fields).run()[0])
    on = Drawing(host, asked(mode, 0.2, control=ALWAYS), **fields).run()
    off = Drawing(host, asked(mode, 0.2, control={**ALWAYS, "scale": 0}), **fields).run()
    assert not torch.allclose(on[0], off[0], atol=1e-3)


def test_it_follows_the_model_that_is_exchanged(
    host: Host, tmp_path: Path, conditioner: PanelConditioner
) -> None:
    tensors = {PREFIX + name: tensor for name, tensor in conditioner.state_dict().items()}
    save_file(tensors, host.checkpoint.filename)
    bare = tmp_path / "refiner.safetensors"
    save_file({"betas": torch.zeros(1)}, str(bare))
    drawing = Drawing(host, controlled("attention", conditioner=""))

    def exchange(params: Any) -> None:
        if params.denoiser.step == 2:
            host.checkpoint.filename = str(bare)

    host.callbacks["cfg_denoiser"].insert(0, exchange)
    out = drawing.run()
    host.callbacks["cfg_denoiser"].remove(exchange)
    whole = Drawing(host, controlled("attention")).run()
    without = Drawing(host, asked("attention")).run()
    assert torch.equal(out[1], whole[1])
    assert torch.equal(out[2], without[2])
    assert "refiner.safetensors has no panel conditioner" in drawing.comments[0]


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("a table", "a table, 4k"),
        ("", "4k"),
        ("a table AND snow", "a table, 4k AND snow"),
        ("a table :1.2 AND snow :0.5", "a table, 4k :1.2 AND snow :0.5"),
        ("a RANDOM SANDY beach", "a RANDOM SANDY beach, 4k"),
        ("at 12:30", "at 12:30, 4k"),
    ],
)
def test_the_postfix_ends_the_part_the_panel_is_of(host: Host, prompt: str, wanted: str) -> None:
    drawing = Drawing(host, controlled("panel", postfix="4k"))
    drawing.p.prompts = [prompt]
    drawing.run()
    assert drawing.p.prompts == [wanted]


def test_beside_regions_the_postfix_is_a_label_alone(host: Host) -> None:
    drawing = Drawing(host, controlled("attention", postfix="4k"))
    out = drawing.run()
    assert drawing.p.prompts == ["a table"]
    assert not torch.allclose(out[0], Drawing(host, controlled("attention")).run()[0], atol=1e-5)


# The noise schedule


def job(**fields: Any) -> Any:
    return SimpleNamespace(override_settings={}, override_settings_restore_afterwards=True, **fields)


def before(request: Any, **fields: Any) -> Any:
    from lib_ranni.webui import script

    p = job(**fields)
    script.RanniScript().before_process(p, request)
    return p


@pytest.fixture
def release(host: Host, conditioner: PanelConditioner) -> None:
    names = [PREFIX + "ins_box_mapping.0.weight", "cond_stage_model.model.ln_final.weight"]
    save_file({name: torch.zeros(1) for name in names}, host.checkpoint.filename)


@pytest.mark.usefixtures("release")
def test_rannis_checkpoint_is_drawn_on_the_schedule_it_was_trained_on(host: Host) -> None:
    p = before(asked("attention"))
    assert p.override_settings == {"sd_noise_schedule": "Zero Terminal SNR"}
    # The host puts back only what it finds there.
    assert host.shared.opts.data["sd_noise_schedule"] == "Default"


def test_a_pickled_checkpoint_is_looked_into_without_being_read_whole(host: Host) -> None:
    names = [PREFIX + "ins_box_mapping.0.weight", "cond_stage_model.model.ln_final.weight"]
    path = Path(host.checkpoint.filename).with_suffix(".ckpt")
    host.checkpoint.filename = str(path)
    torch.save({"state_dict": dict.fromkeys(names, torch.zeros(1))}, path)
    assert before(asked("attention")).override_settings
    torch.save(dict.fromkeys(names, torch.zeros(1)), path, _use_new_zipfile_serialization=False)
    assert not before(asked("attention")).override_settings
    path.write_bytes(b"no checkpoint")
    assert not before(asked("attention")).override_settings


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("idle", [{}, {"panel": {"elements": []}}])
def test_idle_it_leaves_the_schedule(host: Host, idle: Any) -> None:
    assert before(idle).override_settings == {}


def test_other_checkpoints_keep_their_schedule(host: Host) -> None:
    assert before(asked("attention")).override_settings == {}
    Path(host.checkpoint.filename).unlink()
    assert before(asked("attention")).override_settings == {}


@pytest.mark.usefixtures("release")
def test_a_job_that_keeps_its_overrides_does_not_keep_ours(host: Host) -> None:
    from lib_ranni.webui import script

    p = before(asked("attention"))
    p.override_settings_restore_afterwards = False
    host.shared.opts.sd_noise_schedule = "Zero Terminal SNR"
    script.RanniScript().postprocess(p)
    assert host.shared.opts.sd_noise_schedule == "Default"
