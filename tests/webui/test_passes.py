"""Guidance against the double of the host's denoiser: rows, both modes, and what is left behind."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_ranni.guidance.guides import make_guide
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing, weight_maps
from lib_ranni.panel.types import Box, Element, Panel
from tests.guidance.conftest import LdmUNet
from tests.webui.fake_host import Host, Part, Sampler, encoded

SCALE, STEPS, SIZE = 3.0, 4, (10, 9)
LONG = "a negative prompt of far more than ten words so that it needs two chunks"
MODES = ("attention", "latent")


def element(number: int, description: str, x0: float, x1: float, **fields: Any) -> Element:
    return Element(id=f"e{number}", description=description, box=Box(x0, 0.1, x1, 0.9), **fields)


PANEL = Panel(
    elements=(element(1, "red circle", 0.0, 0.5, negative="square"), element(2, "blue square", 0.5, 1.0))
)
OTHER = Panel(elements=(element(1, "green star", 0.2, 0.9),))


def latent(images: int) -> Tensor:
    noise = [torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(5 + n)) for n in range(images)]
    return torch.stack(noise)


class Drawing:
    """A job of the fake host, as its processing object sees it."""

    def __init__(self, host: Host, request: Any, images: int = 1, **fields: Any) -> None:
        from lib_ranni.webui import script

        self.comments: list[str] = []
        self.prompts = [[Part("a table")]] * images
        self.negatives = ["fog"] * images
        self.p = SimpleNamespace(
            sampler=Sampler(host),
            steps=STEPS,
            firstpass_steps=STEPS,
            width=72,
            height=80,
            is_hr_pass=False,
            iteration=0,
            batch_size=images,
            all_prompts=["a table"] * images,
            prompts=["a table"] * images,
            negative_prompts=self.negatives,
            hr_negative_prompts=self.negatives,
            hr_prompts=None,
            extra_generation_params={},
            comment=self.comments.append,
            is_api=False,
        )
        self.p.__dict__.update(fields)
        self.script = script.RanniScript()
        self.request = request

    def run(self) -> list[Tensor]:
        """The combined predictions of all steps, (images, 4, h, w) each."""
        self.script.process(self.p, True, self.request)
        self.script.process_batch(self.p, True, self.request)
        self.script.process_before_every_sampling(self.p, True, self.request)
        images = len(self.prompts)
        return self.p.sampler.sample(latent(images), self.prompts, self.negatives, SCALE, STEPS)


def asked(mode: str, base_ratio: float = 0.2, panel: Any = PANEL, **guidance: Any) -> dict[str, Any]:
    from lib_ranni.panel.writing import to_document

    panels = [to_document(p) for p in panel] if isinstance(panel, list) else to_document(panel)
    return {"panel": panels, "guidance": {"mode": mode, "base_ratio": base_ratio, **guidance}}


def reference(
    unet: nn.Module,
    mode: Any,
    image: int,
    panel: Panel = PANEL,
    base_ratio: float = 0.2,
    negative: str = "fog",
    progress: float = 0.0,
    texts: tuple[str, ...] | None = None,
) -> Tensor:
    """One picture on its own, row by row: (4, h, w)."""
    known: dict[str, Text] = {}

    def text(words: str) -> Text:
        return known.setdefault(words, Text(encoded(words)))

    own = [text(f"{negative}, {e.negative}") if e.negative else None for e in panel.elements]
    words = texts or tuple(e.description for e in panel.elements)
    picture = PanelTexts(
        panel.elements,
        tuple(text(w) for w in words),
        tuple(own),
        text("a table"),
        text(negative),
        Mixing(base_ratio),
    )
    guide = make_guide(mode, [picture], SCALE)
    x = latent(image + 1)[image:]
    with GuidanceSession(unet, [picture]) as session:
        answers = []
        for row in guide.rows(progress, SIZE):
            if mode == "attention":
                session.assign([row], progress)
            answers.append(unet(x, torch.tensor([500]), context=row.text.context[None]))
    return guide.combine(torch.cat(answers), progress)[0]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("negative", ["fog", LONG])
@pytest.mark.parametrize("images", [1, 2, 4])
@pytest.mark.parametrize("base_ratio", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("mode", MODES)
def test_every_arrangement_of_rows_equals_one_row_at_a_time(
    host: Host,
    unet: nn.Module,
    mode: str,
    base_ratio: float,
    images: int,
    negative: str,
    together: bool,
) -> None:
    host.shared.opts.batch_cond_uncond = together
    panels = [PANEL, OTHER, PANEL, OTHER][:images]
    drawing = Drawing(host, asked(mode, base_ratio, panels), images)
    drawing.negatives[:] = [negative] * images
    out = drawing.run()
    assert host.reported == []
    assert drawing.comments == []
    for image, panel in enumerate(panels):
        expected = reference(unet, mode, image, panel, base_ratio, negative)
        assert torch.allclose(out[0][image], expected, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_parts_after_and_act_on_the_whole_picture(host: Host, unet: nn.Module, mode: str) -> None:
    drawing = Drawing(host, asked(mode), 2)
    drawing.prompts = [[Part("a table"), Part("snow", 0.5)], [Part("a table")]]
    out = drawing.run()[0]
    assert host.reported == []
    alone = reference(unet, mode, 0)
    x = latent(1)
    snow, fog = (unet(x, torch.tensor([500]), context=encoded(text)[None])[0] for text in ("snow", "fog"))
    if mode == "attention":
        assert torch.allclose(out[0] - alone, SCALE * 0.5 * (snow - _negative(unet)), atol=1e-4)
    else:
        assert not torch.allclose(out[0], alone, atol=1e-3)
        assert not torch.allclose(snow, fog, atol=1e-3)
    assert torch.allclose(out[1], reference(unet, mode, 1), atol=1e-4)


def _negative(unet: nn.Module) -> Tensor:
    """What the guided negative row of the first picture answers in attention mode."""
    words = ("fog", "fog, square")
    texts = [Text(encoded(text)) for text in words]
    picture = PanelTexts(
        PANEL.elements, (texts[0], texts[0]), (texts[1], None), texts[0], texts[0], Mixing(0.2)
    )
    guide = make_guide("attention", [picture], SCALE)
    row = guide.rows(0.0, SIZE)[0]
    with GuidanceSession(unet, [picture]) as session:
        session.assign([row], 0.0)
        return unet(latent(1), torch.tensor([500]), context=texts[0].context[None])[0]


@pytest.mark.parametrize("mode", MODES)
def test_without_negatives_the_regions_alone_count(host: Host, mode: str) -> None:
    host.shared.opts.skip = True
    drawing = Drawing(host, asked(mode, 0.0))
    out = drawing.run()
    assert host.reported == []
    host.shared.opts.skip = False
    plain = Drawing(host, {}).run()
    assert not torch.allclose(out[0], plain[0], atol=1e-3)


def test_in_latent_mode_a_base_that_acts_nowhere_costs_no_row(host: Host) -> None:
    full = Panel(elements=(element(1, "sea", 0, 1), element(2, "sky", 0, 1, weight=1.0)))
    whole = Panel(
        elements=tuple(
            Element(id=e.id, description=e.description, box=Box(x, 0.0, x + 0.5, 1.0))
            for e, x in zip(full.elements, (0.0, 0.5), strict=True)
        )
    )
    rows = {}
    for ratio in (0.0, 0.2):
        drawing = Drawing(host, asked("latent", ratio, whole))
        drawing.run()
        rows[ratio] = sum(drawing.p.sampler.model_wrap_cfg.wrap.rows) // STEPS
    assert rows == {0.0: 3, 0.2: 4}


def test_start_and_end_and_schedules_change_on_the_way(host: Host, unet: nn.Module) -> None:
    late = Panel(elements=(element(1, "red circle|green star", 0.0, 1.0, start=0.5),))
    out = Drawing(host, asked("attention", 0.0, late)).run()
    plain = Drawing(host, {}).run()
    assert torch.allclose(out[0], plain[0], atol=1e-6)
    now = Panel(elements=(element(1, "x", 0.0, 1.0),))
    for step in (2, 3):
        words = "red circle" if step <= STEPS // 2 else "green star"
        expected = reference(unet, "attention", 0, now, 0.0, texts=(words,))
        assert torch.allclose(out[step][0], expected, atol=1e-4)


@pytest.mark.parametrize("hires", [{"enabled": False}, {"base_ratio": 1.0}, {"end": 0.0}])
def test_the_hires_pass_has_its_own_settings(host: Host, hires: dict[str, Any]) -> None:
    fields = {"is_hr_pass": True, "hr_second_pass_steps": 0, "hr_upscale_to_x": 144, "hr_upscale_to_y": 160}
    plain = Drawing(host, {}, **fields).run()
    unguided = Drawing(host, asked("attention", 0.0, OTHER, hires=hires), **fields).run()
    guided = Drawing(host, asked("attention", 0.0, OTHER), **fields).run()
    assert torch.allclose(unguided[0], plain[0], atol=1e-5)
    assert not torch.allclose(guided[0], plain[0], atol=1e-3)


def left_behind(host: Host, drawing: Drawing) -> list[str]:
    """Everything that differs from before: instance attributes and hooks of the host's objects."""
    unet = host.shared.sd_model.model.diffusion_model
    found = [n for n, m in unet.named_modules() if "forward" in m.__dict__]
    found += [n for n, m in unet.named_modules() if m._forward_hooks or m._forward_pre_hooks]
    sampler = drawing.p.sampler
    found += [name for name in sampler.__dict__ if name == "launch_sampling"]
    for owner in (sampler.model_wrap_cfg, sampler.model_wrap_cfg.wrap):
        found += [name for name in owner.__dict__ if "ranni" in name or name == "forward"]
    return found


