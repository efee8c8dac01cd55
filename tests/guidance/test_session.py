"""Attention mode inside running UNets of both naming schemes."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.attention import Keys
from lib_ranni.guidance.guides import PlainGuide, Row, make_guide
from lib_ranni.guidance.hooks import find_sites
from lib_ranni.guidance.session import GuidanceSession
from lib_ranni.guidance.texts import Text

SIZE = (10, 9)
STEP = torch.tensor(500)


def latents(count: int, size=SIZE) -> torch.Tensor:
    return torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(9)).repeat(count, 1, 1, 1)


def call(unet: nn.Module, rows, size=SIZE) -> torch.Tensor:
    out = unet(latents(len(rows), size), STEP, torch.stack([row.text.context for row in rows]))
    return getattr(out, "sample", out)


def guided(unet: nn.Module, panels, mode="attention", scale=3.0, progress=0.0, size=SIZE) -> torch.Tensor:
    """One step as the engine takes it: (pictures, 4, h, w)."""
    guide = make_guide(mode, panels, scale)
    rows = guide.rows(progress, size)
    if mode != "attention":
        return guide.combine(call(unet, rows, size), progress)
    with GuidanceSession(unet, panels) as session:
        session.assign(rows, progress)
        return guide.combine(call(unet, rows, size), progress)


def own_forwards(unet: nn.Module) -> list[str]:
    return [name for name, module in unet.named_modules() if "forward" in module.__dict__]


def hook_count(unet: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


def cross_attentions(unet: nn.Module) -> list[nn.Module]:
    return [module for name, module in unet.named_modules() if name.endswith("attn2")]


@contextmanager
def counting(unet: nn.Module, part: str):
    """Count the calls of a projection of every cross-attention."""
    calls: Counter[int] = Counter()
    handles = [
        getattr(module, part).register_forward_hook(lambda m, a, o, n=n: calls.update([n]))
        for n, module in enumerate(cross_attentions(unet))
    ]
    yield calls
    for handle in handles:
        handle.remove()


@contextmanager
def first_answers(unet: nn.Module):
    """Collect what the first cross-attention answers: its input depends on no text yet."""
    answers: list[torch.Tensor] = []
    handle = cross_attentions(unet)[0].register_forward_hook(lambda m, a, o: answers.append(o.clone()))
    yield answers
    handle.remove()


def answers_to(unet: nn.Module, texts: list[Text]) -> torch.Tensor:
    """(texts, N, C): the first cross-attention's answer to each text alone."""
    with first_answers(unet) as answers:
        call(unet, [Row(0, text, False) for text in texts])
    return answers[0]


@pytest.fixture
def two(panel, element):
    return panel([element(0, 0, 0.45, 0.8), element(0.45, 0, 1, 1)])


# What it computes


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_identical_text_everywhere_equals_plain(unet, panel, element, mode):
    base = panel([]).base
    elements = [element(0.1, 0.1, 0.5, 0.7), element(0.4, 0.3, 0.9, 1), element(0, 0.6, 1, 0.8)]
    copies = [Text(base.context.clone()) for _ in elements]
    texts = panel(elements, texts=copies, feather=0.2)
    got, wanted = guided(unet, [texts], mode), guided(unet, [texts], "plain")
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_base_ratio_1_equals_base(unet, panel, element, mode):
    texts = panel([element(0, 0, 0.5, 1), element(0.5, 0.3, 1, 1)], base_ratio=1.0)
    assert torch.equal(guided(unet, [texts], mode), guided(unet, [texts], "plain"))


@pytest.mark.parametrize("mode", ["attention", "latent"])
def test_a_full_canvas_region_with_base_ratio_0_equals_its_plain_prompt(unet, panel, element, mode):
    texts = panel([element(0, 0, 1, 1)], base_ratio=0.0)
    alone = panel([], base=texts.texts[0])
    got, wanted = guided(unet, [texts], mode), guided(unet, [alone], "plain")
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)


