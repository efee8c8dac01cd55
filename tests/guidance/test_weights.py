"""Weight maps: what each cell listens to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.guidance.weights import Mixing, cell_edges, region_coverage, weight_maps
from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Mask

sides = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda s: s[0] != s[1]).map(sorted)


@st.composite
def boxes(draw) -> Box:
    (x0, x1), (y0, y1) = draw(sides), draw(sides)
    return Box(x0, y0, x1, y1)


@st.composite
def masks(draw) -> Mask:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pixels = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    pixels[draw(st.integers(0, len(pixels) - 1))] = True
    runs = [0] if pixels[0] else []
    runs += [len(list(group)) for _, group in itertools.groupby(pixels)]
    return Mask(width, height, tuple(runs))


@st.composite
def layouts(draw) -> list[Element]:
    ratio = st.none() | st.floats(0, 1)
    return [
        Element(
            id=f"e{n}",
            description="a thing",
            box=draw(boxes()),
            mask=draw(st.none() | masks()),
            weight=draw(st.floats(0.01, 10)),
            base_ratio=draw(ratio),
        )
        for n in range(draw(st.integers(0, 5)))
    ]


@st.composite
def grids(draw) -> tuple[tuple[int, int], tuple[int, int]]:
    """(grid of a layer, latent)."""
    latent = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    stride = 2 ** draw(st.integers(0, 3))
    return (-(-latent[0] // stride), -(-latent[1] // stride)), latent


mixings = st.builds(Mixing, st.floats(0, 1), st.floats(0, 0.5), st.sampled_from(["front", "blend"]))


@settings(deadline=None, max_examples=200)
@given(elements=layouts(), mixing=mixings, grid=grids())
def test_shares_are_not_negative_and_sum_to_1(elements, mixing, grid):
    maps = weight_maps(elements, mixing, *grid)
    assert maps.shape == (len(elements) + 1, *grid[0])
    assert maps.dtype == torch.float32
    assert float(maps.min()) >= 0
    torch.testing.assert_close(maps.sum(0), torch.ones(grid[0]), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=100)
@given(box=boxes(), grid=grids(), feather=st.floats(0, 0.5), base_ratio=st.floats(0, 0.9))
def test_an_element_alone_keeps_at_least_one_cell_however_thin(box, grid, feather, base_ratio):
    element = Element(id="e", description="a hair", box=box)
    maps = weight_maps([element], Mixing(base_ratio, feather), *grid)
    assert float(maps[1].max()) == pytest.approx(1 - base_ratio, abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(mask=masks(), grid=grids(), feather=st.floats(0, 0.5))
def test_a_mask_alone_keeps_at_least_one_cell(mask, grid, feather):
    element = Element(id="e", description="a hair", box=FULL_CANVAS, mask=mask)
    coverage = region_coverage(element, *grid, feather)
    assert coverage.max() == pytest.approx(1)
    assert coverage.min() >= 0


@settings(deadline=None, max_examples=50)
@given(elements=layouts(), grid=grids(), feather=st.floats(0, 0.5))
def test_base_ratio_1_leaves_everything_to_the_base(elements, grid, feather):
    elements = [Element(id=e.id, description="a", box=e.box, mask=e.mask) for e in elements]
    maps = weight_maps(elements, Mixing(1.0, feather), *grid)
    assert torch.equal(maps[0], torch.ones(grid[0]))


@settings(deadline=None, max_examples=50)
@given(grid=grids(), feather=st.floats(0, 0.5))
def test_a_full_canvas_region_with_base_ratio_0_has_everything(grid, feather):
    maps = weight_maps([Element(id="e", description="a", box=FULL_CANVAS)], Mixing(0.0, feather), *grid)
    assert torch.equal(maps[1], torch.ones(grid[0]))
    assert not maps[0].any()


@settings(deadline=None, max_examples=100)
@given(
    cuts=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=5, unique=True).map(sorted),
    grid=grids(),
    feather=st.floats(0, 0.3),
    overlap=st.sampled_from(["front", "blend"]),
)
def test_regions_that_tile_the_canvas_leave_nothing_to_the_base(cuts, grid, feather, overlap):
    """Wherever their borders fall in a cell, and however soft they are."""
    ends = [0.0, *cuts, 1.0]
    columns = [
        Element(id=f"e{n}", description="a", box=Box(low, 0.0, high, 1.0))
        for n, (low, high) in enumerate(itertools.pairwise(ends))
    ]
    maps = weight_maps(columns, Mixing(0.0, feather, overlap), *grid)
    assert not maps[0].any()
    half = weight_maps(columns, Mixing(0.5, feather, overlap), *grid)
    torch.testing.assert_close(half[0], torch.full(grid[0], 0.5))


def test_shares_of_cells_that_a_border_cuts(element):
    maps = weight_maps([element(0.0, 0.0, 0.375, 1.0)], Mixing(0.2), (1, 4), (1, 4))
    torch.testing.assert_close(maps[1][0], torch.tensor([0.8, 0.4, 0.0, 0.0]))
    torch.testing.assert_close(maps[0][0], torch.tensor([0.2, 0.6, 1.0, 1.0]))


def test_two_thin_elements_in_one_cell_share_it_fairly(element):
    pair = [element(0.0, 0.0, 0.02, 1.0), element(0.02, 0.0, 0.04, 1.0)]
    maps = weight_maps(pair, Mixing(0.0), (4, 4), (4, 4))
    torch.testing.assert_close(maps[1:, :, 0], torch.full((2, 4), 0.5))


def test_the_later_element_covers_the_earlier(element):
    back, front = element(0.0, 0.0, 1.0, 1.0), element(0.5, 0.0, 1.0, 1.0)
    maps = weight_maps([back, front], Mixing(0.0), (2, 4), (2, 4))
    torch.testing.assert_close(maps[1], torch.tensor([[1.0, 1, 0, 0]] * 2))
    torch.testing.assert_close(maps[2], torch.tensor([[0.0, 0, 1, 1]] * 2))


def test_an_element_hidden_by_others_acts_nowhere(element):
    maps = weight_maps([element(0.2, 0.2, 0.4, 0.4), element(0, 0, 1, 1)], Mixing(0.0), (8, 8), (8, 8))
    assert not maps[1].any()


def test_a_front_element_of_half_weight_lets_half_through(element):
    pair = [element(0, 0, 1, 1), element(0, 0, 1, 1, weight=0.5)]
    maps = weight_maps(pair, Mixing(0.0), (2, 2), (2, 2))
    torch.testing.assert_close(maps[1:], torch.full((2, 2, 2), 0.5))


def test_blend_shares_an_overlap_by_weight(element):
    pair = [element(0, 0, 1, 1, weight=1.0), element(0.5, 0, 1, 1, weight=3.0)]
    maps = weight_maps(pair, Mixing(0.2, overlap="blend"), (1, 2), (1, 2))
    torch.testing.assert_close(maps[:, 0, 1], torch.tensor([0.2, 0.2, 0.6]))
    torch.testing.assert_close(maps[:, 0, 0], torch.tensor([0.2, 0.8, 0.0]))


@settings(deadline=None, max_examples=50)
@given(elements=layouts(), grid=grids(), feather=st.floats(0, 0.5), order=st.randoms())
def test_without_overlap_rule_the_order_does_not_matter(elements, grid, feather, order):
    places = list(range(len(elements)))
    order.shuffle(places)
    mixing = Mixing(0.3, feather, "blend")
    maps = weight_maps(elements, mixing, *grid)
    shuffled = weight_maps([elements[n] for n in places], mixing, *grid)
    torch.testing.assert_close(shuffled[0], maps[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(shuffled[1:], maps[1:][places], atol=1e-5, rtol=0)


def test_an_element_can_have_a_base_ratio_of_its_own(element):
    pair = [element(0, 0, 0.5, 1, base_ratio=0.0), element(0.5, 0, 1, 1)]
    maps = weight_maps(pair, Mixing(0.3), (1, 2), (1, 2))
    torch.testing.assert_close(maps[0, 0], torch.tensor([0.0, 0.3]))


def test_feather_softens_inner_edges_and_spares_the_canvas_border(element):
    hard = weight_maps([element(0, 0, 0.5, 1)], Mixing(0.0), (1, 16), (16, 16))[1, 0]
    soft = weight_maps([element(0, 0, 0.5, 1)], Mixing(0.0, 0.25), (1, 16), (16, 16))[1, 0]
    assert hard.tolist() == [1.0] * 8 + [0.0] * 8
    assert soft[:6].tolist() == [1.0] * 6
    assert soft[10:].tolist() == [0.0] * 6
    assert bool((soft[6:10].diff() < 0).all())
    assert float(soft.sum()) == pytest.approx(8.0)


def test_feather_is_as_wide_across_as_down(element):
    """It is in units of the shorter side, so a wide canvas has round corners, not stretched ones."""
    maps = weight_maps([element(0.25, 0.25, 0.75, 0.75)], Mixing(0.0, 0.2), (16, 32), (16, 32))[1]
    assert int(((maps[8] > 0) & (maps[8] < 1)).sum()) == int(((maps[:, 16] > 0) & (maps[:, 16] < 1)).sum())


def test_a_mask_counts_instead_of_the_box():
    mask = Mask(2, 2, (1, 1, 1, 1))  # off on / off on
    element = Element(id="e", description="a", box=Box(0, 0, 0.1, 0.1), mask=mask)
    maps = weight_maps([element], Mixing(0.0), (4, 4), (4, 4))
    torch.testing.assert_close(maps[1], torch.tensor([[0.0, 0, 1, 1]] * 4))


def test_a_mask_of_a_rectangle_equals_its_box(element):
    pixels = np.zeros((8, 8), int)
    pixels[2:6, 1:4] = 1
    runs = [len(list(group)) for _, group in itertools.groupby(pixels.flatten())]
    masked = Element(id="e", description="a", box=FULL_CANVAS, mask=Mask(8, 8, tuple(runs)))
    boxed = element(1 / 8, 2 / 8, 4 / 8, 6 / 8)
    for grid in [(8, 8), (4, 4), (5, 3)]:
        got, wanted = (weight_maps([e], Mixing(0.2, 0.1), grid, (8, 8)) for e in (masked, boxed))
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("latent", [1, 2, 5, 61, 64, 85])
def test_cells_of_all_levels_line_up_with_the_latent(latent):
    for stride in (1, 2, 4, 8):
        cells = -(-latent // stride)
        edges = cell_edges(cells, latent)
        assert len(edges) == cells + 1
        assert edges[0] == 0
        assert edges[-1] == 1
        np.testing.assert_allclose(edges[1:-1] * latent, np.arange(1, cells) * stride)


def test_cells_of_a_level_that_no_halving_makes_are_even():
    np.testing.assert_allclose(cell_edges(42, 64), np.linspace(0, 1, 43))


def test_many_elements_are_fast_enough():
    draw = np.random.default_rng(0)
    corners = draw.uniform(0, 0.9, (1000, 2))
    many = [
        Element(id=f"e{n}", description="a", box=Box(x, y, x + 0.1, y + 0.1))
        for n, (x, y) in enumerate(corners.tolist())
    ]
    maps = weight_maps(many, Mixing(0.0), (8, 8), (64, 64))
    torch.testing.assert_close(maps.sum(0), torch.ones(8, 8), atol=1e-5, rtol=0)
