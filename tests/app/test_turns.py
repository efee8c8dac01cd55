"""The queue at the model: order, leaving, errors."""

from __future__ import annotations

import threading
import weakref

import torch

from lib_ranni.standalone.app.turns import Job, Turns


def test_jobs_run_one_at_a_time_in_order_and_an_error_ends_only_its_own() -> None:
    turns, ran, at_once = Turns(), [], []
    inside, begun, go = threading.Lock(), threading.Event(), threading.Event()

    def work(name: str) -> None:
        at_once.append(inside.acquire(blocking=False))
        begun.set()
        go.wait(5)
        ran.append(name)
        inside.release()
        if name == "b":
            raise ValueError(name)

    jobs = {name: Job(lambda name=name: work(name)) for name in "abcd"}  # type: ignore[misc]
    for job in jobs.values():
        turns.add(job)
    assert begun.wait(5)
    assert [turns.ahead(job) for job in jobs.values()] == [0, 1, 2, 3]
    turns.leave(jobs["c"])
    assert jobs["c"].is_over
    assert turns.ahead(jobs["d"]) == 2
    turns.leave(jobs["a"])
    assert not jobs["a"].is_over
    go.set()
    assert all(job.wait(5) for job in jobs.values())
    assert ran == ["a", "b", "d"]
    assert at_once == [True, True, True]
    assert isinstance(jobs["b"].error, ValueError)
    assert jobs["d"].error is None


def test_an_error_keeps_nothing_of_what_failed() -> None:
    left: list[weakref.ref[torch.Tensor]] = []

    def work() -> None:
        latents = torch.zeros(4)
        left.append(weakref.ref(latents))
        raise ValueError("no memory")

    job = Job(work)
    job.run()
    assert str(job.error) == "no memory"
    assert left[0]() is None