def test_each_cell_hears_its_own_region_and_the_base(unet, panel, element):
    texts = panel([element(0, 0, 4 / 9, 0.8), element(4 / 9, 0, 1, 1, base_ratio=0.5)])
    with first_answers(unet) as answers:
        guided(unet, [texts])
    got = answers[0][1].unflatten(0, SIZE)
    base, left, right = answers_to(unet, [texts.base, *texts.texts]).unflatten(1, SIZE)
    torch.testing.assert_close(got[:8, :4], (0.2 * base + 0.8 * left)[:8, :4])
    torch.testing.assert_close(got[:, 4:], (0.5 * base + 0.5 * right)[:, 4:])
    torch.testing.assert_close(got[8:, :4], base[8:, :4])
    torch.testing.assert_close(answers[0][0], answers_to(unet, [texts.base_negative])[0])


def test_regions_change_the_prediction(unet, two):
    assert not torch.allclose(guided(unet, [two]), guided(unet, [two], "plain"), atol=1e-4)


def test_an_elements_negative_acts_in_its_region(unet, panel, element, text):
    own = text(40)
    texts = panel([element(0, 0, 4 / 9, 1), element(4 / 9, 0, 1, 1)], base_ratio=0.0, negatives=[own, None])
    with first_answers(unet) as answers:
        guided(unet, [texts])
    got = answers[0][0].unflatten(0, SIZE)
    base, local = answers_to(unet, [texts.base_negative, own]).unflatten(1, SIZE)
    torch.testing.assert_close(got[:, :4], local[:, :4])
    torch.testing.assert_close(got[:, 4:], base[:, 4:])


def test_a_batch_keeps_a_panel_per_picture(unet, panel, element):
    panels = [
        panel([element(0, 0, 0.5, 1)], seed=1),
        panel([element(0, 0, 1, 0.5), element(0, 0.5, 1, 1)], seed=2),
        panel([], seed=3),
    ]
    together = guided(unet, panels)
    for picture, own in zip(together, panels, strict=True):
        torch.testing.assert_close(picture, guided(unet, [own])[0], atol=1e-5, rtol=1e-4)


def test_pictures_that_share_a_panel_are_computed_together(unet, two):
    with counting(unet, "to_q") as calls:
        together = guided(unet, [two, two, two])
    assert set(calls.values()) == {2}  # the negatives as usual, the others in one
    torch.testing.assert_close(together, guided(unet, [two]).repeat(3, 1, 1, 1), atol=1e-5, rtol=1e-4)


def test_start_and_end_switch_regions_between_steps(unet, panel, element):
    texts = panel([element(0, 0, 0.5, 1, end=0.5)])
    assert torch.equal(guided(unet, [texts], progress=0.5), guided(unet, [texts], "plain"))
    assert not torch.allclose(guided(unet, [texts], progress=0.4), guided(unet, [texts], "plain"), atol=1e-4)


# What it costs


def test_keys_and_values_are_computed_once_per_text(unet, two):
    guide = PlainGuide([two], 3.0)
    rows = guide.rows(0.0, SIZE)
    with GuidanceSession(unet, [two]) as session:
        counts = []
        for step in range(3):
            with counting(unet, "to_k") as calls:
                session.assign(rows, step / 3)
                call(unet, rows)
            counts.append(set(calls.values()))
    assert counts[0] == {4}  # the negative row as usual; base and two regions
    assert counts[1:] == [{1}, {1}]


def test_weight_maps_are_made_once_per_grid(unet, two, monkeypatch):
    made = Counter()
    original = type(two).maps

    def counted(self, active, grid, latent):
        made[grid] += 1
        return original(self, active, grid, latent)

    monkeypatch.setattr(type(two), "maps", counted)
    rows = PlainGuide([two, two], 3.0).rows(0.0, SIZE)
    with GuidanceSession(unet, [two, two]) as session:
        for step in range(3):
            session.assign(rows, step / 3)
            call(unet, rows)
    assert made[SIZE] == 2  # one for each side
    assert set(made.values()) == {2}


# What it leaves behind


