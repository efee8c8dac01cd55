"""Which words of a prompt are heard where: each label's tokens only inside its boxes (Ranni's local mask).

Columns that belong to no label are open everywhere. The column of the end token can be closed for good:
it sums up the whole text and would tell every cell of everything (closing it equals deleting its row).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_DETERMINERS = ("a ", "an ", "the ", "one ")


def label_variants(label: str) -> tuple[str, ...]:
    """Wordings under which a prompt may name a label: without article, and its last word's other number."""
    words = " ".join(label.lower().split())
    for start in _DETERMINERS:
        words = words.removeprefix(start)
    return tuple(dict.fromkeys((words, *_other_numbers(words))))


def _other_numbers(words: str) -> list[str]:
    """Plural and singular by the regular rules, last word only: enough for a comparison of tokens."""
    if words.endswith(("ches", "shes", "sses", "xes", "zes")):
        forms = [words[:-2]]
    elif words.endswith("ies"):
        forms = [words[:-3] + "y"]
    elif words.endswith("s") and not words.endswith("ss"):
        forms = [words[:-1]]
    elif words.endswith(("ch", "sh", "s", "x", "z")):
        forms = [words + "es"]
    elif words.endswith("y") and words[-2:-1] not in "aeiou":
        forms = [words[:-1] + "ies", words + "s"]
    else:
        forms = [words + "s"]
    return forms


def occurrences(tokens: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Positions at which `wanted` begins in `tokens`, none of them overlapping."""
    found, at, size = [], 0, len(wanted)
    while size and at + size <= len(tokens):
        if list(tokens[at : at + size]) == list(wanted):
            found.append(at)
            at += size
        else:
            at += 1
    return found


def bind(tokens: Sequence[int], variants: Iterable[Sequence[int]]) -> frozenset[int]:
    """Columns of a text in which a label stands, wherever it does, in any of its tokenised variants."""
    columns: set[int] = set()
    for wanted in variants:
        for at in occurrences(tokens, wanted):
            columns.update(range(at, at + len(wanted)))
    return frozenset(columns)


def open_columns(
    length: int, bound: Sequence[frozenset[int]], covered: Tensor, closed: Iterable[int] = ()
) -> Tensor:
    """(cells, length) bool: which columns of the text each cell hears.

    `bound` are the columns of each element, `covered` (elements, cells) bool where it is. A column of several
    elements is open in the union of their boxes; one of an element that covers no cell is open nowhere.
    """
    owners: dict[int, list[int]] = {}
    for element, columns in enumerate(bound):
        for column in columns:
            owners.setdefault(column, []).append(element)
    out = torch.ones(covered.shape[-1], length, dtype=torch.bool, device=covered.device)
    for column, elements in owners.items():
        out[:, column] = covered[elements].any(0)
    out[:, list(closed)] = False
    return out
