"""The store of memories: undo and redo along edits, owners apart from one another, bounds."""

from __future__ import annotations

import pytest
import torch

from lib_ranni.errors import MissingError
from lib_ranni.guidance.memory import Conditions, Memory
from lib_ranni.guidance.memory_store import MemoryStore
from lib_ranni.panel.types import Panel

_CONDITIONS = Conditions(seed=1, width=32, height=8, sampler="Euler", steps=1, cfg=7.0, checkpoint="abc")


def _named(name: str, before: str = "", cells: int = 4) -> Memory:
    latent, pixels = torch.zeros(1, cells, 4), torch.zeros(0, 0, 3).byte()
    return Memory(name, _CONDITIONS, Panel(), latent, latent[None], latent, pixels, before)


def test_undo_and_redo_go_along_the_edits() -> None:
    store = MemoryStore()
    for memory in (_named("a"), _named("b", "a"), _named("c", "b")):
        assert store.put("u", memory)
    assert [store.undo("u").name, store.undo("u").name] == ["b", "a"]
    with pytest.raises(MissingError, match="earlier"):
        store.undo("u")
    assert store.redo("u").name == "b"
    assert store.put("u", _named("d", "b"))
    with pytest.raises(MissingError, match="later"):
        store.redo("u")
    present = store.present("u")
    assert present is not None
    assert (present.name, store.undo("u").name) == ("d", "b")


def test_owners_do_not_see_each_other() -> None:
    store = MemoryStore()
    store.put("ann/txt2img", _named("a"))
    assert store.present("ann/img2img") is None
    assert store.get("bob/txt2img", "a") is None
    store.put("bob/txt2img", _named("b"))
    store.forget("ann/txt2img")
    assert store.present("ann/txt2img") is None
    assert store.present("bob/txt2img") is not None


def test_the_oldest_go_first() -> None:
    size = _named("x").nbytes
    store = MemoryStore(most_bytes=3 * size)
    for name in "abc":
        store.put("u", _named(name))
    assert store.get("u", "a") is not None
    store.put("v", _named("d"))
    assert store.nbytes == 3 * size
    assert [store.get("u", name) is not None for name in "abc"] == [True, False, True]
    assert not store.put("u", _named("big", cells=400))
    each = MemoryStore(most_each=2)
    for name in "abc":
        each.put("u", _named(name))
    assert [each.get("u", name) is not None for name in "abc"] == [False, True, True]


def test_what_is_too_large_leaves_no_older_picture_as_the_present_one() -> None:
    store = MemoryStore(most_bytes=_named("x").nbytes)
    assert store.put("u", _named("a"))
    assert not store.put("u", _named("big", cells=400))
    assert store.present("u") is None
    assert store.get("u", "a") is not None


def test_an_owner_who_has_lost_everything_has_no_present() -> None:
    store = MemoryStore(most_bytes=_named("x").nbytes)
    store.put("u", _named("a"))
    store.put("v", _named("b"))
    assert store.present("u") is None
    with pytest.raises(MissingError):
        store.undo("u")


def test_a_new_bound_holds_at_once() -> None:
    size = _named("x").nbytes
    store = MemoryStore()
    for name in "abc":
        store.put("u", _named(name))
    store.get("u", "a")
    assert [memory.name for memory in store.of("u")] == ["b", "c", "a"]
    store.limit(2 * size)
    assert [memory.name for memory in store.of("u")] == ["c", "a"]
    assert store.of("v") == []
    store.limit(0)
    assert (store.nbytes, store.put("u", _named("d"))) == (0, False)
