"""Which columns of a prompt belong to a label, and where they are open."""

from __future__ import annotations

import pytest
import torch

from lib_ranni.guidance.local_mask import bind, label_variants, occurrences, open_columns


@pytest.mark.parametrize(
    ("label", "other"),
    [
        ("red apple", "red apples"),
        ("red apples", "red apple"),
        ("A Box", "boxes"),
        ("boxes", "box"),
        ("cross", "crosses"),
        ("crosses", "cross"),
        ("cherry", "cherries"),
        ("cherries", "cherry"),
        ("boy", "boys"),
        ("one glass", "glasses"),
        ("the bench", "benches"),
    ],
)
def test_labels_are_found_in_either_number(label: str, other: str) -> None:
    assert other in label_variants(label)


def test_an_article_is_no_part_of_a_label() -> None:
    assert label_variants("a red  Apple")[0] == "red apple"


def test_occurrences_do_not_overlap() -> None:
    assert occurrences([1, 1, 1, 2, 1, 1], [1, 1]) == [0, 4]
    assert occurrences([1, 2], [1, 2, 3]) == []
    assert occurrences([1, 2], []) == []


def test_every_occurrence_is_bound() -> None:
    """Upstream bound the first alone."""
    assert bind([5, 1, 2, 7, 1, 2, 1, 3], [[1, 2], [1, 3]]) == {1, 2, 4, 5, 6, 7}


def test_overlapping_boxes_of_one_label_stay_open() -> None:
    """Upstream summed the masks and asked for exactly 1: the overlap heard nothing of its label."""
    covered = torch.tensor([[True, True, False, False], [False, True, True, False]])
    heard = open_columns(3, [frozenset({1}), frozenset({1})], covered)
    assert heard[:, 1].tolist() == [True, True, True, False]
    assert bool(heard[:, [0, 2]].all())


def test_unbound_columns_are_open_and_closed_ones_shut() -> None:
    heard = open_columns(4, [frozenset(), frozenset({2})], torch.zeros(2, 3, dtype=torch.bool), closed=[3])
    assert heard.all(0).tolist() == [True, True, False, False]
    assert not heard[:, 2:].any()
