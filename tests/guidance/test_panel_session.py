"""Panel control inside running UNets of both naming schemes: what ranni.md 8.8 asks of it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Keys, attend
from lib_ranni.guidance.guides import PlainGuide, Row
from lib_ranni.guidance.panel_control import Painted, PanelConditioner, Widths, blended
from lib_ranni.guidance.panel_session import Control, PanelControlSession, PanelLabels
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import PanelTexts
from lib_ranni.panel.types import Box
from tests.guidance.conftest import SpatialTransformer
from tests.guidance.test_panel_control import trained

ALWAYS = Control(scale=1.0, start=1000, stop=0)
CHANNELS = 16


class ControlledUNet(nn.Module):
    """Four levels with latent-diffusion's names; each halves with ceil and has a cross-attention."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Sequential(nn.Conv2d(4, CHANNELS, 3, padding=1))]
        for level in range(4):
            if level:
                blocks.append(nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1))
            blocks.append(SpatialTransformer(CHANNELS))
        self.input_blocks = nn.ModuleList(blocks)
        self.out = nn.Conv2d(CHANNELS, 4, 3, padding=1)

    def forward(self, x: Tensor, timesteps: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        h = self.input_blocks[0](x)
        skip = h
        for block in self.input_blocks[1:]:
            h = block(h, context) if isinstance(block, SpatialTransformer) else block(h)
        return self.out(skip + nn.functional.interpolate(h, size=skip.shape[-2:]))


@pytest.fixture(scope="module")
def controlled_unet() -> nn.Module:
    torch.manual_seed(3)
    return ControlledUNet().eval().requires_grad_(False)


@pytest.fixture(params=["controlled", "diffusers"])
def unet(request: pytest.FixtureRequest) -> nn.Module:
    return request.getfixturevalue(f"{request.param}_unet")


@pytest.fixture
def conditioner() -> PanelConditioner:
    return trained(Widths((2, 3, 4, 5), 6, CHANNELS))


@pytest.fixture
def labels(panel, element):
    """A picture with two elements: column 2 says the first, 3 and 4 the second; column 5 is the end."""

    def make(seed: int = 0, **fields: Any) -> PanelLabels:
        elements = fields.pop("elements", [element(0, 0, 0.5, 1), element(0.5, 0.3, 1, 1)])
        texts: PanelTexts = panel(elements, seed=seed)
        vectors = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed))
        settings: dict[str, Any] = {
            "columns": (frozenset({2}), frozenset({3, 4}))[: len(elements)],
            "ends": {texts.base: (5,), texts.base_negative: (3,)},
        }
        return PanelLabels(texts, tuple(vectors[: len(elements)]), vectors[2], **{**settings, **fields})

    return make


def call(unet: nn.Module, rows: list[Row], size=(10, 9), timestep: float = 800) -> Tensor:
    x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(9)).repeat(len(rows), 1, 1, 1)
    out = unet(x, torch.tensor(timestep), torch.stack([row.text.context for row in rows]))
    return getattr(out, "sample", out)


def rows_of(*pictures: PanelLabels) -> list[Row]:
    return PlainGuide([picture.panel for picture in pictures], 3.0).rows(0.0, (10, 9))


def step(unet, conditioner, pictures, control=ALWAYS, rows=None, masks=False, **more) -> Tensor:
    rows = rows_of(*pictures) if rows is None else rows
    with PanelControlSession(unet, conditioner, pictures, control, masks=masks) as session:
        session.assign(rows, 0.0)
        return call(unet, rows, **more)


def behind_first(unet: nn.Module) -> nn.Module:
    return getattr(unet, "conv_in", None) or unet.input_blocks[0]


# The residual


