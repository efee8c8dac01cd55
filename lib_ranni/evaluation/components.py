"""Connected components in numpy: the part of an image library that the scorer needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


def _links(classes: npt.NDArray[np.integer[Any]]) -> tuple[Labels, Labels]:
    """Index pairs of 8-neighbors that have the same class, not 0. Indices run over the flattened array."""
    index = np.arange(classes.size).reshape(classes.shape)
    ends: list[tuple[Labels, Labels]] = []
    for first, second in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1, :], np.s_[1:, :]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        same = (classes[first] == classes[second]) & (classes[first] != 0)
        ends.append((index[first][same], index[second][same]))
    return np.concatenate([a for a, _ in ends]), np.concatenate([b for _, b in ends])


def label_regions(classes: npt.NDArray[np.integer[Any]] | Mask) -> tuple[Labels, int]:
    """Number the 8-connected regions of equal class in an (H, W) array.

    Class 0 (or False) is background. Returns (H, W) labels, 0 for background and 1..n in reading order
    of each region's first pixel, and n.
    """
    values = np.asarray(classes).astype(np.int64)
    first, second = _links(values)
    # Union-find, all links at once: hook each root onto the smallest root it meets, then flatten the trees.
    parent = np.arange(values.size)
    while True:
        a, b = parent[first], parent[second]
        apart = a != b
        if not apart.any():
            break
        first, second, a, b = first[apart], second[apart], a[apart], b[apart]
        np.minimum.at(parent, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
    inside = values.ravel() != 0
    roots, numbers = np.unique(parent[inside], return_inverse=True)
    labels = np.zeros(values.size, np.int64)
    labels[inside] = numbers.reshape(-1) + 1
    return labels.reshape(values.shape), len(roots)


def grow(labels: Labels, within: Mask) -> Labels:
    """Extend the labels, one ring of pixels at a time, over all of `within` that they can reach."""
    grown = labels.copy()
    while True:
        padded = np.pad(grown, 1)
        rows, columns = grown.shape
        around = [
            padded[1 + dy : 1 + dy + rows, 1 + dx : 1 + dx + columns]
            for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
        ]
        fresh = within & (grown == 0)
        for neighbor in around:
            take = fresh & (neighbor != 0)
            grown[take] = neighbor[take]
            fresh &= ~take
        if np.array_equal(padded[1:-1, 1:-1], grown):
            return grown