def test_hooks_are_there_inside_and_gone_after(unet, two):
    before = hook_count(unet)
    with GuidanceSession(unet, [two]):
        assert len(own_forwards(unet)) == len(cross_attentions(unet))
        assert hook_count(unet) > before
    assert own_forwards(unet) == []
    assert hook_count(unet) == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_are_gone_after_an_exception_in_mid_step(unet, two, error):
    def fail(module, args, output):
        raise error

    before = hook_count(unet)
    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    plain = call(unet, rows)
    handle = cross_attentions(unet)[-1].register_forward_hook(fail)
    with pytest.raises(error):
        guided(unet, [two])
    handle.remove()
    assert own_forwards(unet) == []
    assert hook_count(unet) == before
    assert torch.equal(call(unet, rows), plain)


def test_hooks_are_gone_when_entering_fails_half_way(unet, two, monkeypatch):
    before = hook_count(unet)
    session, original = GuidanceSession(unet, [two]), GuidanceSession._install
    installed = []

    def fail_at_second(self, site):
        if installed:
            raise RuntimeError
        installed.append(site)
        original(self, site)

    monkeypatch.setattr(GuidanceSession, "_install", fail_at_second)
    with pytest.raises(RuntimeError):
        session.__enter__()
    assert installed
    assert own_forwards(unet) == []
    assert hook_count(unet) == before


def test_a_forward_that_was_there_before_comes_back(unet, two):
    module = cross_attentions(unet)[0]
    calls = []

    def theirs(*args, **kwargs):
        calls.append(1)
        return type(module).forward(module, *args, **kwargs)

    module.forward = theirs
    try:
        guided(unet, [two])
        assert module.__dict__["forward"] is theirs
        assert calls  # the negative row went through it
    finally:
        del module.__dict__["forward"]


def test_a_foreign_hook_over_ours_survives_and_ours_passes_calls_on(unet, two):
    module = cross_attentions(unet)[0]
    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    plain, calls = call(unet, rows), []
    with GuidanceSession(unet, [two]) as session:
        below = module.forward

        def theirs(*args, **kwargs):
            calls.append(1)
            return below(*args, **kwargs)

        module.forward = theirs
        session.assign(rows, 0.0)
        inside = call(unet, rows)
    try:
        assert module.__dict__["forward"] is theirs
        assert len(own_forwards(unet)) == 1
        assert not torch.allclose(inside, plain, atol=1e-4)
        assert torch.equal(call(unet, rows), plain)
        assert len(calls) == 2
    finally:
        del module.__dict__["forward"]


def test_a_session_can_be_opened_again_after_it_closed_but_not_inside(unet, two):
    session = GuidanceSession(unet, [two])
    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    results = []
    for _ in range(2):
        with session:
            session.assign(rows, 0.0)
            results.append(call(unet, rows))
    assert torch.equal(*results)
    with session, pytest.raises(GuidanceError, match="open already"):
        session.__enter__()
    assert own_forwards(unet) == []


# What it refuses


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_rows_is_an_error(unet, two, count):
    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    with GuidanceSession(unet, [two]) as session:
        session.assign(rows, 0.0)
        with pytest.raises(GuidanceError, match=f"{count} rows, 2 were announced"):
            call(unet, [rows[0]] * count)


def test_rows_of_unknown_pictures_are_an_error(unet, two):
    with GuidanceSession(unet, [two]) as session, pytest.raises(GuidanceError, match="pictures"):
        session.assign([Row(1, two.base, False)], 0.0)


def test_a_call_without_announcement_is_left_alone(unet, two):
    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    plain = call(unet, rows)
    with GuidanceSession(unet, [two]) as session:
        session.assign(rows, 0.0)
        ours = call(unet, rows)
        assert torch.equal(call(unet, rows), plain)
    assert not torch.allclose(ours, plain, atol=1e-4)


def test_a_model_without_cross_attention_is_an_error(two):
    with pytest.raises(GuidanceError, match="no cross-attention"), GuidanceSession(nn.Linear(2, 2), [two]):
        pass


def test_transformers_that_are_no_unets_are_not_taken_for_one(ldm_unet):
    bare = nn.ModuleDict({"transformer_blocks": ldm_unet.input_blocks[0].transformer_blocks})
    with pytest.raises(GuidanceError, match="no cross-attention"):
        find_sites(bare)