def test_conditioned_rows_get_the_residual_behind_the_first_convolution(unet, conditioner, labels) -> None:
    picture, seen = labels(), []
    size = (80, 72)
    wanted = conditioner.merged(picture.painted((0, 1), size))
    with PanelControlSession(unet, conditioner, [picture], Control(0.6, 1000, 0), masks=False) as session:
        rows = rows_of(picture)
        handle = behind_first(unet).register_forward_hook(lambda m, a, o: seen.append(o))
        session.assign(rows, 0.0)
        call(unet, rows)
        call(unet, rows)  # nobody announced this one
        handle.remove()
    torch.testing.assert_close(seen[0][1] - seen[1][1], 0.6 * wanted, atol=1e-5, rtol=1e-4)
    assert torch.equal(seen[0][0], seen[1][0])


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 3, 0, 1], [0], [1], [2], [3, 0]])
def test_rows_of_the_negative_side_stay_bit_for_bit(unet, conditioner, labels, order) -> None:
    """Batched, split, in any order, and where a host leaves them out."""
    pictures = [labels(1), labels(2)]
    rows = [rows_of(*pictures)[n] for n in order]
    plain, got = call(unet, rows), step(unet, conditioner, pictures, rows=rows)
    for row, before, after in zip(rows, plain, got, strict=True):
        assert torch.equal(before, after) == row.negative


def test_each_picture_of_a_batch_has_its_own_panel(unet, conditioner, labels) -> None:
    """Upstream was indexed out of range for more than one picture."""
    pictures = [labels(1), labels(2, elements=[])]
    together = step(unet, conditioner, pictures, masks=True)
    for n, picture in enumerate(pictures):
        alone = step(unet, conditioner, [picture], masks=True)
        torch.testing.assert_close(together[[n, 2 + n]], alone, atol=1e-5, rtol=1e-4)


def behind(
    unet: nn.Module, conditioner: PanelConditioner, picture: PanelLabels, control: Control, timestep: float
) -> tuple[Tensor, Tensor]:
    """What the first convolution gives for the conditioned row, and what is added to it."""
    seen: list[Tensor] = []
    rows = rows_of(picture)
    with PanelControlSession(unet, conditioner, [picture], control, masks=False) as session:
        handle = behind_first(unet).register_forward_hook(lambda m, a, o: seen.append(o))
        session.assign(rows, 0.0)
        call(unet, rows, timestep=timestep)
        call(unet, rows, timestep=timestep)  # nobody announced this one
        handle.remove()
    assert torch.equal(seen[0][0], seen[1][0])  # the negative side
    return seen[1][1], seen[0][1] - seen[1][1]


