"""Layout noise and the attention bias against the double of the host."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_document
from tests.webui.fake_host import Host
from tests.webui.test_passes import Drawing, asked, latent

PANEL = Panel(
    elements=(
        Element(id="e1", description="table", box=Box(0, 0, 0.5, 1), colors=("#ff0000",)),
        Element(id="e2", description="lamp", box=Box(0.6, 0, 1, 1)),
    )
)


def leaning(drawing: Drawing, images: int = 1) -> Tensor:
    """The noise that the sampler gets."""
    x = latent(images)
    drawing.script.process(drawing.p, True, drawing.request)
    drawing.script.process_batch(drawing.p, True, drawing.request)
    drawing.script.process_before_every_sampling(drawing.p, True, drawing.request, x=x, noise=x)
    return x


def wanted(panel: Any = PANEL, **guidance: Any) -> dict[str, Any]:
    return asked("attention", panel=panel, **guidance)


def test_the_noise_is_changed_in_place_inside_the_boxes(host: Host) -> None:
    own, lean = latent(1), leaning(Drawing(host, wanted(layout_noise=2.0)))
    assert torch.equal(lean[..., 5:], own[..., 5:])
    # Red is (1, -1, -1) and their mean; the sampler's first sigma is 14.6, and it starts from sigma n.
    added = 14.6 * (lean - own)[0, :, 5, 1]
    torch.testing.assert_close(added, 2 * torch.tensor([1, -1, -1, -1 / 3]), atol=0.02, rtol=0)
    assert torch.equal(leaning(Drawing(host, wanted())), own)


def test_every_kind_of_sampler_is_known(host: Host) -> None:
    own = latent(1)
    plain = leaning(Drawing(host, wanted(layout_noise=1.0)))
    host.shared.opts.sgm_noise_multiplier = True
    louder = leaning(Drawing(host, wanted(layout_noise=1.0)))
    torch.testing.assert_close(
        (louder - own)[0, :, 5, 1] * math.hypot(1, 14.6), (plain - own)[0, :, 5, 1] * 14.6, atol=0.2, rtol=0
    )
    host.by_timesteps = True
    by_timesteps = leaning(Drawing(host, wanted(layout_noise=1.0)))
    # Four steps begin at timestep 751, where a quarter of the variance is picture.
    alpha = float(host.shared.sd_model.alphas_cumprod[751])
    k = torch.tensor([1, -1, -1, -1 / 3])
    rest = (1 - k.square()).clamp(min=0)
    expected = math.sqrt(alpha) * k + (1 - alpha + alpha * rest).sqrt() * own[0, :, 5, 1]
    torch.testing.assert_close(by_timesteps[0, :, 5, 1], expected, atol=0.02, rtol=0)


def test_random_numbers_of_the_job_stay_what_they_are(host: Host) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = leaning(Drawing(host, wanted(layout_noise=1.0)))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(leaning(Drawing(host, wanted(layout_noise=1.0))), first)


def test_pictures_of_a_batch_have_their_own_panels(host: Host) -> None:
    plain = Panel(elements=PANEL.elements[1:])
    lean = leaning(Drawing(host, wanted([plain, PANEL], layout_noise=1.0), images=2), 2)
    assert torch.equal(lean[0], latent(2)[0])
    assert not torch.equal(lean[1], latent(2)[1])


@pytest.mark.parametrize("fields", [{"is_hr_pass": True, "hr_prompts": ["a table"]}, {"init_images": []}])
def test_passes_that_start_from_a_picture_are_left_alone(host: Host, fields: dict[str, Any]) -> None:
    fields = {"hr_second_pass_steps": 4, "hr_upscale_to_x": 72, "hr_upscale_to_y": 80, **fields}
    drawing = Drawing(host, wanted(layout_noise=3.0), **fields)
    assert torch.equal(leaning(drawing), latent(1))
    assert drawing.comments == []


def test_what_goes_wrong_costs_no_picture(host: Host) -> None:
    bare = Drawing(host, wanted(Panel(elements=PANEL.elements[1:]), layout_noise=1.0))
    assert torch.equal(leaning(bare), latent(1))
    assert "has colors" in bare.comments[0]
    host.by_timesteps = True
    host.shared.sd_model.alphas_cumprod[751] = 0.0
    pure = Drawing(host, wanted(layout_noise=1.0))
    assert torch.equal(leaning(pure), latent(1))
    assert "pure noise" in pure.comments[0]
    host.shared.sd_model.is_sd3 = True
    assert torch.equal(leaning(Drawing(host, wanted(layout_noise=1.0))), latent(1))


def test_the_bias_acts_on_the_words_of_the_prompt(host: Host, unet: nn.Module) -> None:
    plain = Drawing(host, wanted(base_ratio=1.0)).run()
    biased = Drawing(host, wanted(base_ratio=1.0, attention_bias=0.7)).run()
    assert not torch.allclose(biased[0], plain[0], atol=1e-4)
    # The prompt is "a table": a panel that names nothing of it changes nothing.
    other = to_document(Panel(elements=PANEL.elements[1:]))
    request = {"panel": other, "guidance": {"base_ratio": 1.0, "attention_bias": 0.7}}
    assert torch.equal(Drawing(host, request).run()[0], Drawing(host, wanted(base_ratio=1.0)).run()[0])
    assert [name for name, module in unet.named_modules() if "forward" in module.__dict__] == []


def test_columns_are_counted_as_the_host_lays_them_out(host: Host) -> None:
    from lib_ranni.webui.binding import Binding, columns
    from lib_ranni.webui.encoding import Span

    assert columns("the red table and a table", "a table") == {3, 6}
    assert columns("word " * 12 + "tables", "table") == {77 + 1 + 2}
    binding = Binding(["a lamp|a table AND a lamp"], [PANEL.elements], Span(10, None, 64, 64), 0.5)
    assert binding.named(0, 0) == (frozenset(), frozenset({2}))
    assert binding.named(0, 9) == (frozenset({2}), frozenset())


def test_a_tokenizer_that_fails_costs_the_bias_alone(host: Host) -> None:
    host.shared.sd_model.cond_stage_model = None
    drawing = Drawing(host, wanted(attention_bias=0.7))
    assert torch.equal(drawing.run()[0], Drawing(host, wanted()).run()[0])
    assert "the attention bias does not act" in drawing.comments[0]
    assert "bias" in drawing.p.extra_generation_params["Ranni problem"]


def test_in_latent_mode_the_bias_is_left_out(host: Host) -> None:
    request = asked("latent", panel=PANEL, attention_bias=1.0)
    drawing = Drawing(host, request)
    assert torch.equal(drawing.run()[0], Drawing(host, asked("latent", panel=PANEL)).run()[0])
    assert any("attention mode only" in comment for comment in drawing.comments)
