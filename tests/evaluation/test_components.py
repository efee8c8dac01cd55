from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.evaluation.components import grow, label_regions


def flood_fill(classes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """The plain way to number regions: visit pixels in reading order, flood each unseen one."""
    rows, columns = classes.shape
    labels = np.zeros(classes.shape, np.int64)
    count = 0
    for start in np.ndindex(rows, columns):
        if classes[start] == 0 or labels[start]:
            continue
        count += 1
        labels[start] = count
        stack = [start]
        while stack:
            y, x = stack.pop()
            for ny in range(max(0, y - 1), min(rows, y + 2)):
                for nx in range(max(0, x - 1), min(columns, x + 2)):
                    if not labels[ny, nx] and classes[ny, nx] == classes[start]:
                        labels[ny, nx] = count
                        stack.append((ny, nx))
    return labels, count


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_labels_equal_a_flood_fill(rows: int, columns: int, classes: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, classes + 1, (rows, columns))
    labels, count = label_regions(picture)
    expected, expected_count = flood_fill(picture)
    assert count == expected_count
    np.testing.assert_array_equal(labels, expected)


def test_labels_follow_a_long_spiral() -> None:
    spiral = np.zeros((41, 41), bool)
    y, x, dy, dx = 0, 0, 0, 1
    for length in [40, 40, 40] + [n for k in range(38, 1, -2) for n in (k, k)]:
        for _ in range(length):
            spiral[y, x] = True
            y, x = y + dy, x + dx
        dy, dx = dx, -dy
    assert label_regions(spiral)[1] == 1


def test_nothing_has_no_regions() -> None:
    labels, count = label_regions(np.zeros((5, 7), bool))
    assert count == 0
    assert not labels.any()


def test_grow_fills_what_it_reaches_and_keeps_seeds() -> None:
    within = np.ones((5, 9), bool)
    within[:, 4] = False
    within[0, 8] = False
    seeds = np.zeros((5, 9), np.int64)
    seeds[2, 0] = 3
    grown = grow(seeds, within)
    assert (grown[:, :4] == 3).all()
    assert not grown[:, 4:].any()