def test_palettes_look_at_the_picture_in_each_step(unet, labels, element) -> None:
    conditioner = trained(Widths((2, 3, 4, 5), 6, CHANNELS, colors=True, feedback=True))
    picture = labels(elements=[element(0, 0, 0.5, 1, colors=("#ff0000",))])
    colored = conditioner.colored(picture.painted((0,), (80, 72)))
    assert colored is not None
    first, added = behind(unet, conditioner, picture, Control(0.5), 300)
    wanted, other = 0.5 * conditioner.corrected([colored] * 2, [300, 300], torch.stack([first, -first]))
    torch.testing.assert_close(added, wanted, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(added, other, atol=1e-1)


def test_palettes_act_to_the_end_and_beside_the_layout(unet, labels, element) -> None:
    conditioner = trained(Widths((2, 3, 4, 5), 6, CHANNELS, colors=True))
    bare = labels(elements=[element(0, 0, 0.5, 1)])
    red = labels(elements=[element(0, 0, 0.5, 1, colors=("#ff0000",))])
    colored = conditioner.colored(red.painted((0,), (80, 72)))
    layout = conditioner.merged(red.painted((0,), (80, 72)))
    assert colored is not None
    knots = colored.knots

    def added(picture: PanelLabels, control: Control, timestep: float) -> Tensor:
        return behind(unet, conditioner, picture, control, timestep)[1]

    near = {"atol": 1e-5, "rtol": 1e-4}
    torch.testing.assert_close(added(red, Control(0.5), 800), 0.5 * (layout + blended(knots, 800)), **near)
    torch.testing.assert_close(added(red, Control(0.5), 1), 0.5 * blended(knots, 1), **near)
    torch.testing.assert_close(added(bare, Control(0.5), 800), 0.5 * layout, **near)
    assert not added(bare, Control(0.5), 1).any()
    assert not added(red, Control(0.5, start=700), 701).any()
    assert not added(red, Control(0), 1).any()


def test_fifty_ddim_steps_have_twenty_active() -> None:
    control = Control()
    assert sum(control.acts_at(t) for t in range(1, 1000, 20)) == 20
    assert [control.acts_at(t) for t in (600, 600.4, 601, 1000)] == [False, True, True, True]
    assert not Control(start=900).acts_at(901)
    assert not Control(scale=0).acts_at(800)


@pytest.mark.parametrize(("timestep", "acts"), [(600, False), (601, True), (999.3, True), (1, False)])
def test_the_gate_goes_by_the_timestep(unet, conditioner, labels, timestep, acts) -> None:
    picture = labels()
    got = step(unet, conditioner, [picture], Control(), timestep=timestep)
    assert torch.equal(got, call(unet, rows_of(picture), timestep=timestep)) != acts


def test_scale_0_is_off_bit_for_bit(unet, conditioner, labels) -> None:
    picture = labels()
    got = step(unet, conditioner, [picture], Control(scale=0.0, stop=0), masks=True)
    assert torch.equal(got, call(unet, rows_of(picture)))


def test_a_second_pass_of_another_size_is_made_anew(unet, conditioner, labels) -> None:
    picture = labels()
    rows = rows_of(picture)
    with PanelControlSession(unet, conditioner, [picture], ALWAYS) as session:
        session.assign(rows, 0.0)
        call(unet, rows, (10, 9))
        session.assign(rows, 0.0)
        second = call(unet, rows, (16, 20))
    assert torch.equal(second, step(unet, conditioner, [picture], rows=rows, masks=True, size=(16, 20)))


def test_it_is_computed_once_for_all_steps(unet, conditioner, labels, monkeypatch) -> None:
    made = []
    original = PanelConditioner.merged
    monkeypatch.setattr(PanelConditioner, "merged", lambda s, e: made.append(e) or original(s, e))
    picture = labels()
    rows = rows_of(picture)
    with PanelControlSession(unet, conditioner, [picture], ALWAYS) as session:
        for _ in range(3):
            session.assign(rows, 0.0)
            call(unet, rows)
    assert len(made) == 1


def test_an_element_acts_in_its_own_steps(unet, conditioner, labels, element) -> None:
    late = labels(elements=[element(0, 0, 0.5, 1, start=0.5)])
    none = labels(elements=[])
    rows = rows_of(late)
    drawn = []
    for picture, progress in ((late, 0.0), (none, 0.0), (late, 0.5)):
        with PanelControlSession(unet, conditioner, [picture], ALWAYS, masks=False) as session:
            session.assign(rows, progress)
            drawn.append(call(unet, rows))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], atol=1e-4)


def test_another_models_conditioner_is_refused(unet, labels) -> None:
    other = trained(Widths((2, 3, 4, 5), 6, CHANNELS + 1))
    with pytest.raises(GuidanceError, match="17 channels"):
        step(unet, other, [labels()])


# The local mask


def test_a_closed_end_token_is_a_deleted_row(controlled_unet, conditioner, labels) -> None:
    picture = labels(columns=())
    rows = rows_of(picture)
    got = step(controlled_unet, conditioner, [picture], Control(1.0, 1000, 999), rows, masks=True)
    cut = []
    for row in rows:
        ends = picture.ends[row.text]
        keep = [n for n in range(len(row.text.context)) if n not in ends]
        x = torch.randn(1, 4, 10, 9, generator=torch.Generator().manual_seed(9))
        cut.append(controlled_unet(x, torch.tensor(800), row.text.context[keep][None]))
    torch.testing.assert_close(got, torch.cat(cut), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (65, 81), (12, 12), (9, 40)])
