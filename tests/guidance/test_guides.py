"""Rows of the denoiser's batch, and how its predictions become one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.errors import GuidanceError
from lib_ranni.guidance.guides import LatentGuide, PlainGuide, make_guide
from lib_ranni.guidance.texts import PanelTexts, Text, merged
from lib_ranni.panel.types import FULL_CANVAS

GRID = (6, 5)


def predict(rows):
    """A denoiser whose prediction depends on the text alone: (rows, 4, *GRID)."""
    return torch.stack([row.text.context.sum() * torch.ones(4, *GRID) for row in rows])


def of(text: Text) -> float:
    return float(text.context.sum())


def run(guide, progress=0.0):
    return guide.combine(predict(guide.rows(progress, GRID)), progress)


@pytest.fixture
def halves(panel, element):
    """Left and right half, each with its text."""
    return panel([element(0, 0, 0.4, 1), element(0.4, 0, 1, 1)])


def test_make_guide_knows_the_modes(halves):
    assert type(make_guide("latent", [halves], 7.0)) is LatentGuide
    assert type(make_guide("attention", [halves], 7.0)) is PlainGuide
    assert type(make_guide("plain", [halves], 7.0)) is PlainGuide


@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
def test_plain_is_classifier_free_guidance(panel, scale):
    panels = [panel([], seed=1), panel([], seed=2)]
    got = run(PlainGuide(panels, scale))
    for picture, own in zip(got, panels, strict=True):
        u, b = of(own.base_negative), of(own.base)
        torch.testing.assert_close(picture, torch.full_like(picture, u + scale * (b - u)))


def test_plain_rows_are_all_negatives_then_all_bases(panel):
    panels = [panel([], seed=1), panel([], seed=2)]
    rows = PlainGuide(panels, 7.0).rows(0.0, GRID)
    assert [(row.image, row.negative) for row in rows] == [(0, True), (1, True), (0, False), (1, False)]
    assert [row.text for row in rows] == [*(p.base_negative for p in panels), *(p.base for p in panels)]


@pytest.mark.parametrize("mode", ["plain", "latent"])
def test_scale_1_needs_no_negative_rows(halves, mode):
    guide = make_guide(mode, [halves, halves], 1.0)
    assert not any(row.negative for row in guide.rows(0.0, GRID))
    assert run(guide).shape == (2, 4, *GRID)


@settings(deadline=None, max_examples=40)
@given(scale=st.floats(0, 20), base_ratio=st.floats(0, 1), own=st.booleans(), feather=st.floats(0, 0.5))
def test_latent_mix_is_the_formula(panel, element, text, scale, base_ratio, own, feather):
    """D = sum of W_i (U_i + s (D_i - U_i)); with a common U that is U + s (sum of W_i D_i - U)."""
    negatives = (text(50), None) if own else (None, None)
    elements = [element(0.1, 0, 0.4, 1), element(0.4, 0.2, 1, 1)]
    texts = panel(elements, base_ratio, negatives=negatives, feather=feather)
    maps = texts.maps((0, 1), GRID, GRID)
    positive = [of(t) for t in texts.positives((0, 1))]
    negative = [of(t) for t in texts.opposites((0, 1))]
    wanted = sum(w * (u + scale * (d - u)) for w, d, u in zip(maps, positive, negative, strict=True))
    got = run(LatentGuide([texts], scale))[0]
    torch.testing.assert_close(got, wanted.expand(4, *GRID), atol=1e-3, rtol=1e-4)


def test_latent_rows_are_regions_and_base_and_one_shared_negative(halves):
    rows = LatentGuide([halves], 7.0).rows(0.0, GRID)
    assert [row.negative for row in rows] == [True, False, False, False]
    assert [row.text for row in rows] == [halves.base_negative, halves.base, *halves.texts]


def test_no_base_row_where_the_base_has_no_share(panel, element):
    thirds = [element(n / 3, 0, (n + 1) / 3, 1) for n in range(3)]
    texts = panel(thirds, base_ratio=0.0)
    assert texts.base not in [row.text for row in LatentGuide([texts], 7.0).rows(0.0, GRID)]


def test_an_elements_own_negative_is_a_further_row(panel, element, text):
    own = text(60)
    texts = panel([element(0, 0, 0.5, 1), element(0.5, 0, 1, 1)], negatives=[own, None])
    negatives = [row.text for row in LatentGuide([texts], 7.0).rows(0.0, GRID) if row.negative]
    assert negatives == [texts.base_negative, own]


def test_elements_with_the_same_text_share_a_row(panel, element, text):
    same = text(61)
    texts = panel([element(0, 0, 0.3, 1), element(0.6, 0, 1, 1)], texts=[same, same])
    rows = LatentGuide([texts], 7.0).rows(0.0, GRID)
    assert [row.text for row in rows] == [texts.base_negative, texts.base, same]


def test_start_and_end_of_elements(panel, element):
    elements = [
        element(0, 0, 1, 1, end=0.5),
        element(0, 0, 1, 1, start=0.5),
        element(0, 0, 1, 1, start=0.2, end=0.6),
        element(0, 0, 1, 1, weight=0.0),
    ]
    texts = panel(elements)
    assert [texts.active(p) for p in (0.0, 0.2, 0.5, 0.6, 1.0)] == [(0,), (0, 2), (1, 2), (1,), (1,)]


def test_a_step_without_active_elements_is_plain(panel, element):
    texts = panel([element(0, 0, 1, 1, start=0.5)])
    assert torch.equal(run(LatentGuide([texts], 7.0)), run(PlainGuide([texts], 7.0)))
    assert not torch.equal(run(LatentGuide([texts], 7.0), 0.5), run(PlainGuide([texts], 7.0), 0.5))


def test_latent_with_base_ratio_1_is_the_base(panel, element):
    texts = panel([element(0, 0, 0.5, 1), element(0.5, 0, 1, 1)], base_ratio=1.0)
    assert torch.equal(run(LatentGuide([texts], 7.0)), run(PlainGuide([texts], 7.0)))


def test_latent_with_one_full_region_and_base_ratio_0_is_that_region(panel, element):
    texts = panel([element(0, 0, 1, 1)], base_ratio=0.0)
    alone = panel([], base=texts.texts[0])
    assert torch.equal(run(LatentGuide([texts], 7.0)), run(PlainGuide([alone], 7.0)))


def test_latent_with_identical_text_everywhere_is_plain(panel, element):
    base = panel([]).base
    copies = [Text(base.context.clone()) for _ in range(3)]
    elements = [element(0.1, 0.1, 0.5, 0.7), element(0.4, 0.3, 0.9, 1), element(0, 0.6, 1, 0.8)]
    texts = panel(elements, texts=copies, feather=0.2)
    got, wanted = run(LatentGuide([texts], 7.0)), run(PlainGuide([texts], 7.0))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-5)


def test_pictures_of_a_batch_keep_their_own_panels(panel, element, text):
    """Different numbers of regions and negatives, so that every slip of a row shows."""
    panels = [
        panel([element(0, 0, 0.4, 1)], seed=1),
        panel([element(0, 0, 1, 0.5), element(0, 0.5, 1, 1)], seed=2, negatives=[text(70), None]),
        panel([], seed=3),
    ]
    together = run(LatentGuide(panels, 5.0))
    for picture, own in zip(together, panels, strict=True):
        assert torch.equal(picture, run(LatentGuide([own], 5.0))[0])


@pytest.mark.parametrize("mode", ["plain", "latent"])
@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_a_wrong_number_of_predictions_is_an_error(halves, mode, scale):
    guide = make_guide(mode, [halves], scale)
    count = len(guide.rows(0.0, GRID))
    with pytest.raises(GuidanceError, match=f"{count + 1} predictions"):
        guide.combine(torch.zeros(count + 1, 4, *GRID), 0.0)


def test_texts_must_match_elements(panel, element, text):
    with pytest.raises(GuidanceError, match="1 elements need as many texts"):
        PanelTexts((element(0, 0, 1, 1),), (), (None,), text(1), text(2), panel([]).mixing)


def test_merging_adds_equal_sources_and_drops_idle_ones():
    maps = torch.tensor([[[0.2]], [[0.0]], [[0.8]]])
    total, sources = merged(maps, ["a", "b", "a"])
    assert sources == ["a"]
    assert torch.equal(total, torch.ones(1, 1, 1))


def test_latent_mix_of_half_precision_predictions_keeps_their_type(halves):
    guide = LatentGuide([halves], 7.0)
    assert guide.combine(predict(guide.rows(0.0, GRID)).bfloat16(), 0.0).dtype == torch.bfloat16


def test_a_full_canvas_box_is_the_whole_canvas(panel, element):
    assert element(0, 0, 1, 1).box == FULL_CANVAS
    assert torch.equal(panel([element(0, 0, 1, 1)], 0.0).maps((0,), GRID, GRID)[1], torch.ones(GRID))