def test_cut_tokens_are_an_error_that_names_the_cause(unet, two):
    def cut(module, args, kwargs):
        return (args[0][:, :8],), kwargs

    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    handle = cross_attentions(unet)[0].register_forward_pre_hook(cut, with_kwargs=True)
    with GuidanceSession(unet, [two]) as session:
        session.assign(rows, 0.0)
        with pytest.raises(GuidanceError, match=r"8 tokens on a grid of 10 by 9.*merges or cuts"):
            call(unet, rows)
    handle.remove()


def test_layers_called_outside_the_unet_are_left_alone(ldm_unet, two):
    block = ldm_unet.input_blocks[0]
    given = latents(2).repeat(1, 2, 1, 1), torch.stack([two.base.context] * 2)
    plain = block(*given)
    with GuidanceSession(ldm_unet, [two]) as session:
        session.assign(PlainGuide([two], 3.0).rows(0.0, SIZE), 0.0)
        assert torch.equal(block(*given), plain)


def test_a_unet_called_with_names_is_guided_too(diffusers_unet, two):
    rows = PlainGuide([two], 3.0).rows(0.0, SIZE)
    context = torch.stack([row.text.context for row in rows])
    with GuidanceSession(diffusers_unet, [two]) as session:
        session.assign(rows, 0.0)
        wanted = call(diffusers_unet, rows)
        session.assign(rows, 0.0)
        got = diffusers_unet(sample=latents(2), timestep=STEP, encoder_hidden_states=context).sample
        with pytest.raises(GuidanceError, match="without a latent"):
            diffusers_unet()
    assert torch.equal(got, wanted)


def test_a_row_of_none_is_left_alone(unet, two):
    rows = make_guide("attention", [two], 3.0).rows(0.0, SIZE)
    plain = call(unet, rows)
    with GuidanceSession(unet, [two]) as session:
        session.assign(rows, 0.0)
        both = call(unet, rows)
        session.assign([rows[0], None], 0.0)
        first = call(unet, rows)
    assert not torch.allclose(both[1], plain[1], atol=1e-4)
    assert torch.allclose(first[0], both[0], atol=1e-6)
    assert torch.allclose(first[1], plain[1], atol=1e-6)


def test_panels_may_change_between_steps(unet, panel, element):
    left, right = (panel([element(x, 0, x + 0.5, 1)], seed=3) for x in (0, 0.5))
    rows = make_guide("attention", [left], 1.0).rows(0.0, SIZE)
    with GuidanceSession(unet, [left]) as session:
        session.panels = [right]
        session.assign(rows, 0.0)
        changed = call(unet, rows)
    assert torch.equal(changed, guided(unet, [right], scale=1.0))


def test_a_call_for_a_tile_of_the_picture_is_an_error(unet, two):
    rows = make_guide("attention", [two], 3.0).rows(0.0, SIZE)
    with GuidanceSession(unet, [two]) as session:
        session.assign(rows, 0.0, SIZE)
        guided_call = call(unet, rows)
        session.assign(rows, 0.0)
        assert torch.equal(guided_call, call(unet, rows))
        session.assign(rows, 0.0, (2 * SIZE[0], SIZE[1]))
        with pytest.raises(GuidanceError, match="drawn in tiles"):
            call(unet, rows)


def test_with_on_error_the_cause_is_told_once_and_the_call_goes_on_plain(unet, two):
    rows = make_guide("attention", [two], 3.0).rows(0.0, SIZE)
    told: list[Exception] = []
    with GuidanceSession(unet, [two], on_error=told.append) as session:
        session.assign(rows[:1], 0.0)
        out = call(unet, rows)
    assert torch.allclose(out, call(unet, rows), atol=1e-6)
    assert [type(error) for error in told] == [GuidanceError]
    assert "2 rows, 1 were announced" in str(told[0])


def test_a_host_may_make_keys_and_values_itself(unet, two):
    def negated(module, text, context):
        assert torch.equal(context[0], text.context)
        return Keys(module.to_k(context), -module.to_v(context))

    rows = make_guide("attention", [two], 1.0).rows(0.0, SIZE)
    with GuidanceSession(unet, [two], project=negated) as session:
        session.assign(rows, 0.0)
        changed = call(unet, rows)
    assert not torch.allclose(changed, guided(unet, [two], scale=1.0), atol=1e-4)