def test_words_are_heard_inside_their_boxes_on_every_level(
    controlled_unet, conditioner, labels, element, size
) -> None:
    """Upstream took the square root of the number of tokens, right for squares alone."""
    inside = labels(elements=[element(0.5, 0.25, 1, 1)])
    attentions = [m for n, m in controlled_unet.named_modules() if n.endswith("attn2")]
    grids, h, w = [], *size
    for _ in attentions:
        grids.append((h, w))
        h, w = -(-h // 2), -(-w // 2)
    asked: list[tuple[Tensor, Tensor]] = []
    with PanelControlSession(
        controlled_unet, conditioner, [inside], Control(1.0, 1000, 999, close_end=False)
    ) as session:
        rows = rows_of(inside)[1:]
        for attention in attentions:
            attention.register_forward_hook(lambda m, a, o: asked.append((a[0], o)))
        session.assign(rows, 0.0)
        call(controlled_unet, rows, size)
        for attention in attentions:
            attention._forward_hooks.clear()
    assert len(asked) == len(grids)
    context = rows[0].text.context[None]
    without = torch.cat([context[:, :2], context[:, 3:]], 1)
    for attention, (h, w), (x, out) in zip(attentions, grids, asked, strict=True):

        def answer(own: Tensor, attention: Any = attention, x: Tensor = x) -> Tensor:
            keys = Keys(attention.to_k(own), attention.to_v(own))
            return attention.to_out(attend(attention.to_q(x), keys, attention.heads, attention.scale))

        heard, deaf = answer(context).unflatten(1, (h, w)), answer(without).unflatten(1, (h, w))
        got = out.unflatten(1, (h, w))
        right, low = -(-w // 2) + 1, -(-h // 4) + 1
        torch.testing.assert_close(got[:, low:, right:], heard[:, low:, right:], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(got[:, :, : w // 2 - 1], deaf[:, :, : w // 2 - 1], atol=1e-5, rtol=1e-4)


def test_the_mask_has_no_gate(unet, conditioner, labels) -> None:
    picture = labels()
    rows = rows_of(picture)
    got = step(unet, conditioner, [picture], Control(1.0, 1000, 999), rows, masks=True)
    assert not torch.allclose(got[1], call(unet, rows)[1], atol=1e-5)


def test_without_the_mask_only_the_end_is_closed(unet, conditioner, labels) -> None:
    with_columns = step(unet, conditioner, [labels()], Control(1.0, 1000, 999, local_mask=False), masks=True)
    without = step(unet, conditioner, [labels(columns=())], Control(1.0, 1000, 999), masks=True)
    assert torch.equal(with_columns, without)


def test_a_thin_box_is_heard_somewhere_on_every_level(controlled_unet, conditioner, labels, element) -> None:
    """Upstream sampled the nearest pixel: a box between the samples was heard nowhere."""
    picture = labels(elements=[element(0.31, 0.1, 0.33, 0.9)])
    session = PanelControlSession(controlled_unet, conditioner, [picture], ALWAYS)
    rows = rows_of(picture)
    with session:
        session.assign(rows, 0.0)
        call(controlled_unet, rows, (16, 16))
        for side in (16, 8, 4, 2):
            heard = session._heard(rows[1], (side, side), torch.device("cpu"))
            assert heard[:, 2].any()
            assert side == 2 or not heard[:, 2].all()


# Hooks


def left(unet: nn.Module) -> list[str]:
    return [
        name
        for name, m in unet.named_modules()
        if "forward" in m.__dict__ or m._forward_hooks or m._forward_pre_hooks
    ]


@pytest.mark.parametrize("kind", [None, RuntimeError, KeyboardInterrupt])
def test_hooks_are_gone_whatever_happens(unet, conditioner, labels, kind) -> None:
    picture = labels()
    rows = rows_of(picture)
    with pytest.raises(kind) if kind else nullcontext():  # noqa: SIM117 - the outer one must see the end
        with PanelControlSession(unet, conditioner, [picture], ALWAYS) as session:
            session.assign(rows, 0.0)
            call(unet, rows)
            assert left(unet)
            if kind is not None:
                raise kind
    assert left(unet) == []


def test_it_shares_a_unet_with_attention_mode(unet, conditioner, labels) -> None:
    """One has the cross-attentions, the other the first convolution."""
    picture = labels()
    rows = rows_of(picture)
    both: list[Tensor] = []
    for control in (Control(scale=0), ALWAYS):
        with (
            GuidanceSession(unet, [picture.panel]) as guidance,
            PanelControlSession(unet, conditioner, [picture], control, masks=False) as session,
        ):
            guidance.assign(rows, 0.0)
            session.assign(rows, 0.0)
            both.append(call(unet, rows))
    with GuidanceSession(unet, [picture.panel]) as guidance:
        guidance.assign(rows, 0.0)
        assert torch.equal(call(unet, rows), both[0])
    assert torch.equal(both[0][0], both[1][0])
    assert not torch.allclose(both[0][1], both[1][1], atol=1e-4)
    assert left(unet) == []


def test_what_goes_wrong_inside_is_told_once_and_the_model_left_alone(unet, conditioner, labels) -> None:
    told: list[Exception] = []
    picture = labels()
    rows = rows_of(picture)
    broken = trained(Widths((2, 3, 4, 5), 6, CHANNELS + 1))
    with PanelControlSession(unet, broken, [picture], ALWAYS, on_error=told.append) as session:
        session.assign(rows, 0.0)
        got = call(unet, rows)
    assert [type(error) for error in told] == [GuidanceError]
    assert torch.equal(got, call(unet, rows))


def test_strangers_and_other_models_are_refused(unet, conditioner, labels) -> None:
    picture = labels()
    with PanelControlSession(unet, conditioner, [picture], ALWAYS) as session:
        with pytest.raises(GuidanceError, match=r"pictures \[1\]"):
            session.assign([Row(1, picture.panel.base, False)], 0.0)
        with pytest.raises(GuidanceError, match="open already"):
            session.__enter__()
        rows = rows_of(picture)
        session.assign([rows[1]], 0.0)
        with pytest.raises(GuidanceError, match="2 rows, 1 were announced"):
            call(unet, rows)
    with pytest.raises(GuidanceError, match="first convolution"):
        PanelControlSession(nn.Linear(1, 1), conditioner, [picture], ALWAYS).__enter__()


# Upstream's defects in what is drawn (ranni.md 5.3)


@pytest.mark.parametrize("box", [Box(0, 0, 0.3, 0.4), Box(0.8, 0.9, 1, 1), Box(0, 0.4, 1, 0.401)])
def test_boxes_at_the_border_are_drawn(box: Box, conditioner, labels, element) -> None:
    """Upstream's masks wrapped around as negative slices and came out empty."""
    picture = labels(elements=[element(box.x0, box.y0, box.x1, box.y1)])
    for size in ((768, 768), (64, 96), (16, 8)):
        drawn = picture.painted((0,), size)[1]
        assert isinstance(drawn, Painted)
        share = float(drawn.mask.mean())
        assert share > 0
        assert abs(share - box.area) < 0.1


def test_the_postfix_covers_the_whole_canvas(labels) -> None:
    """Where upstream compared panels, its full-canvas box became a corner of ten pixels."""
    for picture in (labels(), labels(elements=[])):
        canvas = picture.painted(picture.panel.active(0.0), (64, 96))[0]
        assert bool((canvas.mask == 1).all())
        assert torch.equal(canvas.vector, picture.canvas)