class Stop(BaseException):
    """As the host's InterruptedException, not an Exception."""


@pytest.mark.parametrize("error", [None, RuntimeError, Stop])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_behind(host: Host, mode: str, error: type[BaseException] | None) -> None:
    drawing = Drawing(host, asked(mode))
    if error is None:
        drawing.run()
        assert left_behind(host, drawing) == []
        return
    unet = host.shared.sd_model.model.diffusion_model

    def fail(module: nn.Module, args: Any) -> None:
        raise error("in the middle of a step")

    handle = unet.out.register_forward_pre_hook(fail)
    with pytest.raises(error):
        drawing.run()
    handle.remove()
    assert left_behind(host, drawing) == []


@pytest.mark.parametrize("mode", MODES)
def test_an_error_of_ours_costs_no_picture(host: Host, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    from lib_ranni.guidance import session, texts

    def broken(*_: Any) -> Any:
        raise ValueError("a fault in our own code")

    monkeypatch.setattr(session, "merged", broken)
    monkeypatch.setattr(texts.PanelTexts, "maps", broken)
    drawing = Drawing(host, asked(mode))
    out = drawing.run()
    plain = Drawing(host, {}).run()
    assert torch.allclose(out[0], plain[0], atol=1e-5)
    assert len(drawing.comments) == 1
    assert "drawn without the panel: a fault in our own code" in drawing.comments[0]
    assert left_behind(host, drawing) == []


def test_rows_that_another_extension_added_are_noticed(host: Host) -> None:
    def add_a_row(params: Any) -> None:
        params.x = torch.cat([params.x, params.x[:1]])

    drawing = Drawing(host, asked("latent"))
    host.callbacks["cfg_denoiser"].insert(0, add_a_row)
    out = drawing.run()
    host.callbacks["cfg_denoiser"].remove(add_a_row)
    assert torch.equal(out[0], Drawing(host, {}).run()[0])
    assert "another extension adds rows" in drawing.comments[0]


@pytest.mark.parametrize("mode", MODES)
def test_who_took_the_cross_attention_keeps_it_and_is_named(host: Host, unet: nn.Module, mode: str) -> None:
    code = compile(
        "def forward(x, context=None, **_): return x", "/ui/extensions/columns/scripts/a.py", "exec"
    )
    theirs: dict[str, Any] = {}
    exec(code, theirs)
    layer = next(module for name, module in unet.named_modules() if name.endswith("attn2"))
    layer.forward = theirs["forward"]
    try:
        drawing = Drawing(host, asked(mode))
        out = drawing.run()
        assert torch.equal(out[0], Drawing(host, {}).run()[0])
        assert "the extension columns has taken over the cross-attention" in drawing.comments[0]
        assert "the extension columns" in drawing.p.extra_generation_params["Ranni problem"]
        assert layer.forward is theirs["forward"]
    finally:
        del layer.forward


def test_a_checkpoint_that_changes_on_the_way_is_followed(host: Host, unet: nn.Module) -> None:
    drawing = Drawing(host, asked("attention"))
    torch.manual_seed(7)
    refiner = LdmUNet().eval().requires_grad_(False)
    first = host.shared.sd_model

    def switch(params: Any) -> None:
        if params.denoiser.step == 2 and host.shared.sd_model is first:
            model = SimpleNamespace(diffusion_model=refiner, conditioning_key="crossattn")
            host.shared.sd_model = SimpleNamespace(model=model)
            params.denoiser.wrap = None

    host.callbacks["cfg_denoiser"].insert(0, switch)
    out = drawing.run()
    assert drawing.comments == []
    assert torch.allclose(out[1][0], reference(unet, "attention", 0), atol=1e-4)
    assert torch.allclose(out[3][0], reference(refiner, "attention", 0), atol=1e-4)
    assert left_behind(host, drawing) == []
    assert not any("forward" in m.__dict__ for m in unet.modules())


def test_weights_that_are_loaded_into_the_same_model_are_followed(host: Host, unet: nn.Module) -> None:
    drawing = Drawing(host, asked("attention"))
    torch.manual_seed(7)
    refiner = LdmUNet().eval().requires_grad_(False)
    before = copy.deepcopy(unet.state_dict())
    model = host.shared.sd_model
    model.sd_checkpoint_info = SimpleNamespace(filename="first.safetensors")

    def switch(params: Any) -> None:
        if params.denoiser.step == 2 and model.sd_checkpoint_info.filename == "first.safetensors":
            unet.load_state_dict(refiner.state_dict())
            model.sd_checkpoint_info = SimpleNamespace(filename="second.safetensors")

    host.callbacks["cfg_denoiser"].insert(0, switch)
    try:
        out = drawing.run()
    finally:
        unet.load_state_dict(before)
    assert drawing.comments == []
    assert torch.allclose(out[1][0], reference(unet, "attention", 0), atol=1e-4)
    assert torch.allclose(out[3][0], reference(refiner, "attention", 0), atol=1e-4)


class FakeNetworks(ModuleType):
    """The Lora extension's module: what is loaded adds its weight to whatever the UNet predicts."""

    def __init__(self) -> None:
        super().__init__("networks")
        self.available_network_aliases = {"ink": None, "oil": None}
        self.loaded_networks: list[Any] = []
        self.networks_in_memory: dict[str, Any] = {}
        self.loads: list[list[str]] = []

    def load_networks(self, names: list[str], te: list[float], unet: list[float], dyn: list[Any]) -> None:
        self.loads.append(names)
        self.loaded_networks = [
            SimpleNamespace(name=n, te_multiplier=t, unet_multiplier=u, dyn_dim=d)
            for n, t, u, d in zip(names, te, unet, dyn, strict=True)
        ]

    def effect(self, module: nn.Module, args: Any, out: Tensor) -> Tensor:
        return out + sum(net.unet_multiplier for net in self.loaded_networks)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch, unet: nn.Module) -> Iterator[FakeNetworks]:
    found = FakeNetworks()
    monkeypatch.setitem(sys.modules, "networks", found)
    handle = unet.out.register_forward_hook(found.effect)
    yield found
    handle.remove()


TAGGED = Panel(elements=(element(1, "red circle<lora:ink:0.8>", 0.0, 0.5), element(2, "star", 0.5, 1.0)))
BARE = Panel(elements=(element(1, "red circle", 0.0, 0.5), element(2, "star", 0.5, 1.0)))


def test_in_latent_mode_a_lora_acts_in_its_element_alone(host: Host, networks: FakeNetworks) -> None:
    networks.load_networks(["oil"], [0.5], [0.5], [None])
    bare = Drawing(host, asked("latent", 0.0, BARE)).run()
    drawing = Drawing(host, asked("latent", 0.0, TAGGED))
    difference = drawing.run()[0][0] - bare[0][0]
    share = weight_maps(BARE.elements, Mixing(0.0), SIZE, SIZE)[1]
    assert torch.allclose(difference, (0.8 * share).expand_as(difference), atol=1e-4)
    assert [net.name for net in networks.loaded_networks] == ["oil"]
    assert ["oil", "ink"] in networks.loads
    assert drawing.comments == []


def test_in_attention_mode_a_lora_acts_on_its_elements_text_alone(
    host: Host, unet: nn.Module, networks: FakeNetworks
) -> None:
    networks.load_networks(["oil"], [0.5], [0.5], [None])
    bare = Drawing(host, asked("attention", 0.2, BARE)).run()
    heard: list[tuple[bool, bool]] = []

    def tell(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        is_own = len(args[0]) == 1 and any(torch.equal(args[0][0], text) for text in own_texts)
        heard.append((is_own, [net.name for net in networks.loaded_networks] == ["oil", "ink"]))
        return out * (1 + networks.loaded_networks[-1].unet_multiplier)

    own_texts = [encoded(words) for words in ("red circle", "fog")]
    sites = [module.to_v for name, module in unet.named_modules() if name.endswith("attn2")]
    handles = [to_v.register_forward_hook(tell) for to_v in sites]
    drawing = Drawing(host, asked("attention", 0.2, TAGGED))
    out = drawing.run()
    for handle in handles:
        handle.remove()
    assert (True, True) in heard
    assert (False, False) in heard
    assert (False, True) not in heard
    assert not torch.allclose(out[0][0], bare[0][0], atol=1e-4)
    assert [net.name for net in networks.loaded_networks] == ["oil"]
    assert "(ink) act on the element's text only" in drawing.comments[0]


def test_a_lora_that_is_not_there_is_told(host: Host, networks: FakeNetworks) -> None:
    absent = Panel(elements=(element(1, "red circle<lora:nope>", 0.0, 0.5),))
    drawing = Drawing(host, asked("latent", 0.2, absent))
    drawing.run()
    assert "not there: nope" in drawing.comments[0]
